"""BedrockProvider: the region, endpoint, credentials and options of its calls, and the life of its client."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from generation import eventually
from pydantic_ai import ModelRequest
from pydantic_ai.exceptions import ModelAPIError, UserError
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.providers import Provider
from pydantic_ai.providers.bedrock import BedrockProvider as UpstreamProvider
from served_bedrock import keys_of
from sessions import aioboto3_session

from local_bedrock import LocalBedrock, NoResponse, RecordedRequest
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

NOVA = 'us.amazon.nova-lite-v1:0'
REQUEST = ([ModelRequest.user_text_prompt('Hello.')], None, ModelRequestParameters())
HELLO: dict[str, Any] = {'modelId': NOVA, 'messages': [{'role': 'user', 'content': [{'text': 'Hello.'}]}]}


def spec_of(provider: BedrockProvider) -> ClientSpec:
    assert isinstance(provider.client, BedrockRuntime)
    return provider.client.spec


async def call(provider: BedrockProvider, bedrock: LocalBedrock) -> RecordedRequest:
    """Make a call, and return it as the endpoint saw it."""
    async with provider:
        await provider.client.converse(**HELLO)
    return bedrock.requests[-1]


@pytest.fixture
def aws_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the AWS configuration file of the test, to be written."""
    path = tmp_path / 'config'
    monkeypatch.setenv('AWS_CONFIG_FILE', str(path))
    return path


# What it is


def test_a_provider_is_upstreams_with_another_client() -> None:
    provider = BedrockProvider(region_name='eu-west-1')
    assert isinstance(provider, UpstreamProvider)
    assert isinstance(provider, Provider)
    client = boto3.client('bedrock-runtime', region_name='eu-west-1')
    upstream = UpstreamProvider(bedrock_client=client)
    assert (provider.name, provider.base_url) == (upstream.name, upstream.base_url)
    assert repr(provider) == repr(upstream)
    assert provider.model_id_namespace == upstream.model_id_namespace
    assert provider.model_profile(NOVA) == upstream.model_profile(NOVA)


def test_making_a_provider_opens_nothing() -> None:
    threads = threading.active_count()
    pool = SessionPool()
    BedrockConverseModel(NOVA, provider=BedrockProvider(region_name='us-east-1', pool=pool))
    assert threading.active_count() == threads
    assert (pool.stats().opened, pool.stats().connections_opened) == (0, 0)


def test_defaults_are_upstreams() -> None:
    spec = spec_of(BedrockProvider(region_name='us-east-1'))
    upstream: Any = UpstreamProvider(region_name='us-east-1').client.meta.config
    assert (spec.read_timeout, spec.connect_timeout) == (upstream.read_timeout, upstream.connect_timeout) == (300, 60)
    assert spec.max_connections == 1000


# The region


def test_the_region_is_the_arguments_before_the_sessions_the_environments_and_the_profiles(
    monkeypatch: pytest.MonkeyPatch, aws_config: Path
) -> None:
    aws_config.write_text('[default]\nregion = eu-west-1\n[profile other]\nregion = eu-west-2\n')
    session: Any = AioSession()
    session.set_config_variable('region', 'eu-west-3')
    assert spec_of(BedrockProvider()).region_name == 'eu-west-1'
    assert spec_of(BedrockProvider(profile_name='other')).region_name == 'eu-west-2'
    assert spec_of(BedrockProvider(session=session)).region_name == 'eu-west-3'
    assert spec_of(BedrockProvider(session=session, region_name='eu-north-1')).region_name == 'eu-north-1'
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'us-west-2')
    assert spec_of(BedrockProvider()).region_name == 'us-west-2'
    assert spec_of(BedrockProvider(session=session)).region_name == 'eu-west-3'
    assert spec_of(BedrockProvider(region_name='us-east-1')).region_name == 'us-east-1'


