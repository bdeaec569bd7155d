"""Leases, holds and pacers of a pool, each of which ends once, however often it is ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from generation import eventually
from served_bedrock import make_runtime

from local_bedrock import THROTTLING, LocalBedrock
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._pool import loop_pool
from pydantic_ai_aiobedrock._runtime.pacer import Pacer
from pydantic_ai_aiobedrock.errors import PoolTimeoutError

MODEL = 'us.amazon.nova-lite-v1:0'
HELLO: dict[str, Any] = {'modelId': MODEL, 'messages': [{'role': 'user', 'content': [{'text': 'hello'}]}]}


async def test_a_lease_that_is_released_twice_is_one_lease_less(bedrock: LocalBedrock, pool: SessionPool) -> None:
    spec = make_runtime(bedrock, pool).spec
    first, second = await pool.lease(spec), await pool.lease(spec)
    first.release()
    first.release()
    assert pool.stats().leases == 1
    second.release()
    assert pool.stats().leases == 0


async def test_a_lease_that_was_released_retires_no_client(bedrock: LocalBedrock, pool: SessionPool) -> None:
    spec = make_runtime(bedrock, pool).spec
    lease = await pool.lease(spec)
    lease.release()
    lease.retire()
    with await pool.lease(spec) as again:
        assert again.client is lease.client


async def test_a_hold_that_is_ended_twice_leaves_the_holds_of_others(bedrock: LocalBedrock, pool: SessionPool) -> None:
    client = make_runtime(bedrock, pool)
    end, end_of_other = await pool.hold(client.spec), await pool.hold(client.spec)
    await client.converse(**HELLO)
    end()
    end()
    assert pool.stats().clients == 1
    end_of_other()
    await eventually(lambda: pool.stats().clients == 0)


async def test_a_call_that_is_cancelled_as_its_wait_fails_is_cancelled_and_reports_nothing(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    spec = replace(make_runtime(bedrock, pool).spec, max_connections=1)
    with await pool.lease(spec):
        call = asyncio.create_task(pool.lease(spec))
        await eventually(lambda: pool.stats().waiting == 1)
        closing = asyncio.create_task(pool.aclose())
        await asyncio.sleep(0)
        assert pool.stats().waiting == 0, 'the wait has failed, and its call has not gone on yet'
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
    await closing


async def test_the_pacing_of_too_many_models_is_forgotten_unless_they_are_throttled(
    bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_pool, 'REMEMBERED_PACERS', 2)
    client = make_runtime(bedrock, pool)
    throttled, other = 'us.amazon.nova-pro-v1:0', 'us.amazon.nova-micro-v1:0'
    bedrock.fault(THROTTLING, model=throttled, times=1)
    for model in (throttled, MODEL, other):
        await client.converse(**{**HELLO, 'modelId': model})
    assert [stats.model for stats in pool.stats().pacing] == [throttled]
    made: list[str] = []

    def make(model: str) -> Pacer:
        made.append(model)
        return Pacer('chat', model, 'us-east-1')

    for model in (throttled, other, MODEL):
        await pool.pacer((client.spec, 'chat', model), partial(make, model))
    assert made == [MODEL]


async def test_the_bound_of_a_lease_counts_from_where_the_call_began(bedrock: LocalBedrock, pool: SessionPool) -> None:
    spec = replace(make_runtime(bedrock, pool).spec, max_connections=1)
    with await pool.lease(spec):
        an_hour_ago = asyncio.get_running_loop().time() - 3600
        with pytest.raises(PoolTimeoutError, match='became free in 3600 seconds'):
            await pool.lease(spec, 3600, an_hour_ago)
    assert pool.stats().leases == 0


async def test_pacers_that_cannot_be_forgotten_are_not_looked_through_for_each_that_is_new(
    bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_pool, 'REMEMBERED_PACERS', 8)
    looked_at = 0

    class Busy(Pacer):
        """A pacer that is always in use."""

        @property
        def is_idle(self) -> bool:
            nonlocal looked_at
            looked_at += 1
            return False

    for number in range(512):
        await pool.pacer((number,), partial(Busy, 'chat', f'model-{number}', 'us-east-1'))
    # Twice as many each time.
    assert looked_at <= 2 * 512


async def test_a_queue_that_has_ended_is_forgotten(bedrock: LocalBedrock, pool: SessionPool) -> None:
    spec = replace(make_runtime(bedrock, pool).spec, max_connections=1)
    other = replace(spec, max_connections=2)
    with await pool.lease(spec):
        waiting = asyncio.create_task(pool.lease(spec))
        await eventually(lambda: pool.stats().waiting == 1)
        # Nobody waits for this client.
        (await pool.lease(other)).release()
    (await waiting).release()
    (loop,) = pool._open_loops()
    assert not loop._granted_at
    assert not loop._waiting
