"""Measures reading and writing the files of batch inference jobs: `python -m benchmarks.batch_files`.

Files of several sizes are uploaded to a LocalBedrock in another process, and read back as results. The memory is the
peak of the allocations that Python traces during the transfer; the time is that of a second transfer, untraced.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic_ai import ModelRequest
from pydantic_ai.models.batch import Batch, BatchRequest
from rich.console import Console
from rich.table import Table

from pydantic_ai_aiobedrock import BatchInference, BedrockConverseModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._runtime.batch_files import BatchFiles
from pydantic_ai_aiobedrock._upstream.batch_inference import output_uris

MEBIBYTE = 1024 * 1024
FILES = ((16, 4), (64, 4), (60, 15 * 1024), (60, 30 * 1024), (60, 60 * 1024))
"""Sizes of files in MiB, and of their lines in KiB."""


@contextmanager
def server() -> Iterator[Mapping[str, str]]:
    """Serve LocalBedrock in another process; the value is the environment of its clients."""
    command = [sys.executable, '-m', 'local_bedrock', 'serve', '--json']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            environment: dict[str, str] = json.loads(process.stdout.readline())['environment']
            # S3 takes no API key of Bedrock.
            del environment['AWS_BEARER_TOKEN_BEDROCK']
            yield environment
        finally:
            process.terminate()


@dataclass(frozen=True)
class Place:
    """A job that has ended, and the file of its results, which is replaced."""

    model: BedrockConverseModel
    batch: Batch
    uri: str
    files: BatchFiles

    @classmethod
    async def make(cls, pool: SessionPool) -> Place:
        """Run a job of a single record."""
        inference = BatchInference(
            role_arn='arn:aws:iam::123456789012:role/bedrock-batch', s3_uri='s3://my-bucket/batches/', min_records=1
        )
        provider = BedrockProvider(pool=pool)
        model = BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider, batch_inference=inference)
        request = BatchRequest(custom_id='0', messages=[ModelRequest.user_text_prompt('Hello')])
        batch = await model.batch_create([await model.batch_encode(request)])
        while batch.status != 'ended':
            batch = await model.batch_status(batch)
        job = await model._jobs().get(batch.id)
        return cls(model, batch, output_uris(job)[0], model._files())

    async def write(self, count: int, size: int) -> None:
        """Replace the results by so many lines of a size."""
        await self.files.upload(self.uri, lines(count, size))

    async def read(self) -> int:
        """Read the results, and return their number."""
        count = 0
        async for result in self.model.batch_iter_results(self.batch):
            assert result.status == 'succeeded'
            count += 1
        return count


def lines(count: int, size: int) -> Iterator[bytes]:
    """Make lines of the output of a job, of about a size."""
    filling = b'x' * size
    for number in range(count):
        yield b'{"recordId": "%d", "modelOutput": {"text": "%b"}}\n' % (number, filling)


async def peak(transfer: Callable[[], Awaitable[object]]) -> int:
    """Return the most bytes that a transfer holds at once."""
    tracemalloc.start()
    try:
        await transfer()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def seconds(transfer: Callable[[], Awaitable[object]]) -> float:
    """Return the time that a transfer takes."""
    start = time.perf_counter()
    await transfer()
    return time.perf_counter() - start


async def measure() -> Table:
    """Transfer each of the files."""
    table = Table('file', 'line', 'write: peak', 'read: peak', 'write', 'read', 'read')
    pool = SessionPool()
    try:
        place = await Place.make(pool)
        for megabytes, kilobytes in FILES:
            size = kilobytes * 1024
            count = megabytes * MEBIBYTE // size

            async def write(count: int = count, size: int = size) -> None:
                await place.write(count, size)

            peaks = [await peak(write), await peak(place.read)]
            times = [await seconds(write), await seconds(place.read)]
            table.add_row(
                f'{megabytes} MiB',
                f'{kilobytes} KiB',
                *(f'{each / MEBIBYTE:.1f} MiB' for each in peaks),
                *(f'{each:.2f} s' for each in times),
                f'{times[1] / megabytes * 1000:.1f} ms/MiB',
            )
    finally:
        await pool.aclose()
    return table


def main() -> None:
    """Measure, and print the table."""
    argparse.ArgumentParser(prog='python -m benchmarks.batch_files', description=__doc__).parse_args()
    with server() as environment:
        os.environ.update(environment)
        Console().print(asyncio.run(measure()))


if __name__ == '__main__':
    main()
