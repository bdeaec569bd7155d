"""Makes the client that a `ClientSpec` describes; `open_client` does so off the event loop."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from typing import Any, cast

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError

from pydantic_ai_aiobedrock._client import (
    attempt_log,
    attempts,
    codec_hooks,
    extra_headers,
    job_hooks,
    retry_after,
    throttling,
)
from pydantic_ai_aiobedrock._client.client import Client
from pydantic_ai_aiobedrock._client.credential_cache import CredentialCache
from pydantic_ai_aiobedrock._client.credential_requests import CompleteConfig, verify_requests
from pydantic_ai_aiobedrock._client.credentials import BearerToken, Resolved, ResolvedCredentials
from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream
from pydantic_ai_aiobedrock._client.fast_path import FastPath
from pydantic_ai_aiobedrock._client.session_lock import share_between_loops
from pydantic_ai_aiobedrock._client.transport import HTTPSession
from pydantic_ai_aiobedrock._config.arguments import NOT_SENDABLE, is_sendable
from pydantic_ai_aiobedrock._config.aws_files import file_versions
from pydantic_ai_aiobedrock._config.botocore_loader import data_loader, hasten
from pydantic_ai_aiobedrock._config.call_options import on_own_behalf
from pydantic_ai_aiobedrock._config.client_spec import (
    Aioboto3Session,
    ClientSpec,
    Identity,
    aws_environment,
    botocore_session,
)
from pydantic_ai_aiobedrock._config.failed_source import failed_source
from pydantic_ai_aiobedrock._core import telemetry


async def make_client(spec: ClientSpec, cache: CredentialCache, begin: Callable[[str], None]) -> Client:
    """Make and enter a client, reading the files that it takes.

    Args:
        spec: The options of the client.
        cache: Credentials that were resolved before.
        begin: A function that is told of each step before it begins.

    Raises:
        botocore.exceptions.BotoCoreError: The spec, or the AWS configuration that it names, is not usable.
    """
    on_own_behalf.set(True)
    if spec.session is not None:
        return await _make_with_session(spec, spec.session, begin)
    return await _make_with_credentials(spec, cache, begin)


async def _create(spec: ClientSpec, session: Aioboto3Session | AioSession, identity: Identity | None = None) -> Client:
    transports: list[HTTPSession] = []

    def http_session(**arguments: Any) -> HTTPSession:
        transports.append(HTTPSession(**arguments))
        return transports[-1]

    config: Any = _config(spec, botocore_session(session), http_session)
    default = attempts.default_attempts(botocore_session(session), config.retries)
    if spec.service_name == 'bedrock-runtime':
        config.retries = {'mode': config.retries.get('mode'), 'total_max_attempts': attempts.UNBOUNDED}
        if config.retries['mode'] is None:
            del config.retries['mode']
    make: Any = session
    create = make.create_client if isinstance(session, AioSession) else make.client
    context = create(
        spec.service_name,
        region_name=spec.region_name,
        endpoint_url=spec.endpoint_url,
        aws_access_key_id=spec.aws_access_key_id,
        aws_secret_access_key=spec.aws_secret_access_key,
        aws_session_token=spec.aws_session_token,
        config=config,
    )
    client = await context.__aenter__()
    if spec.session is not None:
        share_between_loops(client)
    transport = transports[0] if transports else None
    fast_path: FastPath | None = None
    match spec.service_name:
        case 'bedrock-runtime':
            _equip(client)
            attempts.install(client, default)
            if transport is not None:
                fast_path = FastPath.of(client, transport)
        case 'bedrock':
            job_hooks.install(client)
        case 's3':
            pass
    return Client(client, context, transport, fast_path, identity)


def _equip(client: Any) -> None:
    codec_hooks.install(client, ConverseEventStream)
    retry_after.install(client)
    throttling.install(client)
    telemetry.install(client)
    attempt_log.install(client)
    extra_headers.install(client)


async def _make_with_session(
    spec: ClientSpec, session: Aioboto3Session | AioSession, begin: Callable[[str], None]
) -> Client:
    begin('making a client of the session')
    hasten(botocore_session(session).get_component('data_loader'))
    verify_requests(botocore_session(session))
    return await _create(spec, session)


async def _make_with_credentials(spec: ClientSpec, cache: CredentialCache, begin: Callable[[str], None]) -> Client:
    begin('reading the AWS configuration')
    session = _new_session(spec)
    wrapped = botocore_session(session)
    identity: BearerToken | ResolvedCredentials | None = None
    if spec.api_key is not None:
        identity = BearerToken(spec.api_key, cache.kept(spec.api_key))
        wrapped.register_component('token_provider', identity)
        wrapped.register_component('credential_provider', _CredentialProvider(None))
    elif spec.aws_access_key_id is None:
        begin('resolving credentials')
        resolve = partial(_kept_or_resolved, spec, cache)
        if (resolved := await resolve(None, refused=False)) is not None:
            identity = ResolvedCredentials(resolved, resolve)
        wrapped.register_component('credential_provider', _CredentialProvider(identity))
    begin('making the client')
    return await _create(spec, session, identity)


async def _kept_or_resolved(
    spec: ClientSpec, cache: CredentialCache, held: Resolved | None, *, refused: bool
) -> Resolved | None:
    """Return credentials other than those that are held, kept or new.

    Args:
        spec: The options of the client.
        cache: Credentials that were resolved before.
        held: The credentials of the client, which are to be replaced, or None.
        refused: AWS refused those that are held.

    Raises:
        BotoCoreError: A provider that is configured failed.
        ClientError: The service that it asks refused.
    """
    kept = cache.kept((spec.profile_name, aws_environment(), os.environ.get('HOME'), file_versions()))
    async with kept.resolving():
        if refused:
            kept.forget(held)
        if kept.value is None or kept.value == held or kept.value.has_expired:
            kept.value = await _resolve_credentials(spec)
        return kept.value


async def _resolve_credentials(spec: ClientSpec) -> Resolved | None:
    """Go through botocore's chain of providers from the beginning, with nothing remembered.

    Raises:
        BotoCoreError: A provider that is configured failed.
        ClientError: The service that it asks refused.
    """
    on_own_behalf.set(True)
    session = botocore_session(_new_session(spec))
    session.set_config_variable('region', spec.region_name)
    credentials: Any = None
    try:
        credentials = await session.get_credentials()
        if credentials is None:
            return None
        frozen = await credentials.get_frozen_credentials()
    except (BotoCoreError, ClientError):
        raise
    except Exception as error:
        raise failed_source(session, credentials, error) from error
    parts = {'access_key': 'aws_access_key_id', 'secret_key': 'aws_secret_access_key', 'token': 'aws_session_token'}
    for part, name in parts.items():
        if not is_sendable(getattr(frozen, part)):
            raise CredentialRetrievalError(provider=credentials.method, error_msg=f'`{name}` {NOT_SENDABLE}')
    # Of those that can be refreshed; botocore reports only whether it is less than some seconds ahead.
    expiry_time: datetime | None = getattr(credentials, '_expiry_time', None)
    return Resolved(frozen, credentials.method, expiry_time.timestamp() if expiry_time is not None else None)


def _new_session(spec: ClientSpec) -> Aioboto3Session | AioSession:
    """Make a session: aioboto3's if it is installed, which is the extra `aioboto3`, or else aiobotocore's own."""
    wrapped = AioSession(profile=spec.profile_name)
    session = wrapped
    if find_spec('aioboto3') is not None:
        import aioboto3

        session = aioboto3.Session(botocore_session=wrapped)
    # Registered after the session is made, which appends a search path to the loader that it finds.
    wrapped.register_component('data_loader', data_loader(wrapped.get_config_variable('data_path')))
    verify_requests(wrapped)
    return session


class _CredentialProvider:
    """A chain of credential providers that has been gone through already."""

    def __init__(self, credentials: ResolvedCredentials | None) -> None:
        self._credentials = credentials

    async def load_credentials(self) -> ResolvedCredentials | None:
        return self._credentials


def _config(spec: ClientSpec, session: AioSession, http_session: Callable[..., HTTPSession]) -> AioConfig:
    # The options of a config are attributes that its type stubs do not know.
    brought: Any = spec.config
    options: dict[str, Any] = {'connect_timeout': spec.connect_timeout, 'read_timeout': spec.read_timeout}
    if spec.api_key is not None:
        options['signature_version'] = 'bearer'
    # Here, because botocore's own merge of the session's default with this would lose part of it.
    config: Any = cast(Any, session).get_default_client_config().merge(AioConfig(**options))
    if brought is not None:
        # aiobotocore 2.25's merge does not keep the other config's `connector_args`.
        config = config.merge(brought)
        config.connector_args = brought.connector_args
    config.retries = _retries(session, config.retries)
    if spec.service_name == 's3':
        # The global endpoint, which is botocore's default for us-east-1, stands in the table that is left unread.
        config.s3 = {**(config.s3 or {}), 'us_east_1_regional_endpoint': 'regional'}
    # The pool bounds the calls in flight, and how long the rest waits, so the connector need not.
    config.max_pool_connections = 0
    config.http_session_cls = http_session
    config.__class__ = CompleteConfig
    return config


def _retries(session: AioSession, configured: dict[str, Any] | None) -> dict[str, Any]:
    """Botocore's `retries`: the caller's, completed by standard mode unless the AWS configuration names another."""
    retries = dict(configured or {})
    if 'AWS_RETRY_MODE' not in os.environ and 'retry_mode' not in session.get_scoped_config():
        retries.setdefault('mode', 'standard')
    return retries
