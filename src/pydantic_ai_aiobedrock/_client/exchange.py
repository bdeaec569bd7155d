"""A request and its response over a connection of aiohttp's pool, without the machinery of its session.

The session makes some sixty objects for each request, for redirects, cookies, middlewares and traces that a signed
request has no use for, and its reader some more for each piece of a response, which is each event of a stream.
Connections, their pool, TLS and proxies are aiohttp's. So is the whole of a request in which other code has a part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from pydantic_ai_aiobedrock._client.encoding import Body
from pydantic_ai_aiobedrock._client.protocol import Protocol
from pydantic_ai_aiobedrock._client.raw_response import RawResponse
from pydantic_ai_aiobedrock._client.request_body import PIECE_BYTES
from pydantic_ai_aiobedrock._core.turns import turns
from pydantic_ai_aiobedrock._wire.http_response import HttpResponseError

HEADER_LINE_BYTES: Final = 64 * 1024
"""The longest line of headers of a response, like in http.client, which boto3 uses."""

_REMEMBERED: Final = 256
"""URLs whose request lines are remembered."""

_TAIL: Final = 'Accept-Encoding: identity\r\nAccept: */*\r\n'
_LINES: Final = 4
"""Lines of the head of each request, beside the headers that are signed."""


def _of_aiohttp(owner: type, name: str) -> object:
    step = getattr(owner, name)
    return step if type(step) is FunctionType and step.__globals__['__name__'].startswith('aiohttp.') else None


_SESSION: Final[Any] = aiohttp.ClientSession
_REQUEST: Final = _of_aiohttp(aiohttp.ClientSession, 'request')
_REQUEST_IN_FULL: Final = _of_aiohttp(aiohttp.ClientSession, '_request')
_SEND: Final = _of_aiohttp(aiohttp.ClientRequest, 'send')
"""Methods of aiohttp's that other code has been seen to wrap, to observe requests or to answer them."""


@dataclass(slots=True)
class SignedRequest:
    """A request that is ready to be written."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: Body = field(repr=False)
    stream_output: bool
    method: str = 'POST'


class Exchange:
    """Sends requests over the connections of an aiohttp session, and hands out their responses in turns."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Take the session, on its event loop."""
        self._session = session
        self._connector: Any = session.connector
        self._answers = turns().answers
        self._is_known = Protocol.fits(ResponseHandler(asyncio.get_running_loop()))
        self._targets: dict[str, tuple[Any, str]] = {}

    def takes(self, request: SignedRequest) -> bool:
        """Return whether a request is short, and other code has no part in it."""
        return (
            self._is_known
            and len(request.body) <= PIECE_BYTES
            and not self._connector.force_close
            and not self._session.trace_configs
            and not getattr(self._session, '_middlewares', ())
            and _SESSION.request is _REQUEST
            and _SESSION._request is _REQUEST_IN_FULL
            and aiohttp.ClientRequest.send is _SEND
        )

    async def send(self, request: SignedRequest, timeout: aiohttp.ClientTimeout) -> RawResponse:
        """Send a request; return its response when the headers have come.

        Args:
            request: The request.
            timeout: Its `connect` and `sock_read`.

        Raises:
            aiohttp.ClientError: As from aiohttp's session.
            TimeoutError: Likewise.
            ValueError: A header has a line break in it.
        """
        target, head = self._target(request.url)
        head += ''.join([f'{name}: {value}\r\n' for name, value in request.headers.items()]) + _TAIL
        if head.count('\r') != (lines := _LINES + len(request.headers)) or head.count('\n') != lines:
            raise ValueError('A header of the request has a line break in it.')
        try:
            connection = await self._connector.connect(target, [], timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f'Connection timeout to host {request.url}') from error
        response = RawResponse(request.url, connection)
        try:
            connection.protocol.send(b'%b\r\n%b' % (head.encode(), request.body), response, timeout.sock_read)
            await response.headers_come()
            await self._answers.take()
        except HttpResponseError as error:
            raise aiohttp.ClientResponseError(target.request_info, (), message=str(error)) from error
        except BaseException:
            response.close()
            raise
        return response

    def _target(self, url: str) -> tuple[Any, str]:
        """Return a request to open connections for, and the lines with which each request to a URL begins."""
        if (target := self._targets.get(url)) is None:
            parsed = URL(url, encoded=True)
            request = aiohttp.ClientRequest(
                'POST',
                parsed,
                loop=asyncio.get_running_loop(),
                response_class=aiohttp.ClientResponse,
                session=self._session,
            )
            host = request.headers['Host']
            head = f'POST {parsed.raw_path_qs} HTTP/1.1\r\nHost: {host}\r\n'
            self._targets[url] = target = request, head
            if len(self._targets) > _REMEMBERED:
                del self._targets[next(iter(self._targets))]
        return target
