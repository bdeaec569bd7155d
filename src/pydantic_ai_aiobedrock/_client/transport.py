"""The HTTP session of a Bedrock client: aiohttp, with bounded waits, TCP keep-alive and timeouts per request.

botocore signs and retries; what it hands over to be sent, and the exceptions it expects back, are those of
aiobotocore's own HTTP session class, which this class replaces (`AioConfig(http_session_cls=...)`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import weakref
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property, lru_cache, partial
from typing import Any, Protocol, Self

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from botocore.awsrequest import HeadersDict
from botocore.exceptions import InvalidConfigError
from botocore.httpsession import ProxyConfiguration
from multidict import CIMultiDict
from yarl import URL

from pydantic_ai_aiobedrock._client.connector import Connector, FairResponse, ssl_context
from pydantic_ai_aiobedrock._client.error_translation import translate
from pydantic_ai_aiobedrock._client.exchange import HEADER_LINE_BYTES, Exchange, SignedRequest
from pydantic_ai_aiobedrock._client.raw_response import RawResponse
from pydantic_ai_aiobedrock._client.request_body import PIECE_BYTES, RequestBody, WriteTimedOutError
from pydantic_ai_aiobedrock._client.resolver import Resolver
from pydantic_ai_aiobedrock._config.call_options import NO_OPTIONS, PACED, CallOptions, call_options
from pydantic_ai_aiobedrock._config.redaction import redact_url
from pydantic_ai_aiobedrock._core.in_thread import start_in_thread
from pydantic_ai_aiobedrock.errors import PoolClosedError, WriteTimeoutError

TCP_KEEPALIVE_SECONDS = 60
"""A probe each minute: NAT gateways and network load balancers drop a flow that is silent for 350 s."""

IDLE_SECONDS = 12
"""An idle connection is closed after this, before Bedrock does so, after some 20 s, under a request on its way."""

_CLOSED = 'The client was closed while the call was in flight.'


class Response(AioAWSResponse):
    """A response as botocore takes it, with its headers as a plain dict, too.

    Attributes:
        fields: The headers, by their names in lower case.
    """

    def __init__(
        self, url: str, status: int, fields: dict[str, str], raw: aiohttp.ClientResponse | RawResponse
    ) -> None:
        """Take a response, whose body has not been read."""
        # The headers that botocore's own initializer would make cost more than all the rest, and most calls need none.
        self.url = url
        self.status_code = status
        self.fields: dict[str, str] = fields
        self.raw = raw
        self._content = None

    @cached_property
    def headers(self) -> HeadersDict:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The headers, by their names in any case."""
        return HeadersDict(self.fields)


class PreparedRequest(Protocol):
    """A request as botocore hands it over to be sent: its `AWSPreparedRequest`."""

    method: str
    url: str
    body: Any
    stream_output: bool

    @property
    def headers(self) -> Mapping[str, str | bytes]:
        """The headers of the request."""
        ...


