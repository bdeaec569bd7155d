"""Clients that are wrapped while they are made, as instrumentations do, and that return replaced results."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiobotocore.client
import pytest
import wrapt
from botocore.eventstream import EventStream
from pydantic_ai import Agent
from pydantic_ai.embeddings import Embedder

from local_bedrock import EventsReply, LocalBedrock, Reply, StreamEvent
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider

NOVA = 'us.amazon.nova-lite-v1:0'
TITAN = 'amazon.titan-embed-text-v2:0'


class OnlyRead:
    """A body that was read, and can be read again, but not be entered."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self) -> bytes:
        return self._content


class Proxy:
    """A stream that yields the events of another, and has its other attributes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for event in self._stream:
            yield event


class TransparentProxy(wrapt.ObjectProxy):
    """A stream that takes itself for the one that it wraps."""

    def __aiter__(self) -> Any:
        return aiter(self.__wrapped__)


@pytest.fixture
def wrap(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace what a method of every new client returns."""

    def wrap(method: str, replace: Callable[[dict[str, Any]], Any]) -> None:
        create_client = aiobotocore.client.AioClientCreator.create_client

        async def create_wrapped_client(*args: Any, **kwargs: Any) -> Any:
            client = await create_client(*args, **kwargs)
            wrapped = getattr(client, method)

            async def call(**params: Any) -> dict[str, Any]:
                response = await wrapped(**params)
                await replace(response)
                return response

            setattr(client, method, call)
            return client

        monkeypatch.setattr(aiobotocore.client.AioClientCreator, 'create_client', create_wrapped_client)

    return wrap


async def test_a_body_that_can_only_be_read_is_enough_for_an_embedding(
    wrap: Callable[..., None], provider: BedrockProvider
) -> None:
    async def replace(response: dict[str, Any]) -> None:
        response['body'] = OnlyRead(await response['body'].read())

    wrap('invoke_model', replace)
    embedder = Embedder(BedrockEmbeddingModel(TITAN, provider=provider))
    for _ in range(2):
        assert (await embedder.embed_query('Hi.')).embeddings[0]


@pytest.mark.parametrize('proxy', [Proxy, TransparentProxy])
async def test_a_wrapper_of_converse_stream_sees_each_event_of_each_call(
    wrap: Callable[..., None], provider: BedrockProvider, bedrock: LocalBedrock, proxy: Any
) -> None:
    seen: list[str] = []

    async def replace(response: dict[str, Any]) -> None:
        stream = response['stream']
        assert isinstance(stream, EventStream)
        parse_event = stream._parse_event  # pyright: ignore[reportAttributeAccessIssue]

        async def parse_seen_event(message: Any) -> Any:
            event = await parse_event(message)
            seen.extend(event)
            return event

        stream._parse_event = parse_seen_event  # pyright: ignore[reportAttributeAccessIssue]
        response['stream'] = proxy(stream)

    wrap('converse_stream', replace)
    bedrock.reply(Reply('Hello you.', chunks=['Hello', ' you.']), times=None)
    agent = Agent(BedrockConverseModel(NOVA, provider=provider))
    for _ in range(2):
        async with agent.run_stream('Hi.') as result:
            assert await result.get_output() == 'Hello you.'
    assert seen.count('contentBlockDelta') == 4
    assert seen.count('metadata') == 2
    async with agent.run_stream('Hi.') as result:
        async for _ in result.stream_text():
            break


@pytest.mark.parametrize('proxy', [Proxy, TransparentProxy])
async def test_a_wrapped_stream_that_is_refused_by_its_first_event_is_sent_again(
    wrap: Callable[..., None], provider: BedrockProvider, bedrock: LocalBedrock, proxy: Any
) -> None:
    async def replace(response: dict[str, Any]) -> None:
        response['stream'] = proxy(response['stream'])

    wrap('converse_stream', replace)
    bedrock.reply(EventsReply([StreamEvent.exception('throttlingException', 'Too many requests.')]), 'Hello.')
    agent = Agent(BedrockConverseModel(NOVA, provider=provider))
    async with agent.run_stream('Hi.') as result:
        assert await result.get_output() == 'Hello.'
    assert len(bedrock.requests) == 2


def test_a_stream_refuses_to_be_iterated_without_async(provider: BedrockProvider) -> None:
    from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream

    with pytest.raises(TypeError, match='`async for`'):
        iter(ConverseEventStream.__new__(ConverseEventStream))
