"""The session pool over LocalBedrock: sharing, bounds, waiting, idling, statistics and both speeds of closing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from categories import ModelTimeoutError
from credential_sources import Gate
from generation import eventually
from pydantic_ai import Agent
from served_bedrock import make_provider, make_runtime

from local_bedrock import ErrorReply, LocalBedrock, Truncate
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, PoolTimeoutError, SessionPool
from pydantic_ai_aiobedrock._config.call_options import CallOptions
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

MODEL = 'us.amazon.nova-lite-v1:0'
HELLO: dict[str, Any] = {'modelId': MODEL, 'messages': [{'role': 'user', 'content': [{'text': 'hello'}]}]}


def _provider_of(client: BedrockRuntime, bedrock: LocalBedrock) -> BedrockProvider:
    return make_provider(bedrock, client.pool, max_connections=client.spec.max_connections)


# Sharing


async def test_a_thousand_models_with_equal_specs_share_one_client_opened_once(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    models = [
        BedrockConverseModel(
            MODEL,
            provider=make_provider(bedrock, pool),
        )
        for _ in range(1000)
    ]
    answers = await asyncio.gather(*(model.client.converse(**HELLO) for model in models))
    assert len(answers) == 1000
    assert len(bedrock.requests) == 1000
    stats = pool.stats()
    assert (stats.clients, stats.opened, stats.evicted, stats.leases, stats.waiting) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    'difference',
    [
        {'region_name': 'eu-west-1'},
        {'base_url': 'http://127.0.0.1:9'},
        {'aws_session_token': 'another'},
        {'aws_read_timeout': 17.0},
        {'aws_connect_timeout': 17.0},
        {'max_connections': 17},
        {'config': AioConfig(retries={'mode': 'adaptive'})},
    ],
    ids=lambda difference: next(iter(difference)),
)
async def test_a_spec_that_differs_has_a_client_of_its_own(
    bedrock: LocalBedrock, pool: SessionPool, difference: dict[str, Any]
) -> None:
    one, other = make_runtime(bedrock, pool), make_runtime(bedrock, pool, **difference)
    with await pool.lease(one.spec) as lease, await pool.lease(other.spec) as other_lease:
        assert lease.client is not other_lease.client
    assert pool.stats().clients == 2


async def test_a_client_made_under_other_aws_variables_is_another(
    bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_runtime(bedrock, pool)
    monkeypatch.setenv('AWS_PROFILE', 'default')
    assert make_runtime(bedrock, pool).spec != one.spec


# Bounds


async def test_the_least_recently_used_idle_client_makes_room_for_another(bedrock: LocalBedrock) -> None:
    pool = SessionPool(max_clients=2)
    a, b, c = (make_runtime(bedrock, pool, aws_read_timeout=seconds) for seconds in (1.0, 2.0, 3.0))
    for each in (a, b, a, c):
        await each.converse(**HELLO)
    assert pool.stats().evicted == 1
    opened = pool.stats().opened
    await a.converse(**HELLO)
    assert pool.stats().opened == opened, 'b was used least recently, not a'
    await pool.aclose()


async def test_a_client_with_a_call_in_flight_is_never_evicted(bedrock: LocalBedrock) -> None:
    """While every client is in use, a call for another one waits, and gets its turn when one becomes idle."""
    pool = SessionPool(max_clients=1)
    gate = Gate(bedrock)
    a, b = make_runtime(bedrock, pool, aws_read_timeout=1.0), make_runtime(bedrock, pool, aws_read_timeout=2.0)
    first = asyncio.create_task(a.converse(**HELLO))
    await gate.reached_by(1)
    second = asyncio.create_task(b.converse(**HELLO))
    while not pool.stats().waiting:
        await asyncio.sleep(0)
    assert (pool.stats().clients, pool.stats().evicted) == (1, 0)
    gate.opened.set()
    await asyncio.gather(first, second)
    assert (pool.stats().opened, pool.stats().evicted) == (2, 1)
    await pool.aclose()


async def test_a_client_with_an_open_stream_is_never_evicted(bedrock: LocalBedrock) -> None:
    pool = SessionPool(max_clients=1)
    a, b = make_runtime(bedrock, pool, aws_read_timeout=1.0), make_runtime(bedrock, pool, aws_read_timeout=2.0)
    async with (await a.converse_stream(**HELLO))['stream']:
        with pytest.raises(PoolTimeoutError):
            await pool.lease(b.spec, pool_timeout=0.05)
    await b.converse(**HELLO)
    await pool.aclose()


async def test_an_idle_client_is_closed_after_its_time(bedrock: LocalBedrock) -> None:
    pool = SessionPool(idle_timeout=0.05)
    client = make_runtime(bedrock, pool)
    await client.converse(**HELLO)
    assert bedrock.stats().open_connections == 1
    while pool.stats().clients or bedrock.stats().open_connections:
        await asyncio.sleep(0.01)
    assert (pool.stats().opened, pool.stats().evicted, pool.stats().connections_opened) == (1, 1, 1)
    await client.converse(**HELLO)
    assert pool.stats().opened == 2
    await pool.aclose()


async def test_a_client_that_is_used_or_held_outlives_the_idle_timeout(bedrock: LocalBedrock) -> None:
    pool = SessionPool(idle_timeout=0.02)
    used, held = make_runtime(bedrock, pool, aws_read_timeout=1.0), make_runtime(bedrock, pool, aws_read_timeout=2.0)
    end = await pool.hold(held.spec)
    await held.converse(**HELLO)
    async with (await used.converse_stream(**HELLO))['stream'] as stream:
        await anext(stream)
        passing = make_runtime(bedrock, pool, aws_read_timeout=3.0)
        await passing.converse(**HELLO)
        while pool.stats().evicted < 1:
            await asyncio.sleep(0.01)
        assert pool.stats().clients == 2
    end()
    while pool.stats().clients:
        await asyncio.sleep(0.01)
    await pool.aclose()


def test_a_pool_shows_how_long_a_call_waits_in_it() -> None:
    assert SessionPool(pool_timeout=7).pool_timeout == 7


async def test_a_client_that_is_held_but_idle_makes_room_for_another_if_no_other_can(bedrock: LocalBedrock) -> None:
    """Providers that are entered, one per tenant, do not fill the pool for good."""
    pool = SessionPool(max_clients=2, pool_timeout=15)
    held, idle, other, last = (
        make_runtime(bedrock, pool, aws_read_timeout=seconds) for seconds in (1.0, 2.0, 3.0, 4.0)
    )
    ends = [await pool.hold(client.spec) for client in (held, other)]
    for client in (held, idle, other):
        await client.converse(**HELLO)
    with await pool.lease(held.spec):
        pass
    assert pool.stats().opened == 3, 'the idle client made room, though the held one was used before it'
    await last.converse(**HELLO)
    await held.converse(**HELLO)
    assert pool.stats().clients == 2
    for end in ends:
        end()
    await pool.aclose()


async def test_a_client_that_is_held_costs_no_wakeups_while_it_is_idle(bedrock: LocalBedrock) -> None:
    pool = SessionPool(idle_timeout=0.02)
    client = make_runtime(bedrock, pool)
    end = await pool.hold(client.spec)
    await client.converse(**HELLO)
    (loop_pool,) = pool._loops.values()
    await eventually(lambda: loop_pool._sweep is None)
    assert pool.stats().clients == 1
    end()
    await eventually(lambda: pool.stats().clients == 0)
    await pool.aclose()


async def test_a_lease_retires_the_client_that_it_is_of_and_no_newer_one(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    client = make_runtime(bedrock, pool)
    old, older = await pool.lease(client.spec), await pool.lease(client.spec)
    old.retire()
    with await pool.lease(client.spec) as new:
        older.retire()
        older.release()
        old.release()
        with await pool.lease(client.spec) as newer:
            assert newer.client is new.client
    assert pool.stats().opened == 2


# Waiting


async def test_a_wait_for_room_in_the_pool_names_max_clients(bedrock: LocalBedrock) -> None:
    pool = SessionPool(max_clients=1)
    one, other = make_runtime(bedrock, pool, aws_read_timeout=1.0), make_runtime(bedrock, pool, aws_read_timeout=2.0)
    with await pool.lease(one.spec), pytest.raises(PoolTimeoutError) as caught:
        await pool.lease(other.spec, pool_timeout=0.05)
    assert str(caught.value) == (
        f'No connection to {bedrock.base_url} became free in 0.05 seconds: the SessionPool has 1 clients '
        '(`max_clients` is 1), none of them idle. Raise `max_clients` of the SessionPool, or give the providers equal '
        'arguments, so that they share a client.'
    )
    await pool.aclose()


async def test_a_thousand_calls_are_in_flight_by_default(bedrock: LocalBedrock, pool: SessionPool) -> None:
    gate = Gate(bedrock)
    client = make_runtime(bedrock, pool)
    calls = [asyncio.create_task(client.converse(**HELLO)) for _ in range(1000)]
    await gate.reached_by(1000)
    stats = pool.stats()
    assert (stats.leases, stats.in_flight, stats.waiting, stats.connections) == (1000, 1000, 0, 1000)
    gate.opened.set()
    await asyncio.gather(*calls)


async def test_a_call_between_two_attempts_has_a_client_and_no_connection(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    bedrock.fault(ErrorReply(500, 'InternalServerException', 'Not now.', headers={'Retry-After': '15'}))
    call = asyncio.create_task(make_runtime(bedrock, pool).converse(**HELLO))
    await eventually(lambda: len(bedrock.requests) == 1 and pool.stats().in_flight == 0)
    assert (pool.stats().leases, pool.stats().in_flight, pool.stats().connections) == (1, 0, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pool.stats().leases == 0


async def test_a_stream_is_in_flight_until_it_has_arrived_or_is_closed(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    client = make_runtime(bedrock, pool)
    async for _ in (await client.converse_stream(**HELLO))['stream']:
        pass
    assert pool.stats().in_flight == 0
    bedrock.fault(Truncate(200, 'hang'))
    stream = (await client.converse_stream(**HELLO))['stream']
    assert pool.stats().in_flight == 1
    stream.close()
    assert pool.stats().in_flight == 0


async def test_a_call_beyond_max_connections_waits_its_turn(bedrock: LocalBedrock, pool: SessionPool) -> None:
    gate = Gate(bedrock)
    client = make_runtime(bedrock, pool, max_connections=3)
    calls = [asyncio.create_task(client.converse(**HELLO)) for _ in range(10)]
    await gate.reached_by(3)
    assert (pool.stats().leases, pool.stats().waiting) == (3, 7)
    assert repr(pool) == ('<SessionPool [Clients: 1 open, 0 idle | Calls: 3 in flight, 7 waiting | Connections: 3]>')
    gate.opened.set()
    await asyncio.gather(*calls)
    assert bedrock.stats().max_in_flight == 3
    assert repr(pool) == '<SessionPool [Clients: 1 open, 1 idle | Calls: 0 in flight, 0 waiting | Connections: 3]>'


async def test_the_wait_for_a_connection_is_bounded_and_says_so(bedrock: LocalBedrock) -> None:
    pool = SessionPool(pool_timeout=0.05)
    gate = Gate(bedrock)
    client = make_runtime(bedrock, pool, max_connections=1)
    (await pool.lease(client.spec, pool_timeout=15)).release()
    first = asyncio.create_task(client.converse(**HELLO))
    await gate.reached_by(1)
    with pytest.raises(PoolTimeoutError) as caught:
        await client.converse(**HELLO)
    assert str(caught.value) == (
        f'No connection to {bedrock.base_url} became free in 0.05 seconds: 1 calls are in flight (`max_connections` is '
        '1) and 0 are waiting. Run fewer agents at once, or raise `max_connections` of the provider or `pool_timeout` '
        'of its SessionPool.'
    )
    assert pool.stats().waiting == 0
    gate.opened.set()
    await first
    await pool.aclose()


async def test_an_agent_that_waited_too_long_fails_with_a_timeout_of_pydantic_ai(bedrock: LocalBedrock) -> None:
    pool = SessionPool(pool_timeout=0.05)
    gate = Gate(bedrock)
    client = make_runtime(bedrock, pool, max_connections=1)
    (await pool.lease(client.spec, pool_timeout=15)).release()
    first = asyncio.create_task(client.converse(**HELLO))
    await gate.reached_by(1)
    agent = Agent(BedrockConverseModel(MODEL, provider=_provider_of(client, bedrock)))
    with pytest.raises(ModelTimeoutError, match=r'became free in 0\.05 seconds'):
        await agent.run('hello')
    gate.opened.set()
    await first
    await pool.aclose()


async def test_a_cancelled_wait_leaves_the_queue(bedrock: LocalBedrock, pool: SessionPool) -> None:
    gate = Gate(bedrock)
    client = make_runtime(bedrock, pool, max_connections=1)
    first = asyncio.create_task(client.converse(**HELLO))
    await gate.reached_by(1)
    second = asyncio.create_task(client.converse(**HELLO))
    third = asyncio.create_task(client.converse(**HELLO))
    while pool.stats().waiting < 2:
        await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    assert pool.stats().waiting == 1
    gate.opened.set()
    await asyncio.gather(first, third)
    assert (pool.stats().leases, pool.stats().waiting) == (0, 0)


async def test_a_lease_granted_to_a_call_that_is_cancelled_at_that_moment_goes_to_the_next(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    client = make_runtime(bedrock, pool, max_connections=1)
    lease = await pool.lease(client.spec)
    second = asyncio.create_task(pool.lease(client.spec))
    third = asyncio.create_task(pool.lease(client.spec))
    while pool.stats().waiting < 2:
        await asyncio.sleep(0)
    lease.release()
    second.cancel()
    (await third).release()
    assert second.cancelled()
    assert (pool.stats().leases, pool.stats().waiting) == (0, 0)


async def test_calls_are_served_in_the_order_they_came(bedrock: LocalBedrock, pool: SessionPool) -> None:
    client = make_runtime(bedrock, pool, max_connections=1)
    order: list[int] = []

    async def call(number: int) -> None:
        with await pool.lease(client.spec):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(call(number) for number in range(20)))
    assert order == list(range(20))


# Opening


async def test_a_client_that_cannot_be_opened_fails_every_call_that_waits_and_is_tried_again(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    client = make_runtime(bedrock, pool)
    broken = replace(client.spec, profile_name='gone')
    outcomes = await asyncio.gather(*(pool.lease(broken) for _ in range(3)), return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ['ProfileNotFound'] * 3
    assert (pool.stats().clients, pool.stats().waiting) == (0, 0)
    (await pool.lease(client.spec)).release()


async def test_a_call_that_is_cancelled_while_its_client_opens_does_not_cancel_the_others(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    client = make_runtime(bedrock, pool)
    first, second = (asyncio.create_task(client.converse(**HELLO)) for _ in range(2))
    while pool.stats().waiting < 2:
        await asyncio.sleep(0)
    first.cancel()
    await second
    assert pool.stats().opened == 1


async def test_a_queue_that_moves_outlasts_the_pool_timeout() -> None:
    pool = SessionPool(pool_timeout=1)
    async with LocalBedrock(latency=0.4) as bedrock:
        client = make_runtime(bedrock, pool, max_connections=1)
        await asyncio.gather(*(client.converse(**HELLO) for _ in range(5)))
        assert pool.stats().leases == 0
        first = asyncio.create_task(client.converse(**HELLO))
        await eventually(lambda: pool.stats().leases == 1)
        with pytest.raises(PoolTimeoutError):
            await client.call('converse', HELLO, CallOptions(pool_timeout=0.1))
        await first
        await pool.aclose()
