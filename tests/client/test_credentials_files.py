"""Credentials from files and programs: rotated under 200 concurrent runs, and what is said when there are no others."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
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
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError, UserError

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

FOUND_IN_FILE = 'Found credentials in shared credentials file'


@pytest.fixture
def credentials_file(bedrock: LocalBedrock) -> Path:
    """Return the shared credentials file, with the access key that Bedrock accepts in it."""
    path = Path(os.environ['AWS_SHARED_CREDENTIALS_FILE'])
    write_credentials(path, current(bedrock))
    return path


def times_read(caplog: pytest.LogCaptureFixture) -> int:
    return sum(FOUND_IN_FILE in message for message in caplog.messages)


# The shared credentials file


async def test_a_rotated_credentials_file_loses_no_run_and_is_read_once_more(
    bedrock: LocalBedrock, pool: SessionPool, credentials_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, 'aiobotocore.credentials')
    client = runtime(bedrock, pool)
    await rotate_under(client, bedrock, lambda: write_credentials(credentials_file, bedrock.rotate_credentials()))
    assert times_read(caplog) == 2
    assert pool.stats().opened == 1


async def test_a_rotated_credentials_file_is_noticed_by_agents_that_stream(
    bedrock: LocalBedrock, pool: SessionPool, credentials_file: Path
) -> None:
    provider = BedrockProvider(region_name=bedrock.region_name, base_url=bedrock.base_url, pool=pool)
    agent = Agent(BedrockConverseModel(MODEL, provider=provider))
    await agent.run('hello')
    write_credentials(credentials_file, bedrock.rotate_credentials(temporary=True))
    async with agent.run_stream('hello') as stream:
        assert await stream.get_output()
    assert [request.status for request in bedrock.requests] == [200, 403, 200]


@pytest.mark.parametrize(
    ('reason', 'code'),
    [
        ('expired', 'ExpiredTokenException'),
        ('deleted', 'UnrecognizedClientException'),
        ('given another secret', 'InvalidSignatureException'),
    ],
)
async def test_credentials_that_are_refused_for_any_reason_are_resolved_anew(
    bedrock: LocalBedrock, pool: SessionPool, credentials_file: Path, reason: str, code: str
) -> None:
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    old = current(bedrock)
    if reason == 'given another secret':
        new = bedrock.accept(old.access_key_id, 'another-secret')
    else:
        new = bedrock.accept('AKIDLOCALBEDROCKNEW', 'new-secret')
        (bedrock.expire if reason == 'expired' else bedrock.revoke)(old.access_key_id)
    write_credentials(credentials_file, new)
    await client.converse(**hello())
    assert [request.error_code for request in bedrock.requests] == [None, code, None]


async def test_credentials_that_stay_the_same_are_asked_for_once_by_all_calls_that_failed_together(
    bedrock: LocalBedrock, pool: SessionPool, credentials_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each call fails after one attempt, with AWS's error and the source that gave the credentials."""
    caplog.set_level(logging.INFO, 'aiobotocore.credentials')
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    bedrock.expire(bedrock.aws_access_key_id)
    failed = await asyncio.gather(*(client.converse(**hello()) for _ in range(RUNS)), return_exceptions=True)
    assert {str(error) for error in failed} == {
        'An error occurred (ExpiredTokenException) when calling the Converse operation: The security token included in '
        'the request is expired (The credentials came from shared-credentials-file, which gave the same when asked '
        'again.)'
    }
    assert all(isinstance(error, ClientError) for error in failed)
    assert len(bedrock.requests) == 1 + RUNS
    assert times_read(caplog) < 10  # Calls that were sent after the answer have failed apart from the others.


async def test_an_agent_sees_the_refusal_of_aws_with_the_source_of_the_credentials(
    bedrock: LocalBedrock, pool: SessionPool, credentials_file: Path
) -> None:
    provider = BedrockProvider(region_name=bedrock.region_name, base_url=bedrock.base_url, pool=pool)
    bedrock.expire(bedrock.aws_access_key_id)
    with pytest.raises(ModelHTTPError, match='came from shared-credentials-file') as caught:
        await Agent(BedrockConverseModel(MODEL, provider=provider)).run('hello')
    assert caught.value.status_code == 403
    assert bedrock.aws_secret_access_key not in str(caught.value)


async def test_credentials_that_are_there_no_more_are_named(
    bedrock: LocalBedrock, pool: SessionPool, credentials_file: Path
) -> None:
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    bedrock.rotate_credentials()
    credentials_file.write_text('')
    with pytest.raises(ClientError, match='shared-credentials-file, which failed when asked again: there are none any'):
        await client.converse(**hello())


async def test_credentials_that_come_after_the_first_call_are_found(bedrock: LocalBedrock, pool: SessionPool) -> None:
    provider = BedrockProvider(region_name=bedrock.region_name, base_url=bedrock.base_url, pool=pool)
    agent = Agent(BedrockConverseModel(MODEL, provider=provider))
    with pytest.raises(UserError, match='No AWS credentials were found'):
        await agent.run('hello')
    write_credentials(Path(os.environ['AWS_SHARED_CREDENTIALS_FILE']), current(bedrock))
    assert (await agent.run('hello')).output


