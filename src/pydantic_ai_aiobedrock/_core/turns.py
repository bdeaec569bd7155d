"""Turns of the event loop, shared out: other callbacks run in between, however many answers arrive at once.

When hundreds of answers arrive together, the loop would run every task that waited for its answer before anything else.
Here a few of them go on in each turn of the loop, in the order of their arrival.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import cached_property
from typing import Final
from weakref import WeakKeyDictionary

import anyio

RUNS_PER_TURN: Final = 1
"""Runs of agents that begin in a turn of the loop: Pydantic AI takes a millisecond or two until one asks its model."""

CALLS_PER_TURN: Final = 2
"""Calls that are sent, or answered, in a turn of the loop: each may cost an agent a millisecond."""

READS_PER_TURN: Final = 24
"""Reads of streams that go on in a turn of the loop."""


class Turns:
    """Lets a few tasks go on in each turn of an event loop."""

    def __init__(self, per_turn: int) -> None:
        """Let so many tasks go on in each turn."""
        self._per_turn = per_turn
        self._used = 0
        self._scheduled = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Wait for a turn; nothing is waited for unless others take theirs in this turn of the loop."""
        if self._used < self._per_turn and not self._waiting:
            self._used += 1
            if not self._scheduled:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._next)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _next(self) -> None:
        self._used = 0
        while self._waiting and self._used < self._per_turn:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._used += 1
        if self._used:
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._scheduled = False


class LoopTurns:
    """The turns of an event loop, by the cost of their work. Nothing in here refers to the loop, which may go."""

    def __init__(self) -> None:
        self.runs: Turns = Turns(RUNS_PER_TURN)
        self.requests: Turns = Turns(CALLS_PER_TURN)
        self.sends: Turns = Turns(CALLS_PER_TURN)
        self.answers: Turns = Turns(CALLS_PER_TURN)
        self.reads: Turns = Turns(READS_PER_TURN)

    @cached_property
    def encodings(self) -> anyio.Lock:
        """One large request at a time is encoded in a thread.

        Made when it is asked for: the first thing of anyio's in a process has its backend imported, for 10 ms.
        """
        return anyio.Lock()


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopTurns] = WeakKeyDictionary()


def turns() -> LoopTurns:
    """Return the turns of the running event loop."""
    loop = asyncio.get_running_loop()
    if (found := _loops.get(loop)) is None:
        found = _loops[loop] = LoopTurns()
    return found
