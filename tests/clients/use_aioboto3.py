"""aioboto3 as a client."""

from __future__ import annotations

import json
from typing import Any

import aioboto3
from conversation import (
    ANSWER,
    MODEL,
    QUESTION,
    TOO_MUCH,
    TOOL,
    TOOL_ANSWER,
    TOOL_DESCRIPTION,
    TOOL_INPUT,
    TOOL_QUESTION,
    TOOL_RESULT,
    TOOL_SCHEMA,
    must_be,
    run,
)

session = aioboto3.Session()
TOOLS = {'tools': [{'toolSpec': {'name': TOOL, 'description': TOOL_DESCRIPTION, 'inputSchema': {'json': TOOL_SCHEMA}}}]}


def user(*content: Any) -> dict[str, Any]:
    return {'role': 'user', 'content': list(content)}


async def plain() -> None:
    async with session.client('bedrock-runtime') as client:
        response = await client.converse(modelId=MODEL, messages=[user({'text': QUESTION})])
    must_be(response['output']['message'], {'role': 'assistant', 'content': [{'text': ANSWER}]})


async def stream() -> None:
    async with session.client('bedrock-runtime') as client:
        streamed = (await client.converse_stream(modelId=MODEL, messages=[user({'text': QUESTION})]))['stream']
        events = [event async for event in streamed]
    deltas = [event['contentBlockDelta']['delta']['text'] for event in events if 'contentBlockDelta' in event]
    must_be(''.join(deltas), ANSWER)
    assert len(deltas) > 1


async def tool() -> None:
    messages = [user({'text': TOOL_QUESTION})]
    async with session.client('bedrock-runtime') as client:
        asked = (await client.converse(modelId=MODEL, messages=messages, toolConfig=TOOLS))['output']['message']
        call = asked['content'][0]['toolUse']
        must_be((call['name'], call['input']), (TOOL, TOOL_INPUT))
        streamed = (await client.converse_stream(modelId=MODEL, messages=messages, toolConfig=TOOLS))['stream']
        deltas = [event['contentBlockDelta']['delta'] async for event in streamed if 'contentBlockDelta' in event]
        must_be(json.loads(''.join(delta['toolUse']['input'] for delta in deltas)), TOOL_INPUT)
        result = {'toolResult': {'toolUseId': call['toolUseId'], 'content': [{'text': TOOL_RESULT}]}}
        told = await client.converse(modelId=MODEL, messages=[*messages, asked, user(result)], toolConfig=TOOLS)
    must_be(told['output']['message']['content'], [{'text': TOOL_ANSWER}])


async def throttled() -> None:
    async with session.client('bedrock-runtime') as client:
        try:
            await client.converse(modelId=MODEL, messages=[user({'text': TOO_MUCH})])
        except client.exceptions.ThrottlingException as error:
            must_be(error.response['ResponseMetadata']['HTTPStatusCode'], 429)
        else:
            raise AssertionError('not throttled')


run('aioboto3', plain=plain, stream=stream, tool=tool, throttled=throttled)
