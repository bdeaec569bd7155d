"""A stream ends with its last event, or when nobody wants it any more: either way, everything is given back at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from generation import PATIENCE_SECONDS, EndlessGeneration, assert_given_back, assert_next_answer_is_right, eventually
from pydantic_ai import ModelRequest
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import (
    FinalResultEvent,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.models.bedrock import BedrockStreamedResponse as UpstreamStreamedResponse
from served_bedrock import make_provider

from local_bedrock import (
    LocalBedrock,
    Reply,
    ToolCall,
)
from pydantic_ai_aiobedrock import (
    BedrockConverseModel,
    BedrockProvider,
    BedrockStreamedResponse,
    SessionPool,
)

NOVA = 'us.amazon.nova-lite-v1:0'
PROMPT = [ModelRequest.user_text_prompt('Tell me a story.')]


@pytest.fixture
def pool(provider: BedrockProvider) -> SessionPool:
    return provider.client.pool


@contextlib.asynccontextmanager
async def opened(model: BedrockConverseModel) -> AsyncIterator[StreamedResponse]:
    async with model.request_stream(PROMPT, None, ModelRequestParameters()) as stream:
        yield stream


async def read_both_words(stream: StreamedResponse) -> None:
    events = aiter(stream)
    words = ''
    while words != 'Once upon':
        event: Any = await anext(events)
        if event.event_kind == 'part_start':
            words += event.part.content
        elif event.event_kind == 'part_delta':
            words += event.delta.content_delta


# The events of a stream


async def test_a_stream_gives_each_event_as_upstream_maps_it(
    bedrock: LocalBedrock, model: BedrockConverseModel
) -> None:
    bedrock.reply(
        Reply(
            'Two words',
            thinking='I see',
            signature='c2ln',
            tool_calls=[ToolCall('weather', {'city': 'Rome'}, id='call-1')],
        )
    )
    async with opened(model) as stream:
        assert isinstance(stream, BedrockStreamedResponse)
        assert isinstance(stream, UpstreamStreamedResponse)
        events = [event async for event in stream]
    parts = [event.part for event in events if isinstance(event, PartStartEvent)]
    assert [type(part) for part in parts] == [ThinkingPart, TextPart, ToolCallPart]
    deltas = [event.delta for event in events if isinstance(event, PartDeltaEvent)]
    assert [type(delta) for delta in deltas] == [
        ThinkingPartDelta,
        ThinkingPartDelta,
        TextPartDelta,
        ToolCallPartDelta,
        *[ToolCallPartDelta] * (len(deltas) - 4),
    ]
    assert [type(event) for event in events if isinstance(event, FinalResultEvent | PartEndEvent)] == [
        PartEndEvent,
        FinalResultEvent,
        PartEndEvent,
        PartEndEvent,
    ]
    thinking, text, call = stream.get().parts
    assert thinking == ThinkingPart('I see', signature='c2ln', provider_name='bedrock')
    assert text == TextPart('Two words')
    assert isinstance(call, ToolCallPart)
    assert (call.tool_name, call.args, call.tool_call_id) == ('weather', '{"city":"Rome"}', 'call-1')


async def test_a_stream_says_where_it_comes_from(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    bedrock.reply(Reply('Hello.', usage={'inputTokens': 3, 'outputTokens': 4}))
    async with opened(model) as stream:
        assert stream.model_name == NOVA
        assert stream.provider_name == 'bedrock'
        assert stream.provider_url == bedrock.base_url
        assert datetime.now(UTC) - stream.timestamp < timedelta(minutes=1)
        async for _ in stream:
            pass
    response = stream.get()
    assert response.state == 'complete'
    assert response.finish_reason == 'stop'
    assert response.provider_response_id == bedrock.requests[0].request_id
    assert (response.usage.input_tokens, response.usage.output_tokens) == (3, 4)


async def test_a_stream_that_was_read_to_its_end_leaves_its_connection_to_the_next(
    bedrock: LocalBedrock, model: BedrockConverseModel, pool: SessionPool
) -> None:
    for _ in range(3):
        async with opened(model) as stream:
            async for _ in stream:
                pass
            assert pool.stats().leases == 0
    assert bedrock.stats().connections == 1
    assert not any(request.disconnected for request in bedrock.requests)


async def test_events_arrive_while_the_model_still_generates(
    model: BedrockConverseModel, endless: EndlessGeneration, pool: SessionPool
) -> None:
    async with opened(model) as stream:
        await read_both_words(stream)
        assert not endless.ended.is_set()
        assert pool.stats().leases == 1


# The ways to leave it early


async def cancel(stream: StreamedResponse) -> None:
    await read_both_words(stream)
    await stream.cancel()
    assert stream.get().state == 'interrupted'
    assert stream.get().parts == [TextPart('Once upon')]


async def cancel_and_read_on(stream: StreamedResponse) -> None:
    await read_both_words(stream)
    await stream.cancel()
    assert not [event async for event in stream if isinstance(event, PartStartEvent | PartDeltaEvent)]
    assert stream.get().state == 'interrupted'


async def cancel_at_once(stream: StreamedResponse) -> None:
    await stream.cancel()
    assert stream.get().state == 'interrupted'


async def cancel_while_another_task_reads(stream: StreamedResponse) -> None:
    async def read() -> list[Any]:
        return [event async for event in stream]

    reader = asyncio.create_task(read())
    whole: Any = stream
    await eventually(lambda: bool(whole.get().parts) and whole.get().parts[0].content == 'Once upon')
    await stream.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert len(await reader) > 1
    assert stream.get().state == 'interrupted'


async def never_read(stream: StreamedResponse) -> None:
    assert stream.get().parts == []


async def close_twice(stream: StreamedResponse) -> None:
    await read_both_words(stream)
    await stream.close_stream()
    await stream.close_stream()


async def close_twice_before_reading(stream: StreamedResponse) -> None:
    await stream.close_stream()
    await stream.close_stream()


@pytest.mark.parametrize(
    'leave',
    [
        cancel,
        cancel_and_read_on,
        cancel_at_once,
        cancel_while_another_task_reads,
        never_read,
        close_twice,
        close_twice_before_reading,
    ],
)
async def test_a_stream_that_is_left_early_is_cut_at_once(
    bedrock: LocalBedrock,
    model: BedrockConverseModel,
    pool: SessionPool,
    endless: EndlessGeneration,
    leave: Callable[[StreamedResponse], Any],
) -> None:
    async with opened(model) as stream:
        assert pool.stats().leases == 1
        await leave(stream)
    await assert_given_back(bedrock, endless, pool)
    await assert_next_answer_is_right(bedrock, model)


async def test_cancel_cuts_the_stream_before_its_block_is_left(
    bedrock: LocalBedrock, model: BedrockConverseModel, pool: SessionPool, endless: EndlessGeneration
) -> None:
    async with opened(model) as stream:
        await read_both_words(stream)
        await stream.cancel()
        await assert_given_back(bedrock, endless, pool)
        assert stream.cancelled


async def test_reading_on_after_close_is_an_error_and_not_the_end_of_the_answer(
    model: BedrockConverseModel, endless: EndlessGeneration
) -> None:
    async with opened(model) as stream:
        await read_both_words(stream)
        await stream.close_stream()
        with pytest.raises(ModelAPIError, match='the stream has been closed'):
            async for _ in stream:
                pass
        assert stream.get().state == 'incomplete'


async def test_cancelling_a_stream_that_has_ended_changes_nothing(model: BedrockConverseModel) -> None:
    async with opened(model) as stream:
        async for _ in stream:
            pass
        await stream.cancel()
        assert stream.get().state == 'complete'


async def test_an_error_in_the_block_cuts_the_stream_and_is_not_changed(
    bedrock: LocalBedrock, model: BedrockConverseModel, pool: SessionPool, endless: EndlessGeneration
) -> None:
    error = RuntimeError('of the caller')

    async def fail() -> None:
        async with opened(model) as stream:
            await read_both_words(stream)
            raise error

    with pytest.raises(RuntimeError) as raised:
        await fail()
    assert raised.value is error
    await assert_given_back(bedrock, endless, pool)
    await assert_next_answer_is_right(bedrock, model)


async def test_a_stream_that_is_forgotten_is_cut_when_it_is_collected(
    bedrock: LocalBedrock, model: BedrockConverseModel, pool: SessionPool, endless: EndlessGeneration
) -> None:
    context = model.request_stream(PROMPT, None, ModelRequestParameters())
    stream = await context.__aenter__()
    await read_both_words(stream)
    del context, stream
    gc.collect()
    await eventually(lambda: pool.stats().leases == 0)
    await assert_given_back(bedrock, endless, pool)


# Streams that fail


async def failing(model: BedrockConverseModel) -> BaseException:
    async with opened(model) as stream:
        with pytest.raises(ModelAPIError) as raised:
            async for _ in stream:
                pass
        assert stream.get().state == 'incomplete'
    return raised.value


async def test_a_stream_that_falls_silent_is_an_error_after_the_read_timeout(bedrock: LocalBedrock) -> None:
    endless = EndlessGeneration()
    bedrock.reply(endless)
    pool = SessionPool()
    async with make_provider(bedrock, pool, aws_read_timeout=0.2) as provider:
        error = await failing(BedrockConverseModel(NOVA, provider=provider))
        assert 'timeout' in str(error).lower()
        await assert_given_back(bedrock, endless, pool)
