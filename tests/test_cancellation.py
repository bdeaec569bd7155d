"""A call can be cancelled wherever it waits: what it held is given back, and nothing is left running or half done.

Each test makes a call as often as it has points at which it waits, and cancels it at one after the other: when it
begins to wait there, and when what it waited for has just come.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import coroutine
from typing import Any, Literal

import pytest
from botocore.retries.standard import ExponentialBackoff
from generation import eventually
from pydantic_ai import ModelRequest
from pydantic_ai.models import ModelRequestParameters

from local_bedrock import THROTTLING, LocalBedrock, RecordedRequest, Reply, SlowHeaders
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider, SessionPool

NOVA = 'us.amazon.nova-lite-v1:0'
# Bedrock counts no tokens of Nova.
CLAUDE = 'us.anthropic.claude-sonnet-4-20250514-v1:0'
TITAN = 'amazon.titan-embed-text-v2:0'
DISCONNECT_SECONDS = 0.1
"""How long a server may go on generating for a stream that has been cancelled."""

Moment = Literal['as it begins to wait', 'as it is about to go on']


class Stepper:
    """Driver of a coroutine from one point at which it waits to the next; cancels its task at one of them."""

    def __init__(self, cancel_at: int, moment: Moment) -> None:
        self._cancel_at = cancel_at
        self._moment: Moment = moment
        self._waits = 0
        self.cancelled_at: float | None = None
        """When the task was cancelled, on `time.monotonic()`; None if it ended before."""

    async def drive(self, driven: Coroutine[Any, Any, Any]) -> Any:
        """Run the coroutine as `await` does."""
        # Python 3.14 makes no task of a generator.
        return await self._drive(driven)

    @coroutine
    def _drive(self, driven: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        awaiting = driven.__await__()
        step: Callable[[], Any] = lambda: next(awaiting)  # noqa: E731
        while True:
            try:
                future = step()
            except StopIteration as end:
                return end.value
            self._waits += 1
            if self._waits == self._cancel_at:
                self._cancel(future)
            try:
                yield future
            except BaseException as error:
                step = _throw(awaiting, error)
            else:
                step = lambda: next(awaiting)  # noqa: E731

    def _cancel(self, future: asyncio.Future[Any] | None) -> None:
        task = asyncio.current_task()
        assert task is not None

        def cancel(_: object = None) -> None:
            self.cancelled_at = time.monotonic()
            task.cancel()

        if future is None or self._moment == 'as it begins to wait':
            cancel()
        else:
            # Before the task's own callback, which is added when the future is handed to it.
            future.add_done_callback(cancel)


def _throw(awaiting: Any, error: BaseException) -> Callable[[], Any]:
    return lambda: awaiting.throw(error)


@pytest.fixture
def served() -> Iterator[LocalBedrock]:
    """Yield a LocalBedrock in a thread of its own, so that every task on the loop of the test is the client's."""
    with LocalBedrock() as bedrock:
        yield bedrock


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries follow soon, after a wait at which they can be cancelled."""
    monkeypatch.setattr(ExponentialBackoff, 'delay_amount', lambda self, context: 0.001)


@dataclass
class Scene:
    """Where a call is made."""

    bedrock: LocalBedrock
    pool: SessionPool
    credentials_file: Path

    def provider(self) -> BedrockProvider:
        return BedrockProvider(region_name=self.bedrock.region_name, base_url=self.bedrock.base_url, pool=self.pool)

    def model(self, model_id: str = NOVA) -> BedrockConverseModel:
        return BedrockConverseModel(model_id, provider=self.provider())

    async def ended_since(self, cancelled_at: float) -> None:
        """Wait until the server has ended all that was under way, and assert that it took no longer than it may."""
        await eventually(lambda: self.bedrock.stats().in_flight == 0)
        for record in self.bedrock.requests:
            assert record.ended is not None
            assert record.ended - cancelled_at < DISCONNECT_SECONDS
        self.bedrock.requests.clear()

    def write_credentials(self) -> None:
        """Write the key that is accepted into the shared credentials file."""
        self.credentials_file.write_text(
            f'[default]\naws_access_key_id = {self.bedrock.aws_access_key_id}\n'
            f'aws_secret_access_key = {self.bedrock.aws_secret_access_key}\n'
        )


@pytest.fixture
async def scene(served: LocalBedrock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Scene]:
    credentials_file = tmp_path / 'credentials'
    monkeypatch.setenv('AWS_SHARED_CREDENTIALS_FILE', str(credentials_file))
    pool = SessionPool()
    scene = Scene(served, pool, credentials_file)
    scene.write_credentials()
    yield scene
    await scene.pool.aclose()


# The calls


async def request(scene: Scene, prompt: str) -> str:
    response = await scene.model().request([ModelRequest.user_text_prompt(prompt)], None, ModelRequestParameters())
    return str(response.text)


async def stream(scene: Scene, prompt: str) -> str:
    messages = [ModelRequest.user_text_prompt(prompt)]
    async with scene.model().request_stream(messages, None, ModelRequestParameters()) as response:
        async for _ in response:
            pass
    return str(response.get().text)


async def count_tokens(scene: Scene, prompt: str) -> str:
    usage = await scene.model(CLAUDE).count_tokens(
        [ModelRequest.user_text_prompt(prompt)], None, ModelRequestParameters()
    )
    return answer_to(prompt) if usage.input_tokens else ''


async def embed(scene: Scene, prompt: str) -> str:
    model = BedrockEmbeddingModel(TITAN, provider=scene.provider())
    result = await model.embed([prompt, prompt], input_type='query')
    return answer_to(prompt) if len(result.embeddings) == 2 else ''


async def no_task_but(tasks: set[asyncio.Task[Any]]) -> None:
    """Wait until no other task is left."""
    await eventually(lambda: not asyncio.all_tasks() - tasks)


def answer_to(prompt: str) -> str:
    return f'You said {prompt}.'


def answer(request: RecordedRequest) -> Reply:
    """Answer a prompt in words that each arrive by themselves."""
    return Reply(answer_to(request.last_user_text), delay_per_event=0.001)


# What happens to them


async def nothing(scene: Scene) -> None:
    """The client is open, and a connection idle."""


async def cold(scene: Scene) -> None:
    """Nothing is open."""
    await scene.pool.aclose()
    scene.pool = SessionPool()


async def throttled(scene: Scene) -> None:
    """The first attempt is refused."""
    scene.bedrock.fault(THROTTLING, times=1)


async def slow(scene: Scene) -> None:
    """Every line of the head comes by itself."""
    scene.bedrock.fault(SlowHeaders(0.001), times=1)


async def credentials_rotated(scene: Scene) -> None:
    """The key that the client has is refused, and its source has another."""
    scene.bedrock.rotate_credentials()
    scene.write_credentials()


Call = Callable[[Scene, str], Coroutine[Any, Any, str]]


@pytest.fixture(params=['as it begins to wait', 'as it is about to go on'])
def moment(request: pytest.FixtureRequest) -> Moment:
    """Run the test with both moments at which a call can be cancelled."""
    return request.param


@pytest.mark.parametrize('call', [request, stream, count_tokens, embed])
@pytest.mark.parametrize('before', [nothing, cold, throttled, slow, credentials_rotated])
async def test_a_call_that_is_cancelled_anywhere_gives_everything_back(
    scene: Scene, call: Call, before: Callable[[Scene], Awaitable[None]], moment: Moment
) -> None:
    scene.bedrock.reply(answer, times=None)
    assert await request(scene, 'first') == answer_to('first')
    at = 0
    for at in count(1):
        await before(scene)
        tasks = asyncio.all_tasks()
        stepper = Stepper(at, moment)
        driven = asyncio.create_task(stepper.drive(call(scene, f'number {at}')))
        [outcome] = await asyncio.gather(driven, return_exceptions=True)
        if stepper.cancelled_at is None:
            assert outcome == answer_to(f'number {at}')
            break
        assert isinstance(outcome, asyncio.CancelledError), outcome
        assert (scene.pool.stats().leases, scene.pool.stats().waiting) == (0, 0)
        await scene.ended_since(stepper.cancelled_at)
        assert await request(scene, f'after {at}') == answer_to(f'after {at}')
        await no_task_but(tasks)
    assert at > 1


# Streams that are left


MESSAGES = [{'role': 'user', 'content': [{'text': 'Tell me a story.'}]}]
WORDS = ('Once', ' upon', ' a', ' time.')


async def unfinished(request: RecordedRequest) -> AsyncIterator[dict[str, Any]]:
    """Say four words, and go on generating until the client is gone."""
    yield {'messageStart': {'role': 'assistant'}}
    for word in WORDS:
        yield {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': word}}}
    await asyncio.Event().wait()


async def take(events: AsyncIterator[Any], number: int) -> None:
    while number:
        await anext(events)
        number -= 1


async def break_off(scene: Scene, number: int) -> None:
    stream = (await scene.provider().client.converse_stream(modelId=NOVA, messages=MESSAGES))['stream']
    async with stream:
        async for _ in stream:
            if not (number := number - 1):
                break


async def aclose(scene: Scene, number: int) -> None:
    stream = (await scene.provider().client.converse_stream(modelId=NOVA, messages=MESSAGES))['stream']
    await take(stream, number)
    await stream.aclose()


async def forget(scene: Scene, number: int) -> None:
    stream = (await scene.provider().client.converse_stream(modelId=NOVA, messages=MESSAGES))['stream']
    await take(stream, number)


async def leave_the_block(scene: Scene, number: int) -> None:
    messages = [ModelRequest.user_text_prompt('Tell me a story.')]
    async with scene.model().request_stream(messages, None, ModelRequestParameters()) as response:
        await take(aiter(response), number)


async def close_events(scene: Scene, number: int) -> None:
    messages = [ModelRequest.user_text_prompt('Tell me a story.')]
    async with scene.model().request_stream(messages, None, ModelRequestParameters()) as response:
        events: Any = aiter(response)
        await take(events, number)
        if hasattr(events, 'aclose'):
            await events.aclose()


async def time_out(scene: Scene, number: int) -> None:
    messages = [ModelRequest.user_text_prompt('Tell me a story.')]
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(0.05),
            scene.model().request_stream(messages, None, ModelRequestParameters()) as response,
        ):
            await take(aiter(response), number)
            await asyncio.Event().wait()


async def fail_in_a_task_group(scene: Scene, number: int) -> None:
    """Another task of the group fails, which cancels the reader."""
    read = asyncio.Event()

    async def reader() -> None:
        messages = [ModelRequest.user_text_prompt('Tell me a story.')]
        async with scene.model().request_stream(messages, None, ModelRequestParameters()) as response:
            await take(aiter(response), number)
            read.set()
            async for _ in response:
                pass

    async def failing() -> None:
        await read.wait()
        raise LookupError

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(reader())
            group.create_task(failing())


LEAVE = [break_off, aclose, forget, leave_the_block, close_events, time_out, fail_in_a_task_group]


@pytest.mark.parametrize('leave', LEAVE)
async def test_a_stream_that_is_left_after_any_event_is_cut_at_once(
    scene: Scene, leave: Callable[[Scene, int], Awaitable[None]]
) -> None:
    await request(scene, 'first')
    for number in range(1, len(WORDS) + 1):
        tasks = asyncio.all_tasks()
        scene.bedrock.requests.clear()
        scene.bedrock.reply(unfinished)
        await leave(scene, number)
        left_at = time.monotonic()
        # A finalizer gives back by the loop's next iteration.
        await asyncio.sleep(0)
        assert scene.pool.stats().leases == 0
        assert len(scene.bedrock.requests) == 1
        await scene.ended_since(left_at)
        scene.bedrock.reply(answer)
        assert await stream(scene, f'after {number}') == answer_to(f'after {number}')
        await no_task_but(tasks)
