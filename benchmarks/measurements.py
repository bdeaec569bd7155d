"""What the worker does with a peer: one coroutine per kind of measurement, each giving its numbers as a dict."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.answers import STAMP_LENGTH, TEXT
from benchmarks.control import Control
from benchmarks.conversations import LONG, SHORT
from benchmarks.delays import Delays, percentiles
from benchmarks.peers import Endpoint, PeerClient

Result = dict[str, Any]
LAG = 6
"""Seconds for which streams may end later than the server has sent them."""
PATIENCE = 60
"""Seconds after which what has not ended is given up, and counted as it stands."""


class Seen:
    """Counts what a stream has delivered: characters of text, or bytes from a peer that decodes nothing."""

    def __init__(self) -> None:
        self.length = 0
        self.calls = 0

    def __call__(self, delivered: str | bytes) -> None:
        self.length += len(delivered)
        self.calls += 1


async def _many(call: Callable[[], Awaitable[object]], concurrency: int, until: Callable[[int], bool]) -> int:
    """Keep `concurrency` calls going until it is time, let the last ones end, and return how many there were."""
    made = 0

    async def one_after_the_other() -> None:
        nonlocal made
        while not until(made):
            made += 1
            await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(one_after_the_other())
    return made


async def _cpu_per_call(
    call: Callable[[], Awaitable[object]], concurrency: int, seconds: float, warm_up: float
) -> Result:
    warm_until = time.process_time() + warm_up
    await _many(call, concurrency, lambda made: time.process_time() >= warm_until)
    gc.collect()
    wall, cpu = time.monotonic(), time.process_time()
    until = cpu + seconds
    # The last calls of a batch have less company than the first, so there must be several batches.
    calls = await _many(call, concurrency, lambda made: time.process_time() >= until and made >= 3 * concurrency)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    return {'value': cpu / calls, 'calls': calls, 'wall': wall, 'threads': threading.active_count()}


async def request_cpu(
    peer: PeerClient, control: Control, *, long: bool, concurrency: int, seconds: float, warm_up: float
) -> Result:
    """CPU seconds of this process per request."""
    prepared = peer.prepare(LONG if long else SHORT)
    text = await peer.request(prepared)
    if text not in (None, TEXT):
        raise RuntimeError(f'the answer is {text!r}')
    return await _cpu_per_call(lambda: peer.request(prepared), concurrency, seconds, warm_up)


async def stream_cpu(
    peer: PeerClient, control: Control, *, deltas: int, concurrency: int, seconds: float, warm_up: float
) -> Result:
    """CPU seconds of this process per stream."""
    await control(deltas=deltas)
    prepared = peer.prepare(SHORT)
    seen = Seen()
    await peer.stream(prepared, seen)
    if seen.length != deltas * STAMP_LENGTH and not seen.length > deltas * 200:
        raise RuntimeError(f'{seen.length} characters arrived, not {deltas * STAMP_LENGTH}')
    return await _cpu_per_call(lambda: peer.stream(prepared, seen), concurrency, seconds, warm_up)


async def burst(peer: PeerClient, control: Control, *, calls: int, delay: float) -> Result:
    """Seconds until all of `calls` requests that start at once are answered, and how many were in flight."""
    prepared = peer.prepare(SHORT)
    await peer.request(prepared)
    await control(reset=True)
    await control(delay=delay)
    started = time.monotonic()
    tasks = [asyncio.ensure_future(peer.request(prepared)) for _ in range(calls)]
    done, late = await asyncio.wait(tasks, timeout=PATIENCE)
    wall = time.monotonic() - started
    failed = [str(task.exception()) for task in done if task.exception() is not None]
    counts = await control()
    for task in late:
        task.cancel()
    return {
        'value': wall,
        'in_flight': counts['max_in_flight'],
        'answered': len(done) - len(failed),
        'failed': len(failed),
        'failure': failed[:1],
        'threads': threading.active_count(),
    }


async def burst_lag(peer: PeerClient, control: Control, *, calls: int, delay: float, spread: float) -> Result:
    """Seconds that other callbacks of the loop wait at most while `calls` that begin together are answered."""
    prepared = peer.prepare(SHORT)
    await peer.request(prepared)
    await control(reset=True)
    await control(delay=delay)
    lags: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + 0.002
            await asyncio.sleep(0.002)
            lags.append(time.perf_counter() - due)

    async def call(number: int) -> None:
        await asyncio.sleep(spread * number / calls)
        await peer.request(prepared)

    ticking = asyncio.create_task(tick())
    started = time.monotonic()
    tasks = [asyncio.ensure_future(call(number)) for number in range(calls)]
    # What starting the tasks takes is the program's own.
    await asyncio.sleep(0)
    lags.clear()
    done, late = await asyncio.wait(tasks, timeout=PATIENCE)
    wall = time.monotonic() - started
    for task in (ticking, *late):
        task.cancel()
    lags.sort()
    failed = sum(1 for task in done if task.exception() is not None)
    return {'value': lags[-1], 'p99': lags[int(len(lags) * 0.99)], 'wall': wall, 'answered': len(done) - failed}


async def quota(
    peer: PeerClient, control: Control, *, calls: int, delay: float, streams: bool = False, **limits: float
) -> Result:
    """Seconds until all of `calls` that start at once are answered or have failed, under a quota."""
    prepared = peer.prepare(SHORT)
    await peer.request(prepared)
    await control(reset=True)
    await control(delay=delay, deltas=20, **limits)

    async def call() -> None:
        await (peer.stream(prepared, Seen()) if streams else peer.request(prepared))

    result = await _all_at_once(call, calls)
    counts = await control()
    return {**result, 'throttled': counts['throttled'], 'throttled_late': counts['throttled_late'] / calls}


async def quota_shared(peer: PeerClient, control: Control, *, calls: int, delay: float, **limits: float) -> Result:
    """The same of two processes that share a quota and do not know of each other, `calls` each."""
    prepared = peer.prepare(SHORT)
    await peer.request(prepared)
    await control(reset=True)
    module = type(peer).__module__.rpartition('.')[2]
    job = {'scenario': '', 'measurement': 'quota_joined', 'tuned': False, 'joins': True, 'arguments': {'calls': calls}}
    order = json.dumps({'peer': module, 'port': control.port, 'jobs': [job]})
    other = await asyncio.create_subprocess_exec(
        sys.executable, '-m', 'benchmarks.worker', order, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            # The count is of another process.
            while (await control())['requests'] < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await control(delay=delay, **limits)
        ours = await _all_at_once(lambda: peer.request(prepared), calls)
        async with asyncio.timeout(3 * PATIENCE):
            output, _ = await other.communicate()
    except BaseException:
        other.kill()
        raise
    theirs = json.loads(output)
    counts = await control()
    return {
        'value': max(ours['value'], theirs['value']),
        'answered': ours['answered'] + theirs['answered'],
        'failed': ours['failed'] + theirs['failed'],
        'failure': ours['failure'] or theirs['failure'],
        'throttled': counts['throttled'],
        'throttled_late': counts['throttled_late'] / (2 * calls),
    }


async def quota_joined(peer: PeerClient, control: Control, *, calls: int) -> Result:
    """The other process of `quota_shared`: it begins when that has begun."""
    prepared = peer.prepare(SHORT)
    await peer.request(prepared)
    async with asyncio.timeout(PATIENCE):
        while (await control())['requests'] < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return await _all_at_once(lambda: peer.request(prepared), calls)


async def _all_at_once(call: Callable[[], Awaitable[object]], calls: int) -> Result:
    started = time.monotonic()
    tasks = [asyncio.ensure_future(call()) for _ in range(calls)]
    done, late = await asyncio.wait(tasks, timeout=3 * PATIENCE)
    wall = time.monotonic() - started
    failed = [str(task.exception()) for task in done if task.exception() is not None]
    for task in late:
        task.cancel()
    return {
        'value': wall,
        'answered': len(done) - len(failed),
        'failed': len(failed) + len(late),
        'failure': failed[:1],
        'threads': threading.active_count(),
    }


async def _ramp_up(times: int, started: float, seconds: float, start: Callable[[], None]) -> None:
    """Start so many, evenly over so many seconds."""
    for number in range(times):
        # A loop that is late must not be asked to come round for each of them.
        if (early := started + seconds * number / times - time.monotonic()) > 0:
            await asyncio.sleep(early)
        start()


async def _settle_down(peer: PeerClient, prepared: Any) -> None:
    """Do as a service that is up: what is there to stay need not be walked through by each collection from now on.

    That is what has been imported, and what the first call of a client loads.
    """
    await peer.request(prepared)
    gc.collect()
    gc.freeze()


async def paced(
    peer: PeerClient, control: Control, *, streams: int, rate: float, ramp: float, seconds: float
) -> Result:
    """Delay between the server's sending of a delta and its delivery, in the steady middle of many paced streams."""
    deltas = round(seconds * rate)
    await control(rate=rate, deltas=deltas)
    prepared = peer.prepare(SHORT)
    await _settle_down(peer, prepared)
    await control(reset=True)
    await control(rate=rate, deltas=deltas)
    started = time.monotonic()
    delays = Delays(started + ramp + 0.5, started + seconds - 0.2)
    kept_pace = 0

    async def one() -> None:
        nonlocal kept_pace
        began = time.monotonic()
        await peer.stream(prepared, delays)
        kept_pace += time.monotonic() - began < seconds + 1

    tasks: list[asyncio.Task[None]] = []
    cpu = time.process_time()
    await _ramp_up(streams, started, ramp, lambda: tasks.append(asyncio.create_task(one())))
    done, late = await asyncio.wait(tasks, timeout=max(0, started + ramp + seconds + LAG - time.monotonic()))
    cpu, wall = time.process_time() - cpu, time.monotonic() - started
    counts = await control()
    for task in late:
        task.cancel()
    failed = [str(task.exception()) for task in done if task.exception() is not None]
    in_window = (seconds - 0.7 - ramp) * rate * streams
    return {
        'value': delays.percentile(99),
        **delays.summary(),
        'delivered': min(1, len(delays.delays) / in_window),
        'in_flight': counts['max_streaming'],
        'kept_pace': kept_pace,
        'unfinished': len(late),
        'failed': len(failed),
        'failure': failed[:1],
        'cpu': cpu / wall,
        'server_late': counts['latest_tick'],
        'threads': threading.active_count(),
    }


