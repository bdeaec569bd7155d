"""Calls leave no reference cycles: what they use is freed when they end, and no collection has to look for it.

Garbage that only a collection can free makes full collections come more often, each of which stops the event loop.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import ref

import pytest
from botocore.exceptions import ClientError
from credential_sources import MODEL, hello
from generation import EndlessGeneration
from pydantic_ai import Agent, ModelMessage, ModelResponse
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from local_bedrock import ACCESS_DENIED, SERVICE_UNAVAILABLE, THROTTLING, LocalBedrock, Quota
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockModelSettings, BedrockProvider
from pydantic_ai_aiobedrock._config.call_options import CallOptions

OURS = 'pydantic_ai_aiobedrock'
CLIENTS = (OURS, 'aiobotocore', 'aiohttp', 'botocore')
TIMES = 20

Call = Callable[[LocalBedrock, BedrockProvider], Awaitable[object]]


async def request(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    await provider.client.converse(**hello())


async def stream(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    async for _ in (await provider.client.converse_stream(**hello()))['stream']:
        pass


async def stream_closed_early(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    async with (await provider.client.converse_stream(**hello()))['stream'] as events:
        await anext(events)


async def cancelled_call(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    bedrock.reply(generation := EndlessGeneration())

    async def read() -> None:
        async for _ in (await provider.client.converse_stream(**hello()))['stream']:
            pass

    task = asyncio.create_task(read())
    await generation.until_started()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await generation.until_ended()


async def refused_request(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    bedrock.reply(ACCESS_DENIED)
    with pytest.raises(ClientError):
        await provider.client.converse(**hello())


async def throttled_request_that_raises(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    bedrock.reply(THROTTLING)
    with pytest.raises(ClientError):
        await provider.client.call('converse', hello(), CallOptions(throttling='raise'))


async def retried_request(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    bedrock.reply(SERVICE_UNAVAILABLE)
    await provider.client.converse(**hello())


async def run(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    await Agent(BedrockConverseModel(MODEL, provider=provider)).run('Hello')


async def streamed_run(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    await read_stream(BedrockConverseModel(MODEL, provider=provider))


async def failed_run(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    bedrock.reply(THROTTLING)
    await fail(BedrockConverseModel(MODEL, provider=provider))


async def read_stream(model: Model) -> None:
    async with Agent(model).run_stream('Hello') as result:
        async for _ in result.stream_text(debounce_by=None):
            pass


async def fail(model: Model) -> None:
    settings = BedrockModelSettings(bedrock_throttling='raise')
    with pytest.raises(ModelAPIError):
        await Agent(model).run('Hello', model_settings=settings)


async def skip_where_pydantic_ai_leaves_garbage(call: Call) -> None:
    """Skip the test where an agent leaves a cycle with any model in it: some older releases do."""

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield 'Hello'

    def refuse(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(429, 'function')

    agents_call = {streamed_run: read_stream, failed_run: fail}.get(call)
    if agents_call is None:
        return
    await agents_call(FunctionModel(refuse, stream_function=answer))
    with uncollected('pydantic_ai.models.function') as garbage:
        for _ in range(TIMES):
            await agents_call(FunctionModel(refuse, stream_function=answer))
    if garbage:
        pytest.skip('this Pydantic AI leaves garbage with any model')


@pytest.mark.parametrize('call', [request, stream, run, streamed_run], ids=lambda call: call.__name__.replace('_', ' '))
async def test_a_call_leaves_nothing_for_the_garbage_collector(
    call: Call, bedrock: LocalBedrock, provider: BedrockProvider
) -> None:
    await skip_where_pydantic_ai_leaves_garbage(call)
    assert await garbage_of(call, bedrock, provider) == Counter()


@pytest.mark.parametrize(
    'call',
    [
        stream_closed_early,
        cancelled_call,
        refused_request,
        throttled_request_that_raises,
        retried_request,
        failed_run,
    ],
    ids=lambda call: call.__name__.replace('_', ' '),
)
async def test_a_call_that_fails_or_is_given_up_leaves_nothing_of_this_package_for_the_garbage_collector(
    call: Call, bedrock: LocalBedrock, provider: BedrockProvider
) -> None:
    await skip_where_pydantic_ai_leaves_garbage(call)
    # botocore's parser of errors is a cycle, and so is a connection of aiohttp that is cut.
    garbage = await garbage_of(call, bedrock, provider)
    assert [name for name in garbage if name.startswith(OURS)] == []


class Params(dict[str, Any]):
    """Parameters that a weak reference can refer to."""


@pytest.mark.parametrize('calls_before', [0, 1], ids=['through botocore', 'fast path'])
async def test_a_stream_that_has_begun_does_not_hold_on_to_its_request(
    bedrock: LocalBedrock, provider: BedrockProvider, calls_before: int
) -> None:
    client = provider.client
    for _ in range(calls_before):
        await stream(bedrock, provider)
    params = Params(hello())
    request = ref(params)
    response = await client.call('converse_stream', params)
    async with response['stream'] as events:
        await anext(events)
        del params
        assert request() is None


async def garbage_of(call: Call, bedrock: LocalBedrock, provider: BedrockProvider) -> Counter[str]:
    await request(bedrock, provider)
    for _ in range(3):
        await call(bedrock, provider)
    with uncollected() as garbage:
        for _ in range(TIMES):
            await call(bedrock, provider)
        await asyncio.sleep(0)
    return garbage


async def test_calls_that_wait_for_a_quota_leave_nothing_for_the_garbage_collector(
    provider_under_quota: BedrockProvider,
) -> None:
    client = provider_under_quota.client
    await client.converse(**hello())
    with uncollected() as garbage:
        await asyncio.gather(*(client.converse(**hello()) for _ in range(TIMES)))
        assert client.pool.stats().pacing[0].throttled > 0
        await asyncio.sleep(0)
    assert garbage == Counter()


@pytest.fixture
async def provider_under_quota(pool: Any) -> Any:
    async with (
        LocalBedrock(quotas=[Quota(requests_per_second=50, burst=5)]) as bedrock,
        BedrockProvider(
            region_name=bedrock.region_name,
            base_url=bedrock.base_url,
            aws_access_key_id=bedrock.aws_access_key_id,
            aws_secret_access_key=bedrock.aws_secret_access_key,
            pool=pool,
        ) as provider,
    ):
        yield provider


@contextmanager
def uncollected(*modules: str) -> Iterator[Counter[str]]:
    """Count, by name, the objects of some modules (default: of clients) that only a collection could free."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        names = Counter(name for each in gc.garbage if (name := _name(each)).startswith(modules or CLIENTS))
        # What the opening of the client has left is no matter of each call.
        found.update({name: number for name, number in names.items() if number >= TIMES // 2})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _name(thing: Any) -> str:
    """Name the code of a frame, a coroutine or a function, and the class of any other object."""
    if (frame := getattr(thing, 'tb_frame', thing)) is not thing or hasattr(thing, 'f_globals'):
        return f'{frame.f_globals.get("__name__")}.{frame.f_code.co_name}'
    if (frame := getattr(thing, 'cr_frame', None)) is not None:
        return f'{frame.f_globals.get("__name__")}.{frame.f_code.co_name}'
    kind = thing if hasattr(thing, '__globals__') else type(thing)
    return f'{kind.__module__}.{kind.__qualname__}'
