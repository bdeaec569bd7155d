"""Measurements of the event loop: how long its other callbacks wait, and how late deltas are delivered."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from benchmarks.control import Control
from benchmarks.conversations import SHORT
from benchmarks.delays import Delays, percentiles
from benchmarks.measurements import PATIENCE, Result, Seen
from benchmarks.peers import Endpoint, PeerClient

LAG = 6
"""Seconds for which streams may end later than the server has sent them."""


@asynccontextmanager
async def _lags(every: float = 0.002) -> AsyncIterator[list[float]]:
    """Collect the seconds by which a task that sleeps again and again wakes too late."""
    lags: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + every
            await asyncio.sleep(every)
            lags.append(time.perf_counter() - due)

    ticking = asyncio.create_task(tick())
    try:
        yield lags
    finally:
        ticking.cancel()


async def burst_lag(
    peer: PeerClient, control: Control, *, calls: int, delay: float, spread: float, settled: bool = False
) -> Result:
    """Seconds that other callbacks of the loop wait at most while `calls` that begin together are answered."""
    prepared = peer.prepare(SHORT)
    await (_settle_down(peer, prepared) if settled else peer.request(prepared))
    await control(reset=True)
    await control(delay=delay)

    async def call(number: int) -> None:
        await asyncio.sleep(spread * number / calls)
        await peer.request(prepared)

    async with _lags() as lags:
        started = time.monotonic()
        tasks = [asyncio.ensure_future(call(number)) for number in range(calls)]
        # What starting the tasks takes is the program's own.
        await asyncio.sleep(0)
        lags.clear()
        done, late = await asyncio.wait(tasks, timeout=PATIENCE)
        wall = time.monotonic() - started
    for task in late:
        task.cancel()
    failed = sum(1 for task in done if task.exception() is not None)
    return {'value': max(lags), 'p99': percentiles(lags, 99)[0], 'wall': wall, 'answered': len(done) - failed}


async def burst_health(
    peer: PeerClient, control: Control, *, calls: int, delay: float, rate: float, seconds: float = 4
) -> Result:
    """How long an unrelated endpoint of the same process takes to answer while runs of agents come at once.

    It is asked from before the runs until some time after them; those answers count that were asked for meanwhile. What
    the runs do before the first of them sends a request is Pydantic AI's own: what was asked for from then on counts
    once more by itself, and the longest wait before it.
    """
    prepared = peer.prepare(SHORT)
    async with _fastapi() as port:
        await peer.run(prepared)
        await _settle_down(peer, prepared)
        await control(reset=True)
        await control(delay=delay)
        observed = asyncio.get_running_loop().run_in_executor(
            ThreadPoolExecutor(1),
            asyncio.run,
            control('/_probe', port=port, path='/health', rate=rate, seconds=seconds),
        )
        await asyncio.sleep(0.5)
        started = time.monotonic()
        tasks = [asyncio.ensure_future(peer.run(prepared)) for _ in range(calls)]
        done, late = await asyncio.wait(tasks, timeout=PATIENCE)
        ended = time.monotonic()
        asked: list[tuple[float, float]] = await observed
        first: float | None = (await control())['first_request']
    for task in late:
        task.cancel()
    meanwhile = [(at, waited) for at, waited in asked if started - waited <= at <= ended]
    took = [waited for _, waited in meanwhile]
    since: dict[str, float] = {}
    # A model in memory sends none.
    if first is not None:
        since['since_first_request'] = percentiles([waited for at, waited in meanwhile if at >= first], 99)[0]
        since['before_first_request'] = max((waited for at, waited in meanwhile if at < first), default=0.0)
    failed = sum(1 for task in done if task.exception() is not None)
    return {
        'value': percentiles(took, 99)[0],
        'p50': percentiles(took, 50)[0],
        'max': max(took),
        **since,
        'asked': len(took),
        'wall': ended - started,
        'answered': len(done) - failed,
        'threads': threading.active_count(),
    }


async def attachments(peer: PeerClient, control: Control, *, calls: int, size: int) -> Result:
    """Seconds that other callbacks of the loop wait at most while requests with a large document are sent."""
    await peer.request(peer.prepare(SHORT))
    prepared = peer.prepare(replace(SHORT, document=bytes(size)))
    async with _lags() as lags:
        await asyncio.sleep(0.05)
        lags.clear()
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(calls):
                group.create_task(_ask(peer, prepared))
        wall = time.monotonic() - started
    return {'value': max(lags), 'wall': wall}


async def _ask(peer: PeerClient, prepared: Any) -> None:
    await peer.request(prepared)


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
    peer: PeerClient, control: Control, *, streams: int, rate: float, ramp: float, seconds: float, settled: bool = True
) -> Result:
    """Delay between the server's sending of a delta and its delivery, in the steady middle of many paced streams."""
    deltas = round(seconds * rate)
    await control(rate=rate, deltas=deltas)
    prepared = peer.prepare(SHORT)
    await (_settle_down(peer, prepared) if settled else peer.request(prepared))
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
    asked = await control('/_probe', port=port, path='/health', rate=40, seconds=seconds)
    after = await control()
    await control(reset=True)
    return before, [seconds for _, seconds in asked], after


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


async def cold_start(peer: PeerClient, control: Control, endpoint: Endpoint) -> Result:
    """Seconds from the start of a process to its first answer: imports, the client, and the first request."""
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        '-m',
        'benchmarks.cold_start',
        type(peer).__module__,
        endpoint.url,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        answer = await process.stdout.readline()
        wall = time.monotonic() - started
        await process.communicate()
    if answer != b'answered\n':
        raise RuntimeError(f'the process ended with {process.returncode}')
    return {'value': wall}


MEASUREMENTS: dict[str, Callable[..., Awaitable[Result]]] = {
    function.__name__: function
    for function in (burst_lag, burst_health, attachments, paced, health, first_call, cold_start)
}
