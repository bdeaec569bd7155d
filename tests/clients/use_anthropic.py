"""Anthropic's own client as a client: AnthropicBedrock, by InvokeModel in the Messages format, sync and async."""

from __future__ import annotations

from typing import Any

import anthropic
from conversation import (
    ANSWER,
    CLAUDE,
    QUESTION,
    TOO_MUCH,
    TOOL,
    TOOL_ANSWER,
    TOOL_DESCRIPTION,
    TOOL_INPUT,
    TOOL_QUESTION,
    TOOL_RESULT,
    TOOL_SCHEMA,
    base_url,
    must_be,
    run,
)

client = anthropic.AnthropicBedrock(base_url=base_url(), max_retries=0)
WHERE: dict[str, Any] = {'model': CLAUDE, 'max_tokens': 100}
TOOLS: Any = [{'name': TOOL, 'description': TOOL_DESCRIPTION, 'input_schema': TOOL_SCHEMA}]


def user(content: Any) -> Any:
    return {'role': 'user', 'content': content}


def text(message: Any) -> str:
    return ''.join(block.text for block in message.content if block.type == 'text')


async def plain() -> None:
    message = client.messages.create(messages=[user(QUESTION)], **WHERE)
    must_be((text(message), message.stop_reason), (ANSWER, 'end_turn'))
    assert message.usage.output_tokens > 0
    async with anthropic.AsyncAnthropicBedrock(base_url=base_url(), max_retries=0) as asynchronous:
        must_be(text(await asynchronous.messages.create(messages=[user(QUESTION)], **WHERE)), ANSWER)


async def stream() -> None:
    with client.messages.stream(messages=[user(QUESTION)], **WHERE) as streamed:
        pieces = list(streamed.text_stream)
        must_be((''.join(pieces), text(streamed.get_final_message())), (ANSWER, ANSWER))
    assert len(pieces) > 1
    async with anthropic.AsyncAnthropicBedrock(base_url=base_url(), max_retries=0) as asynchronous:
        events = await asynchronous.messages.create(messages=[user(QUESTION)], stream=True, **WHERE)
        deltas = [event.delta.text async for event in events if event.type == 'content_block_delta']
    must_be(''.join(deltas), ANSWER)


def tool() -> None:
    asked = client.messages.create(messages=[user(TOOL_QUESTION)], tools=TOOLS, **WHERE)
    [call] = asked.content
    must_be((asked.stop_reason, call.name, call.input), ('tool_use', TOOL, TOOL_INPUT))
    with client.messages.stream(messages=[user(TOOL_QUESTION)], tools=TOOLS, **WHERE) as streamed:
        must_be(streamed.get_final_message().content[0].input, TOOL_INPUT)
    result = {'type': 'tool_result', 'tool_use_id': call.id, 'content': TOOL_RESULT}
    turns = [user(TOOL_QUESTION), {'role': 'assistant', 'content': asked.content}, user([result])]
    must_be(text(client.messages.create(messages=turns, tools=TOOLS, **WHERE)), TOOL_ANSWER)


def throttled() -> None:
    try:
        client.messages.create(messages=[user(TOO_MUCH)], **WHERE)
    except anthropic.RateLimitError as error:
        must_be(error.status_code, 429)
    else:
        raise AssertionError('not throttled')


run('anthropic', plain=plain, stream=stream, tool=tool, throttled=throttled)
