"""An argument of a type or a value that cannot work is refused when it is passed, by its name, and with the mend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from every_use import NOVA, TITAN
from pydantic_ai.exceptions import UserError
from served_bedrock import keys_of

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

REGION = 'us-east-1'
SECRET = 'S3CR3T'
NOT_SENDABLE = (
    'has a line break or another control character, which no HTTP header can carry: pass it without, such as '
    '`.strip()` of the text of a file.'
)
KEYS = {'aws_access_key_id': 'AKIDOFTHETESTS', 'aws_secret_access_key': 'of-the-tests', 'aws_session_token': None}
MODELS = pytest.mark.parametrize(
    ('make', 'name'), [(BedrockConverseModel, NOVA), (BedrockEmbeddingModel, TITAN)], ids=['chat', 'embedding']
)


def refusal(make: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(UserError) as raised:
        make(*args, **kwargs)
    assert SECRET not in repr(raised.value)
    assert raised.value.__cause__ is None
    return str(raised.value)


@pytest.mark.parametrize(
    ('name', 'value', 'expected'),
    [
        ('region_name', 5, 'a str, not 5.'),
        ('profile_name', 5, 'a str, not 5.'),
        ('base_url', 1, 'a str, not 1.'),
        ('base_url', f'https://me:{SECRET}@bedrock.local'.encode(), 'a str, not bytes.'),
        ('pool', 1, 'a SessionPool, not 1.'),
        ('pool', SessionPool, 'a SessionPool, not type.'),
        ('max_connections', '10', "a positive whole number, not '10'."),
        ('max_connections', None, 'a positive whole number, not None.'),
        ('max_connections', 1.5, 'a positive whole number, not 1.5.'),
        ('max_connections', 0, 'a positive whole number, not 0.'),
        ('max_connections', -1, 'a positive whole number, not -1.'),
        ('throttling', 'x', "'wait' or 'raise', not 'x'."),
        ('throttling', ['wait'], "'wait' or 'raise', not list."),
        ('api_key', 1, 'a str, or a function that returns it, not int.'),
        ('api_key', SECRET.encode(), 'a str, or a function that returns it, not bytes.'),
    ],
)
def test_an_argument_of_a_provider(name: str, value: object, expected: str) -> None:
    arguments: Any = {'region_name': REGION, name: value}
    assert refusal(BedrockProvider, **arguments) == f'`{name}` of a BedrockProvider must be {expected}'


@pytest.mark.parametrize('name', KEYS)
@pytest.mark.parametrize('value', [1, SECRET.encode()], ids=['int', 'bytes'])
def test_a_part_of_an_access_key_that_is_not_text(name: str, value: object) -> None:
    arguments: Any = {**KEYS, name: value}
    expected = f'`{name}` of a BedrockProvider must be a str, not {type(value).__name__}.'
    assert refusal(BedrockProvider, region_name=REGION, **arguments) == expected


@pytest.mark.parametrize('name', [*KEYS, 'api_key'])
@pytest.mark.parametrize('value', [f'{SECRET}\n', f'{SECRET}\r\n', f'{SECRET}\nX: y', f'{SECRET}\x00', f'{SECRET}\x7f'])
def test_a_line_break_in_a_key(name: str, value: str) -> None:
    arguments: Any = {name: value} if name == 'api_key' else {**KEYS, name: value}
    assert refusal(BedrockProvider, region_name=REGION, **arguments) == f'`{name}` of a BedrockProvider {NOT_SENDABLE}'


def test_a_line_break_in_the_api_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', f'{SECRET}\n')
    assert refusal(BedrockProvider, region_name=REGION) == (
        '`AWS_BEARER_TOKEN_BEDROCK` has a line break or another control character, which no HTTP header can carry: set '
        'it to the key alone.'
    )
    assert BedrockProvider(region_name=REGION, api_key='another')


@pytest.mark.parametrize('by_variable', [False, True], ids=['region_name', 'AWS_DEFAULT_REGION'])
def test_a_region_in_upper_case(monkeypatch: pytest.MonkeyPatch, by_variable: bool) -> None:
    if by_variable:
        monkeypatch.setenv('AWS_DEFAULT_REGION', 'US-EAST-1')
    arguments: Any = {} if by_variable else {'region_name': 'US-EAST-1'}
    assert refusal(BedrockProvider, **arguments) == (
        "'US-EAST-1' is not the name of an AWS region, which is in lower case: 'us-east-1'."
    )


@pytest.mark.parametrize(
    'arguments',
    [{'api_key': ''}, {'aws_access_key_id': '', 'aws_secret_access_key': ''}, {'aws_session_token': ''}],
    ids=lambda arguments: next(iter(arguments)),
)
async def test_an_empty_key_is_like_none_as_in_boto3(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    for name, value in keys_of(bedrock).items():
        monkeypatch.setenv(name.upper(), value)
    pool = SessionPool()
    provider = BedrockProvider(region_name=REGION, base_url=bedrock.base_url, pool=pool, **arguments)
    assert isinstance(provider.client, BedrockRuntime)
    async with provider:
        await provider.client.converse(modelId=NOVA, messages=[{'role': 'user', 'content': [{'text': 'Hello.'}]}])
    assert [(request.auth_scheme, request.status) for request in bedrock.requests] == [('sigv4', 200)]


@pytest.mark.parametrize('empty', ['aws_access_key_id', 'aws_secret_access_key'])
def test_half_an_access_key_beside_an_empty_half(empty: str) -> None:
    arguments: Any = {**KEYS, empty: ''}
    assert refusal(BedrockProvider, region_name=REGION, **arguments) == (
        f'`{empty}` is missing: pass both parts of the access key to BedrockProvider, or neither.'
    )


@MODELS
@pytest.mark.parametrize('provider', [None, 3, {}], ids=repr)
def test_a_provider_that_is_none(make: Callable[..., object], name: str, provider: object) -> None:
    shown = 'dict' if provider == {} else repr(provider)
    assert refusal(make, name, provider=provider) == (
        f"`provider` must be 'bedrock', 'gateway' or a BedrockProvider, not {shown}."
    )


@MODELS
def test_a_client_as_a_provider(make: Callable[..., object], name: str) -> None:
    client = boto3.client('bedrock-runtime', region_name=REGION)
    assert refusal(make, name, provider=client) == (
        "`provider` must be 'bedrock', 'gateway' or a BedrockProvider, not botocore.client.BedrockRuntime; pass a "
        'client to it, as its `bedrock_client`.'
    )


@MODELS
def test_a_batch_inference_that_is_none(make: Callable[..., object], name: str) -> None:
    provider = BedrockProvider(region_name=REGION)
    assert refusal(make, name, provider=provider, batch_inference='x') == (
        "`batch_inference` must be a BatchInference, not 'x'."
    )


@MODELS
def test_a_model_name_that_is_not_text(make: Callable[..., object], name: str) -> None:
    provider = BedrockProvider(region_name=REGION)
    assert refusal(make, None, provider=provider) == '`model_name` must be the id of a model, not None.'


@pytest.mark.parametrize(
    ('name', 'value', 'expected'),
    [
        ('max_clients', '3', "a positive whole number, not '3'."),
        ('max_clients', 1.5, 'a positive whole number, not 1.5.'),
        ('max_clients', 0, 'a positive whole number, not 0.'),
        ('idle_timeout', None, 'a positive number of seconds, not None.'),
        ('idle_timeout', float('nan'), 'a positive number of seconds, not nan.'),
        ('idle_timeout', 0, 'a positive number of seconds, not 0.'),
        ('pool_timeout', '60', "a positive number of seconds, not '60'."),
        ('pool_timeout', 0, 'a positive number of seconds, not 0.'),
    ],
)
def test_a_limit_of_a_pool(name: str, value: object, expected: str) -> None:
    arguments: Any = {name: value}
    with pytest.raises(ValueError, match='SessionPool') as raised:
        SessionPool(**arguments)
    assert str(raised.value) == f'`{name}` of a SessionPool must be {expected}'


def test_a_pool_that_closes_no_client_for_being_idle() -> None:
    assert SessionPool(idle_timeout=float('inf'), pool_timeout=0.5).pool_timeout == 0.5
