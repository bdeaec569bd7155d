"""This package at the level of the model."""

from __future__ import annotations

from typing import Any

from benchmarks.conversations import MODEL
from benchmarks.peers import REGION, Endpoint
from benchmarks.peers._pydantic_ai import PydanticAIPeer

from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool


class Peer(PydanticAIPeer):
    async def setup(self, endpoint: Endpoint) -> None:
        limits: dict[str, Any] = {'max_connections': 2000} if endpoint.tuned else {}
        self._pool = SessionPool()
        provider = BedrockProvider(region_name=REGION, base_url=endpoint.url, pool=self._pool, **limits)
        self.model = BedrockConverseModel(MODEL, provider=provider)

    async def teardown(self) -> None:
        await self._pool.aclose()