def test_the_region_of_the_profile_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, aws_config: Path
) -> None:
    aws_config.write_text('[default]\nregion = eu-west-1\n[profile other]\nregion = eu-west-2\n')
    monkeypatch.setenv('AWS_PROFILE', 'other')
    assert spec_of(BedrockProvider()).region_name == 'eu-west-2'
    monkeypatch.delenv('AWS_PROFILE')
    assert spec_of(BedrockProvider()).region_name == 'eu-west-1'


def test_an_empty_region_of_the_environment_is_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a compose file sets it whose own variable is missing: requests were signed for a region without a name."""
    monkeypatch.setenv('AWS_DEFAULT_REGION', '')
    with pytest.raises(UserError, match='`AWS_DEFAULT_REGION` is set, but empty'):
        BedrockProvider()


async def test_calls_are_signed_for_the_region() -> None:
    async with LocalBedrock(region_name='eu-central-1') as bedrock:
        provider = BedrockProvider(
            region_name='eu-central-1', base_url=bedrock.base_url, pool=SessionPool(), **keys_of(bedrock)
        )
        request = await call(provider, bedrock)
    assert '/eu-central-1/bedrock/aws4_request' in request.headers['Authorization']


# The endpoint


async def test_an_endpoint_of_the_profile_is_used(bedrock: LocalBedrock, aws_config: Path) -> None:
    aws_config.write_text(
        '[default]\nregion = us-east-1\nservices = local\n'
        f'[services local]\nbedrock_runtime =\n  endpoint_url = {bedrock.base_url}\n'
    )
    provider = BedrockProvider(pool=SessionPool(), **keys_of(bedrock))
    assert provider.base_url == bedrock.base_url
    assert (await call(provider, bedrock)).status == 200


async def test_base_url_comes_before_a_configured_endpoint(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'http://127.0.0.1:1')
    provider = BedrockProvider(
        region_name='us-east-1', base_url=bedrock.base_url, pool=SessionPool(), **keys_of(bedrock)
    )
    assert provider.base_url == bedrock.base_url
    assert (await call(provider, bedrock)).status == 200


async def test_a_base_url_may_have_a_path(bedrock: LocalBedrock) -> None:
    provider = BedrockProvider(
        region_name='us-east-1', base_url=f'{bedrock.base_url}/behind/', pool=SessionPool(), **keys_of(bedrock)
    )
    with pytest.raises(Exception, match='UnknownOperationException'):
        await call(provider, bedrock)
    assert bedrock.requests[-1].path == '/behind/model/us.amazon.nova-lite-v1%3A0/converse'


@pytest.mark.parametrize('holder', ['config', 'session'])
async def test_region_and_endpoint_are_the_arguments_before_the_configs_and_the_environments(
    monkeypatch: pytest.MonkeyPatch, aws_config: Path, holder: str
) -> None:
    """The order of botocore; a session's default client config comes after the `config` that is passed."""
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'us-west-2')
    options = AioConfig(region_name='us-east-2', use_fips_endpoint=True, use_dualstack_endpoint=True)
    arguments: dict[str, Any] = {'config': options}
    if holder == 'session':
        session = AioSession()
        session.set_default_client_config(options)
        arguments = {'session': session}
    provider = BedrockProvider(**arguments, pool=SessionPool())
    assert spec_of(provider).region_name == 'us-east-2'
    assert provider.base_url == 'https://bedrock-runtime-fips.us-east-2.api.aws'
    client = boto3.client('bedrock-runtime', config=options, aws_access_key_id='a', aws_secret_access_key='b')
    assert provider.base_url == client.meta.endpoint_url
    if holder == 'config':
        with await provider.client.pool.lease(spec_of(provider)) as lease:
            assert lease.client.meta.endpoint_url == provider.base_url
        await provider.client.pool.aclose()
    assert BedrockProvider(**arguments, region_name='us-west-1').base_url.endswith('fips.us-west-1.api.aws')
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'http://127.0.0.1:1')
    assert BedrockProvider(**arguments).base_url == 'http://127.0.0.1:1'
    ignoring = AioConfig(ignore_configured_endpoint_urls=True, use_dualstack_endpoint=False)
    provider = BedrockProvider(**{**arguments, 'config': ignoring}, region_name='us-west-1')
    fips = '-fips' if holder == 'session' else ''
    assert provider.base_url == f'https://bedrock-runtime{fips}.us-west-1.amazonaws.com'


