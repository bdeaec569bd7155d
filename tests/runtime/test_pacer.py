"""Calls under quotas, over HTTP: they wait while others of their model get through, and each is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError
from credential_sources import MODEL, hello
from generation import eventually
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError, UserError
from pydantic_ai.models.fallback import FallbackModel
from served_bedrock import make_provider, make_runtime

from local_bedrock import THROTTLING, ErrorReply, LocalBedrock, Quota, Reply
from pydantic_ai_aiobedrock import (
    BedrockConverseModel,
    BedrockModelSettings,
    PoolClosedError,
    SessionPool,
)
from pydantic_ai_aiobedrock._config.call_options import CallOptions
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

OTHER_MODEL = 'us.amazon.nova-micro-v1:0'


@asynccontextmanager
async def under(*quotas: Quota, **arguments: Any) -> AsyncIterator[tuple[LocalBedrock, BedrockRuntime]]:
    """Yield a LocalBedrock with quotas, and a client of it."""
    pool = SessionPool()
    async with LocalBedrock(quotas=quotas, **arguments) as bedrock:
        yield bedrock, make_runtime(bedrock, pool)
        await pool.aclose()


async def many(client: BedrockRuntime, calls: int) -> list[dict[str, Any]]:
    return await asyncio.gather(*(client.converse(**hello(str(number))) for number in range(calls)))


def nothing_waits(client: BedrockRuntime) -> bool:
    stats = client.pool.stats()
    return not stats.leases and not stats.waiting and not any(pacing.waiting for pacing in stats.pacing)


# Every call is answered


async def test_every_call_under_a_quota_of_requests_is_answered() -> None:
    async with under(Quota(requests_per_second=40, burst=10)) as (bedrock, client):
        assert len(await many(client, 60)) == 60
        assert bedrock.stats().throttled > 0
        assert nothing_waits(client)


async def test_every_call_under_a_quota_of_tokens_is_answered() -> None:
    async with under(Quota(tokens_per_second=1000, token_burst=400), latency=0.2) as (bedrock, client):
        bedrock.reply(Reply('Hello', usage={'inputTokens': 5, 'outputTokens': 5}), times=None)
        params = {**hello(), 'inferenceConfig': {'maxTokens': 90}}
        answers = await asyncio.gather(*(client.converse(**params) for _ in range(40)))
        assert len(answers) == 40
        (pacing,) = client.pool.stats().pacing
        assert pacing.quota == 'tokens'


async def test_a_call_that_is_larger_than_the_quota_does_not_keep_the_others_waiting() -> None:
    async with under(Quota(tokens_per_second=4000, token_burst=2000)) as (_, client):

        def call(max_tokens: int) -> Coroutine[Any, Any, dict[str, Any]]:
            return client.converse(**hello(), inferenceConfig={'maxTokens': max_tokens})

        large = asyncio.create_task(call(9000))
        async with asyncio.timeout(30):
            assert len(await asyncio.gather(*(call(100) for _ in range(60)))) == 60
        assert not large.done()
        large.cancel()
        with pytest.raises(asyncio.CancelledError):
            await large


async def test_a_call_that_is_larger_than_the_quota_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._runtime.pacer.PATIENCE', 1)
    async with under(Quota(tokens_per_second=4000, token_burst=2000)) as (_, client):
        with pytest.raises(ClientError, match='Lower `max_tokens`, ask for a higher quota'):
            await client.converse(**hello(), inferenceConfig={'maxTokens': 9000})


async def test_two_pools_that_share_a_quota_both_come_to_their_end() -> None:
    async with under(Quota(requests_per_second=40, burst=5)) as (bedrock, client):
        pool = SessionPool()
        both = await asyncio.gather(many(client, 30), many(make_runtime(bedrock, pool), 30))
        assert [len(answers) for answers in both] == [30, 30]
        await pool.aclose()


@pytest.mark.parametrize('in_stream', [False, True], ids=['before the stream', 'as its first event'])
async def test_a_stream_that_is_refused_is_sent_again_and_seen_whole(in_stream: bool) -> None:
    async with under(Quota(requests_per_second=20, burst=2, in_stream=in_stream)) as (bedrock, client):
        bedrock.reply('Once upon a time', times=None)

        async def read() -> str:
            text = ''
            async for event in (await client.converse_stream(**hello()))['stream']:
                text += event.get('contentBlockDelta', {}).get('delta', {}).get('text', '')
            return text

        assert await asyncio.gather(*(read() for _ in range(12))) == ['Once upon a time'] * 12
        assert bedrock.stats().throttled > 0
        assert nothing_waits(client)


async def test_first_come_is_first_served() -> None:
    async with under(Quota(requests_per_second=20, burst=1)) as (bedrock, unbounded):
        # Of several connections, any may be the first to reach the server.
        client = make_runtime(bedrock, unbounded.pool, max_connections=1)
        await client.converse(**hello('first'))
        bedrock.requests.clear()
        await many(client, 8)
        answered = [request.last_user_text for request in bedrock.requests if request.status == 200]
        assert answered == [str(number) for number in range(8)]


async def test_nothing_is_held_back_before_a_refusal() -> None:
    async with under(latency=60) as (bedrock, client):
        await client.warm_up()
        calls = asyncio.create_task(many(client, 500))
        await eventually(lambda: bedrock.stats().in_flight == 500)
        calls.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls


async def test_the_other_models_of_a_client_are_not_held_back() -> None:
    async with under(Quota(requests_per_second=0, model=MODEL)) as (_, client):
        waiting = asyncio.create_task(client.converse(**hello()))
        await eventually(lambda: client.pool.stats().pacing[0].waiting == 1 if client.pool.stats().pacing else False)
        await client.converse(**{**hello(), 'modelId': OTHER_MODEL})
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_retry_after_holds_the_model_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with under() as (bedrock, client):
        bedrock.fault(ErrorReply(429, 'ThrottlingException', 'Not now.', headers={'Retry-After': '1'}), times=1)
        began = asyncio.get_running_loop().time()
        await client.converse(**hello())
        assert asyncio.get_running_loop().time() - began >= 1


@pytest.mark.parametrize('header', ['Retry-After', 'x-amz-retry-after'])
@pytest.mark.parametrize('nonsense', ['Fri, 31 Dec 99999999999 23:59:59 GMT', 'nan'])
@pytest.mark.parametrize('refusal', [(429, 'ThrottlingException'), (503, 'ServiceUnavailableException')])
async def test_a_wait_that_cannot_be_read_is_none(header: str, nonsense: str, refusal: tuple[int, str]) -> None:
    async with under() as (bedrock, client):
        bedrock.fault(ErrorReply(*refusal, 'Not now.', headers={header: nonsense}), times=1)
        async with asyncio.timeout(30):
            await client.converse(**hello())
        assert [request.status for request in bedrock.requests] == [refusal[0], 200]
        assert nothing_waits(client)


# Where patience ends


async def test_a_call_of_which_nothing_gets_through_fails_with_the_state_of_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._runtime.pacer.PATIENCE', 1)
    async with under(Quota(requests_per_second=0)) as (_, client):
        outcomes = await asyncio.gather(*(client.converse(**hello()) for _ in range(5)), return_exceptions=True)
        for error in outcomes:
            assert isinstance(error, ClientError)
            assert error.response['Error']['Code'] == 'ThrottlingException'
            assert f'Bedrock throttles {MODEL} in us-east-1: no call of it got through for 1 s' in str(error)
        assert nothing_waits(client)


@pytest.mark.parametrize(
    ('refusal', 'remedy'),
    [((429, 'ThrottlingException'), 'Ask for a higher quota'), ((503, 'ServiceUnavailableException'), 'Try later')],
)
async def test_a_wait_in_vain_ends_with_the_remedy_for_its_refusal(
    refusal: tuple[int, str], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._runtime.pacer.PATIENCE', 1)
    async with under() as (bedrock, client):
        bedrock.fault(ErrorReply(*refusal, 'Not now.', headers={'Retry-After': '1'}))
        with pytest.raises(ClientError, match=rf'\. {remedy}, send less at once, or use another region or model\.'):
            await client.converse(**hello())


async def test_a_quota_per_day_is_not_waited_for() -> None:
    async with under(Quota(tokens_per_day=1)) as (bedrock, client):
        with pytest.raises(ClientError, match='per day'):
            await client.converse(**hello())
        assert len(bedrock.requests) == 1


@pytest.mark.parametrize('by', ['the provider', 'the request'])
async def test_a_call_that_is_not_to_wait_raises_at_its_first_refusal(bedrock: LocalBedrock, by: str) -> None:
    bedrock.fault(THROTTLING)
    async with make_provider(bedrock, throttling='raise' if by == 'the provider' else 'wait') as provider:
        settings = BedrockModelSettings(bedrock_throttling='raise') if by == 'the request' else None
        with pytest.raises(ModelHTTPError) as raised:
            await Agent(BedrockConverseModel(MODEL, provider=provider)).run('Hello', model_settings=settings)
    assert raised.value.status_code == 429
    assert len(bedrock.requests) == 1


async def test_a_fallback_goes_on_at_once_when_the_first_model_is_throttled(bedrock: LocalBedrock) -> None:
    bedrock.fault(THROTTLING, model=MODEL)
    async with make_provider(bedrock, throttling='raise') as provider:
        models = [BedrockConverseModel(name, provider=provider) for name in (MODEL, OTHER_MODEL)]
        result = await Agent(FallbackModel(*models)).run('Hello')
    assert [request.model_id for request in bedrock.requests] == [MODEL, OTHER_MODEL]
    assert result.output


async def test_the_pool_timeout_of_a_call_bounds_its_wait_in_the_queue() -> None:
    async with under(Quota(requests_per_second=0)) as (_, client):
        # The wait for an opening is bounded, too.
        await client.warm_up()
        with pytest.raises(ClientError, match='ThrottlingException'):
            await client.call('converse', hello(), CallOptions(pool_timeout=0.3))
        assert nothing_waits(client)


@pytest.mark.parametrize('where', ['provider', 'request'])
async def test_a_word_that_is_no_way_to_meet_throttling_is_refused(bedrock: LocalBedrock, where: str) -> None:
    wrong: Any = 'retry'
    settings: Any = {'bedrock_throttling': wrong}

    async def run() -> None:
        async with make_provider(bedrock, throttling=wrong if where == 'provider' else 'wait') as provider:
            await Agent(BedrockConverseModel(MODEL, provider=provider)).run('Hello', model_settings=settings)

    with pytest.raises(UserError, match=r"throttling` .*must be 'wait' or 'raise', not 'retry'"):
        await run()


# Leaving the queue


async def test_cancelled_calls_leave_no_trace_in_the_queue() -> None:
    async with under(Quota(requests_per_second=0)) as (_, client):
        calls = [asyncio.create_task(client.converse(**hello())) for _ in range(5)]
        await eventually(lambda: sum(pacing.waiting for pacing in client.pool.stats().pacing) == 5)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert nothing_waits(client)


async def test_closing_the_pool_fails_the_calls_that_wait() -> None:
    async with under(Quota(requests_per_second=0)) as (_, client):
        call = asyncio.create_task(client.converse(**hello()))
        await eventually(lambda: any(pacing.waiting for pacing in client.pool.stats().pacing))
        await client.pool.aclose()
        with pytest.raises(PoolClosedError):
            await call


async def test_closing_a_stream_that_waits_to_be_sent_again_ends_it() -> None:
    async with under(Quota(requests_per_second=0, in_stream=True)) as (_, client):
        stream = (await client.converse_stream(**hello()))['stream']
        reading = asyncio.create_task(anext(stream))
        await eventually(lambda: any(pacing.waiting for pacing in client.pool.stats().pacing))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert nothing_waits(client)


# What is seen of it


async def test_throttling_is_announced_once_and_shown_by_model(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, 'pydantic_ai_aiobedrock')
    async with under(Quota(requests_per_second=40, burst=5)) as (_, client):
        await many(client, 100)
        (pacing,) = client.pool.stats().pacing
        assert (pacing.model, pacing.family, pacing.region) == (MODEL, 'chat', 'us-east-1')
        assert pacing.throttled > 0
    lines = [record.getMessage() for record in caplog.records if 'throttles' in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith(f'Bedrock throttles {MODEL} in us-east-1: sending ')
