"""RawResponse: a response that is read from its connection as it comes."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiohttp

from pydantic_ai_aiobedrock._wire.http_response import HttpResponseError, ResponseParser

UNREAD_BYTES: Final = 128 * 1024
"""With more than this unread, nothing more is taken from the connection."""


_NOTHING: Final = ResponseParser()
"""Of a response of which nothing has come."""


class RawResponse:
    """A response, and its connection until its body has come to its end: what is used here of `ClientResponse`.

    Attributes:
        url: Where the request was sent.
    """

    __slots__ = ('_connection', '_error', '_is_paused', '_parser', '_unread', '_waiter', 'url')

    def __init__(self, url: str, connection: Any) -> None:
        """Take over a connection on which a request is about to be sent."""
        self.url = url
        self._connection = connection
        # Made when something comes: of many calls that wait for an answer, the garbage collector has less to look at.
        self._parser: ResponseParser = _NOTHING
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._unread = 0
        self._is_paused = False

    @property
    def status(self) -> int:
        """The status code; 0 until the headers have come."""
        return self._parser.status

    @property
    def fields(self) -> dict[str, str]:
        """The headers, by their names in lower case."""
        return self._parser.fields

    @property
    def content(self) -> RawResponse:
        """The object to read the body from: this one."""
        return self

    @property
    def is_paused(self) -> bool:
        """True while more is unread than is taken from the connection."""
        return self._is_paused

    async def headers_come(self) -> None:
        """Wait for the headers.

        Raises:
            HttpResponseError: What has come is no response.
            aiohttp.ClientError: The connection broke.
            TimeoutError: It fell silent.
        """
        while not self._parser.status:
            await self._more()

    async def readany(self) -> bytes:
        """Wait for some of the body, and return all that has come; at its end, nothing.

        Raises:
            aiohttp.ClientError: The connection broke, or what has come is no body.
            TimeoutError: It fell silent.
        """
        while not self._parser.body:
            if self._parser.is_complete:
                return b''
            await self._more()
        return self._taken()

    async def read(self) -> bytes:
        """Read the whole body.

        Raises:
            aiohttp.ClientError: As from `readany`.
            TimeoutError: Likewise.
        """
        if self._parser.is_complete:
            return self._taken()
        pieces: list[bytes] = []
        try:
            while piece := await self.readany():
                pieces.append(piece)
        except BaseException:
            self.close()
            raise
        return b''.join(pieces)

    def close(self) -> None:
        """Give up the connection, unless the body has come to its end, and wake who waits for more of it."""
        self._connection.close()
        if not self._parser.is_complete:
            self.fail(aiohttp.ClientConnectionError('The connection was closed.'))

    # What the connection calls

    def received(self, data: bytes) -> None:
        """Take what has come."""
        if (parser := self._parser) is _NOTHING:
            self._parser = parser = ResponseParser()
        try:
            parser.feed(data)
        except HttpResponseError as error:
            if parser.status:
                self.fail(aiohttp.ClientPayloadError(f'The body of the response is malformed: {error}'))
            else:
                # Not the error itself, whose traceback leads back to this object: a cycle.
                self.fail(HttpResponseError(*error.args))
            self._connection.close()
            return
        if parser.is_complete:
            self._complete()
        elif parser.status:
            self._unread += len(data)
            # Who reads is waiting while there is no body: it may be trailers that come.
            if self._unread > UNREAD_BYTES and parser.body and not self._is_paused:
                self._is_paused = True
                self._connection.protocol.pause_transport()
            self._wake()

    def lost(self, cause: BaseException | None) -> None:
        """Take the end of the connection."""
        if cause is None and self._error is None and self._parser is not _NOTHING and self._parser.end():
            self._complete()
        elif self._parser.status:
            reason = 'the connection was closed' if cause is None else repr(cause)
            self.fail(aiohttp.ClientPayloadError(f'The body of the response is not complete: {reason}'))
        elif isinstance(cause, OSError):
            self.fail(aiohttp.ClientOSError(*cause.args))
        else:
            self.fail(aiohttp.ServerDisconnectedError())

    def fail(self, error: Exception) -> None:
        """Have every read fail from now on, once what has come has been taken."""
        if self._parser is not _NOTHING:
            self._parser.close()
        if self._error is None:
            self._error = error
        self._wake()

    def _complete(self) -> None:
        protocol = self._connection.protocol
        if self._is_paused:
            self._is_paused = False
            protocol.resume_transport()
        protocol.answered(self._parser.is_reusable)
        self._connection.release()
        self._wake()

    def _taken(self) -> bytes:
        body = self._parser.body
        data = body[0] if len(body) == 1 else b''.join(body)
        body.clear()
        self._unread = 0
        if self._is_paused:
            self._is_paused = False
            # None once another task has closed the response.
            if (protocol := self._connection.protocol) is not None:
                protocol.resume_transport()
        return data

    async def _more(self) -> None:
        if (error := self._error) is not None:
            # Not the error itself, whose traceback would lead back to this object: a cycle.
            raise type(error)(*error.args)
        if self._waiter is not None:
            raise RuntimeError('Another task is reading this response already.')
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
