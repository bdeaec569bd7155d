"""Agents of Pydantic AI come to their end with the default model, whatever their tools return."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelRetry, ToolReturn
from pydantic_ai.usage import UsageLimits
from support.requests import CLAUDE, NOVA

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

# A loop would end here, and not after the 50 requests of Pydantic AI.
FEW = UsageLimits(request_limit=6)
REPORT = BinaryContent(b'%PDF-1.4 A report.', media_type='application/pdf')
PICTURE = BinaryContent(b'\x89PNG\r\n\x1a\n', media_type='image/png')
CLAUDE_4_5 = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'

RETURNED: dict[str, Any] = {
    'text': 'It is sunny.',
    'a document': REPORT,
    'an image': PICTURE,
    'a text and a document': ['Here it is.', REPORT],
    'two documents': [REPORT, BinaryContent(b'Second.', media_type='text/plain')],
    'content beside the result': ToolReturn('Done.', content=['See the report:', REPORT]),
    'a structure': {'temperature': 21, 'dry': True},
    'a list': [1, 2],
    'nothing': None,
    'an empty text': '',
}


class Weather(BaseModel):
    city: str
    celsius: float


def provider_of(bedrock: LocalBedrock) -> BedrockProvider:
    return BedrockProvider(
        base_url=bedrock.base_url,
        region_name=bedrock.region_name,
        aws_access_key_id=bedrock.aws_access_key_id,
        aws_secret_access_key=bedrock.aws_secret_access_key,
        pool=SessionPool(),
    )


@pytest.mark.parametrize('streamed', [False, True], ids=['run', 'stream'])
@pytest.mark.parametrize('model', [CLAUDE, CLAUDE_4_5, NOVA])
@pytest.mark.parametrize('returned', RETURNED.values(), ids=RETURNED)
async def test_a_tool_is_called_once_whatever_it_returns(
    bedrock: LocalBedrock, model: str, returned: Any, streamed: bool
) -> None:
    calls: list[str] = []

    def lookup(query: str) -> Any:
        calls.append(query)
        return returned

    async with provider_of(bedrock) as provider:
        agent = Agent(BedrockConverseModel(model, provider=provider), tools=[lookup])
        if streamed:
            async with agent.run_stream('Look it up.', usage_limits=FEW) as result:
                said = await result.get_output()
        else:
            said = (await agent.run('Look it up.', usage_limits=FEW)).output
    assert len(calls) == 1
    assert said
    assert bedrock.failures == []


async def test_a_tool_that_asks_again_and_an_output_after_a_document_come_to_an_end(bedrock: LocalBedrock) -> None:
    calls: list[str] = []

    def lookup(query: str) -> Any:
        calls.append(query)
        if len(calls) == 1:
            raise ModelRetry('Ask again.')
        return REPORT

    async with provider_of(bedrock) as provider:
        model = BedrockConverseModel(CLAUDE, provider=provider)
        agent = Agent(model, tools=[lookup], output_type=Weather)
        result = await agent.run('How is the weather in Rome?', usage_limits=FEW)
        assert isinstance(result.output, Weather)
        before = len(calls)
        # A second run of the same conversation calls the tool again, and ends too.
        again = await agent.run('And tomorrow?', message_history=result.all_messages(), usage_limits=FEW)
    assert isinstance(again.output, Weather)
    assert len(calls) == before + 1


async def test_ten_tools_come_to_an_end(bedrock: LocalBedrock) -> None:
    calls: list[str] = []

    def tool_named(name: str) -> Any:
        def tool() -> BinaryContent:
            calls.append(name)
            return REPORT

        tool.__name__ = name
        return tool

    async with provider_of(bedrock) as provider:
        model = BedrockConverseModel(CLAUDE, provider=provider)
        agent = Agent(model, tools=[tool_named(f'tool_{number}') for number in range(10)])
        assert (await agent.run('Go.', usage_limits=FEW)).output
    assert len(calls) == 1
