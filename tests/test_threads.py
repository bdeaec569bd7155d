"""No worker thread takes part in a request or in a stream, however many there are at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from pydantic_ai import Agent, ModelRequest
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.bedrock import BedrockConverseModel as UpstreamConverseModel
from pydantic_ai.providers.bedrock import BedrockProvider as UpstreamProvider

from local_bedrock import LocalBedrock, RecordedRequest
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider

NOVA = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'
AT_ONCE = 50


@dataclass
class ThreadUse:
    """Threads started and work handed to the loop's executor since the baseline."""

    started: list[str] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)
    alive: set[threading.Thread] = field(default_factory=set)
    seen: set[threading.Thread] = field(default_factory=set)

    def take_baseline(self) -> None:
        self.started.clear()
        self.submitted.clear()
        self.alive = set(threading.enumerate())
        self.seen = set()

    def look(self) -> None:
        self.seen.update(threading.enumerate())

    def assert_none(self) -> None:
        self.look()
        assert (self.started, self.submitted, self.seen - self.alive) == ([], [], set())


@pytest.fixture
def thread_use(monkeypatch: pytest.MonkeyPatch) -> ThreadUse:
    """Record every thread that is started, and all work that an executor is given."""
    use = ThreadUse()
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def recorded_start(thread: threading.Thread) -> None:
        use.started.append(thread.name)
        start(thread)

    def recorded_submit(
        executor: ThreadPoolExecutor, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Future:
        use.submitted.append(repr(function))
        return submit(executor, function, *args, **kwargs)

    monkeypatch.setattr(threading.Thread, 'start', recorded_start)
    monkeypatch.setattr(ThreadPoolExecutor, 'submit', recorded_submit)
    return use


def answer_when_all_are_here(bedrock: LocalBedrock, use: ThreadUse) -> None:
    """Answer nobody before all have asked, and look at the threads at each request and each event."""
    all_here = asyncio.Barrier(AT_ONCE)

    async def answer(request: RecordedRequest) -> str:
        use.look()
        async with asyncio.timeout(10), all_here:
            use.look()
        return request.last_user_text

    bedrock.reply(answer, times=None)


async def request_all(model: Model) -> None:
    results = await asyncio.gather(*(Agent(model).run(f'Say {number}.') for number in range(AT_ONCE)))
    assert [result.output for result in results] == [f'Say {number}.' for number in range(AT_ONCE)]


async def stream_all(model: Model, use: ThreadUse) -> None:
    async def stream(number: int) -> str:
        async with Agent(model).run_stream(f'Say {number}.') as result:
            text = ''
            async for delta in result.stream_text(delta=True, debounce_by=None):
                use.look()
                text += delta
        return text

    texts = await asyncio.gather(*map(stream, range(AT_ONCE)))
    assert texts == [f'Say {number}.' for number in range(AT_ONCE)]


@pytest.fixture
async def model(provider: BedrockProvider) -> BedrockConverseModel:
    """Return a model whose client is open, which took a thread."""
    model = BedrockConverseModel(NOVA, provider=provider)
    await Agent(model).run('Hello.')
    return model


async def test_requests_take_no_thread(
    bedrock: LocalBedrock, model: BedrockConverseModel, thread_use: ThreadUse
) -> None:
    answer_when_all_are_here(bedrock, thread_use)
    thread_use.take_baseline()
    await request_all(model)
    thread_use.assert_none()
    assert bedrock.stats().max_in_flight == AT_ONCE


async def test_streams_take_no_thread(
    bedrock: LocalBedrock, model: BedrockConverseModel, thread_use: ThreadUse
) -> None:
    answer_when_all_are_here(bedrock, thread_use)
    thread_use.take_baseline()
    await stream_all(model, thread_use)
    thread_use.assert_none()
    assert bedrock.stats().max_in_flight == AT_ONCE


async def test_requests_that_are_streamed_behind_the_scenes_take_no_thread(
    bedrock: LocalBedrock, provider: BedrockProvider, thread_use: ThreadUse
) -> None:
    """Upstream streams a request of a Claude model that sets no `max_tokens`, to outlast the read timeout."""
    model = BedrockConverseModel(CLAUDE, provider=provider)
    await Agent(model).run('Hello.')
    answer_when_all_are_here(bedrock, thread_use)
    thread_use.take_baseline()
    await request_all(model)
    thread_use.assert_none()


async def test_cancelled_streams_take_no_thread(model: BedrockConverseModel, thread_use: ThreadUse) -> None:
    async def cancelled() -> None:
        async with Agent(model).run_stream('Hello.') as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                await result.cancel()
                thread_use.look()

    thread_use.take_baseline()
    await asyncio.gather(*(cancelled() for _ in range(AT_ONCE)))
    thread_use.assert_none()


async def test_counting_tokens_takes_no_thread(
    model: BedrockConverseModel, provider: BedrockProvider, thread_use: ThreadUse
) -> None:
    claude = BedrockConverseModel(CLAUDE, provider=provider)
    messages = [ModelRequest.user_text_prompt('Hello.')]
    thread_use.take_baseline()
    await asyncio.gather(*(claude.count_tokens(messages, None, ModelRequestParameters()) for _ in range(AT_ONCE)))
    thread_use.assert_none()


async def test_embeddings_take_no_thread(
    bedrock: LocalBedrock, model: BedrockConverseModel, provider: BedrockProvider, thread_use: ThreadUse
) -> None:
    titan = BedrockEmbeddingModel('amazon.titan-embed-text-v2:0', provider=provider)
    thread_use.take_baseline()
    await titan.embed(
        [f'{number}' for number in range(AT_ONCE)], input_type='query', settings={'bedrock_max_concurrency': AT_ONCE}
    )
    thread_use.assert_none()
    assert bedrock.stats().connections > 1


async def test_a_failing_request_takes_no_thread(
    bedrock: LocalBedrock, model: BedrockConverseModel, thread_use: ThreadUse
) -> None:
    thread_use.take_baseline()
    unknown = BedrockConverseModel('no-such-model', provider=model.provider)
    outcomes = await asyncio.gather(*(Agent(unknown).run('Hello.') for _ in range(AT_ONCE)), return_exceptions=True)
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    thread_use.assert_none()


async def test_the_measure_sees_the_threads_of_upstream(bedrock: LocalBedrock, thread_use: ThreadUse) -> None:
    """What shows that the tests above could fail."""
    client = boto3.client(
        'bedrock-runtime',
        region_name=bedrock.region_name,
        endpoint_url=bedrock.base_url,
        aws_access_key_id=bedrock.aws_access_key_id,
        aws_secret_access_key=bedrock.aws_secret_access_key,
    )
    thread_use.take_baseline()
    await Agent(UpstreamConverseModel(NOVA, provider=UpstreamProvider(bedrock_client=client))).run('Hello.')
    assert thread_use.started
    client.close()
