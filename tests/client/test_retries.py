"""What is tried again, how often, and when: botocore's standard mode unless something else is asked for."""

from __future__ import annotations

import asyncio
import os
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError
from credential_sources import MODEL, hello, runtime, text_of
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from served_bedrock import keys_of

from local_bedrock import (
    INTERNAL_SERVER_ERROR,
    MODEL_ERROR,
    MODEL_NOT_READY,
    MODEL_TIMEOUT,
    SERVICE_UNAVAILABLE,
    THROTTLING,
    ErrorReply,
    EventsReply,
    LocalBedrock,
    NoResponse,
    Truncate,
    exception_event,
)
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._config.call_options import CallOptions


@pytest.fixture
def keys(bedrock: LocalBedrock) -> dict[str, Any]:
    return keys_of(bedrock)


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore's own delays be nothing: they are up to some seconds, by chance."""
    for mode in ('standard.ExponentialBackoff', 'base.BaseRetryBackoff'):
        monkeypatch.setattr(f'botocore.retries.{mode}.delay_amount', lambda *_: 0)
    monkeypatch.setattr('botocore.retryhandler.delay_exponential', lambda **_: 0)


def attempts(bedrock: LocalBedrock) -> list[int]:
    return [request.attempt for request in bedrock.requests]


# How often


async def test_a_call_is_tried_three_times(bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]) -> None:
    bedrock.fault(SERVICE_UNAVAILABLE)
    with pytest.raises(ClientError, match='ServiceUnavailableException') as caught:
        await runtime(bedrock, pool, **keys).converse(**hello())
    assert attempts(bedrock) == [1, 2, 3]
    assert caught.value.response['ResponseMetadata']['RetryAttempts'] == 2


@pytest.mark.parametrize(
    ('fault', 'tried'),
    [
        (INTERNAL_SERVER_ERROR, 3),
        (SERVICE_UNAVAILABLE, 3),
        (NoResponse('reset'), 3),
        (NoResponse('close'), 3),
        (Truncate(10, then='close'), 3),
        (MODEL_NOT_READY, 3),
        (MODEL_TIMEOUT, 1),
        (MODEL_ERROR, 1),
        (ErrorReply(400, 'ValidationException', 'The request is not valid.'), 1),
    ],
    ids=lambda value: getattr(value, 'code', None) or str(value),
)
async def test_what_is_tried_again_is_what_botocore_tries_again(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], fault: Any, tried: int
) -> None:
    bedrock.fault(fault)
    with pytest.raises((ClientError, ConnectionClosedError)):
        await runtime(bedrock, pool, **keys).converse(**hello())
    assert len(bedrock.requests) == tried


async def test_a_call_that_succeeds_in_the_end_is_answered(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    bedrock.fault(SERVICE_UNAVAILABLE, times=1)
    bedrock.fault(NoResponse('reset'), times=1)
    bedrock.reply('at last', times=None)
    assert text_of(await runtime(bedrock, pool, **keys).converse(**hello())) == 'at last'
    assert attempts(bedrock) == [1, 2, 3]


async def test_each_attempt_is_signed_anew(bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]) -> None:
    """Else a call that waited for minutes would be refused for its old signature."""
    bedrock.fault(SERVICE_UNAVAILABLE, times=2)
    await runtime(bedrock, pool, **keys).converse(**hello())
    assert [request.auth_scheme for request in bedrock.requests] == ['sigv4'] * 3
    assert len({request.invocation_id for request in bedrock.requests}) == 1


@pytest.mark.parametrize(
    ('retries', 'tried'),
    [
        ({'mode': 'standard', 'total_max_attempts': 2}, 2),
        ({'max_attempts': 0}, 1),
        ({'mode': 'adaptive', 'total_max_attempts': 4}, 4),
        ({'mode': 'legacy'}, 5),
    ],
    ids=str,
)
async def test_a_config_decides(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], retries: dict[str, Any], tried: int
) -> None:
    bedrock.fault(SERVICE_UNAVAILABLE)
    with pytest.raises(ClientError):
        await runtime(bedrock, pool, config=AioConfig(retries=retries), **keys).converse(**hello())
    assert len(bedrock.requests) == tried


async def test_a_throttled_attempt_uses_up_neither_attempts_nor_the_quota_of_retries(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    acquired: list[str] = []
    monkeypatch.setattr(
        'botocore.retries.standard.RetryQuotaChecker.acquire_retry_quota', lambda *_: acquired.append('a retry') or True
    )
    bedrock.fault(THROTTLING, times=5)
    bedrock.reply('at last', times=None)
    client = runtime(bedrock, pool, config=AioConfig(retries={'total_max_attempts': 2, 'mode': 'standard'}), **keys)
    assert text_of(await client.converse(**hello())) == 'at last'
    assert len(bedrock.requests) == 6
    assert acquired == []


@pytest.mark.parametrize('mode', ['standard', 'adaptive', 'legacy'])
async def test_a_call_that_is_not_to_wait_is_refused_by_its_first_throttled_attempt(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], mode: str
) -> None:
    bedrock.fault(THROTTLING)
    client = runtime(bedrock, pool, config=AioConfig(retries={'mode': mode}), **keys)
    for _ in range(2):
        with pytest.raises(ClientError, match='ThrottlingException'):
            await client.call('converse', hello(), CallOptions(throttling='raise'))
    assert attempts(bedrock) == [1, 1]


