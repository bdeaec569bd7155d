"""Pydantic AI with a model in memory: its own work for a run, whatever the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from benchmarks.answers import STAMP_LENGTH, TEXT
from benchmarks.peers import Endpoint
from benchmarks.peers._pydantic_ai import PydanticAIPeer
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

SECONDS = 0.02
"""Seconds until an answer, in which other runs go on, like with a model that is asked over a network."""

DELTAS = 200


class Peer(PydanticAIPeer):
    async def setup(self, endpoint: Endpoint) -> None:
        self.model = FunctionModel(_answer, stream_function=_stream)

    async def teardown(self) -> None:
        """Nothing has been opened."""


async def _answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    await asyncio.sleep(SECONDS)
    return ModelResponse(parts=[TextPart(TEXT)])


async def _stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    await asyncio.sleep(SECONDS)
    for _ in range(DELTAS):
        yield '@' * STAMP_LENGTH
