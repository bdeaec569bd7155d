"""Raw aiobotocore: the calls and the iteration that it has itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from benchmarks.conversations import MODEL, Conversation, converse_body
from benchmarks.peers import REGION, Endpoint


class Peer:
    retries: AioConfig | None = None

    async def setup(self, endpoint: Endpoint) -> None:
        config = AioConfig(max_pool_connections=2000) if endpoint.tuned else self.retries
        self._context = AioSession().create_client(
            'bedrock-runtime', region_name=REGION, endpoint_url=endpoint.url, config=config
        )
        self._client = await self._context.__aenter__()

    def prepare(self, conversation: Conversation) -> dict[str, Any]:
        return {'modelId': MODEL, **converse_body(conversation)}

    async def request(self, prepared: dict[str, Any]) -> str:
        response = await self._client.converse(**prepared)
        return response['output']['message']['content'][0]['text']

    async def stream(self, prepared: dict[str, Any], seen: Callable[[str], None]) -> None:
        response = await self._client.converse_stream(**prepared)
        async for event in response['stream']:
            if 'contentBlockDelta' in event:
                seen(event['contentBlockDelta']['delta']['text'])

    run = request
    agent = stream

    async def teardown(self) -> None:
        await self._context.__aexit__(None, None, None)
