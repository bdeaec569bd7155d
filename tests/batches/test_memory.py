"""Files of batches: the memory and the work that they take, counted in bytes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._runtime.batch_files import CHUNK_BYTES, PART_BYTES
from pydantic_ai_aiobedrock._runtime.batch_output import LineSplitter

pytest.importorskip('pydantic_ai.models.batch', reason='This Pydantic AI has no batches yet.')

MEBIBYTE = 1024 * 1024


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lead clients to a LocalBedrock in another process, whose memory is not counted."""
    from benchmarks.batch_files import server

    with server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.timeout(400)  # All allocations are traced, on a machine that may be busy.
async def test_the_memory_that_a_file_takes_does_not_grow_with_it(elsewhere: None, pool: SessionPool) -> None:
    from benchmarks.batch_files import Place, peak

    place = await Place.make(pool)
    parts, line = 12, 64 * 1024
    count = parts * PART_BYTES // line
    written = await peak(partial(place.write, count, line))
    read = await peak(place.read)
    assert await place.read() == count
    assert written < parts / 2 * PART_BYTES
    assert read < 8 * CHUNK_BYTES


class Chunk(bytes):
    """A chunk that counts the bytes that are searched for line feeds."""

    searched = 0

    def split(self, separator: bytes | None = None, maxsplit: int = -1) -> list[bytes]:  # pyright: ignore
        Chunk.searched += len(self)
        return super().split(separator, maxsplit)


@pytest.mark.parametrize('megabytes', [1, 15, 60])
def test_each_byte_of_a_line_is_searched_once_whatever_its_length(
    monkeypatch: pytest.MonkeyPatch, megabytes: int
) -> None:
    monkeypatch.setattr(Chunk, 'searched', 0)
    splitter = LineSplitter()
    chunks = megabytes * MEBIBYTE // CHUNK_BYTES
    for _ in range(chunks):
        assert list(splitter.feed(Chunk(b'x' * CHUNK_BYTES))) == []
    [line] = splitter.feed(Chunk(b'y\nz'))
    assert len(line) == megabytes * MEBIBYTE + 1
    assert splitter.rest() == b'z'
    assert Chunk.searched == megabytes * MEBIBYTE + len(b'y\nz')
