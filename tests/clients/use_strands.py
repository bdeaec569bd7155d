"""Strands Agents as a client."""

from __future__ import annotations

from typing import Any

import strands
from conversation import (
    ANSWER,
    MODEL,
    QUESTION,
    TOO_MUCH,
    TOOL_ANSWER,
    TOOL_INPUT,
    TOOL_QUESTION,
    TOOL_RESULT,
    must_be,
    run,
)
from strands.models import BedrockModel
from strands.types.exceptions import ModelThrottledException

model = BedrockModel(model_id=MODEL)


def agent(**options: Any) -> strands.Agent:
    return strands.Agent(callback_handler=None, **{'model': model, **options})


def plain() -> None:
    whole = BedrockModel(model_id=MODEL, streaming=False)
    must_be(str(agent(model=whole)(QUESTION)).strip(), ANSWER)


async def stream() -> None:
    pieces = [event['data'] async for event in agent().stream_async(QUESTION) if 'data' in event]
    must_be(''.join(pieces), ANSWER)
    assert len(pieces) > 1


def tool() -> None:
    called: list[dict[str, str]] = []

    @strands.tool
    def get_weather(city: str) -> str:
        """Tell the weather in a city.

        Args:
            city: The city.
        """
        called.append({'city': city})
        return TOOL_RESULT

    must_be(str(agent(tools=[get_weather])(TOOL_QUESTION)).strip(), TOOL_ANSWER)
    must_be(called, [TOOL_INPUT])


async def throttled() -> None:
    # An agent would try again for minutes.
    try:
        async for _ in model.stream([{'role': 'user', 'content': [{'text': TOO_MUCH}]}]):
            pass
    except ModelThrottledException:
        return
    raise AssertionError('not throttled')


run('strands-agents', plain=plain, stream=stream, tool=tool, throttled=throttled)
