"""The clients of loops that stand still, were closed in the middle of something, or never end."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import pytest
from scripts import run
from served_bedrock import make_runtime

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._client.credential_cache import CredentialCache
from pydantic_ai_aiobedrock._pool.loop_pool import LoopPool, PoolLimits

HELLO: dict[str, Any] = {
    'modelId': 'us.amazon.nova-lite-v1:0',
    'messages': [{'role': 'user', 'content': [{'text': 'hello'}]}],
}


def test_closing_a_pool_closes_the_clients_of_a_loop_that_stands_still(bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(make_runtime(bedrock, pool).converse(**HELLO))
        assert (pool.stats().clients, bedrock.stats().open_connections) == (1, 1)
        asyncio.run(pool.aclose())
        assert pool.stats().clients == 0
        end = time.monotonic() + 60
        while bedrock.stats().open_connections:
            assert time.monotonic() < end
            time.sleep(0.001)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def test_a_loop_that_is_closed_while_its_client_opens_does_not_disturb_the_next(bedrock: LocalBedrock) -> None:
    out, err = run(
        bedrock,
        """
        async def begin():
            global call
            call = asyncio.create_task(agent.run('hello'))
            while not pool.stats().waiting:
                await asyncio.sleep(0)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin())
        loop.close()
        print(asyncio.run(agent.run('hello')).output)
        print(pool.stats())
        """,
    )
    assert 'hello' in out
    assert 'clients=0, leases=0, in_flight=0, waiting=0, connections=0, opened=1' in out
    assert 'exception' not in err.lower()


def test_a_loop_whose_first_call_is_cancelled_while_it_closes_others_closes_its_own_clients(
    bedrock: LocalBedrock,
) -> None:
    pool = SessionPool()
    client = make_runtime(bedrock, pool)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(client.converse(**HELLO)))
    thread.start()
    thread.join(60)

    async def cancel_the_first() -> None:
        first = asyncio.create_task(client.converse(**HELLO))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        await client.converse(**HELLO)

    asyncio.run(cancel_the_first())
    assert pool.stats().clients == 0
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_a_loop_that_its_thread_left_open_has_nothing_more_to_do_once_its_clients_are_closed(
    bedrock: LocalBedrock,
) -> None:
    pool = SessionPool()
    loop = asyncio.new_event_loop()

    def call_and_leave() -> None:
        loop.run_until_complete(make_runtime(bedrock, pool).converse(**HELLO))

    thread = threading.Thread(target=call_and_leave)
    thread.start()
    thread.join(60)
    # Closes the clients of the loop that was left.
    asyncio.run(make_runtime(bedrock, pool).converse(**HELLO))
    gc.collect()
    begun: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        begun.append(repr(coroutine))
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(factory)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert [each for each in begun if 'sleep' not in each] == []


def test_a_script_that_goes_from_run_sync_to_asyncio_run_gets_no_warning_of_this_package(bedrock: LocalBedrock) -> None:
    _, err = run(bedrock, "agent.run_sync('hello')\nasyncio.run(agent.run('hello'))")
    # Pydantic AI leaves the loop of `run_sync` open, which -X dev reports. Python 3.13 said this, too.
    assert 'never awaited' not in err


def test_a_script_that_ends_while_the_loop_of_another_thread_runs_ends_clean(bedrock: LocalBedrock) -> None:
    out, err = run(
        bedrock,
        """
        called = threading.Event()

        async def call_and_stay():
            await agent.run('hello')
            called.set()
            await asyncio.Event().wait()

        threading.Thread(target=asyncio.run, args=[call_and_stay()], daemon=True).start()
        assert called.wait(60)
        print(pool.stats().clients)
        """,
    )
    assert out == '1\n'
    assert err == ''


def test_a_pool_of_a_loop_that_nest_asyncio_left_open_can_be_collected(bedrock: LocalBedrock) -> None:
    pytest.importorskip('nest_asyncio', reason='its `run` closes neither the loop nor the async generators of it')
    out, err = run(
        bedrock,
        """
        import gc, warnings, weakref
        import nest_asyncio
        # The loop and the connections are left open.
        warnings.simplefilter('ignore', ResourceWarning)
        nest_asyncio.apply()
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)

        async def call():
            pool = SessionPool()
            model = BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=BedrockProvider(pool=pool))
            await Agent(model).run('hello')
            return weakref.ref(pool)

        pool_of_the_call = asyncio.run(call())
        print(loop.is_closed())
        asyncio.set_event_loop(None)
        del loop
        gc.collect()
        print(pool_of_the_call())
        """,
    )
    assert out == 'False\nNone\n'
    # That connections are left open is reported; that the pool waits in a finalizer, where it cannot, would be, too.
    assert 'GeneratorExit' not in err
    assert 'never awaited' not in err


async def test_a_pool_whose_first_call_was_interrupted_before_its_loop_was_watched_has_nothing_to_finish() -> None:
    loop_pool = LoopPool(asyncio.get_running_loop(), PoolLimits(1, 1, 1), CredentialCache())
    await loop_pool.aclose(0)
    loop_pool.finish()
    assert loop_pool.counts()['clients'] == 0
