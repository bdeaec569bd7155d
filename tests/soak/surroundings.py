"""What goes on around the runs: a server that is killed and started again, and keys that are rotated."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEYS = 1000
ROTATION_SECONDS = 20.0
"""Between two rotations; a call asks for new keys once, so that none may live through two of the same kind."""
RESTART_SECONDS = 45.0
ANSWER_SECONDS = 30.0


@dataclass
class Keys:
    """All the keys that there will ever be, and which of them are good now."""

    file: Path
    access_keys: dict[str, str] = field(
        default_factory=lambda: {f'AKIDLOCALSOAK{n:07}': f'local-soak-secret-{n:022}' for n in range(KEYS)}
    )
    api_keys: list[str] = field(default_factory=lambda: [f'bedrock-api-key-soak-{n:020}' for n in range(KEYS)])
    expired: list[str] = field(default_factory=list[str])
    rotations: int = 0
    _access_key: int = 0
    _api_key: int = 0

    def __post_init__(self) -> None:
        self._write()

    @property
    def api_key(self) -> str:
        """The API key that is good now."""
        return self.api_keys[self._api_key]

    def rotate(self) -> str:
        """Replace an access key and an API key in turn, and return what may expire now."""
        self.rotations += 1
        if self.rotations % 2:
            old = list(self.access_keys)[self._access_key]
            self._access_key += 1
            self._write()
        else:
            old = self.api_key
            self._api_key += 1
        self.expired.append(old)
        return old

    def _write(self) -> None:
        name, secret = list(self.access_keys.items())[self._access_key]
        written = self.file.with_suffix('.new')
        written.write_text(f'[default]\naws_access_key_id = {name}\naws_secret_access_key = {secret}\n')
        os.replace(written, self.file)


class Server:
    """LocalBedrock in a process of its own, at one port from the first start on."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._spare: asyncio.subprocess.Process | None = None
        self.base_url = ''
        self.downs: list[tuple[float, float]] = []
        """From when to when it was not there, on `time.monotonic()`."""

    async def start(self) -> None:
        """Start it, and return when it listens."""
        self._process = self._spare or await self._made()
        # Ready but for its orders, so that a restart takes no longer than it has to.
        self._spare = await self._made()
        started = await self._ask(
            port=self._port,
            access_keys=self._keys.access_keys,
            api_keys=self._keys.api_keys,
            expired=self._keys.expired,
        )
        self.base_url = started['base_url']
        self._port = int(self.base_url.rpartition(':')[2])

    async def _made(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, '-m', 'tests.soak.server', stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )

    async def restart(self, how: signal.Signals) -> None:
        """End it, whatever is under way, and start it again."""
        assert self._process is not None
        # Open until it is up: a run that ends meanwhile has to know of it.
        gone = len(self.downs)
        self.downs.append((time.monotonic(), float('inf')))
        self._process.send_signal(how)
        await self._process.wait()
        await self.start()
        self.downs[gone] = (self.downs[gone][0], time.monotonic())

    async def expire(self, *names: str) -> dict[str, Any]:
        """Let keys expire, and return the counts of the server."""
        return await self._ask(expire=names)

    async def stop(self) -> int:
        """Let it close everything, and return its exit status."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await asyncio.wait_for(self._process.wait(), ANSWER_SECONDS)

    async def kill(self) -> None:
        """End what is still there."""
        for process in (self._process, self._spare):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()

    async def _ask(self, **order: Any) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b'\n')
        line = await asyncio.wait_for(self._process.stdout.readline(), ANSWER_SECONDS)
        if not line:
            raise RuntimeError('the server has ended by itself')
        return json.loads(line)

    def was_down(self, start: float, end: float, *, grace: float = 0.0) -> bool:
        """Whether it was not there at some time between two, or until so many seconds before."""
        return any(down < end and start < up + grace for down, up in self.downs)


async def trouble(server: Server, keys: Keys, seed: int, seconds: float, over: asyncio.Event) -> None:
    """Rotate keys and restart the server, until it is over."""
    chance = random.Random(f'{seed}:surroundings')

    def after(between: float) -> float:
        return time.monotonic() + chance.uniform(0.7, 1.3) * between

    rotations, restarts = min(ROTATION_SECONDS, seconds / 10), min(RESTART_SECONDS, seconds / 4)
    next_rotation, next_restart = after(rotations), after(restarts)
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), max(0.0, min(next_rotation, next_restart) - time.monotonic()))
        if over.is_set():
            return
        if next_rotation < next_restart:
            # The new key is where clients look for it before the old one is good no more.
            await server.expire(keys.rotate())
            next_rotation = after(rotations)
        else:
            await server.restart(chance.choice((signal.SIGKILL, signal.SIGTERM)))
            next_restart = after(restarts)
