"""Translation of aiohttp's errors to botocore's exceptions, like in aiobotocore's own HTTP session."""

from __future__ import annotations

import socket

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from pydantic_ai_aiobedrock._config.redaction import redact_url
from pydantic_ai_aiobedrock.errors import UnreadableResponseError


class ProxyUnreachableError(ProxyConnectionError):
    """A proxy that cannot be reached, or that refuses the connection."""

    fmt = (
        'Failed to connect to proxy URL: "{proxy_url}". `HTTPS_PROXY` (for http endpoints `HTTP_PROXY`), or `proxies` '
        'of the client config, names it; `NO_PROXY` takes hosts out of its way.'
    )


def translate(error: BaseException, url: str, proxy: URL | None = None) -> BotoCoreError:
    """Return the botocore exception for an error of aiohttp, before the response or in the middle of its body."""
    _redact(error)
    url = redact_url(url)
    match error:
        case BotoCoreError():
            return error
        case aiohttp.ClientSSLError():
            return SSLError(endpoint_url=url, error=error)
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return ProxyUnreachableError(proxy_url=str(proxy), error=error)
        case aiohttp.ConnectionTimeoutError():
            return ConnectTimeoutError(endpoint_url=url, error=error)
        case TimeoutError():
            return ReadTimeoutError(endpoint_url=url, error=error)
        case aiohttp.ClientConnectorError() | socket.gaierror():
            return EndpointConnectionError(endpoint_url=url, error=error)
        case aiohttp.ClientResponseError():
            # Not an HTTPClientError, which botocore would retry.
            return UnreadableResponseError(endpoint_url=url, error=error.message)
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            return ConnectionClosedError(endpoint_url=url, error=error)
        case _:
            return HTTPClientError(error=error)


def translate_reading(error: BaseException, url: str) -> BotoCoreError:
    """Return the botocore exception for an error of aiohttp while a response that had begun was read."""
    translated = translate(error, url)
    # The connection was closed after a valid response from the endpoint, not before.
    return ResponseStreamingError(error=error) if isinstance(translated, ConnectionClosedError) else translated


def _redact(error: BaseException) -> None:
    """Take out of an error the headers of the request, which its repr would show."""
    if isinstance(error, aiohttp.ClientResponseError):
        sent = error.request_info
        error.request_info = aiohttp.RequestInfo(
            sent.url, sent.method, CIMultiDictProxy(CIMultiDict[str]()), sent.real_url
        )
        error.args = (error.request_info, *error.args[1:])