def test_a_configuration_file_that_was_mended_or_changed_is_read_again(aws_config: Path) -> None:
    aws_config.write_text('[default\nregion = eu-west-1\n')
    with pytest.raises(UserError, match='Unable to parse config file'):
        BedrockProvider()
    aws_config.write_text('[default]\nregion = eu-west-1\n')
    assert spec_of(BedrockProvider()).region_name == 'eu-west-1'
    with pytest.raises(UserError, match='other'):
        BedrockProvider(profile_name='other')
    aws_config.write_text('[default]\nregion = eu-west-2\n[profile other]\nregion = eu-west-3\n')
    assert spec_of(BedrockProvider()).region_name == 'eu-west-2'
    assert spec_of(BedrockProvider(profile_name='other')).region_name == 'eu-west-3'


# Credentials


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'profile_name': 'work', 'session': AioSession()}, 'Pass either `profile_name` or `session`'),
        ({'aws_session_token': 'token'}, '`aws_access_key_id` and `aws_secret_access_key` are missing'),
    ],
    ids=['profile_name', 'aws_session_token'],
)
def test_an_argument_that_another_one_would_silence_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BedrockProvider(region_name='us-east-1', **arguments)


async def test_static_keys_come_before_the_environments(bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', 'AKIDOFNOBODY')
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', 'of-nobody')
    provider = BedrockProvider(
        region_name='us-east-1', base_url=bedrock.base_url, pool=SessionPool(), **keys_of(bedrock)
    )
    assert (await call(provider, bedrock)).auth_scheme == 'sigv4'


@pytest.mark.parametrize('by_variable', [False, True], ids=['arguments', 'environment'])
async def test_a_session_token_is_sent_and_signed(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    key = bedrock.rotate_credentials(temporary=True)
    values = {
        'aws_access_key_id': key.access_key_id,
        'aws_secret_access_key': key.secret_access_key,
        'aws_session_token': key.session_token,
    }
    arguments: dict[str, Any] = {} if by_variable else values
    if by_variable:
        for name, value in values.items():
            monkeypatch.setenv(name.upper(), str(value))
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, pool=SessionPool(), **arguments)
    request = await call(provider, bedrock)
    assert request.auth_scheme == 'sigv4'
    assert 'x-amz-security-token' in request.headers['Authorization']


async def test_keys_of_a_profile(bedrock: LocalBedrock, aws_config: Path) -> None:
    aws_config.write_text(
        f'[profile work]\nregion = us-east-1\naws_access_key_id = {bedrock.aws_access_key_id}\n'
        f'aws_secret_access_key = {bedrock.aws_secret_access_key}\n'
    )
    provider = BedrockProvider(profile_name='work', base_url=bedrock.base_url, pool=SessionPool())
    assert (await call(provider, bedrock)).auth_scheme == 'sigv4'


@pytest.mark.parametrize('by_variable', [False, True], ids=['api_key', 'AWS_BEARER_TOKEN_BEDROCK'])
async def test_an_api_key_is_used_instead_of_a_signature_even_if_there_are_keys(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    if by_variable:
        monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', bedrock.api_key)
        provider = BedrockProvider(pool=SessionPool())
    else:
        monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', 'of-nobody')
        provider = BedrockProvider(api_key=bedrock.api_key, pool=SessionPool())
    assert (await call(provider, bedrock)).auth_scheme == 'bearer'


# Sessions and configs that are brought along


@pytest.mark.parametrize('kind', ['aioboto3', 'aiobotocore'])
async def test_a_session_gives_region_and_credentials(bedrock: LocalBedrock, kind: str) -> None:
    session: Any
    if kind == 'aioboto3':
        session = aioboto3_session(region_name='us-east-1', **keys_of(bedrock))
    else:
        session = AioSession()
        session.set_config_variable('region', 'us-east-1')
        session.set_credentials(bedrock.aws_access_key_id, bedrock.aws_secret_access_key)
    provider = BedrockProvider(session=session, base_url=bedrock.base_url, pool=SessionPool())
    request = await call(provider, bedrock)
    assert request.auth_scheme == 'sigv4'
    assert f'Credential={bedrock.aws_access_key_id}/' in request.headers['Authorization']


async def test_a_config_comes_before_the_arguments_and_completes_them(bedrock: LocalBedrock) -> None:
    config = AioConfig(read_timeout=0.2, user_agent_extra='of-the-tests', retries={'total_max_attempts': 2})
    provider = BedrockProvider(
        region_name='us-east-1',
        base_url=bedrock.base_url,
        aws_read_timeout=60,
        config=config,
        pool=SessionPool(),
        **keys_of(bedrock),
    )
    async with provider:
        await provider.client.converse(**HELLO)
        assert 'of-the-tests' in bedrock.requests[-1].headers['User-Agent']
        bedrock.fault(NoResponse('hang'))
        with pytest.raises(Exception, match='Read timeout on endpoint URL'):
            await provider.client.converse(**HELLO)
    assert [request.attempt for request in bedrock.requests] == [1, 1, 2]


async def test_the_connector_arguments_of_a_config_reach_the_connector(bedrock: LocalBedrock) -> None:
    provider = BedrockProvider(
        region_name='us-east-1',
        base_url=bedrock.base_url,
        config=AioConfig(connector_args={'keepalive_timeout': 0.05}),
        pool=SessionPool(),
        **keys_of(bedrock),
    )
    async with provider:
        await provider.client.converse(**HELLO)
        await eventually(lambda: bedrock.stats().open_connections == 0)


@pytest.mark.parametrize('by_variable', [False, True], ids=['aws_read_timeout', 'AWS_READ_TIMEOUT'])
async def test_the_read_timeout(bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch, by_variable: bool) -> None:
    arguments: dict[str, Any] = {} if by_variable else {'aws_read_timeout': 0.2}
    if by_variable:
        monkeypatch.setenv('AWS_READ_TIMEOUT', '0.2')
    provider = BedrockProvider(
        region_name='us-east-1',
        base_url=bedrock.base_url,
        config=AioConfig(retries={'total_max_attempts': 1}),
        pool=SessionPool(),
        **keys_of(bedrock),
        **arguments,
    )
    bedrock.fault(NoResponse('hang'))
    async with provider:
        with pytest.raises(ModelAPIError, match='Read timeout on endpoint URL'):
            await BedrockConverseModel(NOVA, provider=provider).request(*REQUEST)


def test_the_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AWS_CONNECT_TIMEOUT', '7')
    assert spec_of(BedrockProvider(region_name='us-east-1')).connect_timeout == 7
    assert spec_of(BedrockProvider(region_name='us-east-1', aws_connect_timeout=8)).connect_timeout == 8


async def test_no_more_calls_than_max_connections_are_in_flight(bedrock: LocalBedrock) -> None:
    bedrock.reply(wait_a_turn, times=None)
    provider = BedrockProvider(
        region_name='us-east-1',
        base_url=bedrock.base_url,
        max_connections=3,
        pool=SessionPool(),
        **keys_of(bedrock),
    )
    async with provider:
        await asyncio.gather(*(provider.client.converse(**HELLO) for _ in range(12)))
    assert bedrock.stats().max_in_flight == 3
    assert bedrock.stats().connections == 3


async def wait_a_turn(request: RecordedRequest) -> str:
    for _ in range(10):
        await asyncio.sleep(0)
    return 'Hi.'
