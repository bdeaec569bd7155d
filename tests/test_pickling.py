"""Models and providers out of one process: what travels in a pickle, what does not, and what a copy shares."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from pydantic_ai import Agent

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider, SessionPool

NOVA = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def runtime(provider: BedrockProvider) -> Any:
    return provider.client


def take_environment(environment: dict[str, str]) -> None:
    os.environ.update(environment)


def ask(model: BedrockConverseModel, prompt: str) -> str:
    """Run in a worker process, where nothing but the pickle and the environment is known."""
    return asyncio.run(Agent(model).run(prompt)).output


@pytest.mark.parametrize('name', [NOVA, CLAUDE])
def test_a_model_travels_with_its_settings_and_profile(name: str) -> None:
    provider = BedrockProvider(region_name='eu-west-1', aws_read_timeout=7, max_connections=3, throttling='raise')
    model = BedrockConverseModel(name, provider=provider, settings={'max_tokens': 5})
    found = again(model)
    assert (found.model_name, found.settings, found.profile) == (name, {'max_tokens': 5}, model.profile)
    spec = runtime(found._provider).spec
    assert (spec.region_name, spec.read_timeout, spec.max_connections) == ('eu-west-1', 7, 3)
    assert runtime(found._provider).throttling == 'raise'


def test_an_embedding_model_travels() -> None:
    model = BedrockEmbeddingModel('amazon.titan-embed-text-v2:0', provider=BedrockProvider(region_name='eu-west-1'))
    assert again(model).model_name == model.model_name


def test_the_region_travels_and_credentials_are_those_of_the_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'eu-west-1')
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', 'the-key-of-here')
    pickled = pickle.dumps(BedrockProvider())
    assert b'the-key-of-here' not in pickled
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'us-west-2')
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', 'the-key-of-there')
    spec = runtime(pickle.loads(pickled)).spec
    assert (spec.region_name, spec.api_key) == ('eu-west-1', 'the-key-of-there')


def current_key() -> str:
    return 'a-key'


def test_a_function_that_returns_the_api_key_travels_by_name() -> None:
    provider = again(BedrockProvider(region_name='us-east-1', api_key=current_key))
    assert runtime(provider).spec.api_key is current_key


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        ({'aws_access_key_id': 'AKIASECRET', 'aws_secret_access_key': 'secret'}, 'aws_access_key_id'),
        ({'api_key': 'secret'}, 'api_key'),
        ({'session': AioSession()}, 'session'),
        ({'pool': SessionPool()}, 'pool'),
        ({'config': AioConfig(proxies={'https': 'http://user:secret@proxy:3128'})}, 'config'),
    ],
    ids=['access key', 'API key', 'session', 'pool', 'proxies'],
)
def test_secrets_and_open_things_do_not_travel(arguments: dict[str, Any], named: str) -> None:
    provider = BedrockProvider(region_name='us-east-1', **arguments)
    with pytest.raises(TypeError, match=f'`{named}` cannot be pickled') as raised:
        pickle.dumps(provider)
    assert 'secret' not in str(raised.value).replace('secrets', '')


def test_a_config_without_proxies_travels() -> None:
    config: Any = AioConfig(retries={'mode': 'standard', 'total_max_attempts': 2})
    provider = again(BedrockProvider(region_name='us-east-1', config=config))
    assert runtime(provider).spec.config.retries == config.retries


@pytest.mark.parametrize('copied', [copy.copy, copy.deepcopy])
async def test_copies_share_the_client_and_close_only_what_they_entered(
    copied: Any, provider: BedrockProvider, bedrock: LocalBedrock
) -> None:
    model = BedrockConverseModel(NOVA, provider=provider)
    for twin in (copied(model), BedrockConverseModel(NOVA, provider=copied(provider))):
        async with twin:
            await Agent(twin).run('Hello.')
        await Agent(model).run('Hello.')
    assert runtime(provider).pool.stats().opened == 1
    assert bedrock.stats().requests == 4


@pytest.mark.parametrize('method', ['spawn', 'forkserver'])
def test_a_model_works_in_a_pool_of_processes(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalBedrock() as bedrock:
        for name, value in bedrock.environment.items():
            monkeypatch.setenv(name, value)
        bedrock.reply('Four.')
        model = BedrockConverseModel(NOVA)
        context = multiprocessing.get_context(method)
        # A fork server hands on the environment of its own start, which an earlier test may have been.
        with ProcessPoolExecutor(2, context, take_environment, (dict(os.environ),)) as pool:
            answers = [pool.submit(ask, model, 'Two and two?') for _ in range(4)]
            assert all(answer.result(60) for answer in answers)
        assert bedrock.stats().requests == 4
