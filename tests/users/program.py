"""What users write: `nox -s build` runs it on the installed wheel, and pyright in strict mode finds nothing wrong."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent, Embedder, RunContext
from pydantic_ai.models.fallback import FallbackModel

from local_bedrock import LocalBedrock, RecordedRequest, Reply, ToolCall, exception_event
from pydantic_ai_aiobedrock import (
    BedrockConverseModel,
    BedrockEmbeddingModel,
    BedrockModelSettings,
    BedrockProvider,
    IncompleteStreamError,
    PoolStats,
    SessionPool,
)


class City(BaseModel):
    name: str
    country: str


async def temperature(ctx: RunContext[int], city: str) -> str:
    """Return the temperature in a city."""
    return f'{ctx.deps} degrees in {city}'


def answer(request: RecordedRequest) -> Reply:
    if 'final_result' in request.tools:
        return Reply(tool_calls=[ToolCall('final_result', {'name': 'Lima', 'country': 'Peru'})])
    return Reply('Hello!')


async def main() -> None:
    pool = SessionPool(max_clients=10, idle_timeout=60)
    async with LocalBedrock(responder=answer) as bedrock:
        bedrock.fault(exception_event('throttlingException'), times=1)
        provider = BedrockProvider(
            region_name='us-east-1',
            base_url=bedrock.base_url,
            aws_access_key_id=bedrock.aws_access_key_id,
            aws_secret_access_key=bedrock.aws_secret_access_key,
            max_connections=100,
            pool=pool,
        )
        settings = BedrockModelSettings(max_tokens=100, bedrock_service_tier={'type': 'flex'})
        model = BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider, settings=settings)
        agent = Agent(FallbackModel(model, model), deps_type=int, output_type=City, tools=[temperature])
        async with provider:
            await provider.warm_up(connections=2)
            city: City = (await agent.run('Lima', deps=20)).output
            try:
                async with agent.run_stream('Lima', deps=20) as stream:
                    async for partial in stream.stream_output():
                        print(partial.name)
            except IncompleteStreamError as error:
                print(error)
            embedder = Embedder(BedrockEmbeddingModel('amazon.titan-embed-text-v2:0', provider=provider))
            vectors = await embedder.embed_query('What is the capital of France?')
            reply = await provider.client.converse(
                modelId='us.amazon.nova-lite-v1:0', messages=[{'role': 'user', 'content': [{'text': 'Hello!'}]}]
            )
            streamed = await provider.client.converse_stream(
                modelId='us.amazon.nova-lite-v1:0', messages=[{'role': 'user', 'content': [{'text': 'Hello!'}]}]
            )
            async with streamed['stream'] as events:
                async for event in events:
                    print(event)
        stats: PoolStats = pool.stats()
        print(city.country, len(vectors.embeddings[0]), reply['output'], stats.leases)


asyncio.run(main())
