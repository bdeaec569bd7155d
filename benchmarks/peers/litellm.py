"""litellm: `acompletion`, on aiohttp by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import litellm
from benchmarks.conversations import MAX_TOKENS, MODEL, Conversation
from benchmarks.peers import REGION, Endpoint


class Peer:
    async def setup(self, endpoint: Endpoint) -> None:
        self._arguments = {
            'model': f'bedrock/converse/{MODEL}',
            'aws_region_name': REGION,
            'aws_bedrock_runtime_endpoint': endpoint.url,
            'max_tokens': MAX_TOKENS,
        }

    def prepare(self, conversation: Conversation) -> dict[str, Any]:
        messages = [{'role': role, 'content': text} for role, text in conversation.messages]
        prepared: dict[str, Any] = {'messages': [{'role': 'system', 'content': conversation.system}, *messages]}
        if conversation.tools:
            prepared['tools'] = [
                {
                    'type': 'function',
                    'function': {'name': tool.name, 'description': tool.description, 'parameters': tool.schema},
                }
                for tool in conversation.tools
            ]
        return prepared

    async def request(self, prepared: dict[str, Any]) -> str:
        response = await litellm.acompletion(**prepared, **self._arguments)
        return response.choices[0].message.content

    async def stream(self, prepared: dict[str, Any], seen: Callable[[str], None]) -> None:
        response = await litellm.acompletion(**prepared, **self._arguments, stream=True)
        async for chunk in response:
            if text := chunk.choices[0].delta.content:
                seen(text)

    run = request
    agent = stream

    async def teardown(self) -> None:
        await litellm.close_litellm_async_clients()
