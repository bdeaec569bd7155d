"""What cannot work fails early, with one clear error of pydantic-ai's, and never shows a secret."""

from __future__ import annotations

import logging
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from every_use import NOVA, TITAN, Use, embed, in_every_way, provider_for, run, stream
from pydantic_ai import Agent
from pydantic_ai.exceptions import AgentRunError, ModelAPIError, ModelHTTPError, UserError
from served_bedrock import make_provider

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider, SessionPool

REGION = 'us-east-1'
ACCESS_KEY_ID, SECRET = 'AKIDOFTHETESTS', 'secret-of-the-tests'
ONE_ATTEMPT = AioConfig(retries={'total_max_attempts': 1})

NO_REGION = (
    'You must provide a region: pass `region_name` to BedrockProvider, set `AWS_DEFAULT_REGION`, or name a `region` in '
    'the profile of the AWS configuration file.'
)
NO_CREDENTIALS = (
    'No AWS credentials were found. Set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or '
    '`AWS_BEARER_TOKEN_BEDROCK`, or a profile (`profile_name` or `AWS_PROFILE`), or pass `aws_access_key_id` and '
    '`aws_secret_access_key`, or `api_key`, to BedrockProvider.'
)
NOT_AN_ENDPOINT = (
    "is not the URL of an endpoint: {!r}. Pass one like 'https://bedrock-runtime.us-east-1.amazonaws.com', or omit it "
    "for the region's own."
)


def unreachable_url() -> str:
    """Return the URL of an endpoint that nobody serves any more."""
    with socket.create_server(('127.0.0.1', 0)) as closed_soon:
        return f'http://127.0.0.1:{closed_soon.getsockname()[1]}'


# Regions, profiles, endpoints


@pytest.mark.parametrize('argument', ['settings', 'profile'])
@pytest.mark.parametrize('value', ['nova', [1], 5])
def test_settings_and_a_profile_of_another_type(argument: str, value: object, bedrock: LocalBedrock) -> None:
    arguments: dict[str, Any] = {argument: value}
    with pytest.raises(UserError, match=f'^`{argument}` of a BedrockConverseModel must be a dict, not '):
        BedrockConverseModel(NOVA, provider=make_provider(bedrock), **arguments)


@pytest.mark.parametrize(
    'make',
    [BedrockProvider, lambda: BedrockConverseModel(NOVA), lambda: BedrockEmbeddingModel(TITAN)],
    ids=['provider', 'model', 'embedding model'],
)
def test_no_region_anywhere(make: Callable[[], object]) -> None:
    with pytest.raises(UserError) as raised:
        make()
    assert str(raised.value) == NO_REGION


def test_a_region_in_a_variable_that_the_sdk_does_not_read_is_pointed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AWS_REGION', REGION)
    with pytest.raises(UserError) as raised:
        BedrockProvider()
    assert str(raised.value) == f'{NO_REGION} (`AWS_REGION` is set, but the AWS SDKs for Python do not read it.)'


@pytest.mark.parametrize('region_name', ['us east 1', 'us-east-1/', 'a.b', 'x' * 64])
def test_a_region_that_can_be_none(region_name: str) -> None:
    with pytest.raises(UserError) as raised:
        BedrockProvider(region_name=region_name)
    assert str(raised.value) == f"{region_name!r} is not the name of an AWS region, such as 'us-east-1'."


