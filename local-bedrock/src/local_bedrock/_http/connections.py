"""The connections of an endpoint: served, spoiled before their first request, counted, and closed for certain."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from local_bedrock._http.handler import Handler
from local_bedrock._http.http2 import ADVICE, REFUSAL, begins_http2
from local_bedrock._http.request_log import LOG
from local_bedrock.faults import FailConnection
from local_bedrock.response import reset

_CLOSE_SECONDS = 5.0
# A record of TLS that is fatal: handshake_failure.
_ALERT = b'\x15\x03\x03\x00\x02\x02\x28'


class Connections(web.Server):
    """aiohttp's server, which takes connections that have been accepted already."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None) -> None:
        super().__init__(self._handle, handler_cancellation=True)
        self._handler, self._tls = handler, tls
        self._transports: dict[asyncio.BaseProtocol, asyncio.Transport] = {}
        self._none_left = asyncio.Event()
        self._opening: set[asyncio.Task[None]] = set()
        self._untouched: set[socket.socket] = set()
        self._busy: set[asyncio.BaseProtocol] = set()
        self._heads: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}

    def __call__(self) -> RequestHandler:
        """Make the protocol of a connection."""
        return _Connection(self, loop=self._loop, access_log=None, auto_decompress=False)

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        connection = http.protocol
        self._unlimit(connection)
        self._busy.add(connection)
        try:
            return await self._handler.handle(http)
        finally:
            self._busy.discard(connection)

    def received(self, connection: asyncio.BaseProtocol) -> None:
        """Take note of bytes from a client: outside of a request, they begin the head of the next."""
        if connection in self._busy or connection in self._heads:
            return
        self._heads[connection] = self._loop.call_later(self._handler.receive_timeout, self._expire, connection)

    def _expire(self, connection: asyncio.BaseProtocol) -> None:
        self._heads.pop(connection, None)
        if (transport := self._transports.get(connection)) is not None:
            transport.abort()

    def _unlimit(self, connection: asyncio.BaseProtocol) -> None:
        if (timer := self._heads.pop(connection, None)) is not None:
            timer.cancel()

    def take(self, connection: socket.socket) -> None:
        """Serve a connection, after the TLS handshake if there is one, or let it fail."""
        rule = self._handler.connection_faults.choose(None)
        self._untouched.add(connection)
        opening = self._loop.create_task(self._open(connection, None if rule is None else rule.action))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, fault: FailConnection | None) -> None:
        self._untouched.discard(connection)
        # A handshake that does not succeed is the client's to report.
        with contextlib.suppress(OSError):
            if fault is None:
                await self._loop.connect_accepted_socket(
                    self,
                    connection,
                    ssl=self._tls,
                    ssl_handshake_timeout=None if self._tls is None else self._handler.receive_timeout,
                )
            else:
                await self._loop.connect_accepted_socket(lambda: _Failing(fault, self), connection)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection that is about to be served."""
        self._handler.opened += 1
        self._handler.connections[id(handler)] = self._handler.opened
        self.note(handler, transport)
        super().connection_made(handler, transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection that was served."""
        self._handler.connections.pop(id(handler), None)
        self._unlimit(handler)
        self.forget(handler)
        super().connection_lost(handler, exc)

    def note(self, protocol: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        """Take note of a connection, to close it in the end."""
        self._transports[protocol] = transport

    def forget(self, protocol: asyncio.BaseProtocol) -> None:
        """Take note that a connection is closed."""
        self._transports.pop(protocol, None)
        if not self._transports:
            self._none_left.set()

    def drop(self) -> None:
        """Close every connection at once, whatever goes on in it."""
        for opening in self._opening:
            opening.cancel()
        for connection in self._untouched:
            connection.close()
        self._untouched.clear()
        # A TLS connection that is closed, and not aborted, waits for the client's goodbye.
        for transport in list(self._transports.values()):
            transport.abort()

    async def close(self) -> None:
        """Cancel requests under way, and return when no connection is left."""
        self.pre_shutdown()
        under_way: list[asyncio.Task[Any]] = [*self._handler.handling, *self._opening]
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way, timeout=_CLOSE_SECONDS)
        await self.shutdown(_CLOSE_SECONDS)
        self.drop()
        if self._transports:
            self._none_left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), _CLOSE_SECONDS)


class _Connection(RequestHandler):
    """aiohttp's protocol of a connection, whose requests must arrive in time, and in HTTP/1.1."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(connections, **options)
        self._connections = connections
        self._undecided: bytes | None = b''

    def data_received(self, data: bytes) -> None:
        self._connections.received(self)
        if self._undecided is not None:
            data = self._undecided + data
            http2 = begins_http2(data)
            self._undecided = data if http2 is None else None
            if http2 is None:
                return
            if http2 and self.transport is not None:
                LOG.warning(ADVICE)
                self.transport.write(REFUSAL)
                self.transport.close()
                return
        super().data_received(data)


class _Failing(asyncio.Protocol):
    """A connection that fails when the client has sent something: a request, or the beginning of a handshake."""

    def __init__(self, fault: FailConnection, connections: Connections) -> None:
        self._fault, self._connections = fault, connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast('asyncio.Transport', transport)
        self._connections.note(self, self._transport)

    def data_received(self, data: bytes) -> None:
        if self._fault.then == 'hang':
            return
        if self._fault.then == 'reset':
            reset(self._transport)
            return
        if self._fault.then == 'alert':
            self._transport.write(_ALERT)
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.forget(self)
