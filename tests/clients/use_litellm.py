"""LiteLLM as a client, sync and async: `bedrock/converse` and `bedrock/invoke`."""

from __future__ import annotations

import json
from typing import Any

import litellm
from conversation import (
    ANSWER,
    CLAUDE,
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

WHERE: dict[str, Any] = {'model': f'bedrock/converse/{MODEL}', 'num_retries': 0}
TOOLS = [{'type': 'function', 'function': {'name': TOOL, 'description': TOOL_DESCRIPTION, 'parameters': TOOL_SCHEMA}}]


def user(text: str) -> dict[str, Any]:
    return {'role': 'user', 'content': text}


async def plain() -> None:
    must_be(litellm.completion(messages=[user(QUESTION)], **WHERE).choices[0].message.content, ANSWER)
    answer = await litellm.acompletion(messages=[user(QUESTION)], **WHERE)
    must_be(answer.choices[0].message.content, ANSWER)
    assert answer.usage.total_tokens > 0


async def stream() -> None:
    chunks = litellm.completion(messages=[user(QUESTION)], stream=True, **WHERE)
    must_be(''.join(chunk.choices[0].delta.content or '' for chunk in chunks), ANSWER)
    streamed = await litellm.acompletion(messages=[user(QUESTION)], stream=True, **WHERE)
    must_be(''.join([chunk.choices[0].delta.content or '' async for chunk in streamed]), ANSWER)


def tool() -> None:
    messages: list[Any] = [user(TOOL_QUESTION)]
    asked = litellm.completion(messages=messages, tools=TOOLS, **WHERE).choices[0].message
    [call] = asked.tool_calls
    must_be((call.function.name, json.loads(call.function.arguments)), (TOOL, TOOL_INPUT))
    messages += [asked, {'role': 'tool', 'tool_call_id': call.id, 'name': TOOL, 'content': TOOL_RESULT}]
    must_be(litellm.completion(messages=messages, tools=TOOLS, **WHERE).choices[0].message.content, TOOL_ANSWER)


def throttled() -> None:
    try:
        litellm.completion(messages=[user(TOO_MUCH)], **WHERE)
    except litellm.RateLimitError as error:
        must_be(error.status_code, 429)
    else:
        raise AssertionError('not throttled')


async def invoke() -> None:
    where: dict[str, Any] = {'model': f'bedrock/invoke/{CLAUDE}', 'num_retries': 0}
    must_be(litellm.completion(messages=[user(QUESTION)], **where).choices[0].message.content, ANSWER)
    chunks = litellm.completion(messages=[user(QUESTION)], stream=True, **where)
    must_be(''.join(chunk.choices[0].delta.content or '' for chunk in chunks), ANSWER)
    messages: list[Any] = [user(TOOL_QUESTION)]
    asked = (await litellm.acompletion(messages=messages, tools=TOOLS, **where)).choices[0].message
    [call] = asked.tool_calls
    must_be((call.function.name, json.loads(call.function.arguments)), (TOOL, TOOL_INPUT))
    messages += [asked, {'role': 'tool', 'tool_call_id': call.id, 'name': TOOL, 'content': TOOL_RESULT}]
    must_be(litellm.completion(messages=messages, tools=TOOLS, **where).choices[0].message.content, TOOL_ANSWER)


run('litellm', plain=plain, stream=stream, tool=tool, throttled=throttled, invoke=invoke)