@pytest.mark.parametrize(
    ('variable', 'value', 'tried'), [('AWS_MAX_ATTEMPTS', '2', 2), ('AWS_RETRY_MODE', 'legacy', 5)]
)
async def test_the_environment_decides(
    bedrock: LocalBedrock,
    pool: SessionPool,
    keys: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    tried: int,
) -> None:
    monkeypatch.setenv(variable, value)
    bedrock.fault(SERVICE_UNAVAILABLE)
    with pytest.raises(ClientError):
        await runtime(bedrock, pool, **keys).converse(**hello())
    assert len(bedrock.requests) == tried


async def test_a_profile_decides(bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]) -> None:
    Path(os.environ['AWS_CONFIG_FILE']).write_text('[default]\nretry_mode = legacy\nmax_attempts = 4\n')
    bedrock.fault(SERVICE_UNAVAILABLE)
    with pytest.raises(ClientError):
        await runtime(bedrock, pool, **keys).converse(**hello())
    assert len(bedrock.requests) == 4


async def test_one_call_may_be_given_its_own_number_of_attempts(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    client = runtime(bedrock, pool, config=AioConfig(retries={'total_max_attempts': 2}), **keys)
    bedrock.fault(SERVICE_UNAVAILABLE)
    for given, tried in ((5, 5), (None, 2), (1, 1)):
        bedrock.requests.clear()
        with pytest.raises(ClientError):
            await client.call('converse', hello(), CallOptions(max_attempts=given))
        assert len(bedrock.requests) == tried
        assert {request.attempt for request in bedrock.requests} == set(range(1, tried + 1))
        announced = [request.headers['amz-sdk-request'].partition('max=')[2] for request in bedrock.requests[1:]]
        assert announced == [str(tried)] * (tried - 1)
    assert (pool.stats().opened, pool.stats().clients) == (1, 1), 'it is an option of the call, not of the client'


@pytest.mark.parametrize('mode', ['legacy', 'standard', 'adaptive'])
async def test_a_call_whose_attempts_are_bounded_fails_with_the_error_of_the_last(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], mode: str
) -> None:
    client = runtime(bedrock, pool, config=AioConfig(retries={'mode': mode}), **keys)
    bedrock.fault(SERVICE_UNAVAILABLE, times=2)
    with pytest.raises(ClientError, match=r'ServiceUnavailableException.*\(reached max retries: 1\)'):
        await client.call('converse', hello(), CallOptions(max_attempts=2))
    assert len(bedrock.requests) == 2
    bedrock.fault(NoResponse('reset'))
    with pytest.raises(HTTPClientError):
        await client.call('converse', hello(), CallOptions(max_attempts=2))
    assert len(bedrock.requests) == 4


# Streams


@pytest.fixture
def agent(bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]) -> Agent[None, str]:
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, pool=pool, **keys)
    return Agent(BedrockConverseModel(MODEL, provider=provider))


async def test_a_stream_that_has_not_begun_is_tried_again(bedrock: LocalBedrock, agent: Agent[None, str]) -> None:
    bedrock.fault(SERVICE_UNAVAILABLE, times=1)
    bedrock.fault(NoResponse('reset'), times=1)
    bedrock.reply('at last', times=None)
    async with agent.run_stream('hello') as stream:
        assert await stream.get_output() == 'at last'
    assert attempts(bedrock) == [1, 2, 3]


