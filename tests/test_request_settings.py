"""`timeout` and `max_retries` of `ModelSettings`: what upstream's Bedrock model ignores, this package honours."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UserError
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from served_bedrock import make_provider
from sessions import client_of

from local_bedrock import SERVICE_UNAVAILABLE, LocalBedrock, NoResponse, Reply, ToolCall, Truncate
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

try:
    import httpx
except ImportError:
    # pydantic-ai depends on one of the two, and their timeouts are alike.
    import httpx2 as httpx

NOVA = 'us.amazon.nova-lite-v1:0'
PATIENT = ModelSettings(timeout=httpx.Timeout(5, pool=None))
HELLO = [ModelRequest.user_text_prompt('Hello')]

Call = Callable[[BedrockConverseModel, ModelSettings | None], Awaitable[object]]


async def request(model: BedrockConverseModel, settings: ModelSettings | None) -> object:
    return await model_request(model, HELLO, model_settings=settings)


async def stream(model: BedrockConverseModel, settings: ModelSettings | None) -> object:
    async with model_request_stream(model, HELLO, model_settings=settings) as response:
        return [event async for event in response]


async def count(model: BedrockConverseModel, settings: ModelSettings | None) -> object:
    return await model.count_tokens(HELLO, settings, ModelRequestParameters())


every_call = pytest.mark.parametrize('call', [request, stream, count])


@pytest.fixture
async def model(provider: BedrockProvider, bedrock: LocalBedrock) -> BedrockConverseModel:
    model = BedrockConverseModel(NOVA, provider=provider)
    # The first client of a process takes longer to open than the timeouts of these tests.
    await request(model, None)
    bedrock.requests.clear()
    return model


@pytest.fixture
async def silent_server() -> AsyncIterator[str]:
    """Yield the URL of a server that takes connections and never says anything."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(wait, '127.0.0.1', 0) as server:
        yield f'https://127.0.0.1:{server.sockets[0].getsockname()[1]}'


async def fails_in_time(awaited: Awaitable[object]) -> ModelAPIError:
    """Return the timeout that is awaited: not the default of 60 s or 300 s."""
    started = monotonic()
    with pytest.raises(ModelAPIError, match=r'(?i)time') as caught:
        await awaited
    assert monotonic() - started < 5
    return caught.value


# timeout


def provider_of(model: BedrockConverseModel) -> Any:
    return model.provider


@every_call
@pytest.mark.parametrize('timeout', [0.2, httpx.Timeout(30, read=0.2)], ids=['seconds', 'httpx'])
async def test_a_call_fails_when_its_timeout_is_over(
    call: Call, timeout: Any, model: BedrockConverseModel, bedrock: LocalBedrock
) -> None:
    bedrock.fault(NoResponse('hang'))
    await fails_in_time(call(model, {'timeout': timeout, 'max_retries': 0}))
    # On a busy machine the time may be over before anything has been sent.
    assert len(bedrock.requests) <= 1


async def test_a_timeout_of_zero_is_over_at_once(model: BedrockConverseModel, bedrock: LocalBedrock) -> None:
    bedrock.fault(NoResponse('hang'))
    await fails_in_time(request(model, {'timeout': 0, 'max_retries': 0}))


async def test_a_timeout_limits_the_wait_for_each_chunk_of_a_stream(
    model: BedrockConverseModel, bedrock: LocalBedrock
) -> None:
    bedrock.fault(Truncate(300, 'hang'))
    await fails_in_time(stream(model, {'timeout': 0.3}))


async def test_a_stream_may_take_longer_than_its_timeout(model: BedrockConverseModel, bedrock: LocalBedrock) -> None:
    bedrock.reply(Reply('One two three four five six.', delay_per_event=0.1))
    started = monotonic()
    await stream(model, {'timeout': 0.5})
    assert monotonic() - started > 0.5


@every_call
async def test_the_settings_of_the_model_count_too(
    call: Call, model: BedrockConverseModel, bedrock: LocalBedrock
) -> None:
    bedrock.fault(NoResponse('hang'))
    model = BedrockConverseModel(NOVA, provider=model.provider, settings={'timeout': 0.2, 'max_retries': 0})
    await fails_in_time(call(model, None))
    await fails_in_time(call(model, {'temperature': 0.5}))
    assert len(bedrock.requests) <= 2


async def test_the_connect_phase_limits_the_connecting(silent_server: str) -> None:
    async with BedrockProvider(
        region_name='us-east-1',
        base_url=silent_server,
        aws_access_key_id='AKID',
        aws_secret_access_key='secret',
        pool=SessionPool(),
    ) as provider:
        model = BedrockConverseModel(NOVA, provider=provider)
        await fails_in_time(request(model, {'timeout': httpx.Timeout(30, connect=0.2), 'max_retries': 0}))
        # Seconds limit each phase.
        await fails_in_time(request(model, {'timeout': 0.2, 'max_retries': 0}))


