"""aiohttp's connections and responses, opened, handed out and given up like Bedrock's clients need it."""

from __future__ import annotations

import asyncio
import errno
import ssl
import weakref
from typing import Any

import aiohttp
from botocore.exceptions import InvalidConfigError
from botocore.httpsession import create_urllib3_context, get_cert_path

from pydantic_ai_aiobedrock._client.protocol import Protocol
from pydantic_ai_aiobedrock._core.turns import turns
from pydantic_ai_aiobedrock._wire.http_response import not_final

TURNS_UNTIL_LOST = 10
"""Turns of the loop after which an aborted connection has been reported as lost; asyncio's TLS takes three."""


class FairResponse(aiohttp.ClientResponse):
    """A response that is handed to its caller in its turn, however many arrive at once, if it is a final response."""

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        response = await super().start(connection)
        if response.status < 200:
            # aiohttp has handed back the connection of a response without a body.
            if protocol is not None and protocol.transport is not None:
                protocol.transport.abort()
            raise aiohttp.ClientResponseError(
                self.request_info, self.history, status=self.status, message=not_final(self.status)
            )
        await turns().answers.take()
        return response


class Connector(aiohttp.TCPConnector):
    """Opens connections, and hands out idle ones unless something has arrived on them meanwhile."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)  # pyright: ignore[reportUnknownMemberType]
        self._used: weakref.WeakSet[Any] = weakref.WeakSet()
        self._handed_out: weakref.WeakSet[aiohttp.connector.Connection] = weakref.WeakSet()
        self.in_use = 0

    async def connect(self, req: Any, *args: Any, **kwargs: Any) -> Any:
        while True:
            connection = await super().connect(req, *args, **kwargs)
            protocol = connection.protocol
            if _is_to_itself(connection.transport):
                connection.close()
                raise aiohttp.ClientConnectorError(
                    req.connection_key, OSError(errno.ECONNREFUSED, 'Nothing listens on the port')
                )
            # aiohttp would take a response that came unasked for the answer to the request that is sent now. What a
            # server says first on a new connection it would say on the next, too.
            if protocol is None or protocol not in self._used or not protocol.should_close:
                if protocol is not None and protocol not in self._used:
                    self._used.add(protocol)
                    Protocol.take_over(protocol)
                self.in_use += 1
                connection.add_callback(self._given_back)
                # aiohttp makes its connections itself.
                connection.__class__ = _Connection
                self._handed_out.add(connection)
                return connection
            connection.close()

    def _given_back(self) -> None:
        self.in_use -= 1

    async def abort(self) -> None:
        """Close every connection at once, in use or idle, and wake their readers with an error."""
        open_now = [protocol for protocol in self._used if protocol.transport is not None]
        for protocol in open_now:
            transport = protocol.transport
            if isinstance(protocol, Protocol):
                # A body that ends with its connection would seem complete.
                protocol.give_up()
            transport.abort()
        # A reader whose connection aiohttp closes is never woken. TLS takes some turns to report a connection as lost.
        for _ in range(TURNS_UNTIL_LOST):
            if all(protocol.transport is None for protocol in open_now):
                break
            await asyncio.sleep(0)

    def abandon(self) -> None:
        """Give up every connection after the loop was closed: nothing that closing needs can be scheduled on it."""
        for protocol in list(self._used):
            transport, protocol.transport = protocol.transport, None
            _mark_closed(transport)
        for connection in list(self._handed_out):
            connection.close()


def _is_to_itself(transport: asyncio.Transport | None) -> bool:
    """Return whether both ends of a connection are the same socket.

    The system may choose, for a connection to one of its own ports that nothing listens on, that very port, and connect
    it with itself: the request would be taken for the response.
    """
    if transport is None or (peer := transport.get_extra_info('peername')) is None:
        return False
    return transport.get_extra_info('sockname') == peer


class _Connection(aiohttp.connector.Connection):
    """A connection that is gone as soon as it is given up: over TLS aiohttp's would wait for the peer to agree."""

    def close(self) -> None:
        self._abort()
        super().close()

    def release(self) -> None:
        if self.protocol is not None and self.protocol.should_close:
            self._abort()
        super().release()

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        if isinstance(self.protocol, Protocol):
            self.protocol.forget()


def _mark_closed(transport: Any) -> None:
    """Keep a transport, whose socket has been closed, from warning that it was not closed itself.

    These attributes are asyncio's own; where they are missing, as on uvloop, there is no such warning either.
    """
    while (tls := getattr(transport, '_ssl_protocol', None)) is not None:
        transport._closed = True
        transport = tls._transport
    if hasattr(transport, '_sock'):
        transport._sock = None


def ssl_context(verify: Any, client_cert: str | tuple[str, str] | None) -> ssl.SSLContext:
    """Return the context that servers are verified with: certifi's CA bundle, or the bundle that `verify` names.

    Raises:
        InvalidConfigError: The CA bundle or the client certificate can't be used.
    """
    bundle: Any = get_cert_path(verify)
    context: ssl.SSLContext = create_urllib3_context()
    # urllib3 checks host names itself; aiohttp leaves it to the context.
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    try:
        context.load_verify_locations(bundle)
    except OSError as error:
        raise InvalidConfigError(
            error_msg=f'The CA bundle {bundle!r} cannot be used: {error}. `AWS_CA_BUNDLE`, `ca_bundle` in the AWS '
            'configuration file, or `REQUESTS_CA_BUNDLE` names it.'
        ) from error
    if client_cert is not None:
        certificate, key = client_cert if isinstance(client_cert, tuple) else (client_cert, None)
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            message = f'The client certificate {certificate!r} cannot be used: {error}'
            raise InvalidConfigError(error_msg=message) from error
    return context