class HTTPSession:
    """Sends botocore's prepared requests through aiohttp.

    It is entered before its first use, on any event loop; the connections belong to the loop on which the first of them
    is opened.
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
        """Take the arguments that botocore's endpoint gives to its HTTP session class.

        Raises:
            InvalidConfigError: `proxies_config` asks for what aiohttp can't do.
        """
        if unknown := sorted(name for name, value in (proxies_config or {}).items() if value):
            raise InvalidConfigError(
                error_msg=f'`proxies_config` with {", ".join(unknown)} can not be respected: a proxy is verified by '
                'the CA bundle that Bedrock is verified by, and is shown no client certificate. Leave it out, and add '
                'the CA of an HTTPS proxy to the bundle that `AWS_CA_BUNDLE` names.'
            )
        connect_timeout, read_timeout = timeout if isinstance(timeout, tuple | list) else (timeout, timeout)
        self._timeout = aiohttp.ClientTimeout(connect=connect_timeout, sock_read=read_timeout)
        self._proxies = ProxyConfiguration(proxies=proxies)
        self._has_proxies = bool(proxies)
        self._socket_options = socket_options or []
        self._limit = max_pool_connections
        self._connector_args: dict[str, Any] = {'keepalive_timeout': IDLE_SECONDS, **(connector_args or {})}
        self._make_ssl_context = partial(ssl_context, verify, client_cert)
        self._ssl_context: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._exchange: Exchange | None = None
        self._closed = False
        # A dict, unlike a WeakSet, can be copied while other threads change it.
        self._sockets: dict[int, weakref.ref[socket.socket]] = {}
        self.connections_opened: int = 0

    @property
    def open_connections(self) -> int:
        """Sockets that are open now, idle ones included."""
        return sum(1 for sock in self._alive() if sock.fileno() != -1)

    @property
    def connections_in_use(self) -> int:
        """Connections that a request or a stream has now."""
        connector = self._session.connector if self._session is not None else None
        return connector.in_use if isinstance(connector, Connector) else 0

    async def __aenter__(self) -> Self:
        # A CA bundle takes some 20 ms to read.
        self._ssl_context = await start_in_thread(self._make_ssl_context)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection, in use or idle, and send no more."""
        self._closed = True
        session, self._session, self._exchange = self._session, None, None
        if session is not None:
            try:
                if isinstance(session.connector, Connector):
                    await session.connector.abort()
            finally:
                await session.close()

    async def send(self, request: PreparedRequest, options: CallOptions | None = None) -> Response:
        """Send a signed request; read the whole body unless it is streamed.

        Args:
            request: The request.
            options: The timeouts of the call; from the context if omitted, as botocore passes none on.

        Raises:
            HTTPClientError: Or one of its subclasses, as aiobotocore's session raises for the same cause.
            PoolClosedError: The session is closed.
        """
        if self._closed:
            # botocore would retry, over new connections, a call whose connection was closed with the client.
            raise PoolClosedError(_CLOSED)
        options = call_options.get() if options is None else options
        timeout, write_seconds = self._timeout, self._timeout.sock_read
        if options is not NO_OPTIONS and options is not PACED:
            timeout = aiohttp.ClientTimeout(
                connect=options.connect_timeout or timeout.connect,
                sock_read=options.read_timeout or timeout.sock_read,
            )
            write_seconds = options.write_timeout or timeout.sock_read
        session = self._open_session()
        proxy, proxy_headers = self._proxy_for(request.url)
        response: aiohttp.ClientResponse | RawResponse
        try:
            if (
                isinstance(request, SignedRequest)
                and proxy is None
                and (exchange := self._exchange) is not None
                and exchange.takes(request)
            ):
                response = await exchange.send(request, timeout)
            else:
                response = await _request(session, request, timeout, write_seconds, proxy, proxy_headers)
            sent: Any = Response(request.url, response.status, _fields(response), response)
            if not request.stream_output or response.status >= 300:
                await sent.content
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # aiohttp cancels a DNS lookup, and the call that waits for it, when the client is closed.
                raise PoolClosedError(_CLOSED) from None
            raise
        except Exception as error:
            if isinstance(error, aiohttp.ClientConnectorError) and isinstance(session.connector, aiohttp.TCPConnector):
                # The name may have got another address meanwhile: the next attempt asks again.
                session.connector.clear_dns_cache()
            if isinstance(error, WriteTimedOutError):
                raise WriteTimeoutError(endpoint_url=redact_url(request.url), seconds=write_seconds) from None
            raise translate(error, request.url, proxy) from error
        return sent

    async def connect(self, connections: int, url: str) -> None:
        """Open connections ahead of their use, by as many requests that are all sent when the last connection is open.

        aiohttp has no way to open a connection without a request. An unsigned GET is answered at once, costs nothing,
        and leaves its connection to be used by what comes next. If the server answers with `Connection: close`, there
        is nothing to be had ahead.

        Args:
            connections: How many; the idle ones that there are count.
            url: The endpoint.

        Raises:
            HTTPClientError: As from `send`.
        """
        connected = 0
        all_connected = asyncio.Event()

        async def wait_for_all(*_: object) -> None:
            # aiohttp sends a request again whose connection is dropped: then this is not the last to come.
            nonlocal connected
            connected += 1
            if connected >= connections:
                all_connected.set()
            await all_connected.wait()

        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(wait_for_all)
        proxy, proxy_headers = self._proxy_for(url)
        timeout = aiohttp.ClientTimeout(connect=self._timeout.connect, sock_read=self._timeout.connect)
        async with aiohttp.ClientSession(
            connector=self._open_session().connector,
            connector_owner=False,
            trace_configs=[trace],
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:

            async def ping() -> None:
                async with session.get(
                    URL(url) / 'ping', proxy=proxy, proxy_headers=proxy_headers, allow_redirects=False
                ) as response:
                    await response.read()

            pings = [asyncio.create_task(ping()) for _ in range(connections)]
            try:
                await asyncio.gather(*pings)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                raise translate(error, url, proxy) from error
            finally:
                for unfinished in pings:
                    unfinished.cancel()
                await asyncio.wait(pings)

    def abandon(self) -> None:
        """Drop the connections of a loop that was closed before they were.

        Nothing can be scheduled on it any more, as closing a transport does, so the sockets are closed under them.
        """
        session, self._session, self._exchange = self._session, None, None
        if session is None:
            return
        for sock in self._alive():
            sock.close()
        connector = session.connector
        # On a closed loop this coroutine has nothing to wait for.
        with suppress(StopIteration):
            session.close().send(None)
        if isinstance(connector, Connector):
            connector.abandon()

    def _alive(self) -> list[socket.socket]:
        return [sock for ref in list(self._sockets.values()) if (sock := ref()) is not None]

    def _proxy_for(self, url: str) -> tuple[URL | None, dict[str, str]]:
        """Return the proxy on the way to a URL, without its password, and the headers that hold the password.

        Raises:
            InvalidConfigError: Its URL is malformed.
        """
        proxy_url = self._proxies.proxy_url_for(url) if self._has_proxies else None
        if not proxy_url:
            return None, {}
        try:
            proxy = URL(proxy_url)
            address, headers = proxy.with_user(None), self._proxies.proxy_headers_for(proxy_url)
        except ValueError:
            # Its message quotes parts of the password.
            pass
        else:
            if proxy.host and not any(mark in str(address) for mark in '@?#') and '//' not in proxy.path:
                return address, headers
        raise InvalidConfigError(
            error_msg=f'The URL of the proxy, {redact_url(proxy_url)!r}, is not one of an HTTP proxy. Set '
            "`HTTPS_PROXY` or `HTTP_PROXY` to one like 'http://proxy.example:3128'. A user name and a password stand "
            'before its host, with any characters other than ASCII letters and digits percent-encoded.'
        )

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            arguments: dict[str, Any] = {
                'resolver': Resolver(),
                **self._connector_args,
                'socket_factory': self._open_socket,
            }
            arguments['ssl'] = arguments.pop('ssl_context', self._ssl_context)
            connector = Connector(limit=self._limit, **arguments)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                skip_auto_headers={'CONTENT-TYPE'},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                response_class=FairResponse,
                max_line_size=HEADER_LINE_BYTES,
                max_field_size=HEADER_LINE_BYTES,
            )
            self._exchange = Exchange(self._session)
        return self._session

    def _open_socket(self, address: tuple[Any, ...]) -> socket.socket:
        factory = self._connector_args.get('socket_factory')
        sock: socket.socket = factory(address) if factory is not None else socket.socket(*address[:3])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, 'TCP_KEEPIDLE'):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, TCP_KEEPALIVE_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, TCP_KEEPALIVE_SECONDS)
        for option in self._socket_options:
            sock.setsockopt(*option)
        key, sockets = id(sock), self._sockets
        sockets[key] = weakref.ref(sock, lambda _: sockets.pop(key, None))
        self.connections_opened += 1
        return sock


