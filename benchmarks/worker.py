"""Runs measurements of one peer in the peer's own interpreter.

    python -m benchmarks.worker '{"peer": "floor", "port": 40001, "jobs": [...]}'

writes a line of JSON per job to its standard output; what the libraries print goes to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.pinning import Disturbance, pin

JOB_SECONDS = 240

VERSIONS = (
    'aiohttp',
    'httpx',
    'httpx2',
    'boto3',
    'botocore',
    'aiobotocore',
    'aioboto3',
    'pydantic-ai-slim',
    'pydantic-ai-aiobedrock',
    'langchain-aws',
    'litellm',
    'strands-agents',
    'anthropic',
    'uvloop',
)


def _versions() -> dict[str, str]:
    found = {'python': sys.version.split()[0]}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _raise_thread_limits(threads: int) -> None:
    """Let as many calls as that be in flight where a peer makes each in a thread, as its users would have to."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
    try:
        from anyio import to_thread
    except ImportError:
        return
    to_thread.current_default_thread_limiter().total_tokens = threads


async def _measure(peer: Any, port: int, job: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.behaviours import BEHAVIOURS
    from benchmarks.control import Control
    from benchmarks.loop_measurements import MEASUREMENTS as OF_THE_LOOP
    from benchmarks.measurements import MEASUREMENTS
    from benchmarks.peers import Endpoint

    control = Control(port)
    if not job.get('joins'):
        await control(reset=True)
    if (threads := job.get('threads')) is not None:
        _raise_thread_limits(threads)
    endpoint = Endpoint(control.url, job['tuned'])
    measure = (MEASUREMENTS | OF_THE_LOOP | BEHAVIOURS)[job['measurement']]
    if job.get('opens_itself'):
        return await measure(peer, control, endpoint, **job['arguments'])
    await peer.setup(endpoint)
    return await measure(peer, control, **job['arguments'])


async def _clean_up(peer: Any, port: int) -> None:
    from benchmarks.control import Control

    # The threads of some peers read on after their tasks have been cancelled.
    await Control(port)(reset=True)
    await peer.teardown()


def _close(loop: asyncio.AbstractEventLoop, peer: Any, port: int) -> None:
    """Close the loop as `asyncio.run` does, but for the threads, for which it would wait without limit."""
    with contextlib.suppress(Exception):
        loop.run_until_complete(asyncio.wait_for(_clean_up(peer, port), 10))
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(Exception):
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=5))
        loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), 5))
        loop.close()


def main() -> None:
    order = json.loads(sys.argv[1])
    output = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    pin(order.get('cpu'))
    new_event_loop = asyncio.new_event_loop
    if order.get('uvloop'):
        import uvloop

        new_event_loop = uvloop.new_event_loop
    module = importlib.import_module(f'benchmarks.peers.{order["peer"]}')
    for job in order['jobs']:
        # A library may be too busy to notice that it is to stop, or may have taken over the signals that say so.
        signal.alarm(JOB_SECONDS)
        disturbance = Disturbance(order.get('cpu'))
        loop, peer = new_event_loop(), module.Peer()
        try:
            result = loop.run_until_complete(_measure(peer, order['port'], job))
        except Exception as error:
            result = {'error': ''.join(traceback.format_exception(error))}
        result['disturbed'] = disturbance.share()
        print(json.dumps({'scenario': job['scenario'], 'versions': _versions(), **result}), file=output, flush=True)
        if job is not order['jobs'][-1]:
            _close(loop, peer, order['port'])
    output.flush()
    # Threads that a peer has left in the middle of a call must not hold up the next one.
    os._exit(0)


if __name__ == '__main__':
    main()
