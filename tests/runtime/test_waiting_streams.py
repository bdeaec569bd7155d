"""Streams whose first event is a refusal: they wait like other calls, and end like them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError
from credential_sources import hello
from generation import eventually
from served_bedrock import make_runtime

from local_bedrock import Quota, Reply
from pydantic_ai_aiobedrock import ConverseEventStream
from pydantic_ai_aiobedrock._runtime.pacer import Pacer
from pydantic_ai_aiobedrock._runtime.pacing import Call, Pacing
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

from .test_pacer import nothing_waits, under

NOTHING_GETS_THROUGH = Quota(requests_per_second=0, in_stream=True)


async def waiting_stream(client: BedrockRuntime) -> tuple[ConverseEventStream, asyncio.Task[dict[str, Any]]]:
    """Return a stream, and the task that reads it, while it waits to be sent again."""
    stream: ConverseEventStream = (await client.converse_stream(**hello()))['stream']
    reading = asyncio.create_task(anext(stream))
    await eventually(lambda: any(pacing.waiting for pacing in client.pool.stats().pacing))
    return stream, reading


def nothing_is_in_flight(client: BedrockRuntime) -> bool:
    (loop_pool,) = client.pool._open_loops()
    pacers = [pacer for pacer in loop_pool._pacers.values() if isinstance(pacer, Pacer)]
    return nothing_waits(client) and not any(pacer._pacing.flying for pacer in pacers)


async def test_streams_of_which_nothing_gets_through_fail_with_the_state_of_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._runtime.pacer.PATIENCE', 1)
    async with under(NOTHING_GETS_THROUGH) as (_, client):

        async def read() -> None:
            async for _event in (await client.converse_stream(**hello()))['stream']:
                pass

        async with asyncio.timeout(30):
            outcomes = await asyncio.gather(*(read() for _ in range(3)), return_exceptions=True)
        for error in outcomes:
            assert isinstance(error, ClientError)
            assert 'no call of it got through for 1 s' in str(error)
        assert nothing_is_in_flight(client)


async def test_a_stream_that_another_task_closes_while_it_waits_is_not_sent_again() -> None:
    async with under(NOTHING_GETS_THROUGH) as (bedrock, client):
        stream, reading = await waiting_stream(client)
        stream.close()
        with pytest.raises(ResponseStreamingError, match='the stream has been closed'):
            await reading
        sent = len(bedrock.requests)
        bedrock.set_quotas()
        await client.converse(**hello('next'))
        assert [request.last_user_text for request in bedrock.requests[sent:]] == ['next']
        assert nothing_is_in_flight(client)


async def test_a_reader_that_is_cancelled_while_its_stream_waits_leaves_no_trace() -> None:
    async with under(NOTHING_GETS_THROUGH) as (bedrock, client):
        _, reading = await waiting_stream(client)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await eventually(lambda: nothing_is_in_flight(client))
        bedrock.set_quotas()
        await client.converse(**hello())


@pytest.mark.parametrize('by', ['closing it', 'cancelling its reader'])
async def test_a_stream_that_ends_as_it_is_opened_again_gives_its_connection_back(by: str) -> None:
    async with under(NOTHING_GETS_THROUGH) as (bedrock, unbounded):
        client = make_runtime(bedrock, unbounded.pool, max_connections=1)
        stream, reading = await waiting_stream(client)
        sending = stream._sending_again
        assert sending is not None
        bedrock.set_quotas()
        # Its reader does not know yet.
        sending.add_done_callback(lambda _: stream.close() if by == 'closing it' else reading.cancel())
        with pytest.raises((ResponseStreamingError, asyncio.CancelledError)):
            await reading
        await eventually(lambda: nothing_is_in_flight(client) and not bedrock.stats().in_flight)
        await client.converse(**hello())


async def test_a_stream_reports_the_tokens_that_it_has_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with under() as (bedrock, client):
        bedrock.reply(Reply('Hello', usage={'inputTokens': 40, 'outputTokens': 60}))

        async def read() -> None:
            async for _event in (await client.converse_stream(**hello()))['stream']:
                pass

        used: list[float | None] = []
        finished = Pacing.finished

        def noted(pacing: Pacing, call: Call, now: float, used_tokens: float | None = None) -> None:
            used.append(used_tokens)
            finished(pacing, call, now, used_tokens)

        monkeypatch.setattr(Pacing, 'finished', noted)
        await read()
        assert used == [100.0]
