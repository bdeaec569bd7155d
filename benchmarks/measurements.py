"""What the worker does with a peer: one coroutine per kind of measurement, each giving its numbers as a dict."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.answers import STAMP_LENGTH, TEXT
from benchmarks.control import Control
from benchmarks.conversations import LONG, SHORT
from benchmarks.peers import PeerClient

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


async def agent_cpu(peer: PeerClient, control: Control, *, concurrency: int, seconds: float, warm_up: float) -> Result:
    """CPU seconds of this process per run of an agent, with an answer in one piece."""
    prepared = peer.prepare(SHORT)
    text = await peer.run(prepared)
    if text not in (None, TEXT):
        raise RuntimeError(f'the answer is {text!r}')
    return await _cpu_per_call(lambda: peer.run(prepared), concurrency, seconds, warm_up)


async def agent_stream_cpu(
    peer: PeerClient, control: Control, *, deltas: int, concurrency: int, seconds: float, warm_up: float
) -> Result:
    """CPU seconds of this process per delta of text that an agent streams."""
    await control(deltas=deltas)
    prepared = peer.prepare(SHORT)
    seen = Seen()
    await peer.agent(prepared, seen)
    if seen.length != deltas * STAMP_LENGTH and not seen.length > deltas * 200:
        raise RuntimeError(f'{seen.length} characters arrived, not {deltas * STAMP_LENGTH}')
    result = await _cpu_per_call(lambda: peer.agent(prepared, seen), concurrency, seconds, warm_up)
    return {**result, 'value': result['value'] / deltas}


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
        agent_cpu,
        agent_stream_cpu,
        burst,
        quota,
        quota_shared,
        quota_joined,
        memory,
        memory_growth,
        cancelled,
    )
}
