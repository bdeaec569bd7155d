"""BedrockConverseModel behind an agent, in every way to run one, over real sockets."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from generation import PATIENCE_SECONDS, eventually
from pydantic_ai import (
    Agent,
    AgentRunResultEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelRequest,
    UsageLimits,
)
from pydantic_ai.direct import (
    model_request,
    model_request_stream,
    model_request_stream_sync,
    model_request_sync,
)
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.messages import ModelResponse, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models import Model, ModelRequestParameters
from served_bedrock import make_provider

from local_bedrock import LocalBedrock, Reply, ToolCall
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

NOVA = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'


# Ways to run an agent


async def test_run_gives_the_answer_and_all_that_is_known_of_it(
    bedrock: LocalBedrock, model: BedrockConverseModel
) -> None:
    bedrock.reply(Reply('Paris.', usage={'inputTokens': 7, 'outputTokens': 2}))
    result = await Agent(model, instructions='Be short.').run('The capital of France?')
    assert result.output == 'Paris.'
    assert (result.usage.input_tokens, result.usage.output_tokens, result.usage.requests) == (7, 2, 1)
    (request,) = bedrock.requests
    assert request.operation == 'Converse'
    assert request.model_id == NOVA
    assert request.auth_scheme == 'sigv4'
    assert request.body == {
        'messages': [{'role': 'user', 'content': [{'text': 'The capital of France?'}]}],
        'system': [{'text': 'Be short.'}],
        'inferenceConfig': {},
    }
    response = result.all_messages()[-1]
    assert isinstance(response, ModelResponse)
    assert response.model_name == NOVA
    assert response.provider_name == 'bedrock'
    assert response.provider_url == bedrock.base_url
    assert response.provider_response_id == request.request_id
    assert response.finish_reason == 'stop'
    assert response.provider_details == {'finish_reason': 'end_turn'}
    assert datetime.now(UTC) - response.timestamp < timedelta(minutes=1)


@pytest.mark.skipif(not hasattr(Model, '_run_scope'), reason='this Pydantic AI does not announce its runs')
async def test_runs_that_begin_at_once_leave_the_loop_to_others_in_between(model: BedrockConverseModel) -> None:
    begun = 0
    agent = Agent(model)

    @agent.instructions
    def count() -> str:
        nonlocal begun
        begun += 1
        return 'Be short.'

    runs = [asyncio.create_task(agent.run('Hello')) for _ in range(20)]
    by_turn: list[int] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while begun < len(runs):
            before = begun
            await asyncio.sleep(0)
            by_turn.append(begun - before)
        await asyncio.gather(*runs)
    # Runs that were let in by different turns may meet later on; without turns all but one come together.
    assert max(by_turn) <= len(runs) // 2


async def test_run_stream_gives_the_words_as_they_come(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    bedrock.reply(Reply('One two three.', chunks=['One', ' two', ' three.']))
    async with Agent(model).run_stream('Count.') as result:
        assert [text async for text in result.stream_text(delta=True, debounce_by=None)] == ['One', ' two', ' three.']
        assert await result.get_output() == 'One two three.'
    assert [request.operation for request in bedrock.requests] == ['ConverseStream']
    assert result.response.finish_reason == 'stop'
    assert result.response.provider_response_id == bedrock.requests[0].request_id


async def test_run_stream_events_ends_with_the_result(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    bedrock.reply(Reply('One two.', chunks=['One', ' two.']))
    async with Agent(model).run_stream_events('Count.') as events:
        seen = [event async for event in events]
    assert [event.part for event in seen if isinstance(event, PartStartEvent)] == [TextPart('One')]
    assert [event.delta for event in seen if isinstance(event, PartDeltaEvent)] == [TextPartDelta(' two.')]
    assert isinstance(seen[-1], AgentRunResultEvent)
    assert seen[-1].result.output == 'One two.'


async def test_run_stream_events_shows_the_tools_at_work(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    agent = Agent(model)

    @agent.tool_plain
    def weather(city: str) -> str:
        return f'Sunny in {city}.'

    bedrock.reply(Reply(tool_calls=[ToolCall('weather', {'city': 'Rome'}, id='call-1')]), 'It is sunny.')
    async with agent.run_stream_events('The weather in Rome?') as events:
        seen = [event async for event in events]
    (call,) = [event for event in seen if isinstance(event, FunctionToolCallEvent)]
    assert (call.part.tool_name, call.part.tool_call_id, call.part.args) == ('weather', 'call-1', '{"city":"Rome"}')
    (returned,) = [event for event in seen if isinstance(event, FunctionToolResultEvent)]
    assert returned.part.content == 'Sunny in Rome.'
    assert isinstance(seen[-1], AgentRunResultEvent)
    assert seen[-1].result.output == 'It is sunny.'


async def test_iter_goes_from_node_to_node(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    agent = Agent(model)
    bedrock.reply('Hello.')
    async with agent.iter('Hi.') as run:
        nodes = [node async for node in run]
    assert [type(node).__name__ for node in nodes] == ['UserPromptNode', 'ModelRequestNode', 'CallToolsNode', 'End']
    assert run.result is not None
    assert run.result.output == 'Hello.'


async def test_a_node_of_iter_can_be_streamed(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    agent = Agent(model)
    bedrock.reply(Reply('Hello you.', chunks=['Hello', ' you.']))
    texts: list[str] = []
    async with agent.iter('Hi.') as run:
        async for node in run:
            if Agent.is_model_request_node(node):
                async with node.stream(run.ctx) as stream:
                    texts.extend([text async for text in stream.stream_text(delta=True, debounce_by=None)])
    assert texts == ['Hello', ' you.']
    assert [request.operation for request in bedrock.requests] == ['ConverseStream']


def test_run_sync_works_several_times_and_keeps_its_client(bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    agent = Agent(BedrockConverseModel(NOVA, provider=make_provider(bedrock, pool)))
    bedrock.reply('1', '2', '3')
    # The loop that `run_sync` finds, for the test to close.
    with asyncio.Runner() as runner:
        runner.get_loop()
        assert [agent.run_sync(text).output for text in ('one', 'two', 'three')] == ['1', '2', '3']
        assert pool.stats().opened == 1
    assert bedrock.stats().connections == 1


def test_run_sync_works_from_several_threads_at_once(bedrock: LocalBedrock) -> None:
    """Each thread has an event loop of its own, and the pool a client for each."""
    pool = SessionPool()
    agent = Agent(BedrockConverseModel(NOVA, provider=make_provider(bedrock, pool)))
    together = threading.Barrier(4, timeout=10)

    def in_thread(number: int) -> list[str]:
        with asyncio.Runner() as runner:
            runner.get_loop()
            together.wait()
            return [agent.run_sync(f'{number} {turn}').output for turn in range(3)]

    bedrock.reply(lambda request: request.last_user_text, times=None)
    with ThreadPoolExecutor(4) as threads:
        outputs = list(threads.map(in_thread, range(4)))
    assert outputs == [[f'{number} {turn}' for turn in range(3)] for number in range(4)]
    assert pool.stats().opened == 4
    assert pool.stats().clients == 0


def test_run_stream_sync_gives_the_words_as_they_come(bedrock: LocalBedrock) -> None:
    agent = Agent(BedrockConverseModel(NOVA, provider=make_provider(bedrock, SessionPool())))
    bedrock.reply(Reply('One two.', chunks=['One', ' two.']))
    with asyncio.Runner() as runner:
        runner.get_loop()
        with agent.run_stream_sync('Count.') as result:
            assert list(result.stream_text(delta=True, debounce_by=None)) == ['One', ' two.']


async def test_concurrent_runs_share_one_client_and_do_not_wait_for_each_other(
    bedrock: LocalBedrock, model: BedrockConverseModel, provider: BedrockProvider
) -> None:
    all_here = asyncio.Barrier(100)

    async def when_all_are_here(request: Any) -> str:
        async with asyncio.timeout(10), all_here:
            return request.last_user_text

    bedrock.reply(when_all_are_here, times=None)
    results = await asyncio.gather(*(Agent(model).run(f'{number}') for number in range(100)))
    assert [result.output for result in results] == [f'{number}' for number in range(100)]
    assert bedrock.stats().max_in_flight == 100
    assert provider.client.pool.stats().opened == 1


# Counting tokens, requests without an agent


async def test_count_tokens_asks_bedrock(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    model = BedrockConverseModel(CLAUDE, provider=provider)
    bedrock.reply(Reply(usage={'inputTokens': 321}), operation='CountTokens')
    usage = await model.count_tokens([ModelRequest.user_text_prompt('Hello.')], None, ModelRequestParameters())
    assert usage.input_tokens == 321
    (request,) = bedrock.requests
    assert request.operation == 'CountTokens'
    assert request.model_id == CLAUDE.removeprefix('us.')
    assert request.body == {
        'input': {'converse': {'messages': [{'role': 'user', 'content': [{'text': 'Hello.'}]}], 'system': []}}
    }


async def test_a_token_limit_is_kept_before_the_request_is_sent(
    bedrock: LocalBedrock, provider: BedrockProvider
) -> None:
    bedrock.reply(Reply(usage={'inputTokens': 321}), operation='CountTokens')
    limits = UsageLimits(input_tokens_limit=320, count_tokens_before_request=True)
    with pytest.raises(UsageLimitExceeded):
        await Agent(BedrockConverseModel(CLAUDE, provider=provider)).run('Hello.', usage_limits=limits)
    assert [request.operation for request in bedrock.requests] == ['CountTokens']


async def test_a_direct_request_needs_no_agent(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    bedrock.reply('Hello.')
    response = await model_request(model, [ModelRequest.user_text_prompt('Hi.')])
    assert response.parts == [TextPart('Hello.')]


async def test_a_direct_stream_needs_no_agent(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    bedrock.reply(Reply('Hello you.', chunks=['Hello', ' you.']))
    async with model_request_stream(model, [ModelRequest.user_text_prompt('Hi.')]) as stream:
        events = [event async for event in stream]
    assert [event.part for event in events if isinstance(event, PartStartEvent)] == [TextPart('Hello')]
    assert stream.get().parts == [TextPart('Hello you.')]


def test_direct_requests_work_without_a_running_loop(bedrock: LocalBedrock) -> None:
    model = BedrockConverseModel(NOVA, provider=make_provider(bedrock, SessionPool()))
    bedrock.reply('Hello.', Reply('Hello you.', chunks=['Hello', ' you.']))
    with asyncio.Runner() as runner:
        runner.get_loop()
        assert model_request_sync(model, [ModelRequest.user_text_prompt('Hi.')]).parts == [TextPart('Hello.')]
        with model_request_stream_sync(model, [ModelRequest.user_text_prompt('Hi.')]) as stream:
            deltas = [event.delta for event in stream if isinstance(event, PartDeltaEvent)]
    assert deltas == [TextPartDelta(' you.')]


# Settings that reach the transport


async def test_extra_headers_are_signed(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    model = BedrockConverseModel(CLAUDE, provider=provider)
    messages, parameters = [ModelRequest.user_text_prompt('Hi.')], ModelRequestParameters()
    settings = {'extra_headers': {'X-Tenant': 'a b'}, 'max_tokens': 100}
    await model.request(messages, settings, parameters)
    async with model.request_stream(messages, settings, parameters) as stream:
        async for _ in stream:
            pass
    await model.count_tokens(messages, settings, parameters)
    assert [request.operation for request in bedrock.requests] == ['Converse', 'ConverseStream', 'CountTokens']
    for request in bedrock.requests:
        assert request.status == 200
        assert request.headers['X-Tenant'] == 'a b'
        signed = request.headers['Authorization'].partition('SignedHeaders=')[2].partition(',')[0].split(';')
        assert 'x-tenant' in signed


async def test_extra_headers_are_of_one_request_only(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    both = asyncio.Barrier(3)

    async def together(request: Any) -> str:
        async with asyncio.timeout(5), both:
            return request.headers.get('X-Tenant', 'none')

    bedrock.reply(together, times=None)
    agent = Agent(model)
    results = await asyncio.gather(
        agent.run('Hi.', model_settings={'extra_headers': {'X-Tenant': 'a'}}),
        agent.run('Hi.', model_settings={'extra_headers': {'X-Tenant': 'b'}}),
        agent.run('Hi.'),
    )
    assert [result.output for result in results] == ['a', 'b', 'none']


async def test_extra_headers_do_not_stay_with_the_task_that_sent_them(
    bedrock: LocalBedrock, model: BedrockConverseModel
) -> None:
    messages, parameters = [ModelRequest.user_text_prompt('Hi.')], ModelRequestParameters()
    await model.request(messages, {'extra_headers': {'X-Tenant': 'a'}}, parameters)
    await model.request(messages, None, parameters)
    async with model.request_stream(messages, {'extra_headers': {'X-Tenant': 'b'}}, parameters):
        await model.request(messages, None, parameters)
    assert [request.headers.get('X-Tenant') for request in bedrock.requests] == ['a', None, 'b', None]


async def test_an_extra_header_takes_the_place_of_the_header_of_that_name(
    bedrock: LocalBedrock, model: BedrockConverseModel
) -> None:
    content_type = 'application/json; charset=utf-8'
    await Agent(model).run('Hi.', model_settings={'extra_headers': {'content-type': content_type}})
    (request,) = bedrock.requests
    assert [value for name, value in request.headers.items() if name.lower() == 'content-type'] == [content_type]


async def test_settings_of_the_model_are_the_defaults_of_its_requests(
    bedrock: LocalBedrock, provider: BedrockProvider
) -> None:
    model = BedrockConverseModel(NOVA, provider=provider, settings={'temperature': 0.5, 'max_tokens': 10})
    await Agent(model).run('Hi.', model_settings={'max_tokens': 20})
    assert bedrock.requests[0].body['inferenceConfig'] == {'maxTokens': 20, 'temperature': 0.5}


# Where it comes from


async def test_a_model_without_a_provider_takes_everything_from_the_environment(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    model = BedrockConverseModel(NOVA)
    assert isinstance(model.provider, BedrockProvider)
    assert model.base_url == bedrock.base_url
    bedrock.reply('Hello.')
    assert (await Agent(model).run('Hi.')).output == 'Hello.'
    assert bedrock.requests[0].auth_scheme == 'sigv4'


async def test_an_api_key_of_the_environment_is_used_instead_of_signatures(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**bedrock.environment, 'AWS_BEARER_TOKEN_BEDROCK': bedrock.api_key}.items():
        monkeypatch.setenv(name, value)
    await Agent(BedrockConverseModel(NOVA, provider='bedrock')).run('Hi.')
    assert bedrock.requests[0].auth_scheme == 'bearer'


# Agent as a context manager


async def test_the_last_agent_to_leave_closes_the_client(bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    one, two = (Agent(BedrockConverseModel(NOVA, provider=make_provider(bedrock, pool))) for _ in range(2))
    async with one:
        async with two:
            await asyncio.gather(one.run('Hi.'), two.run('Hi.'))
            assert (pool.stats().clients, pool.stats().opened) == (1, 1)
        await one.run('Hi.')
        assert (pool.stats().clients, pool.stats().opened) == (1, 1)
    await eventually(lambda: pool.stats().clients == 0 and bedrock.stats().open_connections == 0)


async def test_an_agent_can_be_entered_again(bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    agent = Agent(BedrockConverseModel(NOVA, provider=make_provider(bedrock, pool)))
    for _ in range(2):
        async with agent:
            await agent.run('Hi.')
        await eventually(lambda: pool.stats().clients == 0 and bedrock.stats().open_connections == 0)
    assert pool.stats().opened == 2
