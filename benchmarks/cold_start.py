"""The first answer of a process: `python -m benchmarks.cold_start MODULE URL` prints `answered`."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module


async def main(module: str, url: str) -> None:
    peer = import_module(module).Peer()
    from benchmarks.conversations import SHORT
    from benchmarks.peers import Endpoint

    await peer.setup(Endpoint(url, tuned=False))
    await peer.request(peer.prepare(SHORT))
    print('answered', flush=True)
    await peer.teardown()


if __name__ == '__main__':
    asyncio.run(main(*sys.argv[1:]))
