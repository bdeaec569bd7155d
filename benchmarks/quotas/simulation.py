"""A simulation of clients that send calls to a service with a quota, event by event, in no time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush

from pydantic_ai_aiobedrock._runtime.pacing import Call

from .controllers import Controller
from .servers import Quota


@dataclass
class Outcome:
    """What became of the calls.

    Attributes:
        answered: Calls that were answered.
        failed: Calls that were given up.
        wall: Seconds until the last of them.
        refused: Attempts that were throttled.
        refused_late: Those of them after the first two seconds.
        shares: Calls answered by each client.
    """

    answered: int = 0
    failed: int = 0
    wall: float = 0.0
    refused: int = 0
    refused_late: int = 0
    shares: list[int] = field(default_factory=list[int])


@dataclass(frozen=True)
class Load:
    """The calls of one client: how many, when they come, what they reserve and use, and how long an answer takes."""

    calls: int
    seconds: float | Callable[[random.Random], float]
    reserved: float | Callable[[random.Random], float] = 100.0
    used: float = 20.0
    spread: float = 0.0
    """Seconds over which the calls come; 0 is all at once."""


class _Clock:
    """The events to come, in the order of their time."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0

    def at(self, when: float, action: Callable[[float], None]) -> None:
        self._count += 1
        heappush(self._events, (when, self._count, action))

    def run(self, limit: float) -> None:
        while self._events:
            now, _, action = heappop(self._events)
            if now > limit:
                return
            action(now)


class _Client:
    """A process that sends the calls of one load."""

    def __init__(
        self,
        number: int,
        load: Load,
        controller: Controller,
        quota: Quota,
        clock: _Clock,
        outcome: Outcome,
        chance: random.Random,
        network: tuple[float, float],
    ) -> None:
        self._number, self._load, self._controller, self._quota = number, load, controller, quota
        self._clock, self._outcome, self._chance, self._network = clock, outcome, chance, network
        self._wakes_at: float | None = None

    def start(self) -> None:
        load = self._load
        if not load.spread:
            self._clock.at(0.0, lambda now: self._begin(now, load.calls))
            return
        for place in range(load.calls):
            self._clock.at(load.spread * place / load.calls, lambda now: self._begin(now, 1))

    def _begin(self, now: float, calls: int) -> None:
        new = [Call(_value(self._load.reserved, self._chance)) for _ in range(calls)]
        # Calls that are let go by now leave first.
        self._send(self._controller.due(now).released, now)
        self._send([call for call in new if self._controller.admit(call, now)], now)
        self._settle(now)

    def _settle(self, now: float) -> None:
        due = self._controller.due(now)
        for _ in due.expired:
            self._done(now, answered=False)
        self._send(due.released, now)
        if (when := self._controller.next_wakeup(now)) is not None:
            when = max(when, now + 0.0005) + self._chance.uniform(0, 0.001)
            if self._wakes_at is None or when < self._wakes_at:
                self._wakes_at = when
                self._clock.at(when, self._wake)

    def _wake(self, now: float) -> None:
        if self._wakes_at is not None and now >= self._wakes_at:
            self._wakes_at = None
            self._settle(now)

    def _send(self, calls: Iterable[Call], now: float) -> None:
        for place, call in enumerate(calls):
            # A loop makes some 2,500 requests a second.
            self._clock.at(now + 0.0004 * place, partial(self._leave, call))

    def _leave(self, call: Call, now: float) -> None:
        if self._controller.recalled(call, now):
            self._settle(now)
        else:
            self._clock.at(now + self._one_way(), partial(self._arrive, call))

    def _arrive(self, call: Call, now: float) -> None:
        if not self._quota.admit(call.tokens, now):
            self._clock.at(now + self._one_way(), partial(self._refused, call))
            return
        done_at = now + _value(self._load.seconds, self._chance)
        self._clock.at(done_at, lambda then: self._quota.give_back(call.tokens - self._load.used, then))
        self._clock.at(done_at + self._one_way(), partial(self._answered, call))

    def _answered(self, call: Call, now: float) -> None:
        self._controller.finished(call, now, self._load.used)
        self._done(now, answered=True)
        self._settle(now)

    def _refused(self, call: Call, now: float) -> None:
        self._outcome.refused += 1
        self._outcome.refused_late += now > 2
        self._controller.refused(call, now, self._quota.resource)
        self._settle(now)

    def _done(self, now: float, *, answered: bool) -> None:
        self._outcome.wall = max(self._outcome.wall, now)
        self._outcome.answered += answered
        self._outcome.failed += not answered
        self._outcome.shares[self._number] += answered

    def _one_way(self) -> float:
        return self._chance.uniform(*self._network) / 2


def _value(given: float | Callable[[random.Random], float], chance: random.Random) -> float:
    return given(chance) if callable(given) else given


def simulate(
    make: Callable[[], Controller],
    quota: Quota,
    loads: list[Load],
    *,
    seed: int = 0,
    network: tuple[float, float] = (0.005, 0.03),
    limit: float = 3600.0,
) -> Outcome:
    """Run the calls of each client against one quota, and count."""
    clock, chance, outcome = _Clock(), random.Random(seed), Outcome(shares=[0] * len(loads))
    for number, load in enumerate(loads):
        _Client(number, load, make(), quota, clock, outcome, chance, network).start()
    clock.run(limit)
    return outcome
