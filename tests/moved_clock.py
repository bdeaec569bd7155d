"""The clock of an event loop, which a test sets forward instead of waiting."""

from __future__ import annotations

import asyncio

import pytest


class Clock:
    """The clock of the running loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = asyncio.get_running_loop()
        now, self._ahead = self._loop.time, 0.0
        monkeypatch.setattr(self._loop, 'time', lambda: now() + self._ahead)

    async def set_forward(self, seconds: float) -> None:
        """Set it forward, and let the timers run that are due."""
        self._ahead += seconds
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    if type(asyncio.get_running_loop()).__module__ == 'uvloop':
        pytest.skip('The timers of uvloop have a clock of their own.')
    return Clock(monkeypatch)
