"""langchain-aws: `ChatBedrockConverse`, whose async methods run boto3 in the threads of the loop's executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.conversations import MAX_TOKENS, MODEL, Conversation
from benchmarks.peers import REGION, Endpoint
from botocore.config import Config
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage


class Prepared(NamedTuple):
    messages: list[BaseMessage]
    model: Any


class Peer:
    async def setup(self, endpoint: Endpoint) -> None:
        limits: dict[str, Any] = {'config': Config(max_pool_connections=2000)} if endpoint.tuned else {}
        self._model = ChatBedrockConverse(
            model=MODEL, region_name=REGION, base_url=endpoint.url, max_tokens=MAX_TOKENS, **limits
        )

    def prepare(self, conversation: Conversation) -> Callable[[], Prepared]:
        messages: list[BaseMessage] = [
            HumanMessage(text) if role == 'user' else AIMessage(text) for role, text in conversation.messages
        ]
        messages.insert(0, SystemMessage(conversation.system))
        tools = [
            {'name': tool.name, 'description': tool.description, 'input_schema': tool.schema}
            for tool in conversation.tools
        ]
        bound: list[Any] = []

        def prepared() -> Prepared:
            # The model is made after the conversation where the first call is measured.
            if not bound:
                bound.append(self._model.bind_tools(tools) if tools else self._model)
            return Prepared(messages, bound[0])

        return prepared

    async def request(self, prepared: Callable[[], Prepared]) -> str:
        messages, model = prepared()
        return (await model.ainvoke(messages)).text

    async def stream(self, prepared: Callable[[], Prepared], seen: Callable[[str], None]) -> None:
        messages, model = prepared()
        async for chunk in model.astream(messages):
            if text := chunk.text:
                seen(text)

    run = request
    agent = stream

    async def teardown(self) -> None:
        self._model.client.close()
