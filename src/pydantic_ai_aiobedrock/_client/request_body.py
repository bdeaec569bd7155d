"""The bodies of requests, written to the connection for as long as the server takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from pydantic_ai_aiobedrock._client.encoding import Body, BodyInPieces

PIECE_BYTES: Final = 64 * 1024
"""Written at once, in bounded time. A shorter body fits into the buffers of the connection."""

TURN_BYTES: Final = 4 * PIECE_BYTES
"""Written in a turn of the loop, if the connection takes it; then the loop looks for an answer."""


class WriteTimedOutError(TimeoutError):
    """The server took no more of a request for as long as a write may take."""


class RequestBody(aiohttp.Payload):
    """A body that is written in pieces, each in bounded time, until the server has answered.

    A server may answer before it has read the whole request, with 413 or 503, and close the connection. The answer is
    read before more is written, as a write to a closed connection would lose it. An interim response is no answer.
    """

    def __init__(self, body: Any, seconds: float | None) -> None:
        """Take the body and the bound of each write.

        Args:
            body: Bytes, text, a file, or one of botocore's bodies that add a checksum, whose `read` is a coroutine.
            seconds: Seconds for a write of 64 KiB, or None for no bound.
        """
        super().__init__(body)
        # A form, such as the requests for credentials are, is text.
        self._body = body.encode() if isinstance(body, str) else body
        self._seconds = seconds
        self._size: int | None = len(self._body) if isinstance(self._body, Body) else None

    def decode(self, encoding: str = 'utf-8', errors: str = 'strict') -> str:
        """Return the body as text, which aiohttp's middlewares may ask for."""
        return bytes(self._body).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body; see `write_with_length`."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        """Write the body, or as much of it as the server takes before it answers or closes the connection.

        Raises:
            WriteTimedOutError: A piece could not be written in time.
        """
        protocol = writer.protocol
        unseen = TURN_BYTES
        async for piece in self._pieces():
            if unseen >= TURN_BYTES:
                # asyncio polls the socket once a turn, and TLS hands on in the next turn what has arrived in this.
                for _ in range(2):
                    await asyncio.sleep(0)
                unseen = 0
            unseen += len(piece)
            if not protocol.should_close:
                try:
                    await writer.write(piece, drain=False)
                    if writer.transport.get_write_buffer_size():
                        async with asyncio.timeout(self._seconds):
                            await writer.drain()
                    continue
                except TimeoutError:
                    raise WriteTimedOutError from None
                except ConnectionError:
                    # The reader of the response gets the error, too, or has got the response.
                    pass
            protocol.force_close()
            writer.set_eof()
            return

    async def _pieces(self) -> AsyncGenerator[bytes | memoryview]:
        if isinstance(self._body, Body):
            for part in self._body.pieces if isinstance(self._body, BodyInPieces) else (self._body,):
                view = memoryview(part)
                for start in range(0, len(view), PIECE_BYTES):
                    yield view[start : start + PIECE_BYTES]
            return
        # aiohttp itself sends a PUT again whose connection was closed under it.
        self._body.seek(0)
        while True:
            piece = self._body.read(PIECE_BYTES)
            if not (piece := piece if isinstance(piece, bytes) else await piece):
                return
            yield piece
