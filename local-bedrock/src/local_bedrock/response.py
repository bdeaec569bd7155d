"""A response on the wire: bytes with their timing and their end, and the writing of it.

The server writes its responses itself, below aiohttp's response classes: headers are to be AWS's and no others, and a
fault may cut, delay or spoil a response at any byte.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from itertools import cycle
from time import time
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from local_bedrock.replies import Ending
from local_bedrock.requests import RecordedRequest

Pieces = Sequence[bytes] | AsyncGenerator[bytes, None]
"""A body: each piece is one HTTP chunk of a chunked response."""

_RESET_ON_CLOSE = struct.pack('ii', 1, 0)
# Pieces that are ready together leave in one write, up to this size.
_WRITE_SIZE = 16_384
_LAST_CHUNK = b'0\r\n\r\n'


@dataclass
class Response:
    """A response as it is going to be written; faults change its fields."""

    status: int
    headers: dict[str, str]
    """Headers after `Date`, in order; the length is added when the response is written."""
    pieces: Pieces
    chunked: bool = False
    error_code: str | None = None
    length: int | None = None
    """The length that the head announces where there is no body, as for HEAD."""
    delay_before: float = 0.0
    """Seconds before the first byte."""
    header_interval: float = 0.0
    """Seconds between the lines of the head."""
    delays: Callable[[int, bytes], float] | None = None
    """Seconds before a piece, by its number and content."""
    chunk_sizes: Sequence[int] = ()
    """Sizes into which the body is cut anew, in turn."""
    piece_interval: float = 0.0
    """Seconds before each piece, beside `delays`."""
    edits: list[Callable[[int, bytes], Sequence[bytes]]] = field(
        default_factory=list[Callable[[int, bytes], Sequence[bytes]]]
    )
    """Changes to the pieces, each given number and content of a piece and returning what is sent in its place."""
    truncate_at: int | None = None
    """Bytes of the body after which it is cut; 0 sends the head alone, -1 not even that."""
    then: Ending = 'end'
    """The ending of a response that was cut."""
    close: bool = False
    """Close the connection after a whole response, and announce it in the response."""
    drop_after: bool = False
    """Close the connection after a whole response that promised to keep it."""

    usage: Mapping[str, Any] | None = None
    """The tokens that the model has used, as `usage` of Converse; a generated stream knows them at its end."""
    done: Callable[[], None] | None = None
    """Called when the response has been written, or given up."""

    @property
    def damaged(self) -> bool:
        """True unless the response is written whole and at once."""
        return (
            self.delays is not None
            or self.piece_interval > 0
            or self.header_interval > 0
            or self.truncate_at is not None
            or bool(self.chunk_sizes or self.edits)
        )


class SourceError(ConnectionError):
    """Failure of the source of answers; a connection whose answer has begun is closed in the middle of it."""


class WrittenResponse(web.StreamResponse):
    """Tells aiohttp that the response has been written already."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keep = keep_alive

    @property
    def keep_alive(self) -> bool | None:
        """True if the connection may serve another request."""
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write nothing."""
        return None

    async def write_eof(self, data: bytes = b'') -> None:
        """Write nothing."""


@lru_cache(maxsize=2)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


@lru_cache(maxsize=128)
def _status_line(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = 'Unknown'
    return f'HTTP/1.1 {status} {phrase}'


async def write_response(response: Response, http: web.BaseRequest, record: RecordedRequest) -> WrittenResponse:
    """Write a response to the end that it is to have.

    Raises:
        ConnectionError: The client has gone away.
    """
    if response.delay_before > 0:
        await asyncio.sleep(response.delay_before)
    if response.truncate_at == -1:
        return await _end_early(response, http)
    keep_alive = http.keep_alive and not response.close
    if response.damaged or not isinstance(response.pieces, Sequence):
        return await _write_slowly(response, http, record, keep_alive)
    length = None if response.chunked else response.length or sum(map(len, response.pieces))
    record.status = response.status
    parts = [_head(response, length, keep_alive)]
    size = 0
    for piece in response.pieces:
        parts.append(_http_chunk(piece) if response.chunked else piece)
        size += len(piece)
        if size >= _WRITE_SIZE:
            await http.writer.write(b''.join(parts))
            record.bytes_sent += size
            parts, size = [], 0
    if response.chunked:
        parts.append(_LAST_CHUNK)
    await http.writer.write(b''.join(parts))
    record.bytes_sent += size
    return _finish(response, http, keep_alive)


async def _write_slowly(
    response: Response, http: web.BaseRequest, record: RecordedRequest, keep_alive: bool
) -> WrittenResponse:
    """Write piece by piece, with every delay and every damage that the answer asks for."""
    async with aclosing(_prepared(response)) as pieces:
        length = None
        if not response.chunked:
            whole = b''.join([piece async for piece in _prepared(replace(response, delays=None, piece_interval=0.0))])
            length = len(whole)
            if response.truncate_at is not None and response.then == 'end':
                length = min(length, response.truncate_at)
        await _write_head(_head(response, length, keep_alive), response.header_interval, http)
        record.status = response.status
        async for piece in pieces:
            left = None if response.truncate_at is None else response.truncate_at - record.bytes_sent
            if left is not None and len(piece) >= left:
                if left:
                    await http.writer.write(_http_chunk(piece[:left]) if response.chunked else piece[:left])
                    record.bytes_sent += left
                if response.then != 'end':
                    return await _end_early(response, http)
                break
            if piece:
                await http.writer.write(_http_chunk(piece) if response.chunked else piece)
                record.bytes_sent += len(piece)
    if response.chunked:
        await http.writer.write(_LAST_CHUNK)
    return _finish(response, http, keep_alive)


async def _prepared(response: Response) -> AsyncGenerator[bytes, None]:
    """Yield the pieces as they are sent: edited, cut anew, each when its time has come."""
    number = 0
    if any(size < 1 for size in response.chunk_sizes):
        # The body would never end.
        raise ValueError(f'Response.chunk_sizes is {response.chunk_sizes!r}: a piece must have at least 1 byte.')
    sizes = cycle(response.chunk_sizes) if response.chunk_sizes else None
    async for piece in _iterate(response.pieces):
        if response.delays is not None and (delay := response.delays(number, piece)) > 0:
            await asyncio.sleep(delay)
        edited: Sequence[bytes] = (piece,)
        for edit in response.edits:
            edited = [part for before in edited for part in edit(number, before)]
        number += 1
        for part in edited:
            for cut in _cut(part, sizes):
                if response.piece_interval > 0:
                    await asyncio.sleep(response.piece_interval)
                yield cut


async def _iterate(pieces: Pieces) -> AsyncGenerator[bytes, None]:
    if isinstance(pieces, Sequence):
        for piece in pieces:
            yield piece
        return
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece


def _cut(piece: bytes, sizes: Iterator[int] | None) -> Iterator[bytes]:
    if sizes is None:
        yield piece
        return
    at = 0
    while at < len(piece):
        size = next(sizes)
        yield piece[at : at + size]
        at += size


async def _write_head(head: bytes, interval: float, http: web.BaseRequest) -> None:
    if interval <= 0:
        await http.writer.write(head)
        return
    for line in head.splitlines(keepends=True):
        await asyncio.sleep(interval)
        await http.writer.write(line)


async def _end_early(response: Response, http: web.BaseRequest) -> WrittenResponse:
    if response.then == 'hang':
        # Ends when the client goes away or the server closes: either cancels the handler.
        await asyncio.Event().wait()
    transport = http.transport
    if transport is not None:
        if response.then == 'reset':
            reset(transport)
        else:
            transport.close()
    return WrittenResponse(keep_alive=False)


def reset(transport: asyncio.Transport) -> None:
    """Close a connection by a TCP reset."""
    transport.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


def _finish(response: Response, http: web.BaseRequest, keep_alive: bool) -> WrittenResponse:
    keep_alive = keep_alive and not response.drop_after
    # A connection that is closed while the client still sends would take the response with it: aiohttp reads on for a
    # while, and closes it then.
    if not keep_alive and http.transport is not None and http.content.is_eof():
        http.transport.close()
    return WrittenResponse(keep_alive=keep_alive)


def _http_chunk(piece: bytes) -> bytes:
    return b'%x\r\n%b\r\n' % (len(piece), piece)


def _head(response: Response, length: int | None, keep_alive: bool) -> bytes:
    # The order in which AWS sends them.
    rest = [f'{name}: {value}' for name, value in response.headers.items()]
    lines = [
        _status_line(response.status),
        f'Date: {_http_date(int(time()))}',
        *rest[:1],
        'Transfer-Encoding: chunked' if length is None else f'Content-Length: {length}',
        f'Connection: {"keep-alive" if keep_alive else "close"}',
        *rest[1:],
    ]
    return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1')
