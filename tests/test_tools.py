"""Tools and structured output."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    NativeOutput,
    PromptedOutput,
    ToolOutput,
)

from local_bedrock import LocalBedrock, Reply, ToolCall
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'


class City(BaseModel):
    """A city."""

    name: str
    population: int


async def test_a_tool_is_called_and_its_result_goes_back(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    agent = Agent(model)

    @agent.tool_plain
    def weather(city: str) -> str:
        """Tell the weather."""
        return f'Sunny in {city}.'

    bedrock.reply(Reply(tool_calls=[ToolCall('weather', {'city': 'Rome'}, id='call-1')]), 'It is sunny.')
    assert (await agent.run('The weather in Rome?')).output == 'It is sunny.'
    first, second = bedrock.requests
    assert list(first.tools) == ['weather']
    assert first.tools['weather']['description'] == 'Tell the weather.'
    assert second.messages[1:] == [
        {
            'role': 'assistant',
            'content': [{'toolUse': {'toolUseId': 'call-1', 'name': 'weather', 'input': {'city': 'Rome'}}}],
        },
        {
            'role': 'user',
            'content': [
                {'toolResult': {'toolUseId': 'call-1', 'content': [{'text': 'Sunny in Rome.'}], 'status': 'success'}}
            ],
        },
    ]


async def test_tools_that_are_called_together_run_together(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    agent = Agent(model)
    both = asyncio.Barrier(2)

    @agent.tool_plain
    async def weather(city: str) -> str:
        async with asyncio.timeout(5), both:
            return f'Sunny in {city}.'

    calls = [ToolCall('weather', {'city': city}, id=city) for city in ('Rome', 'Oslo')]
    bedrock.reply(Reply(tool_calls=calls), 'Sunny in both.')
    assert (await agent.run('The weather in Rome and Oslo?')).output == 'Sunny in both.'
    assert [result['toolUseId'] for result in bedrock.requests[1].tool_results] == ['Rome', 'Oslo']


@pytest.mark.parametrize('streamed', [False, True], ids=['run', 'run_stream'])
async def test_output_by_a_tool_is_validated(
    bedrock: LocalBedrock, model: BedrockConverseModel, streamed: bool
) -> None:
    bedrock.reply(Reply(tool_calls=[ToolCall('city', {'name': 'Rome', 'population': 3})]))
    agent = Agent(model, output_type=ToolOutput(City, name='city'))
    assert await output_of(agent, streamed) == City(name='Rome', population=3)
    (request,) = bedrock.requests
    assert list(request.tools) == ['city']
    assert request.body['toolConfig']['toolChoice'] == {'any': {}}


@pytest.mark.parametrize('streamed', [False, True], ids=['run', 'run_stream'])
async def test_native_output_is_asked_for_whatever_botocore_knows(
    bedrock: LocalBedrock, provider: BedrockProvider, streamed: bool
) -> None:
    bedrock.reply(Reply('{"name": "Rome", "population": 3}'))
    agent = Agent(BedrockConverseModel(CLAUDE, provider=provider), output_type=NativeOutput(City))
    assert await output_of(agent, streamed) == City(name='Rome', population=3)
    (request,) = bedrock.requests
    form = request.body['outputConfig']['textFormat']
    assert form['type'] == 'json_schema'
    assert form['structure']['jsonSchema']['name'] == 'City'
    assert 'toolConfig' not in request.body


@pytest.mark.parametrize('streamed', [False, True], ids=['run', 'run_stream'])
async def test_prompted_output_is_asked_for_in_words(
    bedrock: LocalBedrock, model: BedrockConverseModel, streamed: bool
) -> None:
    bedrock.reply(Reply('{"name": "Rome", "population": 3}'))
    agent = Agent(model, output_type=PromptedOutput(City))
    assert await output_of(agent, streamed) == City(name='Rome', population=3)
    (request,) = bedrock.requests
    assert '"population"' in request.body['system'][0]['text']
    assert not {'toolConfig', 'outputConfig'} & request.body.keys()


async def output_of(agent: Agent[None, City], streamed: bool) -> City:
    if not streamed:
        return (await agent.run('A city?')).output
    async with agent.run_stream('A city?') as result:
        return await result.get_output()
