"""A simulation of clients that send calls to a service with a quota, event by event, in no time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
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
    chance = random.Random(seed)
    outcome = Outcome(shares=[0] * len(loads))
    events: list[tuple[float, int, Callable[[float], None]]] = []
    count = 0

    def at(when: float, action: Callable[[float], None]) -> None:
        nonlocal count
        count += 1
        heappush(events, (when, count, action))

    def client(number: int, load: Load) -> None:
        controller = make()
        wanted: list[float | None] = [None]

        def settle(now: float) -> None:
            due = controller.due(now)
            for _ in due.expired:
                done(now, answered=False)
            send(due.released, now)
            if (when := controller.next_wakeup(now)) is not None:
                when = max(when, now + 0.0005) + chance.uniform(0, 0.001)
                if wanted[0] is None or when < wanted[0]:
                    wanted[0] = when
                    at(when, wake)

        def send(calls: Iterable[Call], now: float) -> None:
            for place, call in enumerate(calls):
                # A loop makes some 2,500 requests a second.
                at(now + 0.0004 * place, lambda then, call=call: leave(call, then))

        def leave(call: Call, now: float) -> None:
            if controller.recalled(call, now):
                settle(now)
            else:
                at(now + chance.uniform(*network) / 2, lambda then: arrive(call, then))

        def wake(now: float) -> None:
            if wanted[0] is not None and now >= wanted[0]:
                wanted[0] = None
                settle(now)

        def begin(now: float, calls: int = 1) -> None:
            reserved = load.reserved if callable(load.reserved) else lambda _: load.reserved
            new = [Call(reserved(chance)) for _ in range(calls)]
            controller.due(now)
            send([call for call in new if controller.admit(call, now)], now)
            settle(now)

        def arrive(call: Call, now: float) -> None:
            back = chance.uniform(*network) / 2
            if quota.admit(call.tokens, now):
                seconds = load.seconds(chance) if callable(load.seconds) else load.seconds
                at(now + seconds, lambda then: quota.give_back(call.tokens - load.used, then))
                at(now + seconds + back, lambda then: answer(call, then))
            else:
                at(now + back, lambda then: refuse(call, then))

        def answer(call: Call, now: float) -> None:
            controller.finished(call, now, load.used)
            done(now, answered=True)
            settle(now)

        def refuse(call: Call, now: float) -> None:
            outcome.refused += 1
            outcome.refused_late += now > 2
            controller.refused(call, now, quota.resource)
            settle(now)

        def done(now: float, *, answered: bool) -> None:
            outcome.wall = max(outcome.wall, now)
            if answered:
                outcome.answered += 1
                outcome.shares[number] += 1
            else:
                outcome.failed += 1

        if load.spread:
            for place in range(load.calls):
                at(load.spread * place / load.calls, begin)
        else:
            at(0.0, lambda now: begin(now, load.calls))

    for number, load in enumerate(loads):
        client(number, load)
    while events:
        now, _, action = heappop(events)
        if now > limit:
            break
        action(now)
    return outcome
