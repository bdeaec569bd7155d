"""A model that generates until its client has gone away, and bounded waits for effects that the client cannot see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from pydantic_ai import Agent

from local_bedrock import LocalBedrock, RecordedRequest
from pydantic_ai_aiobedrock import BedrockConverseModel, SessionPool

PATIENCE_SECONDS = 60.0


class EndlessGeneration:
    """A scripted reply: two words, then nothing more until the client disconnects."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        """Set when the generation has been given up."""
        self._started = asyncio.Event()

    async def __call__(self, request: RecordedRequest) -> AsyncGenerator[dict[str, Any]]:
        try:
            yield {'messageStart': {'role': 'assistant'}}
            yield {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': 'Once'}}}
            yield {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': ' upon'}}}
            self._started.set()
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def until_started(self) -> None:
        """Wait until both words have been sent."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._started.wait()

    async def until_ended(self) -> None:
        """Wait until the generation has been given up."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.ended.wait()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, but not for long.

    Raises:
        TimeoutError: It does not come to hold.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def endless(bedrock: LocalBedrock) -> EndlessGeneration:
    """Let the next stream go on until its client goes away."""
    generation = EndlessGeneration()
    bedrock.reply(generation)
    return generation


async def assert_given_back(bedrock: LocalBedrock, endless: EndlessGeneration, pool: SessionPool) -> None:
    """Assert that a stream that was given up holds nothing, and that nothing is generated for it any more."""
    assert pool.stats().leases == 0
    await endless.until_ended()
    await eventually(lambda: bedrock.stats().streams_generating == 0)
    assert bedrock.requests[0].disconnected
    assert bedrock.stats().open_connections == 0


async def assert_next_answer_is_right(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    bedrock.reply('The next answer.')
    async with Agent(model).run_stream('And now?') as result:
        assert await result.get_output() == 'The next answer.'
