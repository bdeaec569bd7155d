"""The clients of loops that stand still, were closed in the middle of something, or never end."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from scripts import run
from served_bedrock import make_runtime

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import SessionPool

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
