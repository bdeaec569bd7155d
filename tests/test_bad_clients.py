"""Errors about providers and clients that do not fit, or are used where they cannot be."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import anyio
import anyio.to_thread
import boto3
import botocore.config
import pytest
from aiobotocore.session import AioSession
from every_use import NOVA, TITAN, Use, count_tokens, embed, in_every_way, provider_for, run, stream
from pydantic_ai import Agent
from pydantic_ai.embeddings.bedrock import BedrockEmbeddingModel as UpstreamEmbeddingModel
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import infer_model
from pydantic_ai.models.bedrock import BedrockConverseModel as UpstreamConverseModel
from pydantic_ai.providers.bedrock import BedrockProvider as UpstreamProvider
from sessions import client_of

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock.errors import AsyncClientError

REGION = 'us-east-1'


def boto3_client() -> Any:
    return boto3.client('bedrock-runtime', region_name=REGION)


def test_a_boto3_client() -> None:
    expected = (
        'The `bedrock_client` is a boto3 client, which blocks the event loop. Leave it out, pass an aioboto3 '
        'or aiobotocore client, entered with `async with`, or use BedrockConverseModel and BedrockProvider of '
        'pydantic_ai for boto3 clients.'
    )
    provider = BedrockProvider(region_name=REGION)
    model = BedrockConverseModel(NOVA, provider=provider)
    for give in (
        lambda client: BedrockProvider(bedrock_client=client),
        lambda client: setattr(provider, 'client', client),
        lambda client: setattr(model, 'client', client),
    ):
        with pytest.raises(UserError) as raised:
            give(boto3_client())
        assert str(raised.value) == expected


async def test_a_client_that_is_used_after_its_context_was_left(bedrock: LocalBedrock) -> None:
    async with client_of(bedrock) as client:
        model = BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=client))
        await Agent(model).run('Hello.')
    with pytest.raises(UserError, match='The `bedrock_client` is closed'):
        await Agent(model).run('Hello.')
    assert len(bedrock.requests) == 1


async def test_a_client_that_was_not_entered(bedrock: LocalBedrock) -> None:
    context: Any = client_of(bedrock)
    with pytest.raises(UserError) as raised:
        BedrockProvider(bedrock_client=context)
    assert str(raised.value) == (
        'The `bedrock_client` must be an open aioboto3 or aiobotocore client, not ClientCreatorContext: enter it with '
        '`async with`, and pass the client that this returns.'
    )
    async with context as client:
        assert BedrockProvider(bedrock_client=client).base_url == bedrock.base_url


def test_a_provider_of_upstreams() -> None:
    upstream: Any = UpstreamProvider(bedrock_client=boto3_client())
    for make in (BedrockConverseModel, BedrockEmbeddingModel):
        with pytest.raises(UserError) as raised:
            make(TITAN, provider=upstream)
        assert str(raised.value) == (
            'The provider is one of pydantic_ai.providers.bedrock, whose boto3 client blocks the event loop: use '
            'pydantic_ai_aiobedrock.BedrockProvider, which takes the same arguments.'
        )


@pytest.mark.parametrize('by_factory', [False, True], ids=['model', 'infer_model'])
async def test_a_model_of_upstreams_with_this_provider(bedrock: LocalBedrock, by_factory: bool) -> None:
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, api_key=bedrock.api_key)
    model = (
        infer_model('bedrock:us.amazon.nova-lite-v1:0', provider_factory=lambda _: provider)
        if by_factory
        else UpstreamConverseModel('us.amazon.nova-lite-v1:0', provider=cast(Any, provider))
    )
    with pytest.raises(AsyncClientError, match=r'use pydantic_ai_aiobedrock\.BedrockConverseModel'):
        await Agent(model).run('Hello.')


async def test_an_embedding_model_of_upstreams_with_this_provider(bedrock: LocalBedrock) -> None:
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, api_key=bedrock.api_key)
    model = UpstreamEmbeddingModel(TITAN, provider=cast(Any, provider))
    # The group is that of upstream's concurrent requests, in the oldest Pydantic AI that is supported.
    with pytest.raises((AsyncClientError, ExceptionGroup)) as raised:
        await model.embed('Hello.', input_type='query')
    [error] = raised.value.exceptions if isinstance(raised.value, ExceptionGroup) else [raised.value]
    assert isinstance(error, AsyncClientError)
    assert re.search(r'`invoke_model` .* use BedrockConverseModel and BedrockEmbeddingModel of', str(error))
    assert not bedrock.requests


async def test_a_model_of_upstreams_with_a_provider_of_an_aiobotocore_client(bedrock: LocalBedrock) -> None:
    async with client_of(bedrock) as client:
        provider = BedrockProvider(bedrock_client=client)
        model = UpstreamConverseModel(NOVA, provider=cast(Any, provider))
        with pytest.raises(AsyncClientError, match=r'`converse` .* was called in a worker thread'):
            await Agent(model).run('Hello.')


@pytest.mark.parametrize('name', ['converse', 'converse_stream', 'count_tokens', 'invoke_model'])
async def test_a_coroutine_of_the_client_in_a_worker_thread(name: str) -> None:
    method = getattr(BedrockProvider(region_name='us-east-1').client, name)
    for run_in_thread in (anyio.to_thread.run_sync, asyncio.to_thread):
        with pytest.raises(AsyncClientError, match=f'`{name}` .* was called in a worker thread'):
            await run_in_thread(method)


async def test_coroutines_of_the_client_in_a_task_group_and_on_a_loop_of_a_thread(bedrock: LocalBedrock) -> None:
    async with provider_for(bedrock, api_key=bedrock.api_key) as provider:
        converse = partial(
            provider.client.converse, modelId=NOVA, messages=[{'role': 'user', 'content': [{'text': 'Hello.'}]}]
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(converse)
        await asyncio.to_thread(anyio.run, converse)
        await asyncio.to_thread(lambda: asyncio.run(converse()))
    assert len(bedrock.requests) == 3


async def test_handlers_of_botocore_events_that_a_session_brings_are_called(bedrock: LocalBedrock) -> None:
    """The way that the error about `meta.events` names."""
    called: list[str] = []
    session = AioSession()
    session.set_credentials(bedrock.aws_access_key_id, bedrock.aws_secret_access_key)
    session.register('before-call.bedrock-runtime.Converse', lambda event_name, **_: called.append(event_name))
    async with BedrockProvider(
        region_name='us-east-1', base_url=bedrock.base_url, session=session, pool=SessionPool()
    ) as provider:
        await Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider)).run('Hello.')
    assert called == ['before-call.bedrock-runtime.Converse']


@pytest.mark.parametrize('make', [BedrockConverseModel, BedrockEmbeddingModel])
def test_a_model_name_with_the_prefix_of_the_provider(make: Callable[..., object]) -> None:
    with pytest.raises(UserError, match=r"without the prefix: 'us\.amazon\.nova-lite-v1:0'"):
        make('bedrock:us.amazon.nova-lite-v1:0', provider=BedrockProvider(region_name='us-east-1'))


def test_a_provider_that_has_another_name() -> None:
    with pytest.raises(UserError, match="not 'openai'"):
        BedrockConverseModel(NOVA, provider='openai')  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ('name', 'value', 'expected'),
    [
        ('aws_read_timeout', -1, '`aws_read_timeout` must be a positive number of seconds, not -1.'),
        ('aws_connect_timeout', 'soon', "`aws_connect_timeout` must be a positive number of seconds, not 'soon'."),
    ],
    ids=['aws_read_timeout', 'aws_connect_timeout'],
)
def test_a_timeout_that_is_not_usable(name: str, value: object, expected: str) -> None:
    arguments: Any = {name: value}
    with pytest.raises(UserError) as raised:
        BedrockProvider(region_name=REGION, **arguments)
    assert str(raised.value) == expected


def test_a_boto3_session() -> None:
    session: Any = boto3.Session()
    with pytest.raises(UserError) as raised:
        BedrockProvider(region_name=REGION, session=session)
    assert str(raised.value) == (
        '`session` of a BedrockProvider must be aioboto3.session.Session or aiobotocore.session.AioSession, not '
        'boto3.session.Session.'
    )


def test_a_config_of_botocore() -> None:
    config: Any = botocore.config.Config()
    with pytest.raises(UserError) as raised:
        BedrockProvider(region_name=REGION, config=config)
    assert str(raised.value) == (
        '`config` of a BedrockProvider must be aiobotocore.config.AioConfig, not botocore.config.Config.'
    )


@pytest.mark.parametrize('variable', ['AWS_READ_TIMEOUT', 'AWS_CONNECT_TIMEOUT'])
@pytest.mark.parametrize('value', ['soon', '', '0', '-1', 'nan'])
def test_a_malformed_timeout_in_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError) as raised:
        BedrockProvider(region_name=REGION)
    assert str(raised.value) == f'`{variable}` must be a positive number of seconds, not {value!r}.'


@in_every_way
async def test_use_after_the_pool_was_closed(provider: BedrockProvider, bedrock: LocalBedrock, use: Use) -> None:
    await provider.client.pool.aclose()
    with pytest.raises(UserError) as raised:
        await use(provider)
    assert str(raised.value) == ('This SessionPool is closed: make the call before `aclose()`, or make a new pool.')
    assert bedrock.requests == []


@pytest.mark.parametrize('use', [run, stream, count_tokens, embed])
def test_a_client_on_a_loop_that_it_does_not_belong_to(bedrock: LocalBedrock, use: Use) -> None:
    context = client_of(bedrock)

    async def bring() -> BedrockProvider:
        return BedrockProvider(bedrock_client=await context.__aenter__())

    with asyncio.Runner() as its_own:
        provider = its_own.run(bring())
        with asyncio.Runner() as another, pytest.raises(UserError) as raised:
            another.run(use(provider))
        its_own.run(context.__aexit__(None, None, None))
    assert str(raised.value) == (
        'The `bedrock_client` belongs to another event loop than the one it is used on now. Open a client on this '
        'loop, or leave `bedrock_client` out: a BedrockProvider opens its own client on each loop.'
    )
    assert bedrock.requests == []
