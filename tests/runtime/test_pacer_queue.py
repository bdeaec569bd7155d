"""The queue of a throttled model: who leaves it, when, and in which state."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import weakref
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError
from credential_sources import hello
from generation import eventually
from served_bedrock import make_runtime

from local_bedrock import THROTTLING, ErrorReply, Quota
from pydantic_ai_aiobedrock import PoolClosedError
from pydantic_ai_aiobedrock._config.call_options import CallOptions
from pydantic_ai_aiobedrock._runtime.pacer import Pacer, PatienceEndedError
from pydantic_ai_aiobedrock._runtime.pacing import Call, Pacing

from .test_pacer import many, nothing_waits, under

HELD_BACK = 0.05

REFUSAL = ClientError({'Error': {'Code': 'ThrottlingException', 'Message': 'Too many requests.'}}, 'Converse')


async def throttled() -> tuple[Pacer, asyncio.Task[None]]:
    """Return a pacer, and a task that waits in it for its turn to be sent again."""
    pacer = Pacer('chat', 'a-model', 'us-east-1')
    await pacer.admit(call := Call(), None)
    waiting = asyncio.create_task(pacer.refused(call, REFUSAL, 'requests', HELD_BACK, None))
    await asyncio.sleep(0)
    assert pacer.stats().waiting == 1
    return pacer, waiting


async def test_a_call_that_is_cancelled_as_its_turn_comes_leaves_no_trace() -> None:
    pacer, waiting = await throttled()
    waiting.cancel()
    time.sleep(HELD_BACK)
    # The turn comes before the task has noticed that it is cancelled.
    pacer._wake()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (pacer.stats().waiting, pacer._pacing.flying) == (0, 0)


async def test_a_call_that_is_cancelled_as_its_patience_ends_leaves_no_trace() -> None:
    pacer, waiting = await throttled()
    pacer._pacing.patience = 0.0
    waiting.cancel()
    pacer._wake()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (pacer.stats().waiting, pacer._pacing.flying) == (0, 0)


async def test_a_call_that_is_cancelled_as_the_pool_is_closed_is_cancelled() -> None:
    pacer, waiting = await throttled()
    staying = asyncio.create_task(pacer.admit(Call(), None))
    await asyncio.sleep(0)
    waiting.cancel()
    pacer.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(PoolClosedError):
        await staying
    assert pacer.stats().waiting == 0


async def test_the_pacer_of_a_model_that_nobody_asks_is_closed_without_a_timer() -> None:
    pacer = Pacer('chat', 'a-model', 'us-east-1')
    assert pacer.is_idle
    pacer.close()
    assert pacer.is_idle


async def test_a_call_whose_patience_ends_in_the_queue_raises() -> None:
    pacer, waiting = await throttled()
    pacer._pacing.patience = 0.0
    pacer._wake()
    with pytest.raises(PatienceEndedError):
        await waiting


async def test_a_call_that_was_let_go_by_the_queue_is_not_taken_back() -> None:
    pacer, waiting = await throttled()
    await waiting
    call = next(iter(pacer._pacing._flights.values()))
    assert call.paced
    await pacer.recall(call, None)
    assert pacer._pacing.flying == 1
    pacer.finished(call)


async def test_a_new_call_gives_up_in_the_queue_after_its_pool_timeout() -> None:
    async with under(Quota(requests_per_second=0)) as (bedrock, client):
        waiting = asyncio.create_task(client.converse(**hello()))
        await eventually(lambda: any(pacing.waiting for pacing in client.pool.stats().pacing))
        sent = len(bedrock.requests)
        with pytest.raises(ClientError, match='Bedrock throttles'):
            await client.call('converse', hello('late'), CallOptions(pool_timeout=0.05))
        assert all(request.last_user_text != 'late' for request in bedrock.requests[sent:])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert nothing_waits(client)


async def test_a_call_that_waited_for_a_connection_joins_the_queue_when_throttling_becomes_known() -> None:
    async with under(Quota(requests_per_second=0)) as (bedrock, client):
        narrow = make_runtime(bedrock, client.pool, max_connections=1)
        first = asyncio.create_task(narrow.converse(**hello('first')))
        second = asyncio.create_task(narrow.call('converse', hello('second'), CallOptions(pool_timeout=1.0)))
        with pytest.raises(ClientError, match='Bedrock throttles'):
            await second
        assert all(request.last_user_text == 'first' for request in bedrock.requests)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert nothing_waits(client)


async def test_a_stream_that_is_not_to_wait_raises_at_a_refusal_that_is_its_first_event() -> None:
    async with under(Quota(requests_per_second=0, in_stream=True)) as (bedrock, client):
        stream = (await client.call('converse_stream', hello(), CallOptions(throttling='raise')))['stream']
        with pytest.raises(EventStreamError, match='throttlingException'):
            await anext(stream)
        assert len(bedrock.requests) == 1
        assert client.pool.stats().leases == 0


async def test_the_end_of_throttling_is_announced(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, 'pydantic_ai_aiobedrock')
    async with under(Quota(requests_per_second=10, burst=2)) as (_, client):
        await many(client, 20)
        monkeypatch.setattr('pydantic_ai_aiobedrock._runtime.pacing.RECOVERED', 0.0)
        await client.converse(**hello())
        assert client.pool.stats().pacing == () or not client.pool.stats().pacing[0].throttling
    assert [record.getMessage().split(' ')[1] for record in caplog.records] == ['throttles', 'no']


async def test_the_end_of_throttling_is_announced_though_nobody_calls(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, 'pydantic_ai_aiobedrock')
    monkeypatch.setattr('pydantic_ai_aiobedrock._runtime.pacing.RECOVERED', 1.0)
    async with under(Quota(requests_per_second=10, burst=2)) as (_, client):
        await many(client, 20)
        await eventually(lambda: not client.pool.stats().pacing[0].throttling)
    assert [record.getMessage().split(' ')[1] for record in caplog.records] == ['throttles', 'no']


async def test_the_pool_timeout_of_a_call_bounds_all_of_its_waits_together() -> None:
    async with under() as (bedrock, client):
        await client.converse(**hello())
        # Each refusal begins a wait, which is shorter than the timeout; nothing but the timeout ends them.
        refusal = ErrorReply(429, 'ThrottlingException', 'Not now.', headers={'Retry-After': '0.3'})
        bedrock.fault(refusal)
        with pytest.raises(ClientError, match='the `timeout` of the call ended before its turn came'):
            await client.call('converse', hello('late'), CallOptions(pool_timeout=0.8))
        assert nothing_waits(client)


async def test_a_call_that_is_throttled_after_the_pool_was_closed_does_not_wait() -> None:
    pacer = Pacer('chat', 'a-model', 'us-east-1')
    await pacer.admit(call := Call(), None)
    pacer.close()
    with pytest.raises(PoolClosedError):
        await pacer.refused(call, REFUSAL, 'requests', 60.0, None)
    assert (pacer.stats().waiting, pacer._pacing.flying) == (0, 0)


async def test_a_throttled_model_holds_on_to_no_conversation() -> None:
    class Conversation(list[Any]):
        """A list that can be referred to weakly."""

    async with under() as (bedrock, client):
        bedrock.fault(THROTTLING, times=1)
        params = hello()
        messages = weakref.ref(conversation := Conversation(params['messages']))
        params['messages'] = conversation
        await client.converse(**params)
        del params, conversation
        gc.collect()
        assert client.pool.stats().pacing[0].throttled == 1
        assert messages() is None


def test_calls_that_wait_when_their_loop_is_closed_end_quietly() -> None:
    async def wait() -> Sequence[Coroutine[Any, Any, None]]:
        pacer, calls = Pacer('chat', 'a-model', 'us-east-1'), (Call(), Call())
        for call in calls:
            await pacer.admit(call, None)
        waits = [pacer.refused(call, REFUSAL, 'requests', 60.0, None) for call in calls]
        for each in waits:
            each.send(None)
        return waits

    loop = asyncio.new_event_loop()
    waits = loop.run_until_complete(wait())
    loop.close()
    for each in waits:
        # Like the garbage collector.
        each.close()


# The machine beneath


def test_a_late_refusal_of_the_first_burst_does_not_change_a_rate_that_was_measured() -> None:
    pacing = Pacing()
    early, *calls = [Call() for _ in range(40)]
    for call in (early, *calls):
        pacing.admit(call, 0.0)
    for call in calls:
        pacing.refused(call, 0.02)
    now = 0.02
    while not pacing.learned:
        now += 0.5
        released = pacing.due(now).released
        if released:
            pacing.refused(released[-1], now)
    before = pacing.report(now).rate
    pacing.refused(early, now)
    assert pacing.report(now).rate == before


def test_a_model_that_nobody_asked_for_an_hour_after_a_refusal_is_asked_again() -> None:
    pacing = Pacing()
    pacing.admit(refused := Call(), 0.0)
    pacing.refused(refused, 0.1)
    pacing.cancelled(refused, 0.2)
    assert pacing.due(3600.0).released == ()
    assert pacing.admit(Call(), 3600.0)


def test_a_turn_that_comes_at_once_is_taken_on_uvloop() -> None:
    # There, a timer that is due at once is a plain handle, which has no time.
    uvloop = pytest.importorskip('uvloop', reason='the behaviour of its timers is tested')

    async def both() -> int:
        pacer = Pacer('chat', 'a-model', 'us-east-1')
        calls = Call(), Call()
        for call in calls:
            await pacer.admit(call, None)
        await asyncio.gather(*(pacer.refused(call, REFUSAL, 'requests', 1e-4, None) for call in calls))
        return pacer.stats().waiting

    assert uvloop.run(both()) == 0