async def _request(
    session: aiohttp.ClientSession,
    request: PreparedRequest,
    timeout: aiohttp.ClientTimeout,
    write_seconds: float | None,
    proxy: URL | None,
    proxy_headers: Mapping[str, str],
) -> aiohttp.ClientResponse:
    headers = CIMultiDict(
        [
            (name, value.decode('utf-8') if isinstance(value, bytes) else value)
            for name, value in request.headers.items()
        ]
    )
    headers.setdefault('Accept-Encoding', 'identity')
    # An early refusal is noticed without it, and a server that never asks for the body would be waited for.
    headers.popall('Expect', None)
    # Over TLS, botocore streams the bodies of S3, and says so itself; aiohttp takes that from an argument only.
    chunked = headers.pop('Transfer-Encoding', '').lower() == 'chunked' or None
    if proxy is not None and request.url.startswith('http:'):
        # There is no tunnel: what is for the proxy goes with the request.
        headers.update(proxy_headers)
    body = request.body
    if body and not (isinstance(body, bytes | str) and len(body) <= PIECE_BYTES):
        body = RequestBody(body, write_seconds)
    return await session.request(
        request.method,
        _parsed(request.url),
        headers=headers,
        data=body,
        chunked=chunked,
        timeout=timeout,
        proxy=proxy,
        proxy_headers=proxy_headers,
        # A signature is good for one URL only.
        allow_redirects=False,
    )


@lru_cache(maxsize=256)
def _parsed(url: str) -> URL:
    return URL(url, encoded=True)


def _fields(response: aiohttp.ClientResponse | RawResponse) -> dict[str, str]:
    if isinstance(response, RawResponse):
        return response.fields
    return {name.decode('latin-1').lower(): value.decode('latin-1') for name, value in response.raw_headers}