async def health(
    peer: PeerClient, control: Control, *, streams: int, rate: float, ramp: float, seconds: float
) -> Result:
    """How long an unrelated endpoint of the same process takes to answer while agents stream."""
    await control(rate=rate, deltas=1_000_000)
    prepared = peer.prepare(SHORT)
    seen = Seen()
    tasks: list[asyncio.Task[None]] = []
    async with _fastapi() as port:
        await _settle_down(peer, prepared)
        start = lambda: tasks.append(asyncio.create_task(_agent(peer, prepared, seen)))  # noqa: E731
        started = time.monotonic()
        await _ramp_up(streams, started, ramp, start)
        # In a thread: this loop may be too busy to come round for it, or to end without a pause in what it is sent.
        observed = _observe_health(control, port, seconds)
        counts, took, after = await asyncio.get_running_loop().run_in_executor(
            ThreadPoolExecutor(1), asyncio.run, observed
        )
        delivered = seen.calls
    for task in tasks:
        task.cancel()
    return {
        'value': percentiles(took, 99)[0],
        'p50': percentiles(took, 50)[0],
        'max': max(took),
        'streaming': min(counts['streaming'], after['streaming']),
        'deltas_per_second': delivered / (time.monotonic() - started),
        'threads': threading.active_count(),
    }


