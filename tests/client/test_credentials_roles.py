"""Credentials of roles, containers and instances: rotated under 200 concurrent runs, refreshed before they expire."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any

import pytest
from aiobotocore.credentials import AioCredentialResolver
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError
from credential_sources import (
    MODEL,
    RUNS,
    CredentialProcess,
    CredentialSources,
    current,
    hello,
    rotate_under,
    runtime,
    write_credentials,
)
from generation import eventually
from pydantic_ai import Agent
from pydantic_ai.exceptions import UserError

from local_bedrock import AccessKey, LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

ROLE = 'arn:aws:iam::123456789012:role/app'


@pytest.fixture
async def sources(bedrock: LocalBedrock) -> AsyncIterator[CredentialSources]:
    """Yield sources that give temporary credentials, which LocalBedrock accepts."""
    bedrock.rotate_credentials(temporary=True)
    async with CredentialSources(bedrock) as sources:
        yield sources


@pytest.fixture
def container(sources: CredentialSources, monkeypatch: pytest.MonkeyPatch) -> CredentialSources:
    monkeypatch.setenv('AWS_CONTAINER_CREDENTIALS_FULL_URI', f'{sources.url}/container')
    return sources


class Clock:
    """The time that credentials are compared with."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr('pydantic_ai_aiobedrock._client.credentials.time', clock)
    return clock


# Each source, rotated


