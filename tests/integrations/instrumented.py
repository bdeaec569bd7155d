"""Run calls under an instrumentor of AWS clients, and print the spans of each as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent
from pydantic_ai.embeddings import Embedder

from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider

module, _, name = sys.argv[1].partition(':')
MESSAGES = [{'role': 'user', 'content': [{'text': 'Hi.'}]}]


class Started(SpanProcessor):
    count = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.count += 1


async def main() -> None:
    started, ended, tracers = Started(), InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(started)
    tracers.add_span_processor(SimpleSpanProcessor(ended))
    trace.set_tracer_provider(tracers)
    getattr(import_module(module), name)().instrument()
    provider = BedrockProvider()
    agent = Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider))
    embedder = Embedder(BedrockEmbeddingModel('amazon.titan-embed-text-v2:0', provider=provider))

    async def converse() -> str:
        response = await provider.client.converse(modelId='us.amazon.nova-lite-v1:0', messages=MESSAGES)
        return response['output']['message']['content'][0]['text']

    async def run() -> str:
        return (await agent.run('Hi.')).output

    async def stream() -> str:
        async with agent.run_stream('Hi.') as result:
            return await result.get_output()

    async def leave() -> str:
        async with agent.run_stream('Hi.') as result:
            async for text in result.stream_text(debounce_by=None):
                return text
        raise AssertionError

    async def embed() -> str:
        return type((await embedder.embed_query('Hi.')).embeddings[0][0]).__name__

    async def refuse() -> str:
        try:
            await Agent(BedrockConverseModel('no-such-model', provider=provider)).run('Hi.')
        except Exception as error:
            return type(error).__name__
        raise AssertionError

    calls: list[Callable[[], Awaitable[str]]] = [converse, converse, run, stream, stream, leave, embed, embed, refuse]
    lines: list[Any] = []
    for call in calls:
        before = started.count
        ended.clear()
        said = await call()
        gc.collect()
        # The end of a stream that is left is a task of the loop.
        for _ in range(5):
            await asyncio.sleep(0)
        spans = ended.get_finished_spans()
        tokens = [
            value
            for span in spans
            for key, value in (span.attributes or {}).items()
            if key in ('gen_ai.usage.output_tokens', 'llm.token_count.completion')
        ]
        lines.append([call.__name__, said, started.count - before, len(spans), tokens])
    sys.stdout.write('\n' + json.dumps(lines))


asyncio.run(main())
