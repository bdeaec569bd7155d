"""Sharing of clients between providers, and the life of a client."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiobotocore.config import AioConfig
from generation import eventually
from pydantic_ai import ModelRequest
from pydantic_ai.models import ModelRequestParameters
from served_bedrock import keys_of

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._pool.session_pool import shared_pool
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

NOVA = 'us.amazon.nova-lite-v1:0'
REQUEST = ([ModelRequest.user_text_prompt('Hello.')], None, ModelRequestParameters())
HELLO: dict[str, Any] = {'modelId': NOVA, 'messages': [{'role': 'user', 'content': [{'text': 'Hello.'}]}]}


def test_providers_share_one_pool_unless_they_are_given_another() -> None:
    one, two = BedrockProvider(region_name='us-east-1'), BedrockProvider(region_name='us-east-1')
    assert isinstance(one.client, BedrockRuntime)
    assert isinstance(two.client, BedrockRuntime)
    assert one.client.pool is two.client.pool is shared_pool
    assert one.client.spec == two.client.spec
    pool = SessionPool()
    assert BedrockProvider(region_name='us-east-1', pool=pool).client.pool is pool


async def test_providers_with_equal_arguments_share_a_client_and_others_do_not(bedrock: LocalBedrock) -> None:
    pool = SessionPool()

    def provider(**changes: Any) -> BedrockProvider:
        arguments = {'region_name': 'us-east-1', 'base_url': bedrock.base_url, **keys_of(bedrock), **changes}
        return BedrockProvider(pool=pool, **arguments)

    for same in (provider(), provider()):
        await same.client.converse(**HELLO)
    assert pool.stats().opened == 1
    for other in (provider(aws_read_timeout=7), provider(max_connections=7), provider(config=AioConfig())):
        await other.client.converse(**HELLO)
    assert pool.stats().opened == 4
    await pool.aclose()


async def test_a_provider_opens_its_client_once_however_often_it_is_entered(bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, pool=pool, **keys_of(bedrock))
    async with provider as entered:
        assert entered is provider
        async with provider:
            await provider.client.converse(**HELLO)
        await provider.client.converse(**HELLO)
        assert (pool.stats().clients, pool.stats().opened) == (1, 1)
    await eventually(lambda: pool.stats().clients == 0 and bedrock.stats().open_connections == 0)


async def test_a_provider_that_is_left_lets_its_streams_end(bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, pool=pool, **keys_of(bedrock))
    async with provider:
        stream = (await provider.client.converse_stream(**HELLO))['stream']
        await anext(stream)
    assert 'metadata' in [event async for event in stream][-1]
    await eventually(lambda: pool.stats().clients == 0)


async def test_a_provider_can_be_used_without_being_entered(bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, pool=pool, **keys_of(bedrock))
    for _ in range(2):
        await provider.client.converse(**HELLO)
    assert (pool.stats().clients, pool.stats().opened) == (1, 1)
    await pool.aclose()


def test_leaving_a_provider_on_one_loop_closes_nothing_on_another(bedrock: LocalBedrock) -> None:
    """Each loop has a client of its own, held by who entered the provider there."""
    pool = SessionPool()
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, pool=pool, **keys_of(bedrock))
    all_entered, one_left = threading.Barrier(2, timeout=10), threading.Event()

    async def first() -> None:
        async with provider:
            await provider.client.converse(**HELLO)
            await asyncio.to_thread(all_entered.wait)
        await eventually(lambda: pool.stats().clients == 1)
        one_left.set()

    async def second() -> None:
        async with provider:
            await provider.client.converse(**HELLO)
            await asyncio.to_thread(all_entered.wait)
            assert await asyncio.to_thread(one_left.wait, 10)
            await provider.client.converse(**HELLO)
            assert pool.stats().opened == 2
        await eventually(lambda: pool.stats().clients == 0)

    with ThreadPoolExecutor(2) as threads:
        for outcome in [threads.submit(asyncio.run, main()) for main in (first, second)]:
            outcome.result()


async def test_a_client_that_is_assigned_replaces_the_providers_for_all_its_models(bedrock: LocalBedrock) -> None:
    provider = BedrockProvider(region_name='us-west-2')
    models = [BedrockConverseModel(NOVA, provider=provider) for _ in range(2)]
    async with BedrockProvider(
        region_name='us-east-1', base_url=bedrock.base_url, pool=SessionPool(), **keys_of(bedrock)
    ) as other:
        provider.client = other.client
        for model in models:
            assert model.base_url == bedrock.base_url
            await model.request(*REQUEST)
    assert len(bedrock.requests) == 2
