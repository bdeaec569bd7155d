"""Asks an HTTP server for a page at a steady rate and notes how long each answer takes.

Times are those of `time.monotonic`, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import time

TIMEOUT = 10
"""Seconds that count for an answer that does not come."""


async def probe(port: int, path: str, rate: float, seconds: float) -> list[tuple[float, float]]:
    """Return when each request was sent, and the seconds it took; a slow answer does not delay the next request."""
    loop = asyncio.get_running_loop()
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask() -> None:
        reader, writer = idle.pop() if idle else await asyncio.open_connection('127.0.0.1', port)
        writer.write(b'GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n' % path.encode())
        head = await reader.readuntil(b'\r\n\r\n')
        if not head.startswith(b'HTTP/1.1 200'):
            raise ConnectionError(head.decode())
        length = int(head.lower().split(b'content-length:')[1].split(b'\r\n')[0])
        await reader.readexactly(length)
        idle.append((reader, writer))

    async def timed() -> tuple[float, float]:
        started = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT):
                await ask()
        except (OSError, EOFError, TimeoutError):
            return started, TIMEOUT
        return started, time.monotonic() - started

    due = loop.time()
    asked = []
    while len(asked) < rate * seconds:
        asked.append(loop.create_task(timed()))
        due += 1 / rate
        await asyncio.sleep(due - loop.time())
    took = await asyncio.gather(*asked)
    for _, writer in idle:
        writer.close()
    return took
