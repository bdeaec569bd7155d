"""The ways to use a provider: a run, a stream, a count of tokens, an embedding."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_ai import Agent, ModelRequest
from pydantic_ai.models import ModelRequestParameters

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider, SessionPool

NOVA = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'
TITAN = 'amazon.titan-embed-text-v2:0'


@asynccontextmanager
async def provider_for(bedrock: LocalBedrock, **arguments: Any) -> AsyncIterator[BedrockProvider]:
    arguments = {'region_name': bedrock.region_name, 'base_url': bedrock.base_url, **arguments}
    async with BedrockProvider(**arguments, pool=SessionPool()) as provider:
        yield provider


async def run(provider: BedrockProvider) -> None:
    await Agent(BedrockConverseModel(NOVA, provider=provider)).run('Hello.')


async def stream(provider: BedrockProvider) -> None:
    async with Agent(BedrockConverseModel(NOVA, provider=provider)).run_stream('Hello.') as result:
        await result.get_output()


async def count_tokens(provider: BedrockProvider) -> None:
    model = BedrockConverseModel(CLAUDE, provider=provider)
    await model.count_tokens([ModelRequest.user_text_prompt('Hello.')], None, ModelRequestParameters())


async def embed(provider: BedrockProvider) -> None:
    await BedrockEmbeddingModel(TITAN, provider=provider).embed(['a', 'b'], input_type='query')


Use = Callable[[BedrockProvider], Coroutine[Any, Any, None]]

in_every_way = pytest.mark.parametrize('use', [run, stream, count_tokens, embed])
