"""strands-agents: `BedrockModel`, which runs boto3 in a thread for each stream and passes the events to the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
from benchmarks.conversations import MAX_TOKENS, MODEL, Conversation
from benchmarks.peers import REGION, Endpoint
from botocore.config import Config
from strands import Agent
from strands.models import BedrockModel


class Peer:
    async def setup(self, endpoint: Endpoint) -> None:
        limits: dict[str, Any] = {'boto_client_config': Config(max_pool_connections=2000)} if endpoint.tuned else {}
        self._options: dict[str, Any] = {
            'boto_session': boto3.Session(region_name=REGION),
            'endpoint_url': endpoint.url,
            'model_id': MODEL,
            'max_tokens': MAX_TOKENS,
            **limits,
        }
        self._model = BedrockModel(**self._options)
        self._plain = BedrockModel(**self._options, streaming=False)

    def prepare(self, conversation: Conversation) -> dict[str, Any]:
        return {
            'messages': [{'role': role, 'content': [{'text': text}]} for role, text in conversation.messages],
            'system_prompt': conversation.system,
            'tool_specs': [
                {'name': tool.name, 'description': tool.description, 'inputSchema': {'json': tool.schema}}
                for tool in conversation.tools
            ]
            or None,
        }

    async def request(self, prepared: dict[str, Any]) -> str:
        text = ''
        async for event in self._plain.stream(**prepared):
            if 'contentBlockDelta' in event:
                text += event['contentBlockDelta']['delta']['text']
        return text

    async def stream(self, prepared: dict[str, Any], seen: Callable[[str], None]) -> None:
        async for event in self._model.stream(**prepared):
            if 'contentBlockDelta' in event:
                seen(event['contentBlockDelta']['delta']['text'])

    async def run(self, prepared: dict[str, Any]) -> str:
        agent = Agent(model=self._plain, system_prompt=prepared['system_prompt'], callback_handler=None)
        return str(await agent.invoke_async(prepared['messages'][0]['content'][0]['text']))

    async def agent(self, prepared: dict[str, Any], seen: Callable[[str], None]) -> None:
        agent = Agent(model=self._model, system_prompt=prepared['system_prompt'], callback_handler=None)
        async for event in agent.stream_async(prepared['messages'][0]['content'][0]['text']):
            if text := event.get('data'):
                seen(text)

    async def teardown(self) -> None:
        self._model.client.close()
        self._plain.client.close()
