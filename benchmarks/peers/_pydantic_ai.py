"""What upstream's model and this package's have in common: all but the import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.conversations import MAX_TOKENS, Conversation
from pydantic_ai import Agent
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition


class Prepared(NamedTuple):
    conversation: Conversation
    messages: list[ModelMessage]
    parameters: ModelRequestParameters


class PydanticAIPeer:
    model: Model
    settings = ModelSettings(max_tokens=MAX_TOKENS)
    _agent: Agent[Any, str] | None = None

    def prepare(self, conversation: Conversation) -> Prepared:
        messages: list[ModelMessage] = [
            ModelRequest(parts=[UserPromptPart(text)])
            if role == 'user'
            else ModelResponse(parts=[TextPart(text)], provider_name='bedrock')
            for role, text in conversation.messages
        ]
        messages[0] = ModelRequest(parts=[SystemPromptPart(conversation.system), *messages[0].parts])  # type: ignore
        if conversation.document:
            document = BinaryContent(conversation.document, media_type='application/pdf')
            messages[-1] = ModelRequest(parts=[*messages[-1].parts, UserPromptPart([document])])  # type: ignore
        tools = [
            ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=tool.schema)
            for tool in conversation.tools
        ]
        return Prepared(conversation, messages, ModelRequestParameters(function_tools=tools))

    async def request(self, prepared: Prepared) -> str:
        response = await self.model.request(prepared.messages, self.settings, prepared.parameters)
        (part,) = response.parts
        assert isinstance(part, TextPart)
        return part.content

    async def stream(self, prepared: Prepared, seen: Callable[[str], None]) -> None:
        async with self.model.request_stream(prepared.messages, self.settings, prepared.parameters) as response:
            async for event in response:
                if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                    seen(event.delta.content_delta)
                elif isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                    seen(event.part.content)

    async def run(self, prepared: Prepared) -> str:
        return (await self._agent_of(prepared).run(prepared.conversation.turns[0])).output

    async def agent(self, prepared: Prepared, seen: Callable[[str], None]) -> None:
        async with self._agent_of(prepared).run_stream(prepared.conversation.turns[0]) as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                seen(text)

    def _agent_of(self, prepared: Prepared) -> Agent[Any, str]:
        # Made once and reused for all runs, as Pydantic AI advises.
        if self._agent is None:
            system = prepared.conversation.system
            self._agent = Agent(self.model, system_prompt=system, model_settings=self.settings)
        return self._agent
