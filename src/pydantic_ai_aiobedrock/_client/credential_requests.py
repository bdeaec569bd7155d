"""Requests of botocore's credential chain (STS, IAM Identity Center, a container's agent, IMDS) over verified TLS.

aiobotocore's own HTTP session checks no host name in some of its releases and, behind an HTTPS proxy, no certificate at
all. The requests that this package causes go through `HTTPSession` instead, whichever session they are made with. A
caller-supplied session keeps its own transport for the requests of the caller.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from copy import copy
from typing import Any, cast
from weakref import WeakSet

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.httpxsession import HttpxSession
from aiobotocore.session import AioSession
from aiobotocore.utils import AioContainerMetadataFetcher, AioIMDSFetcher
from botocore.config import Config
from botocore.utils import get_environ_proxies

from pydantic_ai_aiobedrock._client.transport import HTTPSession, PreparedRequest, Response
from pydantic_ai_aiobedrock._config.call_options import NO_OPTIONS, CallOptions, on_own_behalf
from pydantic_ai_aiobedrock._config.login_session import check_login_session

_verifying: WeakSet[AioSession] = WeakSet()


def verify_requests(session: AioSession) -> None:
    """Send the requests that this package causes with a session, for its credentials, through `HTTPSession`."""
    if session in _verifying:
        return
    made: Any = session
    default_client_config, get_credentials = made.get_default_client_config, made.get_credentials
    internal_component = made._get_internal_component

    def verified_client_config() -> Any:
        config = default_client_config()
        return _verified(config) if on_own_behalf.get() else config

    async def verified_credentials() -> Any:
        # The chain is put together at the first question, for the region of the client that is made then.
        chain = made.get_component('credential_provider')
        _verify_fetchers(chain)
        credentials = await get_credentials()
        if on_own_behalf.get() and hasattr(chain, 'providers'):
            check_login_session(made, getattr(credentials, 'method', None))
        return credentials

    def verified_component(name: str) -> Any:
        component = internal_component(name)
        # `defaults_mode = auto` asks instance metadata for the region.
        if (region_provider := getattr(component, '_imds_region_provider', None)) is not None:
            _verify_fetcher(region_provider._get_fetcher())
        return component

    made.get_default_client_config = verified_client_config
    made._get_internal_component = verified_component
    made.get_credentials = verified_credentials
    _verifying.add(session)


class CredentialHTTPSession(HTTPSession):
    """Sends a request for credentials, to which the options of the call that needs them do not apply."""

    async def send(self, request: PreparedRequest, options: CallOptions | None = None) -> Response:
        """Send a request, like `HTTPSession`."""
        return await super().send(request, NO_OPTIONS if options is None else options)


class CompleteConfig(AioConfig):
    """The config of a client of this package, which contains the default of its session already."""


class _VerifiedConfig(AioConfig):
    """The default client config of a session, whose clients send through `HTTPSession`."""

    def merge(self, other_config: Any) -> Any:
        """Merge both, unless the other config is complete."""
        return other_config if isinstance(other_config, CompleteConfig) else _verified(super().merge(other_config))


def _verified(config: Any) -> Any:
    empty: Any = AioConfig()
    verified = cast(Any, copy(config)) if isinstance(config, AioConfig) else empty.merge(config or Config())
    if verified.http_session_cls is HttpxSession:
        # Its arguments are httpx's.
        verified.connector_args = {}
    verified.http_session_cls = CredentialHTTPSession
    # Its own way of merging would forget the HTTP session.
    verified.__class__ = _VerifiedConfig
    return verified


def _verify_fetchers(credential_provider: Any) -> None:
    """Give the fetchers of a chain, which make no client, another HTTP session; without a chain, do nothing."""
    for provider in getattr(credential_provider, 'providers', ()):
        fetchers: list[Any] = [getattr(provider, '_fetcher', None), getattr(provider, '_role_fetcher', None)]
        for fetcher in fetchers:
            _verify_fetcher(fetcher)


def _verify_fetcher(fetcher: Any) -> None:
    if isinstance(getattr(fetcher, '_session', None), AIOHTTPSession | HttpxSession):
        fetcher._session = _FetcherSession(fetcher)


class _FetcherSession:
    """The HTTP session of a fetcher: its own for the caller, a verifying session for this package."""

    def __init__(self, fetcher: Any) -> None:
        self._own = fetcher._session
        self._arguments: dict[str, Any] = {}
        if isinstance(fetcher, AioContainerMetadataFetcher):
            # Like botocore: no proxy stands between a container and its agent.
            self._arguments = {'timeout': fetcher.TIMEOUT_SECONDS}
        elif isinstance(fetcher, AioIMDSFetcher):
            made: Any = fetcher
            self._arguments = {'timeout': made._timeout, 'proxies': get_environ_proxies(made.get_base_url())}

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator[Any]:
        if on_own_behalf.get():
            async with CredentialHTTPSession(**self._arguments) as session:
                yield session
        else:
            async with self._own.acquire() as session:
                yield session