@pytest.mark.parametrize(
    'base_url',
    [
        'bedrock.local',
        '127.0.0.1:8000',
        'ftp://bedrock.local',
        'http://',
        'http:///path',
        'https://bedrock local',
        'http://bedrock.local:port',
        'http://bedrock.local:99999',
        'http://[::1',
        'https://bedrock.local?token=hunter2',
    ],
)
def test_a_malformed_base_url(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as raised:
        BedrockProvider(region_name=REGION, base_url=base_url)
    shown = base_url.replace('token=hunter2', '***')
    assert str(raised.value) == f'`base_url` {NOT_AN_ENDPOINT.format(shown)}'
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', base_url)
    with pytest.raises(UserError) as raised:
        BedrockProvider(region_name=REGION)
    assert str(raised.value) == (
        'The endpoint of `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`, `AWS_ENDPOINT_URL` or the AWS configuration file '
        + NOT_AN_ENDPOINT.format(shown)
    )


def test_a_password_in_a_base_url_is_refused_and_not_shown() -> None:
    with pytest.raises(UserError) as raised:
        BedrockProvider(region_name=REGION, base_url='https://user:password@bedrock.local')
    assert str(raised.value) == f'`base_url` {NOT_AN_ENDPOINT.format("https://***@bedrock.local")}'


@pytest.mark.parametrize(
    'base_url',
    ['user:hunter2@bedrock.local', 'https://user:hunt/er2@bedrock.local', 'https://user:hunter2#@bedrock.local:80'],
)
def test_a_base_url_with_a_password_is_named_without_it(base_url: str) -> None:
    with pytest.raises(UserError, match=r'\*\*\*@bedrock\.local') as raised:
        BedrockProvider(region_name=REGION, base_url=base_url)
    assert 'hunt' not in repr(raised.value)


@pytest.mark.parametrize('base_url', ['http://127.0.0.1:8000', 'https://[::1]:8000', 'https://proxy.local/bedrock/'])
def test_a_base_url_that_is_in_order(base_url: str) -> None:
    assert BedrockProvider(region_name=REGION, base_url=base_url).base_url == base_url


@pytest.mark.parametrize('by_variable', [False, True], ids=['profile_name', 'AWS_PROFILE'])
@pytest.mark.parametrize('region', [{}, {'region_name': REGION}], ids=['without region', 'with region'])
def test_an_unknown_profile(monkeypatch: pytest.MonkeyPatch, by_variable: bool, region: dict[str, Any]) -> None:
    if by_variable:
        monkeypatch.setenv('AWS_PROFILE', 'nobody')
    with pytest.raises(UserError) as raised:
        BedrockProvider(**region) if by_variable else BedrockProvider(profile_name='nobody', **region)
    assert str(raised.value) == (
        'The config profile (nobody) could not be found. Name a profile of the AWS configuration files in '
        '`profile_name` or `AWS_PROFILE`.'
    )


def test_a_configuration_file_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / 'config'
    path.write_text('region us-east-1')
    monkeypatch.setenv('AWS_CONFIG_FILE', str(path))
    with pytest.raises(UserError) as raised:
        BedrockProvider(region_name=REGION)
    assert str(raised.value) == f'The AWS configuration is not usable: Unable to parse config file: {path}'


@in_every_way
async def test_an_unreachable_endpoint(use: Use) -> None:
    base_url = unreachable_url()
    async with BedrockProvider(
        region_name=REGION,
        base_url=base_url,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
        config=ONE_ATTEMPT,
        pool=SessionPool(),
    ) as provider:
        with pytest.raises(ModelAPIError) as raised:
            await use(provider)
    assert str(raised.value).startswith(f'Could not connect to the endpoint URL: "{base_url}/model/')


# Credentials


@in_every_way
async def test_no_credentials_anywhere(bedrock: LocalBedrock, use: Use) -> None:
    async with provider_for(bedrock) as provider:
        with pytest.raises(UserError) as raised:
            await use(provider)
    assert str(raised.value) == NO_CREDENTIALS
    assert bedrock.requests == []


@pytest.mark.parametrize(
    ('given', 'missing'),
    [('aws_access_key_id', 'aws_secret_access_key'), ('aws_secret_access_key', 'aws_access_key_id')],
)
def test_half_a_key_pair(given: str, missing: str) -> None:
    with pytest.raises(UserError) as raised:
        BedrockProvider(region_name=REGION, **{given: SECRET})
    assert str(raised.value) == (
        f'`{missing}` is missing: pass both parts of the access key to BedrockProvider, or neither.'
    )


async def test_half_a_key_pair_in_the_environment(bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', ACCESS_KEY_ID)
    async with provider_for(bedrock) as provider:
        with pytest.raises(UserError) as raised:
            await run(provider)
    assert str(raised.value) == (
        'The AWS configuration or credentials are not usable: Partial credentials found in env, missing: '
        'AWS_SECRET_ACCESS_KEY'
    )


@pytest.mark.parametrize('name', ['aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'])
async def test_a_line_break_in_a_key_of_the_environment(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for part in ('aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'):
        monkeypatch.setenv(part.upper(), f'{SECRET}\n' if part == name else ACCESS_KEY_ID)
    async with provider_for(bedrock) as provider:
        with pytest.raises(UserError) as raised:
            await run(provider)
    assert str(raised.value) == (
        'The AWS configuration or credentials are not usable: Error when retrieving credentials from env: '
        f'`{name}` has a line break or another control character, which no HTTP header can carry'
    )
    assert SECRET not in repr(raised.value)
    assert bedrock.requests == []


@in_every_way
async def test_a_wrong_secret_key(bedrock: LocalBedrock, use: Use) -> None:
    keys = {'aws_access_key_id': bedrock.aws_access_key_id, 'aws_secret_access_key': SECRET}
    async with provider_for(bedrock, **keys) as provider:
        with pytest.raises(ModelHTTPError) as raised:
            await use(provider)
    assert raised.value.status_code == 403
    assert raised.value.body['Error']['Code'] == 'InvalidSignatureException'
    assert 'The request signature we calculated does not match the signature you provided.' in str(raised.value)
    assert SECRET not in str(raised.value)


@in_every_way
async def test_an_unknown_access_key(bedrock: LocalBedrock, use: Use) -> None:
    keys = {'aws_access_key_id': ACCESS_KEY_ID, 'aws_secret_access_key': SECRET}
    async with provider_for(bedrock, **keys) as provider:
        with pytest.raises(ModelHTTPError) as raised:
            await use(provider)
    assert raised.value.status_code == 403
    assert raised.value.body['Error'] == {
        'Code': 'UnrecognizedClientException',
        'Message': 'The security token included in the request is invalid.',
    }


@in_every_way
async def test_a_wrong_api_key(bedrock: LocalBedrock, use: Use) -> None:
    async with provider_for(bedrock, api_key=SECRET) as provider:
        with pytest.raises(ModelHTTPError) as raised:
            await use(provider)
    assert raised.value.status_code == 403
    assert SECRET not in str(raised.value)


async def test_refused_credentials_of_the_environment_are_named(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', bedrock.aws_access_key_id)
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', SECRET)
    async with provider_for(bedrock) as provider:
        with pytest.raises(ModelHTTPError, match='The credentials came from env') as raised:
            await run(provider)
    assert raised.value.status_code == 403


@pytest.mark.parametrize(
    ('variables', 'profile', 'telling'),
    [
        ({'AWS_RETRY_MODE': 'nonsense'}, '', '"nonsense" must be one of'),
        ({'AWS_MAX_ATTEMPTS': 'many'}, '', "ValueError: invalid literal for int() with base 10: 'many'"),
        ({'AWS_MAX_ATTEMPTS': '0'}, '', 'must be an integer greater than or equal to 1'),
        ({'AWS_CA_BUNDLE': '/not/there.pem'}, '', "'/not/there.pem' cannot be used: [Errno 2] No such file"),
        ({'AWS_CA_BUNDLE': ''}, '', '`AWS_CA_BUNDLE`, `ca_bundle` in the AWS configuration file, or'),
        ({'AWS_DEFAULTS_MODE': 'nonsense'}, '', 'invalid defaults mode: nonsense'),
        ({'AWS_CONTAINER_CREDENTIALS_FULL_URI': 'nonsense'}, '', "Unsupported host 'None'"),
        ({}, 'role_arn = arn:aws:iam::1:role/x\nsource_profile = nobody', 'The source_profile "nobody" referenced in'),
        ({}, 'role_arn = arn:aws:iam::1:role/x\ncredential_source = Nowhere', 'The credential source "Nowhere"'),
        ({}, 'credential_process = /not/there', "No such file or directory: '/not/there'"),
        ({}, 'credential_process = /bin/echo nonsense', 'from custom-process: JSONDecodeError: Expecting value'),
        ({}, 'aws_access_key_id = half', 'Partial credentials found in config-file, missing: aws_secret_access_key'),
        ({}, 'sso_session = none\nsso_account_id = 1\nsso_role_name = x', 'The specified sso-session does not exist'),
        ({}, 'sso_start_url = https://x\nsso_region = a\nsso_account_id = 1\nsso_role_name = x', 'Error loading SSO'),
    ],
    ids=lambda value: '' if isinstance(value, str) else ' '.join(value),
)
async def test_a_configuration_that_no_client_can_be_opened_with(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    profile: str,
    telling: str,
) -> None:
    path = tmp_path / 'config'
    path.write_text(f'[default]\n{profile}\n')
    monkeypatch.setenv('AWS_CONFIG_FILE', str(path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with BedrockProvider(region_name=REGION, base_url='https://127.0.0.1:1', pool=SessionPool()) as provider:
        with pytest.raises(UserError) as raised:
            await run(provider)
    assert str(raised.value).startswith('The AWS configuration or credentials are not usable: ')
    assert telling in str(raised.value)


# Models and requests


@pytest.mark.parametrize(('use', 'model_name'), [(run, NOVA), (stream, NOVA), (embed, TITAN)])
async def test_an_unknown_model(use: Use, model_name: str) -> None:
    async with (
        LocalBedrock(models=()) as bedrock,
        make_provider(bedrock) as provider,
    ):
        with pytest.raises(ModelHTTPError) as raised:
            await use(provider)
    assert (raised.value.status_code, raised.value.model_name) == (400, model_name)
    assert raised.value.body['Error'] == {
        'Code': 'ValidationException',
        'Message': 'The provided model identifier is invalid.',
    }


@pytest.mark.parametrize('value', [{1}, float('nan'), object()], ids=['set', 'nan', 'object'])
async def test_a_request_that_json_cannot_carry(provider: BedrockProvider, bedrock: LocalBedrock, value: Any) -> None:
    agent = Agent(BedrockConverseModel(NOVA, provider=provider))
    fields: Any = {'bedrock_additional_model_requests_fields': {'deep': [value]}}
    with pytest.raises(UserError, match=r'^JSON cannot carry the request: additionalModelRequestFields\.deep\[0\] is '):
        await agent.run('Hello.', model_settings=fields)
    assert bedrock.requests == []


# Secrets


SECRETS = {
    'aws_access_key_id': 'AKIDSECRETOFTHETESTS',
    'aws_secret_access_key': 'Zm9yYmlkZGVuL2tleQ',
    'aws_session_token': 'Zm9yYmlkZGVuL3Rva2Vu',
}
API_KEY = {'api_key': 'bedrock-api-key-Zm9yYmlkZGVu'}


def assert_no_secret(text: str) -> None:
    for secret in (*SECRETS.values(), *API_KEY.values()):
        assert secret not in text


def texts_of(error: BaseException) -> str:
    """Return everything that an error, and the errors behind it, may show."""
    texts = ''.join(traceback.format_exception(error))
    seen: BaseException | None = error
    while seen is not None:
        texts += f'{seen} {seen!r} {seen.args} {vars(seen)}'
        seen = seen.__cause__ or seen.__context__
    return texts


@pytest.mark.parametrize('secrets', [SECRETS, API_KEY], ids=['access key', 'API key'])
def test_no_secret_is_in_a_repr(secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in secrets.items():
        monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK' if name == 'api_key' else name.upper(), value)
    arguments: Any = secrets
    for provider in (BedrockProvider(region_name=REGION, **arguments), BedrockProvider(region_name=REGION)):
        model = BedrockConverseModel(NOVA, provider=provider)
        for thing in (provider, model, provider.client, provider.client.spec, provider.client.pool):
            assert_no_secret(f'{thing} {thing!r}')


@pytest.mark.parametrize('secrets', [SECRETS, API_KEY], ids=['access key', 'API key'])
@in_every_way
async def test_no_secret_is_in_an_error_or_a_log_record(
    bedrock: LocalBedrock, use: Use, secrets: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger='pydantic_ai_aiobedrock')
    async with provider_for(bedrock, **secrets) as refused:
        with pytest.raises(AgentRunError) as raised:
            await use(refused)
        assert_no_secret(texts_of(raised.value))
    async with provider_for(bedrock, base_url=unreachable_url(), config=ONE_ATTEMPT, **secrets) as unreachable:
        with pytest.raises(AgentRunError) as raised:
            await use(unreachable)
        assert_no_secret(texts_of(raised.value))
        await unreachable.client.pool.aclose()
        with pytest.raises(UserError) as closed:
            await use(unreachable)
        assert_no_secret(texts_of(closed.value))
    assert_no_secret(caplog.text)


def test_no_secret_is_in_the_error_about_half_a_key_pair() -> None:
    for name in ('aws_access_key_id', 'aws_secret_access_key'):
        with pytest.raises(UserError) as raised:
            BedrockProvider(region_name=REGION, **{name: SECRETS[name]})
        assert_no_secret(texts_of(raised.value))
