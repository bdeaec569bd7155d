"""The session pool through the lives of loops, threads and processes: whole programs, under `-X dev -W error`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from scripts import run

from local_bedrock import LocalBedrock


@pytest.fixture
def bedrock() -> Iterator[LocalBedrock]:
    with LocalBedrock() as bedrock:
        yield bedrock


def test_a_script_that_closes_nothing_ends_clean(bedrock: LocalBedrock) -> None:
    out, err = run(bedrock, "print(asyncio.run(agent.run('hello')).output)")
    assert 'hello' in out
    assert err == ''


def test_asyncio_run_many_times_over_opens_and_closes_each_time(bedrock: LocalBedrock) -> None:
    out, err = run(
        bedrock,
        """
        for _ in range(5):
            asyncio.run(agent.run('hello'))
        print(pool.stats())
        """,
    )
    assert 'clients=0' in out
    assert 'opened=5' in out
    assert err == ''
    assert bedrock.stats().open_connections == 0


@pytest.fixture(params=['http', 'https'])
def bedrock_either_way(request: pytest.FixtureRequest) -> Iterator[LocalBedrock]:
    tls: ssl.SSLContext | None = request.getfixturevalue('trusted_tls') if request.param == 'https' else None
    with LocalBedrock(tls=tls) as bedrock:
        yield bedrock


def test_a_loop_that_is_closed_under_a_client_costs_no_warning_no_socket_and_no_collection(
    bedrock_either_way: LocalBedrock,
) -> None:
    out, err = run(
        bedrock_either_way,
        """
        import gc, stat
        collections = []
        gc.callbacks.append(lambda phase, _: collections.append(phase))
        gc.disable()
        request = {
            'modelId': 'us.amazon.nova-lite-v1:0', 'messages': [{'role': 'user', 'content': [{'text': 'a ' * 5_000}]}]
        }
        streams = []
        async def leave_a_stream():
            await agent.run('hello')
            response = await provider.client.converse_stream(**request)
            await anext(response['stream'])
            streams.append(response['stream'])
        for main in (agent.run('hello'), leave_a_stream(), agent.run('hello')):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main)
            loop.close()
        print(len(collections), 'collections')
        for stream in streams:
            stream.close()
        del stream
        streams.clear()
        gc.collect()
        print(pool.stats())
        def is_socket(fd):
            try:
                return stat.S_ISSOCK(os.fstat(fd).st_mode)
            except OSError:
                return False
        print(sum(is_socket(int(fd)) for fd in os.listdir('/dev/fd')), 'sockets')
        """,
    )
    assert '0 collections' in out
    assert 'clients=1' in out
    assert 'opened=3' in out
    assert '1 sockets' in out
    assert err == ''


def test_run_sync_from_threads_at_once_leaves_no_connection(bedrock: LocalBedrock) -> None:
    """The loops that `run_sync` makes are never closed by pydantic-ai; their connections are, by this package."""
    out, err = run(
        bedrock,
        """
        for _ in range(2):
            agent.run_sync('hello')
        threads = [threading.Thread(target=agent.run_sync, args=('hello',)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(agent.run('hello'))
        print(pool.stats())
        """,
    )
    assert 'clients=1' in out, 'the loops of the threads have ended, the loop of the main thread has not'
    assert [line for line in err.splitlines() if 'transport' in line or 'client' in line.lower()] == []
    assert bedrock.stats().open_connections == 0


def test_several_loops_run_at_once_in_several_threads(bedrock: LocalBedrock) -> None:
    out, err = run(
        bedrock,
        """
        answers = []
        def work():
            async def several():
                answers.extend(await asyncio.gather(*(agent.run('hello') for _ in range(10))))
            asyncio.run(several())
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(answers), pool.stats())
        """,
    )
    assert out.startswith('40 ')
    assert 'clients=0' in out
    assert 'opened=4' in out
    assert err == ''


def test_closing_does_not_wait_for_ever_for_the_loop_of_another_thread(bedrock: LocalBedrock) -> None:
    """A loop that is held up closes its clients when it ends."""
    program = """
    import pydantic_ai_aiobedrock._pool.session_pool
    pydantic_ai_aiobedrock._pool.session_pool.CLOSE_SECONDS = 0.1
    held_up, let_go = threading.Event(), threading.Event()

    async def hold_up():
        await agent.run('hello')
        held_up.set()
        let_go.wait(15)

    thread = threading.Thread(target=asyncio.run, args=[hold_up()])
    thread.start()
    held_up.wait(15)
    asyncio.run(pool.aclose())
    assert not let_go.is_set()
    let_go.set()
    thread.join()
    print(pool)
    """
    out, err = run(bedrock, program)
    assert err == ''
    assert out == '<SessionPool closed>\n'
    assert bedrock.stats().open_connections == 0


def test_closing_cancels_nobody_when_the_loop_of_another_thread_ends_meanwhile(bedrock: LocalBedrock) -> None:
    program = """
    called, closing = threading.Event(), threading.Event()

    async def call_and_end():
        stream = (await provider.client.converse_stream(
            modelId='us.amazon.nova-lite-v1:0', messages=[{'role': 'user', 'content': [{'text': 'hello'}]}]
        ))['stream']
        called.set()
        while '[' in repr(pool):
            await asyncio.sleep(0.001)

    thread = threading.Thread(target=asyncio.run, args=[call_and_end()])
    thread.start()
    called.wait(15)
    asyncio.run(pool.aclose(grace=15))
    thread.join()
    print(pool)
    """
    out, err = run(bedrock, program)
    assert err == ''
    assert out == '<SessionPool closed>\n'


def test_closing_never_runs_a_loop_that_ran_when_it_began(bedrock: LocalBedrock) -> None:
    program = """
    called, stop, stopped, let_go = (threading.Event() for _ in range(4))
    ran_in = []

    async def call_until_told():
        await agent.run('hello')
        called.set()
        while not stop.is_set() or len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.001)
        # For whoever runs this loop next.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, lambda: ran_in.append(threading.current_thread()))

    def work():
        with asyncio.Runner() as runner:
            runner.run(call_until_told())
            stopped.set()
            let_go.wait(15)

    async def close():
        stream = (await provider.client.converse_stream(
            modelId='us.amazon.nova-lite-v1:0', messages=[{'role': 'user', 'content': [{'text': 'hello'}]}]
        ))['stream']
        thread.start()
        await asyncio.to_thread(called.wait, 15)
        closing = asyncio.create_task(pool.aclose(grace=15))
        while pool.stats().clients > 1:
            await asyncio.sleep(0.001)
        stop.set()
        await asyncio.to_thread(stopped.wait, 15)
        # What held up the closing of this loop's own client.
        async for _ in stream:
            pass
        await closing

    thread = threading.Thread(target=work)
    asyncio.run(close())
    let_go.set()
    thread.join()
    print(ran_in == [thread], pool)
    """
    out, err = run(bedrock, program)
    assert err == ''
    assert out == 'True <SessionPool closed>\n'


def test_closing_leaves_a_loop_that_is_about_to_end_to_its_own_thread(bedrock: LocalBedrock) -> None:
    program = """
    import time
    import pydantic_ai_aiobedrock._pool.session_pool
    from pydantic_ai_aiobedrock._pool.loop_pool import LoopPool
    pydantic_ai_aiobedrock._pool.session_pool.ENDING_SECONDS = 15
    stands_still = threading.Event()
    closed_by, aclose = [], LoopPool.aclose

    async def seen(loop_pool, grace):
        closed_by.append(threading.current_thread().name)
        await aclose(loop_pool, grace)

    LoopPool.aclose = seen

    def call_and_end():
        runner = asyncio.Runner()
        runner.run(agent.run('hello'))
        stands_still.set()
        while '[' in repr(pool):
            time.sleep(0.001)
        runner.close()

    thread = threading.Thread(target=call_and_end, name='its own')
    thread.start()
    stands_still.wait(15)
    asyncio.run(pool.aclose())
    thread.join()
    print(closed_by)
    """
    out, err = run(bedrock, program)
    assert err == ''
    assert out == "['its own']\n"


def test_the_repr_and_the_counts_of_a_pool_can_be_asked_for_from_another_thread(bedrock: LocalBedrock) -> None:
    program = """
    sys.setswitchinterval(1e-6)
    done = threading.Event()
    failures, asked = [], 0

    def ask():
        global asked
        while not done.is_set():
            try:
                repr(pool), pool.stats()
                asked += 1
            except RuntimeError as error:
                failures.append(error)
                return

    async def main():
        providers = [BedrockProvider(aws_read_timeout=seconds) for seconds in range(60, 67)]
        hello = {'modelId': 'us.amazon.nova-lite-v1:0', 'messages': [{'role': 'user', 'content': [{'text': 'hello'}]}]}
        for _ in range(3):
            await asyncio.gather(*(each.client.converse(**hello) for each in providers for _ in range(10)))

    thread = threading.Thread(target=ask)
    thread.start()
    asyncio.run(main())
    done.set()
    thread.join()
    print(asked > 0, failures)
    """
    out, err = run(bedrock, program)
    assert err == ''
    assert out == 'True []\n'


@pytest.mark.parametrize('end', ['sys.exit(3)', 'os.kill(os.getpid(), signal.SIGINT); await asyncio.sleep(9)'])
def test_a_script_that_leaves_in_the_middle_of_a_stream_says_nothing(bedrock: LocalBedrock, end: str) -> None:
    interrupted = 'SIGINT' in end
    _, err = run(
        bedrock,
        f"""
        async def main():
            async with agent.run_stream('a rather long sentence, please') as stream:
                async for text in stream.stream_text():
                    {end}
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(4)
        """,
        exit_status=4 if interrupted else 3,
    )
    assert [line for line in err.splitlines() if 'nclosed' in line or 'never awaited' in line] == []
    assert bedrock.stats().streams_generating == 0


@pytest.mark.parametrize('uvloop', [False, True])
def test_another_event_loop_ends_as_clean(bedrock: LocalBedrock, uvloop: bool) -> None:
    if uvloop:
        pytest.importorskip('uvloop')
    runner = 'import uvloop; run = uvloop.run' if uvloop else 'run = asyncio.run'
    out, err = run(
        bedrock,
        f"""
        {runner}
        async def main():
            await asyncio.gather(*(agent.run('hello') for _ in range(20)))
            async with agent.run_stream('hello') as stream:
                async for _ in stream.stream_text():
                    break
        run(main())
        print(pool.stats())
        """,
    )
    assert 'clients=0' in out
    assert err == ''


def test_a_forked_child_opens_its_own_client_and_leaves_its_parents_alone(bedrock: LocalBedrock) -> None:
    """What gunicorn does with `--preload`, and multiprocessing by fork."""
    out, err = run(
        bedrock,
        """
        loop = asyncio.new_event_loop()
        loop.run_until_complete(agent.run('hello'))
        before = pool.stats()
        child = os.fork()
        if not child:
            status = 1
            try:
                asyncio.run(agent.run('hello'))
                status = 0 if pool.stats().opened == 1 else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        loop.run_until_complete(agent.run('hello'))
        print(pool.stats() == before, pool.stats())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        """,
    )
    assert out.startswith('True ')
    assert err == ''
    connections = [request.connection for request in bedrock.requests]
    assert connections[0] == connections[2] != connections[1]


def test_multiprocessing_by_fork_works_after_a_call_in_the_parent(bedrock: LocalBedrock) -> None:
    out, err = run(
        bedrock,
        """
        import multiprocessing
        def work(number):
            return asyncio.run(agent.run(f'number {number}')).output
        asyncio.run(agent.run('hello'))
        with multiprocessing.get_context('fork').Pool(2) as workers:
            print(len(workers.map(work, range(4))))
        """,
    )
    assert out == '4\n'
    assert err == ''


async def test_a_loop_that_runs_already_is_used_as_it_is(provider: Any) -> None:
    """What a notebook does: its loop runs all along, and is never closed."""
    client = provider.client
    request: dict[str, Any] = {
        'modelId': 'us.amazon.nova-lite-v1:0',
        'messages': [{'role': 'user', 'content': [{'text': 'hello'}]}],
    }
    for _ in range(3):
        await asyncio.create_task(client.converse(**request))
    assert client.pool.stats().opened == 1


def test_ctrl_c_while_the_first_client_opens_ends_clean(bedrock: LocalBedrock) -> None:
    _, err = run(
        bedrock,
        """
        async def main():
            call = asyncio.create_task(agent.run('hello'))
            while not pool.stats().waiting:
                await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGINT)
            await call
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(4)
        """,
        exit_status=4,
    )
    assert err == ''