@pytest.mark.parametrize('end', ['throttled', 'reset', 'cut off'])
async def test_a_stream_is_never_tried_again_once_it_has_begun(
    bedrock: LocalBedrock, agent: Agent[None, str], end: str
) -> None:
    """What has been handed over can't be taken back."""
    if end == 'throttled':
        bedrock.fault(exception_event('throttlingException', after=2))
    events = [
        {'messageStart': {'role': 'assistant'}},
        {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': 'Once'}}},
    ]
    bedrock.reply(EventsReply(events, then='reset' if end == 'reset' else 'end', truncate_at=None))
    seen: list[str] = []

    async def read() -> None:
        async with agent.run_stream('hello') as stream:
            async for text in stream.stream_text(delta=True, debounce_by=None):
                seen.append(text)  # noqa: PERF401

    with pytest.raises(ModelAPIError):
        await read()
    assert seen == ['Once']
    assert attempts(bedrock) == [1]


# When


class Sleeps:
    """What anything sleeps: noted, and over at once unless `real`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.noted: list[float] = []
        self.real = False
        self._sleep = asyncio.sleep
        monkeypatch.setattr('asyncio.sleep', self)

    async def __call__(self, seconds: float, *_: object) -> None:
        if seconds > 0:
            self.noted.append(seconds)
        await self._sleep(seconds if self.real else 0)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    return Sleeps(monkeypatch)


def asking_for(retry_after: str, status: int = 500, code: str = 'InternalServerException') -> ErrorReply:
    return ErrorReply(status, code, 'Not now.', headers={'Retry-After': retry_after})


@pytest.mark.parametrize(('asked_for', 'waited'), [('7', 7), ('0.5', 0.5), ('3600', 60)])
async def test_retry_after_is_waited_for_up_to_a_minute(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], sleeps: Sleeps, asked_for: str, waited: float
) -> None:
    client = runtime(bedrock, pool, **keys)
    await client.warm_up()
    bedrock.requests.clear()
    sleeps.noted.clear()
    bedrock.fault(asking_for(asked_for), times=1)
    await client.converse(**hello())
    assert attempts(bedrock) == [1, 2]
    assert sleeps.noted == [pytest.approx(waited, abs=0.3)]


@pytest.mark.parametrize('by_client', [False, True])
async def test_retry_after_is_waited_for_no_longer_than_for_an_answer(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], sleeps: Sleeps, by_client: bool
) -> None:
    """Those who wait a second for an answer do not wait a minute before they ask again."""
    client = runtime(bedrock, pool, **keys, **({'aws_read_timeout': 1} if by_client else {}))
    await client.warm_up()
    sleeps.noted.clear()
    bedrock.fault(asking_for('3600'), times=1)
    await client.call('converse', hello(), CallOptions() if by_client else CallOptions(read_timeout=1))
    assert sleeps.noted == [pytest.approx(1, abs=0.3)]


MILLISECONDS = {'x-amz-retry-after': '1500'}
NO_NUMBER = {'x-amz-retry-after': 'nan', 'Retry-After': '1.5'}


@pytest.mark.parametrize('headers', [MILLISECONDS, {**MILLISECONDS, 'Retry-After': '7'}, NO_NUMBER])
async def test_milliseconds_to_retry_after_are_waited_for(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], sleeps: Sleeps, headers: dict[str, str]
) -> None:
    client = runtime(bedrock, pool, **keys)
    await client.warm_up()
    sleeps.noted.clear()
    bedrock.fault(ErrorReply(500, 'InternalServerException', 'Not now.', headers=headers), times=1)
    await client.converse(**hello())
    assert sleeps.noted == [pytest.approx(1.5, abs=0.3)]


async def test_a_date_to_retry_after_is_waited_for(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], sleeps: Sleeps
) -> None:
    bedrock.fault(asking_for(formatdate(time() + 30, usegmt=True)), times=1)
    await runtime(bedrock, pool, **keys).converse(**hello())
    assert max(sleeps.noted) == pytest.approx(30, abs=2)


@pytest.mark.parametrize('nonsense', ['soon', '-5', 'Sun, 22 Nov 2020 22:10:24 GMT', '1 Jan 99999999999 00:00:00', ''])
async def test_a_retry_after_that_asks_for_nothing_is_not_waited_for(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], sleeps: Sleeps, nonsense: str
) -> None:
    client = runtime(bedrock, pool, **keys)
    await client.warm_up()
    bedrock.requests.clear()
    sleeps.noted.clear()
    bedrock.fault(asking_for(nonsense), times=1)
    await client.converse(**hello())
    assert attempts(bedrock) == [1, 2]
    assert not sleeps.noted


async def test_retry_after_of_an_error_that_is_not_tried_again_is_not_waited_for(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str], sleeps: Sleeps
) -> None:
    client = runtime(bedrock, pool, **keys)
    await client.warm_up()
    sleeps.noted.clear()
    bedrock.fault(asking_for('7', 400, 'ValidationException'))
    with pytest.raises(ClientError):
        await client.converse(**hello())
    assert not sleeps.noted


async def test_what_botocore_has_waited_counts(
    bedrock: LocalBedrock,
    pool: SessionPool,
    keys: dict[str, str],
    sleeps: Sleeps,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('botocore.retries.standard.ExponentialBackoff.delay_amount', lambda *_: 0.2)
    client = runtime(bedrock, pool, **keys)
    await client.warm_up()
    sleeps.noted.clear()
    sleeps.real = True
    bedrock.fault(asking_for('0.1'), times=1)
    await client.converse(**hello())
    assert sleeps.noted == [0.2]


async def test_a_call_that_waits_can_be_cancelled(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    bedrock.fault(asking_for('60'))
    call = asyncio.create_task(runtime(bedrock, pool, **keys).converse(**hello()))
    while not bedrock.requests or bedrock.requests[0].ended is None:
        await asyncio.sleep(0.001)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pool.stats().leases == 0


async def test_an_agent_that_is_throttled_for_too_long_sees_the_status(
    bedrock: LocalBedrock, agent: Agent[None, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._runtime.pacer.PATIENCE', 0.5)
    bedrock.fault(THROTTLING)
    with pytest.raises(
        ModelHTTPError, match=r'no call of it got through for 0\.5 s, \d+ attempts were refused'
    ) as caught:
        await agent.run('hello')
    assert caught.value.status_code == 429
    assert set(attempts(bedrock)) == {1}
