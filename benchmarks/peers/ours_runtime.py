"""This package below the model: `BedrockProvider.client`, with dicts in and dicts out as raw aiobotocore has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.conversations import MODEL, Conversation, converse_body
from benchmarks.peers import REGION, Endpoint

from pydantic_ai_aiobedrock import BedrockProvider, SessionPool


class Peer:
    async def setup(self, endpoint: Endpoint) -> None:
        limits: dict[str, Any] = {'max_connections': 2000} if endpoint.tuned else {}
        self._pool = SessionPool()
        self._client = BedrockProvider(region_name=REGION, base_url=endpoint.url, pool=self._pool, **limits).client

    def prepare(self, conversation: Conversation) -> dict[str, Any]:
        return {'modelId': MODEL, **converse_body(conversation)}

    async def request(self, prepared: dict[str, Any]) -> str:
        response = await self._client.converse(**prepared)
        return response['output']['message']['content'][0]['text']

    async def stream(self, prepared: dict[str, Any], seen: Callable[[str], None]) -> None:
        response = await self._client.converse_stream(**prepared)
        async with response['stream'] as events:
            async for event in events:
                if 'contentBlockDelta' in event:
                    seen(event['contentBlockDelta']['delta']['text'])

    run = request
    agent = stream

    async def teardown(self) -> None:
        await self._pool.aclose()
