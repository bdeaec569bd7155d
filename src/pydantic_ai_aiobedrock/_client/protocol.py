"""Protocol: aiohttp's end of a connection, which can also be written to and heard without aiohttp's own machinery."""

from __future__ import annotations

from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from pydantic_ai_aiobedrock._client.raw_response import RawResponse
from pydantic_ai_aiobedrock._wire.http_response import is_interim


class Protocol(ResponseHandler):
    """A protocol that does for each piece of a response only what is necessary.

    A response to `send` is handed what comes until it is complete. For a request of aiohttp's own, an interim response
    is passed over: it goes on writing the request and waiting for the final response.
    """

    _response: RawResponse | None = None
    _heard_at = 0.0
    _is_sent = False
    _is_written = False

    @staticmethod
    def fits(protocol: ResponseHandler) -> bool:
        """Return whether a protocol that aiohttp has made is of the kind that is known here."""
        return all(hasattr(protocol, name) for name in _USED)

    @classmethod
    def take_over(cls, protocol: Any) -> None:
        """Take over a protocol that aiohttp has made, if it is of the kind that is known here."""
        if cls.fits(protocol):
            protocol.__class__ = cls
            if (transport := protocol.transport) is not None:
                # uvloop keeps the methods that the protocol had.
                transport.set_protocol(protocol)

    # Requests that are sent without aiohttp's session

    def send(self, request: bytes, response: RawResponse, read_seconds: float | None) -> None:
        """Write a request, and hand to its response what comes.

        Args:
            request: The request.
            response: Its response.
            read_seconds: How long the server may be silent; None is no bound.

        Raises:
            aiohttp.ClientConnectionResetError: The connection has been closed.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError('The connection was closed before the request was written.')
        self._response = response
        self._is_sent = True
        transport.write(request)
        self._read_timeout = read_seconds
        self._heard_at = self._loop.time()
        self._wait_until(self._heard_at + (read_seconds or 0))
        if self._tail:
            unasked, self._tail = self._tail, b''
            response.received(unasked)

    def answered(self, is_reusable: bool) -> None:
        """Note that the response is complete, and whether the connection may be used again."""
        self._response = None
        if not is_reusable:
            self._should_close = True

    def pause_transport(self) -> None:
        """Take nothing more from the connection until further notice."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_transport(self) -> None:
        """Go on taking what comes."""
        self._heard_at = self._loop.time()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if (response := self._response) is not None:
            self._heard_at = self._loop.time()
            response.received(data)
        elif self._is_sent:
            # It came unasked, and the parser of an earlier request of aiohttp's might take a part of it for nothing.
            self._should_close = True
        else:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        if (response := self._response) is not None:
            self._should_close = True
            response.lost(exc)
            self._response = None
        super().connection_lost(exc)

    def give_up(self) -> None:
        """Have a response that is not complete fail, whose connection is about to be cut."""
        if self._response is not None:
            self._response.fail(aiohttp.ClientConnectionError('The connection was closed.'))

    def forget(self) -> None:
        """Forget a response that nobody has taken, or will, and that refers to the protocol: a cycle."""
        self._response = None
        self._buffer.clear()

    def _wait_until(self, due: float) -> None:
        # A timer outlasts its request, and serves the next: one that is cancelled stays with the loop for a while, and
        # thousands of them make the garbage collector run.
        handle = self._read_timeout_handle
        if self._read_timeout and (handle is None or handle.when() > due):
            self._drop_timeout()
            self._read_timeout_handle = self._loop.call_at(due, self._on_read_timeout)

    # Requests of aiohttp's session

    @property
    def should_close(self) -> bool:
        if self._response is not None:
            return True
        # aiohttp counts all that has not been read, and a request is written until this is True.
        if self._buffer and all(is_interim(message.code) for (message, _), _ in self._buffer):
            return self._should_close
        return super().should_close

    def set_response_params(self, *args: Any, **kwargs: Any) -> None:
        self._drop_timeout()
        self._is_sent = self._is_written = False
        super().set_response_params(*args, **kwargs)

    def start_timeout(self) -> None:
        self._is_written = True
        super().start_timeout()

    async def read(self) -> Any:
        received: Any = await super().read()
        # aiohttp stops the read timeout at each response without a body. It begins once the request is written.
        if self._is_written and self.transport is not None and is_interim(received[0].code):
            self._reschedule_timeout()
        return received

    def resume_reading(self, *args: Any, **kwargs: Any) -> None:
        # aiohttp calls this whether it has paused or not, and the parser is run.
        if self._reading_paused:
            super().resume_reading(*args, **kwargs)

    def _reschedule_timeout(self) -> None:
        # aiohttp makes a timer for each piece.
        self._heard_at = self._loop.time()
        if self._read_timeout_handle is None or not self._read_timeout:
            super()._reschedule_timeout()

    def _on_read_timeout(self) -> None:
        self._read_timeout_handle = None
        response = self._response
        if not self._read_timeout or (response is None and self._is_sent):
            return
        if response is not None and response.is_paused:
            # It is not the server that is silent.
            self._heard_at = self._loop.time()
        if self._loop.time() < (due := self._heard_at + self._read_timeout):
            self._wait_until(due)
        elif response is None:
            super()._on_read_timeout()
        else:
            response.fail(aiohttp.SocketTimeoutError('Timeout on reading data from socket'))


_USED: Final = (
    *('data_received', 'connection_lost', 'should_close', 'set_response_params', 'start_timeout', 'read'),
    *('resume_reading', '_reschedule_timeout', '_on_read_timeout', '_drop_timeout'),
    *('_reading_paused', '_read_timeout', '_read_timeout_handle', '_should_close', '_buffer', '_tail', '_loop'),
)
"""Names of aiohttp's that `Protocol` builds on."""
