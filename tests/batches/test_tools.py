"""Tools and structured output in batches: InvokeModel jobs for Claude, a clear refusal for other models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRequest, Tool, ToolDefinition, UserError
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models import ModelRequestParameters

from local_bedrock import LocalBedrock, Reply, ToolCall
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockModelSettings, BedrockProvider, SessionPool

from .jobs import INFERENCE, MODEL, OFTEN, answers, like, records, request

pytest.importorskip('pydantic_ai.models.batch', reason='This Pydantic AI has no batches yet.')

CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'
WEATHER = ModelRequestParameters(
    function_tools=[
        ToolDefinition(
            name='weather',
            description='Get the weather.',
            parameters_json_schema={'type': 'object', 'properties': {'city': {'type': 'string'}}},
        )
    ]
)
SETTINGS = BedrockModelSettings(max_tokens=2000)


@pytest.fixture
async def claude(redirected: None) -> AsyncIterator[Any]:
    pool = SessionPool()
    yield BedrockConverseModel(
        CLAUDE, provider=BedrockProvider(pool=pool), batch_inference=INFERENCE, settings=SETTINGS
    )
    await pool.aclose()


def job_types(bedrock: LocalBedrock) -> list[str]:
    created = [each for each in bedrock.requests if each.operation == 'CreateModelInvocationJob']
    return [each.body['modelInvocationType'] for each in created]


class City(BaseModel):
    name: str


def batching(count: int) -> Any:
    from pydantic_ai.capabilities import BatchModelRequests

    return BatchModelRequests(max_requests=count, poll_interval=OFTEN, max_poll_interval=OFTEN, max_wait=None)


async def test_agents_with_tools_run_in_batches(bedrock: LocalBedrock, claude: Any) -> None:
    asked = list[str]()

    async def weather(city: str) -> str:
        asked.append(city)
        return f'sunny in {city}'

    agent = Agent(claude, tools=[Tool(weather)], capabilities=[batching(3)])
    for number in range(3):
        bedrock.reply(
            Reply(tool_calls=[ToolCall('weather', {'city': f'city {number}'})]),
            when=lambda sent, number=number: sent.last_user_text == f'Question {number}',
            times=1,
        )
    results = await asyncio.gather(*(agent.run(f'Question {number}') for number in range(3)))
    assert sorted(asked) == ['city 0', 'city 1', 'city 2']
    assert all(f'sunny in city {number}' in result.output for number, result in enumerate(results))
    assert job_types(bedrock) == ['InvokeModel', 'InvokeModel']
    assert {record.operation for record in records(bedrock)} == {'InvokeModel'}


async def test_structured_output_by_a_tool_comes_from_a_batch(bedrock: LocalBedrock, claude: Any) -> None:
    agent = Agent(claude, output_type=City, capabilities=[batching(1)])
    assert isinstance((await agent.run('Name a city.')).output, City)
    assert job_types(bedrock) == ['InvokeModel']


async def test_the_model_is_asked_the_same_as_by_a_live_call(bedrock: LocalBedrock, claude: Any) -> None:
    settings = BedrockModelSettings(
        temperature=0.5,
        max_tokens=50,
        stop_sequences=['END'],
        bedrock_cache_tool_definitions=True,
        bedrock_cache_instructions=True,
    )
    messages: list[Any] = [ModelRequest.user_text_prompt('Hello', instructions='Be brief.')]
    await claude.request(messages, settings, WEATHER)
    batched = request('q', '', model_settings=settings, model_request_parameters=WEATHER)
    batched.messages = messages
    await answers(claude, batched)
    [record] = records(bedrock)
    [alone] = [each for each in bedrock.requests if each.operation == 'Converse']
    assert record.body['anthropic_version'] == 'bedrock-2023-05-31'
    assert record.converse == alone.converse
    assert record.model_id == alone.model_id


@pytest.mark.parametrize(
    'reply',
    [
        Reply(tool_calls=[ToolCall('weather', {'city': 'Paris'}, id='tooluse_1')]),
        Reply('Thought over.', thinking='Hm.', signature='signed', usage={'cacheReadInputTokens': 7}),
        Reply('Cut', stop_reason='max_tokens'),
        Reply('No.', stop_reason='content_filtered'),
        Reply('Größe 日本'),
    ],
    ids=['tool call', 'thinking', 'cut', 'refused', 'text'],
)
async def test_a_response_is_that_of_a_live_call(bedrock: LocalBedrock, claude: Any, reply: Reply) -> None:
    bedrock.reply(reply, times=2)
    alone = await claude.request(request('q', 'Hello').messages, SETTINGS, WEATHER)
    [batched] = await answers(claude, request('q', 'Hello', model_request_parameters=WEATHER))
    for field in ('parts', 'model_name', 'provider_name', 'provider_url', 'finish_reason'):
        assert getattr(batched, field) == getattr(alone, field)
    assert batched.provider_details['finish_reason'] == alone.provider_details['finish_reason']
    for field in ('input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens'):
        assert getattr(batched.usage, field) == getattr(alone.usage, field)


async def test_thinking_of_a_batch_is_sent_back_by_a_live_call(bedrock: LocalBedrock, claude: Any) -> None:
    bedrock.reply(Reply('Yes.', thinking='Hm.', signature='signed'), times=1)
    batched = request('q', 'Hello', model_request_parameters=WEATHER)
    [response] = await answers(claude, batched)
    assert any(isinstance(part, ThinkingPart) for part in response.parts)
    await claude.request([*batched.messages, response, *request('r', 'Why?').messages], SETTINGS, WEATHER)
    sent = bedrock.requests[-1].body['messages'][1]['content'][0]
    assert sent == {'reasoningContent': {'reasoningText': {'text': 'Hm.', 'signature': 'signed'}}}


async def test_requests_with_tools_and_without_are_jobs_of_their_own(bedrock: LocalBedrock, claude: Any) -> None:
    results = await answers(claude, request('a', 'One'), request('b', 'Two', model_request_parameters=WEATHER))
    assert [result.provider_details['processing'] for result in results] == ['batch', 'batch']
    assert sorted(job_types(bedrock)) == ['Converse', 'InvokeModel']


async def test_too_few_requests_with_tools_are_sent_live(bedrock: LocalBedrock, claude: Any) -> None:
    live = BedrockConverseModel(
        CLAUDE,
        provider=claude.provider,
        settings=SETTINGS,
        batch_inference=like(claude, min_records=100, live_below_minimum=True)._batch_inference,
    )
    bedrock.reply(Reply(tool_calls=[ToolCall('weather', {'city': 'Rome'})]))
    [response] = await answers(live, request('a', 'Hello', model_request_parameters=WEATHER))
    assert response.tool_calls[0].args_as_dict() == {'city': 'Rome'}
    assert 'processing' not in response.provider_details
    assert [each.operation for each in bedrock.requests] == ['InvokeModel', 'PutObject', 'GetObject']


async def test_a_setting_that_invoke_model_has_no_place_for_is_named(bedrock: LocalBedrock, claude: Any) -> None:
    settings = BedrockModelSettings(bedrock_guardrail_config={'guardrailIdentifier': 'g', 'guardrailVersion': '1'})
    with pytest.raises(UserError, match=r'InvokeModel request to Claude, which has no place for guardrailConfig'):
        await claude.batch_encode(request('q', 'Hello', model_settings=settings, model_request_parameters=WEATHER))
    assert bedrock.requests == []


async def test_other_models_refuse_tools_and_say_where_they_work(bedrock: LocalBedrock, model: Any) -> None:
    agent = Agent(model, output_type=City, capabilities=[batching(1)])
    with pytest.raises(UserError, match=f"tools for Claude alone, not for '{MODEL}'. Send the request live"):
        await agent.run('Hello')
    assert bedrock.requests == []
