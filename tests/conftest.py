"""What no test may do or leave behind, and the fixtures that many tests share.

Every test runs in an empty AWS environment, and fails when the package blocks the event loop, when it leaves a task, a
thread, a socket or an unhandled exception behind, and when a secret is told. `pytest --uvloop` runs the coroutine tests
on uvloop, `pytest --asyncio-debug` in asyncio's debug mode.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import product

import blockbuster.blockbuster
import pytest
from blockbuster import BlockingError, blockbuster_ctx
from generation import endless
from guards import (
    everything_is_collected,
    isolated_environment,
    loop_of_the_test,
    no_secret_is_told,
    no_task_left_behind,
    nothing_left_behind,
)
from served_bedrock import authority, bedrock, bedrock_on_the_loop, make_provider, recorded, tls, trusted_tls

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

__all__ = (
    'authority',
    'bedrock',
    'bedrock_on_the_loop',
    'endless',
    'everything_is_collected',
    'isolated_environment',
    'loop_of_the_test',
    'no_secret_is_told',
    'no_task_left_behind',
    'nothing_left_behind',
    'recorded',
    'tls',
    'trusted_tls',
)

MAY_BLOCK = (
    (
        'pydantic_ai_aiobedrock/_core/in_thread.py',
        'run',
        'runs in a thread of its own, on an event loop of its own if any',
    ),
    ('logging/__init__.py', 'callHandlers', 'the program decides where its log is written'),
    ('pydantic_ai_aiobedrock/providers.py', '__init__', 'cannot wait, and says that it may read the AWS configuration'),
)
"""The end of a file's name, a function in it under which anything may block, and why."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--uvloop', action='store_true', help='run the coroutine tests and async fixtures on uvloop')


def pytest_asyncio_loop_factories(config: pytest.Config) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if config.getoption('uvloop'):
        import uvloop

        return {'uvloop': uvloop.new_event_loop}
    return {'asyncio': asyncio.new_event_loop}


# What every test gets


@pytest.fixture(autouse=True)
def no_blocking_call(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test when the package, or what it calls, blocks an event loop, even if the error is swallowed."""
    blocked: list[str] = []

    class RecordedBlockingError(BlockingError):
        def __init__(self, func: str) -> None:
            super().__init__(func)
            blocked.append(f'{func}\n' + ''.join(traceback.format_stack(sys._getframe(2), limit=12)))

    monkeypatch.setattr(blockbuster.blockbuster, 'BlockingError', RecordedBlockingError)
    with blockbuster_ctx('pydantic_ai_aiobedrock') as guard:
        for (file, function, _), blocking in product(MAY_BLOCK, guard.functions.values()):
            blocking.can_block_in(file, function)
        yield
    if blocked:
        pytest.fail('The event loop was blocked by ' + '\n'.join(blocked), pytrace=False)


# What many tests share


@pytest.fixture
async def pool() -> AsyncIterator[SessionPool]:
    pool = SessionPool()
    yield pool
    await pool.aclose()


@pytest.fixture
async def provider(bedrock: LocalBedrock) -> AsyncIterator[BedrockProvider]:
    """Yield a provider of the LocalBedrock of the test, with a pool of its own."""
    async with make_provider(bedrock) as provider:
        yield provider


@pytest.fixture
def model(provider: BedrockProvider) -> BedrockConverseModel:
    return BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider)