async def test_a_cancelled_call_leaves_the_resolution_to_the_others(
    bedrock: LocalBedrock, pool: SessionPool, tmp_path: Path
) -> None:
    process = CredentialProcess(tmp_path)
    process.give(current(bedrock))
    Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[default]\ncredential_process = {process.command}\n')
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    process.give(bedrock.rotate_credentials())
    calls = [asyncio.create_task(client.converse(**hello())) for _ in range(3)]
    while sum(request.status == 403 for request in bedrock.requests) < 3:
        await asyncio.sleep(0.001)
    calls[0].cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert [type(outcome) for outcome in outcomes[1:]] == [dict, dict]
    assert process.runs == 2


# Others


async def test_a_rotated_environment_is_noticed(
    bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export() -> None:
        monkeypatch.setenv('AWS_ACCESS_KEY_ID', bedrock.aws_access_key_id)
        monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', bedrock.aws_secret_access_key)
        monkeypatch.setenv('AWS_SESSION_TOKEN', bedrock.aws_session_token or '')

    export()
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    bedrock.rotate_credentials(temporary=True)
    export()
    await client.converse(**hello())
    assert [request.status for request in bedrock.requests] == [200, 403, 200]


async def test_a_rotated_credential_process_loses_no_run_and_is_run_once_more(
    bedrock: LocalBedrock, pool: SessionPool, tmp_path: Path
) -> None:
    process = CredentialProcess(tmp_path)
    expiration = datetime.now(UTC) + timedelta(hours=1)
    process.give(current(bedrock), expiration)
    Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[default]\ncredential_process = {process.command}\n')
    client = runtime(bedrock, pool)
    await rotate_under(client, bedrock, lambda: process.give(bedrock.rotate_credentials(temporary=True), expiration))
    assert process.runs == 2


async def test_a_credential_process_that_fails_when_asked_again_says_why(
    bedrock: LocalBedrock, pool: SessionPool, tmp_path: Path
) -> None:
    process = CredentialProcess(tmp_path)
    process.give(current(bedrock))
    Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[default]\ncredential_process = {process.command}\n')
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    bedrock.rotate_credentials()
    process.fail()
    with pytest.raises(ClientError, match='custom-process, which failed when asked again: the vault is sealed'):
        await client.converse(**hello())


async def test_a_credential_process_that_fails_at_first_is_an_error_of_the_configuration(
    bedrock: LocalBedrock, pool: SessionPool, tmp_path: Path
) -> None:
    process = CredentialProcess(tmp_path)
    process.fail()
    Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[default]\ncredential_process = {process.command}\n')
    provider = BedrockProvider(region_name=bedrock.region_name, base_url=bedrock.base_url, pool=pool)
    with pytest.raises(UserError, match='the vault is sealed'):
        await Agent(BedrockConverseModel(MODEL, provider=provider)).run('hello')


async def test_a_new_sign_on_in_the_sso_cache_loses_no_run(
    bedrock: LocalBedrock, pool: SessionPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for provider in ('botocore.credentials.SSOProvider', 'botocore.tokens.SSOTokenProvider'):
        monkeypatch.setattr(f'{provider}._SSO_TOKEN_CACHE_DIR', str(tmp_path))

    def sign_on(token: str) -> None:
        name = hashlib.sha1(b'corp').hexdigest()
        expires_at = (datetime.now(UTC) + timedelta(hours=8)).strftime('%Y-%m-%dT%H:%M:%SZ')
        (tmp_path / f'{name}.json').write_text(json.dumps({'accessToken': token, 'expiresAt': expires_at}))

    Path(os.environ['AWS_CONFIG_FILE']).write_text(
        '[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = role\n'
        '[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n'
    )
    sign_on('token-0')
    async with CredentialSources(bedrock) as sources:
        monkeypatch.setenv('AWS_ENDPOINT_URL_SSO', sources.url)
        client = runtime(bedrock, pool)

        def rotate() -> None:
            bedrock.rotate_credentials(temporary=True)
            sources.tokens = {'token-1'}
            sign_on('token-1')

        bedrock.rotate_credentials(temporary=True)
        await rotate_under(client, bedrock, rotate)
        assert sources.asked == {'sso': 2}


async def test_a_sign_on_that_has_ended_is_named(
    bedrock: LocalBedrock, pool: SessionPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for provider in ('botocore.credentials.SSOProvider', 'botocore.tokens.SSOTokenProvider'):
        monkeypatch.setattr(f'{provider}._SSO_TOKEN_CACHE_DIR', str(tmp_path))
    Path(os.environ['AWS_CONFIG_FILE']).write_text(
        '[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = role\n'
        '[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n'
    )
    provider = BedrockProvider(region_name=bedrock.region_name, base_url=bedrock.base_url, pool=pool)
    with pytest.raises(UserError, match='Token for corp does not exist'):
        await Agent(BedrockConverseModel(MODEL, provider=provider)).run('hello')
