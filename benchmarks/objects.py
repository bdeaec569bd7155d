"""Objects of calls in flight, and memory of open streams by the packages that allocated it.

python -m benchmarks.objects ours
python -m benchmarks.objects floor

Run in an environment with the package and all that the peer needs; it starts the server itself.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tracemalloc
from collections import Counter
from importlib import import_module
from types import ModuleType

from benchmarks.control import Control
from benchmarks.conversations import SHORT
from benchmarks.peers import Endpoint, PeerClient
from benchmarks.processes import ENVIRONMENT, lean_server

CALLS = 300
DELAY = 60
"""Seconds until an answer, which nobody waits for."""

OWNERS = ('pydantic_ai_aiobedrock', 'pydantic_ai', 'aiohttp', 'contextlib', 'asyncio')


async def _in_flight(peer: PeerClient, control: Control) -> float:
    prepared = peer.prepare(SHORT)
    await peer.request(prepared)
    await control(reset=True)
    await control(delay=DELAY)
    gc.collect()
    before = len(gc.get_objects())
    tasks = [asyncio.ensure_future(peer.request(prepared)) for _ in range(CALLS)]
    await _until_all_are(control, 'in_flight')
    objects = (len(gc.get_objects()) - before) / CALLS
    await _give_up(tasks)
    return objects


async def _by_owner(peer: PeerClient, control: Control) -> Counter[str]:
    prepared = peer.prepare(SHORT)
    await control(reset=True)
    await peer.stream(prepared, lambda _: None)
    await control(hold=True, deltas=3)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    tasks = [asyncio.ensure_future(peer.stream(prepared, lambda _: None)) for _ in range(CALLS)]
    await _until_all_are(control, 'streaming')
    # What the server has sent is yet to be read.
    await asyncio.sleep(1)
    gc.collect()
    found: Counter[str] = Counter()
    for each in tracemalloc.take_snapshot().compare_to(before, 'lineno'):
        file = each.traceback[0].filename
        owner = next((name for name in OWNERS if f'{name}/' in file or f'{name}.py' in file), 'others')
        found[owner] += each.size_diff
    tracemalloc.stop()
    await _give_up(tasks)
    return found


async def _until_all_are(control: Control, count: str) -> None:
    async with asyncio.timeout(60):
        while (await control())[count] < CALLS:
            pass


async def _give_up(tasks: list[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def measure(module: ModuleType, port: int) -> None:
    """Measure a peer, and print its figures."""
    control = Control(port)
    peer = module.Peer()
    await peer.setup(Endpoint(control.url, tuned=True))
    print(f'objects per call in flight: {await _in_flight(peer, control):.0f}')
    found = await _by_owner(peer, control)
    owners = ', '.join(f'{owner} {size / CALLS / 1000:.1f}' for owner, size in found.most_common())
    print(f'KB per open stream: {found.total() / CALLS / 1000:.1f} ({owners})')
    await control(reset=True)
    await peer.teardown()


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('peer', help='a module of benchmarks/peers')
    arguments = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    with lean_server([]) as running:
        asyncio.run(measure(import_module(f'benchmarks.peers.{arguments.peer}'), running))
