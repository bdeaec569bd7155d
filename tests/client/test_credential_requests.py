"""Sources of credentials are verified like Bedrock: host name and authority, direct and through a proxy."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError
from connect_proxy import ConnectProxy
from credential_sources import CredentialSources, current, hello, runtime, text_of, write_credentials
from sessions import aioboto3_session

from local_bedrock import AccessKey, LocalBedrock
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._client.transport import HTTPSession

ROLE = 'arn:aws:iam::123456789012:role/app'
SOURCES = ('web identity', 'assume role', 'sso', 'sso-oidc', 'container', 'metadata')
BEFORE_IT_EXPIRES = timedelta(hours=1)


@pytest.fixture(autouse=True)
def no_blocking_call() -> None:
    """Let a caller-supplied session block: it reads files on the running loop while it refreshes its credentials."""


@dataclass
class Surroundings:
    """The servers of a test, and how the credentials are found."""

    bedrock: LocalBedrock
    sources: CredentialSources
    proxy: ConnectProxy | None


Start = Callable[..., Any]


@pytest.fixture
async def start(
    bedrock: LocalBedrock, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Start]:
    """Yield a function that serves a source of credentials over TLS, and configures botocore to find it."""
    async with AsyncExitStack() as stack:

        async def serve(
            source: str, *, way: str = 'direct', host: str = '127.0.0.1', signed_by: trustme.CA = authority
        ) -> Surroundings:
            bedrock.rotate_credentials(temporary=True)
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            signed_by.issue_cert(host).configure_cert(tls)
            authority.cert_pem.write_to_path(str(tmp_path / 'ca.pem'))
            monkeypatch.setenv('AWS_CA_BUNDLE', str(tmp_path / 'ca.pem'))
            # botocore never reads the variable for a container's agent and for instance metadata.
            monkeypatch.setattr('botocore.httpsession.where', lambda: str(tmp_path / 'ca.pem'))
            sources = await stack.enter_async_context(CredentialSources(bedrock, tls))
            proxy = None
            if way == 'proxy':
                proxy = await stack.enter_async_context(ConnectProxy())
                monkeypatch.setenv('HTTPS_PROXY', proxy.url)
            monkeypatch.setenv('AWS_MAX_ATTEMPTS', '1')
            configure(source, sources, monkeypatch, tmp_path)
            return Surroundings(bedrock, sources, proxy)

        yield serve


def configure(source: str, sources: CredentialSources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = Path(os.environ['AWS_CONFIG_FILE'])
    for service in ('STS', 'SSO', 'SSO_OIDC'):
        monkeypatch.setenv(f'AWS_ENDPOINT_URL_{service}', sources.url)
    match source:
        case 'web identity':
            (tmp_path / 'token').write_text('token-0')
            monkeypatch.setenv('AWS_ROLE_ARN', ROLE)
            monkeypatch.setenv('AWS_WEB_IDENTITY_TOKEN_FILE', str(tmp_path / 'token'))
        case 'assume role':
            config.write_text(f'[default]\nrole_arn = {ROLE}\nsource_profile = base\n')
            write_credentials(Path(os.environ['AWS_SHARED_CREDENTIALS_FILE']), AccessKey.make(), profile='base')
        case 'sso' | 'sso-oidc':
            config.write_text(
                '[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = role\n'
                '[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n'
            )
            sign_on(tmp_path, monkeypatch, datetime.now(UTC) + BEFORE_IT_EXPIRES * (1 if source == 'sso' else -1))
            if source == 'sso-oidc':
                # Its token is refreshed before it is asked for credentials.
                monkeypatch.setenv('AWS_ENDPOINT_URL_SSO_OIDC', sources.url)
        case 'container':
            monkeypatch.setenv('AWS_CONTAINER_CREDENTIALS_FULL_URI', f'{sources.url}/container')
        case 'metadata':
            monkeypatch.delenv('AWS_EC2_METADATA_DISABLED')
            monkeypatch.setenv('AWS_EC2_METADATA_SERVICE_ENDPOINT', sources.url)
        case _:
            raise AssertionError(source)


def sign_on(folder: Path, monkeypatch: pytest.MonkeyPatch, expires_at: datetime) -> None:
    """Write the token of `aws sso login`, whose file is named after the session."""
    from hashlib import sha1

    for provider in ('botocore.credentials.SSOProvider', 'botocore.tokens.SSOTokenProvider'):
        monkeypatch.setattr(f'{provider}._SSO_TOKEN_CACHE_DIR', str(folder))
    token = {
        'startUrl': 'https://corp.awsapps.com/start',
        'region': 'us-east-1',
        'accessToken': 'token-0',
        'expiresAt': f'{expires_at:%Y-%m-%dT%H:%M:%SZ}',
        'clientId': 'client',
        'clientSecret': 'secret',
        'refreshToken': 'refresh-0',
        'registrationExpiresAt': f'{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}',
    }
    (folder / f'{sha1(b"corp").hexdigest()}.json').write_text(json.dumps(token))


def session_of(kind: str) -> dict[str, Any]:
    match kind:
        case 'none':
            return {}
        case 'aioboto3':
            return {'session': aioboto3_session()}
        case 'aiobotocore':
            return {'session': AioSession()}
        case _:
            session = AioSession()
            session.set_default_client_config(
                AioConfig(user_agent_extra='mine', connector_args={'keepalive_timeout': 5})
            )
            return {'session': session}


SESSIONS = pytest.mark.parametrize('session', ['none', 'aioboto3', 'aiobotocore', 'aiobotocore with a config'])
WAYS = pytest.mark.parametrize('way', ['direct', 'proxy'])


@SESSIONS
@WAYS
@pytest.mark.parametrize('source', SOURCES)
async def test_a_source_that_is_verified_gives_credentials(
    start: Start, pool: SessionPool, source: str, way: str, session: str
) -> None:
    world = await start(source, way=way)
    client = runtime(world.bedrock, pool, **session_of(session))
    assert text_of(await client.converse(**hello()))
    assert world.sources.asked
    if world.proxy is not None:
        # Like botocore: the agent of a container is reached without a proxy.
        assert bool(world.proxy.requests) == (source != 'container')


@SESSIONS
@WAYS
@pytest.mark.parametrize('peer', ['the certificate of another host', 'an unknown authority'])
@pytest.mark.parametrize('source', SOURCES)
async def test_a_source_that_is_not_verified_learns_nothing(
    start: Start, pool: SessionPool, source: str, peer: str, way: str, session: str
) -> None:
    how = {'host': 'elsewhere.example'} if peer.startswith('the') else {'signed_by': trustme.CA()}
    world = await start(source, way=way, **how)
    client = runtime(world.bedrock, pool, **session_of(session))
    with pytest.raises(BotoCoreError) as caught:
        await client.converse(**hello())
    if source not in ('metadata', 'sso-oidc'):  # botocore goes on to the next source, or with the old token
        assert 'CERTIFICATE_VERIFY_FAILED' in str(caught.value)
    assert not world.sources.received
    assert not world.bedrock.requests


@SESSIONS
@pytest.mark.parametrize('host', ['127.0.0.1', 'elsewhere.example'])
async def test_the_region_of_the_defaults_mode_auto_is_asked_of_verified_instance_metadata(
    start: Start, pool: SessionPool, session: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await start('metadata', host=host)
    key = current(world.bedrock)
    monkeypatch.setenv('AWS_DEFAULTS_MODE', 'auto')
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', key.access_key_id)
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', key.secret_access_key)
    monkeypatch.setenv('AWS_SESSION_TOKEN', str(key.session_token))
    client = runtime(world.bedrock, pool, **session_of(session))
    assert text_of(await client.converse(**hello()))
    assert world.sources.asked == ({'zone': 1} if host == '127.0.0.1' else {})
    assert bool(world.sources.received) == (host == '127.0.0.1')


@pytest.mark.parametrize('source', ['web identity', 'container'])
@WAYS
async def test_a_refresh_with_a_caller_supplied_session_is_verified_too(
    start: Start, pool: SessionPool, source: str, way: str, bundle_of_nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await start(source, way=way)
    world.sources.lifetime = timedelta(seconds=30)
    client = runtime(world.bedrock, pool, session=AioSession())
    assert text_of(await client.converse(**hello()))
    asked = world.sources.received
    monkeypatch.setenv('AWS_CA_BUNDLE', str(bundle_of_nobody))
    monkeypatch.setattr('botocore.httpsession.where', lambda: str(bundle_of_nobody))
    # They expire within ten minutes, so that botocore asks for others before each call.
    with pytest.raises(BotoCoreError, match='CERTIFICATE_VERIFY_FAILED'):
        await client.converse(**hello())
    assert world.sources.received == asked


@pytest.fixture
def bundle_of_nobody(tmp_path: Path) -> Path:
    path = tmp_path / 'nobody.pem'
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


async def test_the_clients_of_the_caller_keep_the_transport_of_the_caller(start: Start, pool: SessionPool) -> None:
    world = await start('container')

    class Mine(AIOHTTPSession):
        pass

    for config, expected in ((None, AIOHTTPSession), (AioConfig(http_session_cls=Mine), Mine)):
        session = AioSession()
        if config is not None:
            session.set_default_client_config(config)
        await runtime(world.bedrock, pool, session=session).converse(**hello())
        async with session.create_client('sts', region_name='us-east-1') as client:
            assert type(client._endpoint.http_session) is expected  # pyright: ignore
        assert session.get_default_client_config() is config
        # Its credentials, too, are renewed as before when the caller asks for them.
        asked = world.sources.asked['container']
        credentials: Any = await session.get_credentials()
        await credentials._refresh_using()
        assert world.sources.asked['container'] == asked + 1


async def test_bedrock_itself_is_verified_with_a_session_that_has_a_default_config(
    authority: trustme.CA, pool: SessionPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / 'ca.pem'))
    monkeypatch.setenv('AWS_CA_BUNDLE', str(tmp_path / 'ca.pem'))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert('elsewhere.example').configure_cert(tls)
    session = AioSession()
    session.set_default_client_config(AioConfig(retries={'total_max_attempts': 1}))
    async with LocalBedrock(tls=tls) as bedrock:
        key = current(bedrock)
        session.set_credentials(key.access_key_id, key.secret_access_key)
        client = runtime(bedrock, pool, session=session)
        with pytest.raises(BotoCoreError, match='CERTIFICATE_VERIFY_FAILED'):
            await client.converse(**hello())
        assert not bedrock.requests
        with await pool.lease(client.spec) as lease:
            assert isinstance(lease.client._transport, HTTPSession)
