"""Bedrock API keys: given as text, or by a function that is asked again when they are refused."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError
from credential_sources import MODEL, RUNS, Gate, hello, runtime, text_of
from pydantic_ai import Agent
from pydantic_ai.exceptions import UserError

from local_bedrock import ACCESS_DENIED, LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool


class Keys:
    """Gives the API key that a LocalBedrock accepts, and notes who asks."""

    def __init__(self, bedrock: LocalBedrock) -> None:
        self._bedrock = bedrock
        self.threads: list[threading.Thread] = []
        self.tasks: list[asyncio.Task[object] | None] = []

    def key(self) -> str:
        self.threads.append(threading.current_thread())
        return self._bedrock.api_key

    async def key_async(self) -> str:
        self.tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        return self.key()

    def awaitable_key(self) -> asyncio.Future[str] | object:
        return self.key_async()


@pytest.fixture
def keys(bedrock: LocalBedrock) -> Keys:
    return Keys(bedrock)


async def test_an_api_key_is_sent_as_a_bearer_token(bedrock: LocalBedrock, pool: SessionPool) -> None:
    await runtime(bedrock, pool, api_key=bedrock.api_key).converse(**hello())
    assert [request.auth_scheme for request in bedrock.requests] == ['bearer']


async def test_the_api_key_of_the_environment_is_sent(
    bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', bedrock.api_key)
    await runtime(bedrock, pool).converse(**hello())
    assert [request.auth_scheme for request in bedrock.requests] == ['bearer']


@pytest.mark.parametrize('function', [Keys.key, Keys.key_async, Keys.awaitable_key])
async def test_an_api_key_that_is_refused_is_asked_for_once_by_all_calls_that_failed_together(
    bedrock: LocalBedrock, pool: SessionPool, keys: Keys, function: Callable[[Keys], str]
) -> None:
    client = runtime(bedrock, pool, api_key=function.__get__(keys))
    gate = Gate(bedrock)

    async def run() -> str:
        await client.converse(**hello('first'))
        return text_of(await client.converse(**hello('second')))

    runs = [asyncio.create_task(run()) for _ in range(RUNS)]
    await gate.reached_by(RUNS)
    assert len(keys.threads) == 1
    bedrock.rotate_api_key()
    gate.opened.set()
    assert await asyncio.gather(*runs) == ['done'] * RUNS
    assert len(keys.threads) == 2
    refused = [request for request in bedrock.requests if request.status == 403]
    assert refused
    assert len(bedrock.requests) == 2 * RUNS + len(refused)


async def test_a_function_that_is_not_async_is_called_off_the_loop(
    bedrock: LocalBedrock, pool: SessionPool, keys: Keys
) -> None:
    await runtime(bedrock, pool, api_key=keys.key).converse(**hello())
    assert threading.current_thread() not in keys.threads


async def test_an_async_function_is_called_on_the_loop_of_the_call(
    bedrock: LocalBedrock, pool: SessionPool, keys: Keys
) -> None:
    await runtime(bedrock, pool, api_key=keys.key_async).converse(**hello())
    assert keys.threads == [threading.current_thread()]
    assert asyncio.current_task() not in keys.tasks


async def test_an_api_key_that_stays_the_same_fails_with_the_error_of_aws_and_its_source(
    bedrock: LocalBedrock, pool: SessionPool, keys: Keys
) -> None:
    client = runtime(bedrock, pool, api_key=keys.key)
    bedrock.expire(bedrock.api_key)
    with pytest.raises(ClientError) as caught:
        await client.converse(**hello())
    assert caught.value.response['Error']['Message'] == (
        'Bearer Token has expired (The credentials came from api_key, which gave the same when asked again.)'
    )
    assert len(bedrock.requests) == 1
    assert len(keys.threads) == 2
    assert bedrock.api_key not in repr(caught.value)


async def test_an_api_key_given_as_text_fails_with_the_error_of_aws(bedrock: LocalBedrock, pool: SessionPool) -> None:
    client = runtime(bedrock, pool, api_key=bedrock.api_key)
    bedrock.reply(ACCESS_DENIED)
    with pytest.raises(ClientError) as caught:
        await client.converse(**hello())
    assert caught.value.response['Error']['Message'] == ACCESS_DENIED.message
    assert len(bedrock.requests) == 1


@pytest.mark.parametrize(
    ('function', 'reason'),
    [
        (lambda: '', 'the function returned no key'),
        (lambda: 'key\n', 'the key that the function returned has a line break or another control character'),
        (lambda: 1 / 0, 'ZeroDivisionError: division by zero'),
    ],
    ids=['nothing', 'a line break', 'an error'],
)
async def test_a_function_that_gives_no_api_key_is_an_error_of_the_configuration(
    bedrock: LocalBedrock, pool: SessionPool, function: Callable[[], str], reason: str
) -> None:
    provider = BedrockProvider(region_name=bedrock.region_name, base_url=bedrock.base_url, pool=pool, api_key=function)
    with pytest.raises(UserError, match=f'credentials from api_key: {reason}'):
        await Agent(BedrockConverseModel(MODEL, provider=provider)).run('hello')
    assert not bedrock.requests


async def test_a_function_that_fails_when_asked_again_says_why(bedrock: LocalBedrock, pool: SessionPool) -> None:
    answers = iter([bedrock.api_key])
    client = runtime(bedrock, pool, api_key=lambda: next(answers, ''))
    await client.converse(**hello())
    bedrock.rotate_api_key()
    with pytest.raises(ClientError, match='api_key, which failed when asked again: the function returned no key'):
        await client.converse(**hello())


async def test_a_closed_pool_ends_a_question_for_an_api_key(bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    asked = asyncio.Event()
    ended = asyncio.Event()

    async def never() -> str:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    call = asyncio.create_task(runtime(bedrock, pool, api_key=never).converse(**hello()))
    await asked.wait()
    await pool.aclose()
    await ended.wait()
    with pytest.raises(Exception, match='the client was closed'):
        await call


@pytest.mark.skipif(sys.version_info < (3, 12), reason='tasks are eager from Python 3.12 on')
def test_an_async_function_is_asked_again_under_eager_tasks(bedrock: LocalBedrock) -> None:
    asked = 0

    async def api_key() -> str:
        nonlocal asked
        asked += 1
        return bedrock.api_key

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # pyright: ignore[reportAttributeAccessIssue]
        pool = SessionPool()
        client = runtime(bedrock, pool, api_key=api_key)
        for _ in range(2):
            await client.converse(**hello())
            bedrock.rotate_api_key()
        await client.converse(**hello())
        await pool.aclose()

    asyncio.run(main())
    assert asked == 3
    assert [request.status for request in bedrock.requests] == [200, 403, 200, 403, 200]


@pytest.mark.parametrize('is_async', [False, True])
async def test_a_function_that_raises_stop_iteration_fails_the_call(
    bedrock: LocalBedrock, pool: SessionPool, is_async: bool
) -> None:
    def api_key() -> str:
        return next(iter(()))

    async def api_key_async() -> str:
        return next(iter(()))

    client = runtime(bedrock, pool, api_key=api_key_async if is_async else api_key)
    async with asyncio.timeout(15):
        with pytest.raises(CredentialRetrievalError, match=r'api_key: RuntimeError: .*StopIteration'):
            await client.converse(**hello())
