"""A model that generates until its client has gone away, and a bounded wait for what the client cannot see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from local_bedrock import RecordedRequest

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
