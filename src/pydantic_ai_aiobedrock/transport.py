"""The HTTP session of a Bedrock client: aiohttp, with bounded waits, TCP keep-alive and timeouts per request.

botocore signs and retries; what it hands over to be sent, and the exceptions it expects back, are those of
aiobotocore's own HTTP session class, in whose place this one is put (`AioConfig(http_session_cls=...)`).
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import warnings
import weakref
from contextlib import suppress
from typing import Any, Self

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import ProxyConfiguration, create_urllib3_context, get_cert_path, mask_proxy_url
from multidict import CIMultiDict
from yarl import URL

from pydantic_ai_aiobedrock.call_options import NO_OPTIONS, call_options
from pydantic_ai_aiobedrock.errors import PoolClosedError

TCP_KEEPALIVE_SECONDS = 60
"""A probe each minute: NAT gateways and network load balancers drop a flow that is silent for 350 s."""


class HTTPSession:
    """Sends botocore's prepared requests through aiohttp.

    The constructor may read a CA bundle and client certificates from disk, so it is called off the event loop; the
    connections belong to the loop on which the first request is sent.
    """

    def __init__(
        self,
        verify: bool | str = True,
        proxies: dict[str, str] | None = None,
        timeout: float | tuple[float, float] | None = None,
        max_pool_connections: int = 1000,
        socket_options: list[tuple[int, int, int]] | None = None,
        client_cert: str | tuple[str, str] | None = None,
        proxies_config: dict[str, Any] | None = None,
        connector_args: dict[str, Any] | None = None,
    ) -> None:
        """Take the arguments that botocore's endpoint gives to its HTTP session class."""
        connect_timeout, read_timeout = timeout if isinstance(timeout, tuple | list) else (timeout, timeout)
        self._timeout = aiohttp.ClientTimeout(sock_connect=connect_timeout, sock_read=read_timeout)
        self._proxies = ProxyConfiguration(proxies=proxies, proxies_settings=proxies_config)
        self._proxies_config = proxies_config or {}
        self._socket_options = socket_options or []
        self._limit = max_pool_connections
        self._connector_args = connector_args or {}
        self._ssl_context = _ssl_context(verify, client_cert)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self.connections_opened = 0

    @property
    def open_connections(self) -> int:
        """Sockets that are open now, idle ones included."""
        return sum(1 for sock in self._sockets if sock.fileno() != -1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection, in use or idle, and send no more."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, request: AWSPreparedRequest) -> AioAWSResponse:
        """Send one signed request; read the whole body unless it is streamed.

        Raises:
            HTTPClientError: Or one of its subclasses, as aiobotocore's session raises for the same cause.
            PoolClosedError: The session is closed.
        """
        if self._closed:
            # botocore would retry, over new connections, a call whose connection was closed with the client.
            raise PoolClosedError('The client was closed while the call was in flight.')
        url: str = request.url  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAttributeAccessIssue]
        proxy_url: str | None = self._proxies.proxy_url_for(url)
        headers = CIMultiDict(
            (name, value.decode('utf-8') if isinstance(value, bytes) else value)
            for name, value in request.headers.items()  # pyright: ignore
        )
        headers['Accept-Encoding'] = 'identity'
        options = call_options.get()
        timeout = self._timeout
        if options is not NO_OPTIONS:
            timeout = aiohttp.ClientTimeout(
                sock_connect=options.connect_timeout or timeout.sock_connect,
                sock_read=options.read_timeout or timeout.sock_read,
            )
        try:
            response = await self._open_session().request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=request.body,
                timeout=timeout,
                proxy=proxy_url,
                proxy_headers=self._proxies.proxy_headers_for(proxy_url) if proxy_url else None,
            )
            sent: Any = AioAWSResponse(
                str(response.url),
                response.status,
                {name.decode('latin-1').lower(): value.decode('latin-1') for name, value in response.raw_headers},  # pyright: ignore
                response,
            )
            if not request.stream_output or response.status >= 300:
                await sent.content
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise translate(error, url, proxy_url) from error
        return sent

    def abandon(self) -> None:
        """Drop the connections of a loop that was closed before they were.

        Nothing can be scheduled on it any more, as closing a transport does, so the sockets are closed under them.
        """
        session, self._session = self._session, None
        if session is None:
            return
        for sock in list(self._sockets):
            sock.close()
        # On a closed loop this coroutine has nothing to wait for.
        closing = session.close()
        with suppress(StopIteration):
            closing.send(None)
        del session, closing
        with warnings.catch_warnings():
            # The transports that have just lost their sockets complain that they are not closed.
            warnings.simplefilter('ignore', ResourceWarning)
            gc.collect()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self._limit, ssl=self._ssl_context, socket_factory=self._open_socket, **self._connector_args
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                skip_auto_headers={'CONTENT-TYPE'},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _open_socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, _ = address
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, 'TCP_KEEPIDLE'):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, TCP_KEEPALIVE_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, TCP_KEEPALIVE_SECONDS)
        for option in self._socket_options:
            sock.setsockopt(*option)
        self._sockets.add(sock)
        self.connections_opened += 1
        return sock


def translate(error: BaseException, url: str, proxy_url: str | None = None) -> BotoCoreError:
    """Return the botocore exception for what aiohttp raised, before the response or in the middle of its body."""
    match error:
        case BotoCoreError():
            return error
        case aiohttp.ClientSSLError():
            return SSLError(endpoint_url=url, error=error)
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return ProxyConnectionError(proxy_url=mask_proxy_url(proxy_url or ''), error=error)
        case aiohttp.ConnectionTimeoutError():
            return ConnectTimeoutError(endpoint_url=url, error=error)
        case TimeoutError():
            return ReadTimeoutError(endpoint_url=url, error=error)
        case aiohttp.ClientConnectorError() | socket.gaierror():
            return EndpointConnectionError(endpoint_url=url, error=error)
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | aiohttp.ClientResponseError() | OSError():
            return ConnectionClosedError(endpoint_url=url, error=error)
        case _:
            return HTTPClientError(error=error)


def _ssl_context(verify: bool | str, client_cert: str | tuple[str, str] | None) -> ssl.SSLContext | bool:
    if verify is False:
        return False
    context: ssl.SSLContext = create_urllib3_context()
    # urllib3 checks host names itself; aiohttp leaves it to the context.
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    if client_cert is not None:
        certificate, key = client_cert if isinstance(client_cert, tuple) else (client_cert, None)
        context.load_cert_chain(certificate, key)
    context.load_verify_locations(get_cert_path(verify))  # pyright: ignore[reportArgumentType]
    return context
