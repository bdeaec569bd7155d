"""The end of pools and of the calls that they still have."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiohttp.abc import AbstractResolver
from credential_sources import Gate
from pydantic_ai import Agent
from pydantic_ai.exceptions import UserError
from served_bedrock import make_provider, make_runtime

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, PoolClosedError, SessionPool
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

MODEL = 'us.amazon.nova-lite-v1:0'
HELLO: dict[str, Any] = {'modelId': MODEL, 'messages': [{'role': 'user', 'content': [{'text': 'hello'}]}]}


def _provider_of(client: BedrockRuntime, bedrock: LocalBedrock) -> BedrockProvider:
    return make_provider(bedrock, client.pool, max_connections=client.spec.max_connections)


async def test_a_closed_pool_refuses_calls_in_words(bedrock: LocalBedrock, pool: SessionPool) -> None:
    client = make_runtime(bedrock, pool)
    await client.converse(**HELLO)
    await pool.aclose()
    assert repr(pool) == '<SessionPool closed>'
    assert (pool.stats().clients, pool.stats().connections, pool.stats().opened) == (0, 0, 1)
    with pytest.raises(PoolClosedError, match='This SessionPool is closed'):
        await client.converse(**HELLO)
    agent = Agent(BedrockConverseModel(MODEL, provider=_provider_of(client, bedrock)))
    with pytest.raises(UserError, match='This SessionPool is closed'):
        await agent.run('hello')


async def test_closing_twice_is_harmless(bedrock: LocalBedrock, pool: SessionPool) -> None:
    await make_runtime(bedrock, pool).converse(**HELLO)
    await pool.aclose()
    await pool.aclose()


async def test_closing_fails_the_calls_that_wait(bedrock: LocalBedrock, pool: SessionPool) -> None:
    client = make_runtime(bedrock, pool, max_connections=1)
    async with (await client.converse_stream(**HELLO))['stream']:
        waiting = asyncio.create_task(client.converse(**HELLO))
        while not pool.stats().waiting:
            await asyncio.sleep(0)
        await pool.aclose()
        with pytest.raises(PoolClosedError, match='was closed while the call waited'):
            await waiting


async def test_closing_while_a_client_opens_fails_its_calls_and_leaves_nothing(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    call = asyncio.create_task(make_runtime(bedrock, pool).converse(**HELLO))
    while not pool.stats().waiting:
        await asyncio.sleep(0)
    await pool.aclose()
    with pytest.raises(PoolClosedError):
        await call


async def test_calls_in_flight_finish_within_the_grace_period(bedrock: LocalBedrock, pool: SessionPool) -> None:
    gate = Gate(bedrock)
    call = asyncio.create_task(make_runtime(bedrock, pool).converse(**HELLO))
    await gate.reached_by(1)
    closing = asyncio.create_task(pool.aclose(grace=15))
    await asyncio.sleep(0)
    gate.opened.set()
    assert (await call)['output']['message']['content'] == [{'text': 'done'}]
    await closing
    assert bedrock.stats().open_connections == 0


async def test_closing_that_was_cancelled_in_its_grace_period_can_be_done_again(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    gate = Gate(bedrock)
    call = asyncio.create_task(make_runtime(bedrock, pool).converse(**HELLO))
    await gate.reached_by(1)
    closing = asyncio.create_task(pool.aclose(grace=15))
    while repr(pool) == '<SessionPool []>':
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await pool.aclose()
    with pytest.raises(PoolClosedError):
        await call
    assert pool.stats().connections == 0
    gate.opened.set()


async def test_a_call_whose_client_is_closed_during_its_dns_lookup_is_not_cancelled_but_fails(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    looking_up = asyncio.Event()

    class Resolver(AbstractResolver):
        async def resolve(self, *_: Any, **__: Any) -> Any:
            looking_up.set()
            await asyncio.Event().wait()

        async def close(self) -> None:
            pass

    config = AioConfig(connector_args={'resolver': Resolver()})
    client = make_runtime(bedrock, pool, base_url='http://bedrock.example', config=config)
    call = asyncio.create_task(client.converse(**HELLO))
    await looking_up.wait()
    await pool.aclose()
    with pytest.raises(PoolClosedError, match='closed while the call was in flight'):
        await call


async def test_after_the_grace_period_calls_in_flight_are_cut_off(bedrock: LocalBedrock, pool: SessionPool) -> None:
    gate = Gate(bedrock)
    call = asyncio.create_task(make_runtime(bedrock, pool).converse(**HELLO))
    await gate.reached_by(1)
    await pool.aclose(grace=0.01)
    with pytest.raises(PoolClosedError, match='The client was closed while the call was in flight'):
        await call
    gate.opened.set()


async def test_the_client_of_an_agent_is_closed_when_the_last_context_is_left(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    providers = [_provider_of(make_runtime(bedrock, pool), bedrock) for _ in range(2)]
    agents = [Agent(BedrockConverseModel(MODEL, provider=provider)) for provider in providers]
    async with agents[0]:
        async with agents[1]:
            await asyncio.gather(*(agent.run('hello') for agent in agents))
            assert pool.stats().clients == 1
        assert pool.stats().clients == 1, 'the other agent still holds it'
    while pool.stats().clients:
        await asyncio.sleep(0)
    await agents[0].run('hello')
    assert pool.stats().opened == 2, 'a provider that was left may be used again'


async def test_no_secret_stands_in_a_repr(bedrock: LocalBedrock, pool: SessionPool) -> None:
    client = make_runtime(bedrock, pool, aws_session_token='secret-session-token')
    with await pool.lease(client.spec) as lease:
        texts = [repr(each) for each in (pool, client, client.spec, client.meta, lease, pool.stats())]
    for text in texts:
        assert bedrock.aws_secret_access_key not in text
        assert 'secret-session-token' not in text