async def _observe_health(control: Control, port: int, seconds: float) -> tuple[Result, list[float], Result]:
    await asyncio.sleep(1)
    before = await control()
    took = await control('/_probe', port=port, path='/health', rate=40, seconds=seconds)
    after = await control()
    await control(reset=True)
    return before, took, after


async def _agent(peer: PeerClient, prepared: Any, seen: Seen) -> None:
    await peer.agent(prepared, seen)


@asynccontextmanager
async def _fastapi() -> AsyncIterator[int]:
    """Serve a health endpoint on this loop, and give its port."""
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()

    @app.get('/health')
    async def answer() -> dict[str, str]:
        return {'status': 'ok'}

    # A socket of one's own, made without its protocol, would be left with Nagle's algorithm on.
    server = uvicorn.Server(uvicorn.Config(app, host='127.0.0.1', port=0, log_level='warning', lifespan='off'))
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=5)


async def first_call(peer: PeerClient, control: Control, endpoint: Endpoint) -> Result:
    """The longest that the loop stands still while the client is made and the first request of the process is sent."""
    longest = 0.0
    last = time.monotonic()

    async def beat() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            longest = max(longest, now - last - 0.001)
            last = now

    prepared = peer.prepare(SHORT)
    gc.collect()
    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.05)
    longest = 0.0
    started, cpu = time.monotonic(), time.process_time()
    await peer.setup(endpoint)
    await peer.request(prepared)
    await asyncio.sleep(0)
    result = {'value': longest, 'wall': time.monotonic() - started, 'cpu': time.process_time() - cpu}
    await asyncio.sleep(0.005)
    result['value'] = longest
    beating.cancel()
    await peer.teardown()
    return result