async def test_a_role_that_is_assumed_anew_loses_no_run(
    bedrock: LocalBedrock, pool: SessionPool, sources: CredentialSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL_STS', sources.url)
    Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[profile app]\nrole_arn = {ROLE}\nsource_profile = base\n')
    write_credentials(Path(os.environ['AWS_SHARED_CREDENTIALS_FILE']), AccessKey.make(), profile='base')
    client = runtime(bedrock, pool, profile_name='app')
    await rotate_under(client, bedrock, lambda: bedrock.rotate_credentials(temporary=True))
    assert sources.asked == {'AssumeRole': 2}


async def test_a_web_identity_whose_token_file_is_rotated_loses_no_run(
    bedrock: LocalBedrock,
    pool: SessionPool,
    sources: CredentialSources,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    token_file = tmp_path / 'token'
    token_file.write_text('token-0')
    monkeypatch.setenv('AWS_ENDPOINT_URL_STS', sources.url)
    monkeypatch.setenv('AWS_ROLE_ARN', ROLE)
    monkeypatch.setenv('AWS_WEB_IDENTITY_TOKEN_FILE', str(token_file))

    def rotate() -> None:
        bedrock.rotate_credentials(temporary=True)
        token_file.write_text('token-1')
        sources.tokens = {'token-1'}

    await rotate_under(runtime(bedrock, pool), bedrock, rotate)
    assert sources.asked == {'AssumeRoleWithWebIdentity': 2}


async def test_a_container_whose_credentials_are_rotated_loses_no_run(
    bedrock: LocalBedrock, pool: SessionPool, container: CredentialSources
) -> None:
    await rotate_under(runtime(bedrock, pool), bedrock, lambda: bedrock.rotate_credentials(temporary=True))
    assert container.asked == {'container': 2}


async def test_an_instance_whose_credentials_are_rotated_loses_no_run(
    bedrock: LocalBedrock, pool: SessionPool, sources: CredentialSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('AWS_EC2_METADATA_DISABLED')
    monkeypatch.setenv('AWS_EC2_METADATA_SERVICE_ENDPOINT', sources.url)
    await rotate_under(runtime(bedrock, pool), bedrock, lambda: bedrock.rotate_credentials(temporary=True))
    assert sources.asked == {'metadata': 2}


async def test_a_role_that_can_not_be_assumed_any_more_says_why(
    bedrock: LocalBedrock,
    pool: SessionPool,
    sources: CredentialSources,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    token_file = tmp_path / 'token'
    token_file.write_text('token-0')
    monkeypatch.setenv('AWS_ENDPOINT_URL_STS', sources.url)
    monkeypatch.setenv('AWS_ROLE_ARN', ROLE)
    monkeypatch.setenv('AWS_WEB_IDENTITY_TOKEN_FILE', str(token_file))
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    bedrock.rotate_credentials(temporary=True)
    sources.tokens.clear()
    with pytest.raises(ClientError, match=r'assume-role-with-web-identity, which failed .*\(InvalidIdentityToken\)'):
        await client.converse(**hello())


@pytest.mark.parametrize('by_session', [False, True], ids=['profile', 'session'])
async def test_a_profile_that_signs_in_with_aws_login_is_never_signed_for_as_the_role_of_the_machine(
    bedrock: LocalBedrock, pool: SessionPool, container: CredentialSources, by_session: bool
) -> None:
    """Old releases of botocore pass over it; newer ones find no sign-in, or no botocore[crt]."""
    Path(os.environ['AWS_CONFIG_FILE']).write_text(
        '[profile work]\nlogin_session = arn:aws:iam::123456789012:user/me\n'
    )
    arguments: dict[str, Any] = {'session': AioSession(profile='work')} if by_session else {'profile_name': 'work'}
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, pool=pool, **arguments)
    with pytest.raises(UserError, match='login'):
        await Agent(BedrockConverseModel(MODEL, provider=provider)).run('hello')
    assert not bedrock.requests


async def test_keys_of_the_environment_come_before_aws_login_of_the_default_profile(
    bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(os.environ['AWS_CONFIG_FILE']).write_text('[default]\nlogin_session = arn:aws:iam::123456789012:user/me\n')
    for name, value in bedrock.environment.items():
        if 'BEARER' not in name:
            monkeypatch.setenv(name, value)
    assert await runtime(bedrock, pool).converse(**hello())


async def test_an_api_key_comes_before_aws_login_of_the_profile(bedrock: LocalBedrock, pool: SessionPool) -> None:
    Path(os.environ['AWS_CONFIG_FILE']).write_text('[default]\nlogin_session = arn:aws:iam::123456789012:user/me\n')
    assert await runtime(bedrock, pool, api_key=bedrock.api_key).converse(**hello())


# Before they expire


async def test_credentials_are_refreshed_once_before_they_expire_while_calls_go_on_with_the_old_ones(
    bedrock: LocalBedrock, pool: SessionPool, container: CredentialSources, clock: Clock
) -> None:
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    old = bedrock.aws_access_key_id
    new = AccessKey.make(temporary=True)
    bedrock.accept(new.access_key_id, new.secret_access_key, new.session_token)
    container.available.clear()
    clock.ahead = 46 * 60  # of the hour that they live
    container.lifetime = timedelta(hours=2)
    await asyncio.gather(*(client.converse(**hello()) for _ in range(RUNS)))
    assert {access_key_id(request.headers['Authorization']) for request in bedrock.requests} == {old}
    container.available.set()
    await eventually(lambda: client_credentials(client).access_key == new.access_key_id)
    await asyncio.gather(*(client.converse(**hello()) for _ in range(RUNS)))
    assert {access_key_id(request.headers['Authorization']) for request in bedrock.requests[-RUNS:]} == {
        new.access_key_id
    }
    assert container.asked == {'container': 2}
    assert {request.status for request in bedrock.requests} == {200}


async def test_calls_wait_for_one_refresh_when_the_credentials_are_about_to_expire(
    bedrock: LocalBedrock, pool: SessionPool, container: CredentialSources, clock: Clock
) -> None:
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    bedrock.rotate_credentials(temporary=True)
    clock.ahead = 51 * 60
    container.lifetime = timedelta(hours=2)
    await asyncio.gather(*(client.converse(**hello()) for _ in range(RUNS)))
    assert container.asked == {'container': 2}
    assert {request.status for request in bedrock.requests} == {200}


async def test_a_source_that_gives_the_same_credentials_again_is_left_alone_for_a_while(
    bedrock: LocalBedrock, pool: SessionPool, container: CredentialSources, clock: Clock
) -> None:
    """Instance metadata does so until some minutes before the end."""
    container.lifetime = timedelta(minutes=20)
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    container.lifetime = None
    for minutes, asked in ((9, 1), (11, 2), (11.5, 2), (12.5, 3)):
        clock.ahead = minutes * 60
        await asyncio.gather(*(client.converse(**hello()) for _ in range(10)))
        await settled(client)
        assert container.asked == {'container': asked}


async def test_calls_go_on_with_credentials_that_are_good_while_their_source_fails(
    bedrock: LocalBedrock,
    pool: SessionPool,
    container: CredentialSources,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('aiobotocore.utils.AioContainerMetadataFetcher.SLEEP_TIME', 0)
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    container.failing = True
    clock.ahead = 55 * 60
    await client.converse(**hello())
    assert 'Resolving credentials from container-role again failed: CredentialRetrievalError' in caplog.messages


async def test_a_call_with_expired_credentials_whose_source_fails_is_an_error_of_the_configuration(
    bedrock: LocalBedrock,
    pool: SessionPool,
    container: CredentialSources,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('aiobotocore.utils.AioContainerMetadataFetcher.SLEEP_TIME', 0)
    provider = BedrockProvider(region_name=bedrock.region_name, base_url=bedrock.base_url, pool=pool)
    agent = Agent(BedrockConverseModel(MODEL, provider=provider))
    await agent.run('hello')
    container.failing = True
    clock.ahead = 61 * 60
    with pytest.raises(UserError, match=r'credentials from container-role: .*out of order'):
        await agent.run('hello')
    assert len(bedrock.requests) == 1


async def test_a_source_that_does_not_answer_holds_no_call_up_for_ever(
    bedrock: LocalBedrock,
    pool: SessionPool,
    container: CredentialSources,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('aiobotocore.utils.AioContainerMetadataFetcher.SLEEP_TIME', 0)
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    container.available.clear()
    monkeypatch.setattr('pydantic_ai_aiobedrock._client.credentials.RESOLVE_TIMEOUT', 0.1)
    clock.ahead = 55 * 60
    await client.converse(**hello())
    bedrock.expire(bedrock.aws_access_key_id)
    with pytest.raises(ClientError, match=r'container-role, which failed when asked again: no answer within 0\.1 s'):
        await client.converse(**hello())


async def test_credentials_are_resolved_off_the_loop(
    bedrock: LocalBedrock, pool: SessionPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    load_credentials = AioCredentialResolver.load_credentials

    async def noted(resolver: AioCredentialResolver) -> object:
        threads.append(threading.current_thread())
        return await load_credentials(resolver)

    monkeypatch.setattr(AioCredentialResolver, 'load_credentials', noted)
    process = CredentialProcess(tmp_path)
    process.give(current(bedrock))
    Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[default]\ncredential_process = {process.command}\n')
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    process.give(bedrock.rotate_credentials())
    await client.converse(**hello())
    assert len(threads) == process.runs == 2
    assert threading.current_thread() not in threads


def access_key_id(authorization: str) -> str:
    return authorization.partition('Credential=')[2].partition('/')[0]


def client_credentials(client: BedrockRuntime) -> Any:
    """Return what botocore holds as the credentials of the one client that is open."""
    (loop_pool,) = client.pool._loops.values()
    (pooled,) = loop_pool._clients.values()
    return pooled.opened._client._get_credentials()


async def settled(client: BedrockRuntime) -> None:
    """Wait until no resolution is under way."""
    credentials = client_credentials(client)
    await eventually(lambda: credentials._latest._resolving is None)