@pytest.mark.parametrize('timeout', [0.2, httpx.Timeout(30, pool=0.2)], ids=['seconds', 'httpx'])
async def test_the_pool_phase_limits_the_wait_for_a_connection(timeout: Any, bedrock: LocalBedrock) -> None:
    model = one_at_a_time(bedrock, SessionPool())
    async with provider_of(model):
        bedrock.reply(Reply('One two three.', delay_per_event=0.2))
        async with model_request_stream(model, HELLO):
            error = await fails_in_time(request(model, {'timeout': timeout}))
            assert 'No connection' in str(error)


async def test_seconds_do_not_lengthen_the_wait_for_a_connection(bedrock: LocalBedrock) -> None:
    model = one_at_a_time(bedrock, SessionPool(pool_timeout=0.2))
    async with provider_of(model):
        bedrock.reply(Reply('One two three.', delay_per_event=0.2))
        async with model_request_stream(model, HELLO, model_settings=PATIENT):
            await fails_in_time(request(model, {'timeout': 60}))


async def test_phases_that_differ_are_taken_as_they_are(bedrock: LocalBedrock) -> None:
    model = one_at_a_time(bedrock, SessionPool(pool_timeout=0.2))
    async with provider_of(model):
        bedrock.reply(Reply('One two three.', delay_per_event=0.1))
        async with model_request_stream(model, HELLO, model_settings=PATIENT) as response:
            waiting = asyncio.create_task(request(model, PATIENT))
            assert len([event async for event in response]) > 3
        assert await waiting


def one_at_a_time(bedrock: LocalBedrock, pool: SessionPool) -> BedrockConverseModel:
    return BedrockConverseModel(
        NOVA,
        provider=make_provider(bedrock, pool, max_connections=1),
    )


# max_retries


@every_call
@pytest.mark.parametrize('retries', [0, 1])
async def test_a_call_is_retried_as_often_as_max_retries_says(
    call: Call, retries: int, model: BedrockConverseModel, bedrock: LocalBedrock
) -> None:
    bedrock.fault(SERVICE_UNAVAILABLE)
    with pytest.raises(ModelHTTPError):
        await call(model, {'max_retries': retries})
    assert [recorded.attempt for recorded in bedrock.requests] == list(range(1, 2 + retries))


async def test_without_max_retries_the_configuration_of_the_client_counts(
    model: BedrockConverseModel, bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bedrock.fault(SERVICE_UNAVAILABLE, nth=1)
    await request(model, None)
    assert [recorded.attempt for recorded in bedrock.requests] == [1, 2]


# What they do not reach


async def test_the_settings_do_not_reach_the_calls_of_a_tool(
    model: BedrockConverseModel, bedrock: LocalBedrock
) -> None:
    inner: Agent[None, str] = Agent(model)
    outer: Agent[None, str] = Agent(model)

    @outer.tool_plain
    async def ask() -> str:
        bedrock.fault(SERVICE_UNAVAILABLE, times=1)
        return (await inner.run('Inner')).output

    bedrock.reply(Reply(tool_calls=[ToolCall('ask')]), 'Inner answer.', 'Outer answer.')
    result = await outer.run('Outer', model_settings={'max_retries': 0, 'timeout': 5})
    assert result.output == 'Outer answer.'
    assert [recorded.attempt for recorded in bedrock.requests] == [1, 1, 2, 1]


async def test_the_settings_do_not_reach_the_next_call(model: BedrockConverseModel, bedrock: LocalBedrock) -> None:
    await request(model, {'max_retries': 0, 'timeout': 5})
    async with model_request_stream(model, HELLO, model_settings={'max_retries': 0}) as response:
        bedrock.fault(SERVICE_UNAVAILABLE, times=1)
        await request(model, None)
        async for _ in response:
            pass
    assert [recorded.attempt for recorded in bedrock.requests] == [1, 1, 1, 2]


# What they may be


NOT_USABLE = [
    {'timeout': 'soon'},
    {'timeout': [1]},
    {'timeout': -1},
    {'timeout': float('nan')},
    {'timeout': httpx.Timeout(5, read=-1)},
    {'max_retries': -1},
    {'max_retries': 1.5},
]


@pytest.mark.parametrize('settings', NOT_USABLE)
@every_call
async def test_what_is_no_timeout_or_number_of_retries_is_refused(
    call: Call, settings: Any, model: BedrockConverseModel, bedrock: LocalBedrock
) -> None:
    with pytest.raises(UserError, match=r'`(timeout|max_retries)` must be'):
        await call(model, settings)
    assert not bedrock.requests


async def test_nobody_is_warned_of_settings_that_are_honoured(model: BedrockConverseModel) -> None:
    # Warnings are errors.
    await request(model, {'timeout': 5, 'max_retries': 1})
    assert not {'timeout', 'max_retries'} & model.unsupported_settings


async def test_a_client_that_is_brought_along_honours_neither_and_says_so(bedrock: LocalBedrock) -> None:
    async with client_of(bedrock) as client:
        model = BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=client))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            await request(model, {'timeout': 5, 'max_retries': 1})
    if not hasattr(super(BedrockConverseModel, model), 'unsupported_settings'):
        pytest.skip('this pydantic-ai does not warn of settings that are ignored')
    told = ' '.join(str(warning.message) for warning in caught)
    assert '`timeout`' in told
    assert '`max_retries`' in told