def _resident() -> int:
    """Bytes of memory that this process alone has."""
    rollup = Path('/proc/self/smaps_rollup').read_text()
    return sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith('Private_'))


async def memory(peer: PeerClient, control: Control, *, streams: int) -> Result:
    """Bytes per open stream, above a client that has been used and is idle."""
    prepared = peer.prepare(SHORT)
    for _ in range(20):
        await peer.request(prepared)
        await peer.stream(prepared, Seen())
    await control(reset=True)
    await control(hold=True, deltas=3)
    gc.collect()
    before = _resident()
    seen = Seen()
    tasks = [asyncio.create_task(_agentless(peer, prepared, seen)) for _ in range(streams)]
    until = time.monotonic() + PATIENCE / 2
    open_now = -1
    while time.monotonic() < until:
        await asyncio.sleep(0.5)
        counts = await control()
        if counts['streaming'] == streams or counts['streaming'] == open_now:
            break
        open_now = counts['streaming']
    await asyncio.sleep(0.5)
    gc.collect()
    open_now = (await control())['streaming']
    result = {
        'value': (_resident() - before) / max(1, open_now),
        'open': open_now,
        'idle': before,
        'threads': threading.active_count(),
    }
    for task in tasks:
        task.cancel()
    return result


async def _agentless(peer: PeerClient, prepared: Any, seen: Seen) -> None:
    await peer.stream(prepared, seen)


async def memory_growth(peer: PeerClient, control: Control, *, calls: int, concurrency: int) -> Result:
    """Bytes by which the process grows per thousand requests, from a tenth of them to the last."""
    prepared = peer.prepare(SHORT)
    samples: list[int] = []
    for _ in range(10):
        await _many(lambda: peer.request(prepared), concurrency, lambda made: made >= calls // 10)
        gc.collect()
        samples.append(_resident())
    return {'value': (samples[-1] - samples[0]) / (calls * 0.9 / 1000), 'samples': samples, 'calls': calls}


async def cancelled(peer: PeerClient, control: Control, *, streams: int, rate: float, wait: float) -> Result:
    """How many streams go on at the server after their tasks have been cancelled."""
    await control(rate=rate, deltas=1_000_000)
    prepared = peer.prepare(SHORT)
    seen = [Seen() for _ in range(streams)]
    tasks = [asyncio.create_task(_agentless(peer, prepared, seen[number])) for number in range(streams)]
    until = time.monotonic() + 10
    while min(one.calls for one in seen) < 3 and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    started = (await control())['streaming']
    # Their tracebacks would keep alive what some peers leave to the garbage collector.
    while tasks:
        tasks.pop().cancel()
    await asyncio.sleep(wait)
    soon = (await control())['streaming']
    await asyncio.sleep(1)
    later = (await control())['streaming']
    return {'value': soon, 'started': started, 'after_another_second': later}


MEASUREMENTS: dict[str, Callable[..., Awaitable[Result]]] = {
    function.__name__: function
    for function in (
        request_cpu,
        stream_cpu,
        burst,
        burst_lag,
        quota,
        quota_shared,
        quota_joined,
        paced,
        health,
        first_call,
        memory,
        memory_growth,
        cancelled,
    )
}
