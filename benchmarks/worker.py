"""Runs measurements of one peer in the peer's own interpreter.

    python -m benchmarks.worker '{"peer": "floor", "port": 40001, "jobs": [...]}'

writes a line of JSON per job to its standard output; what the libraries print goes to standard error.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from typing import Any

VERSIONS = (
    'aiohttp',
    'httpx',
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


async def _measure(peer: Any, port: int, job: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.control import Control
    from benchmarks.measurements import MEASUREMENTS
    from benchmarks.peers import Endpoint

    control = Control(port)
    await control(reset=True)
    endpoint = Endpoint(f'http://127.0.0.1:{port}', job['tuned'])
    measure = MEASUREMENTS[job['measurement']]
    if job.get('opens_itself'):
        return await measure(peer, control, endpoint, **job['arguments'])
    await peer.setup(endpoint)
    try:
        return await measure(peer, control, **job['arguments'])
    finally:
        await peer.teardown()


def main() -> None:
    order = json.loads(sys.argv[1])
    output = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    if (cpu := order.get('cpu')) is not None:
        os.sched_setaffinity(0, {cpu})
    loop_factory = None
    if order.get('uvloop'):
        import uvloop

        loop_factory = uvloop.new_event_loop
    module = importlib.import_module(f'benchmarks.peers.{order["peer"]}')
    for job in order['jobs']:
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                result = runner.run(_measure(module.Peer(), order['port'], job))
        except Exception as error:
            result = {'error': ''.join(traceback.format_exception(error))}
        print(json.dumps({'scenario': job['scenario'], 'versions': _versions(), **result}), file=output, flush=True)
    output.flush()
    # Threads that a peer has left in the middle of a call must not hold up the next one.
    os._exit(0)


if __name__ == '__main__':
    main()
