"""What the worker does with a peer: one coroutine per kind of measurement, each giving numbers as a dict."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.answers import STAMP_LENGTH, TEXT
from benchmarks.control import Control
from benchmarks.conversations import LONG, SHORT
from benchmarks.peers import PeerClient

Result = dict[str, Any]

_STAMPS = re.compile(rb'@(\d{10}\.\d{6})')


class Seen:
    """Counts what a stream has delivered: characters of text, or bytes from a peer that decodes nothing."""

    def __init__(self) -> None:
        self.length = 0

    def __call__(self, delivered: str | bytes) -> None:
        self.length += len(delivered)


async def _many(call: Callable[[], Awaitable[object]], concurrency: int, until: Callable[[], bool]) -> int:
    """Keep `concurrency` calls going until it is time, let the last ones end, and return how many there were."""
    made = 0

    async def one_after_the_other() -> None:
        nonlocal made
        while not until():
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
    await _many(call, concurrency, lambda: time.process_time() >= warm_until)
    gc.collect()
    wall, cpu = time.monotonic(), time.process_time()
    until = cpu + seconds
    calls = await _many(call, concurrency, lambda: time.process_time() >= until)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    return {'value': cpu / calls, 'calls': calls, 'wall': wall, 'threads': threading.active_count()}


async def request_cpu(
    peer: PeerClient, control: Control, *, long: bool, concurrency: int, seconds: float, warm_up: float
) -> Result:
    """CPU seconds of this process per request."""
    await control()
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


MEASUREMENTS: dict[str, Callable[..., Awaitable[Result]]] = {
    function.__name__: function for function in (request_cpu, stream_cpu)
}
