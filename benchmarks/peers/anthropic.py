"""anthropic's `AsyncAnthropicBedrock`, which speaks InvokeModel in Anthropic's own format, on httpx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anthropic import AsyncAnthropicBedrock, DefaultAsyncHttpxClient
from benchmarks.conversations import MAX_TOKENS, MODEL, Conversation
from benchmarks.peers import REGION, Endpoint


class Peer:
    http_client = DefaultAsyncHttpxClient

    async def setup(self, endpoint: Endpoint) -> None:
        # Its default allows 1,000 connections.
        self._client = AsyncAnthropicBedrock(aws_region=REGION, base_url=endpoint.url, http_client=self.http_client())

    def prepare(self, conversation: Conversation) -> dict[str, Any]:
        prepared: dict[str, Any] = {
            'model': MODEL,
            'max_tokens': MAX_TOKENS,
            'system': conversation.system,
            'messages': [{'role': role, 'content': text} for role, text in conversation.messages],
        }
        if conversation.tools:
            prepared['tools'] = [
                {'name': tool.name, 'description': tool.description, 'input_schema': tool.schema}
                for tool in conversation.tools
            ]
        return prepared

    async def request(self, prepared: dict[str, Any]) -> str:
        message = await self._client.messages.create(**prepared)
        return message.content[0].text

    async def stream(self, prepared: dict[str, Any], seen: Callable[[str], None]) -> None:
        async with self._client.messages.stream(**prepared) as stream:
            async for text in stream.text_stream:
                seen(text)

    run = request
    agent = stream

    async def teardown(self) -> None:
        await self._client.close()
