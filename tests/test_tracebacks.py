"""The commonest mistakes: a short traceback, and a message that says the mend."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from pydantic_ai import Agent, ModelAPIError, UserError

from local_bedrock import EXPIRED_TOKEN, LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

MODEL = 'us.amazon.nova-lite-v1:0'


def frames_below_the_agent(error: BaseException) -> list[str]:
    """Return the frames of an error and of its causes that are neither the test's nor of Pydantic AI."""
    found: list[str] = []
    below: BaseException | None = error
    while below is not None:
        found += [frame.filename for frame in traceback.extract_tb(below.__traceback__)]
        below = below.__cause__
    return [name for name in found if not any(part in name for part in ('pydantic_ai/', 'pydantic_graph/', __file__))]


async def failed(provider: BedrockProvider, model: str = MODEL) -> Exception:
    with pytest.raises((ModelAPIError, UserError)) as caught:
        await Agent(BedrockConverseModel(model, provider=provider)).run('Hello!')
    return caught.value


def test_without_a_region_the_error_names_three_ways_in_a_few_frames() -> None:
    with pytest.raises(UserError, match=r'`region_name`.*`AWS_DEFAULT_REGION`.*profile') as caught:
        BedrockConverseModel(MODEL)
    assert len(traceback.extract_tb(caught.value.__traceback__)) < 15


async def test_without_credentials_the_error_names_where_to_set_them(pool: SessionPool) -> None:
    error = await failed(BedrockProvider(region_name='us-east-1', pool=pool))
    assert 'Set `AWS_ACCESS_KEY_ID`' in str(error)
    assert type(error.__cause__).__name__ == 'NoCredentialsError'
    assert len(frames_below_the_agent(error)) < 15


async def test_a_wrong_model_id_is_said_in_a_few_frames(provider: BedrockProvider) -> None:
    error = await failed(provider, 'nobody.no-model-v1:0')
    assert 'The provided model identifier is invalid' in str(error)
    assert type(error.__cause__).__name__ == 'ValidationException'
    assert len(frames_below_the_agent(error)) < 15


async def test_an_expired_token_is_said_in_a_few_frames(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    bedrock.fault(EXPIRED_TOKEN, times=None)
    error = await failed(provider)
    assert 'ExpiredTokenException' in str(error)
    assert len(frames_below_the_agent(error)) < 15


async def test_a_sign_on_that_has_ended_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pool: SessionPool
) -> None:
    config = tmp_path / 'config'
    config.write_text(
        '[profile dev]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = dev\n'
        '[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n'
    )
    monkeypatch.setenv('AWS_CONFIG_FILE', str(config))
    for provider in ('botocore.credentials.SSOProvider', 'botocore.tokens.SSOTokenProvider'):
        monkeypatch.setattr(f'{provider}._SSO_TOKEN_CACHE_DIR', str(tmp_path))
    error = await failed(BedrockProvider(region_name='us-east-1', profile_name='dev', pool=pool))
    assert 'does not exist. Sign in again: `aws sso login`' in str(error)
    assert len(frames_below_the_agent(error)) < 15


async def test_a_proxy_that_cannot_be_reached_is_named_with_its_variables(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch, pool: SessionPool
) -> None:
    monkeypatch.setenv('HTTPS_PROXY', 'http://127.0.0.1:1')
    provider = BedrockProvider(
        region_name='us-east-1',
        aws_access_key_id=bedrock.aws_access_key_id,
        aws_secret_access_key=bedrock.aws_secret_access_key,
        pool=pool,
    )
    error = await failed(provider)
    assert all(name in str(error) for name in ('http://127.0.0.1:1', '`HTTPS_PROXY`', '`NO_PROXY`'))
    assert len(frames_below_the_agent(error)) < 15


async def test_an_endpoint_that_cannot_be_reached_is_said_in_a_few_frames(
    monkeypatch: pytest.MonkeyPatch, pool: SessionPool
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'http://127.0.0.1:1')
    error = await failed(
        BedrockProvider(region_name='us-east-1', aws_access_key_id='AKIDTEST', aws_secret_access_key='x', pool=pool)
    )
    assert 'http://127.0.0.1:1' in str(error)
    assert type(error.__cause__).__name__ == 'EndpointConnectionError'
    assert len(frames_below_the_agent(error)) < 15
