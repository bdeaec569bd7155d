"""Simulates quotas, without waiting: `python -m benchmarks.simulation`."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Literal

from rich.console import Console
from rich.table import Table

from pydantic_ai_aiobedrock._runtime.pacing import Call, Pacing, Quota

Event = Literal['arrive', 'server', 'refused', 'headers', 'done', 'wake']


@dataclass
class Bucket:
    """A quota that refills steadily up to its burst."""

    rate: float
    burst: float
    changes: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        self.level, self.at = self.burst, 0.0

    def take(self, cost: float, now: float) -> bool:
        for since, rate in self.changes:
            if now >= since:
                self.rate = rate
        self.level, self.at = min(self.burst, self.level + (now - self.at) * self.rate), now
        if self.level < cost:
            return False
        self.level -= cost
        return True

    def give_back(self, cost: float) -> None:
        self.level = min(self.burst, self.level + cost)


@dataclass
class Window:
    """A quota that starts again with each window of the clock."""

    limit: float
    length: float

    def __post_init__(self) -> None:
        self.number, self.used = 0, 0.0

    def take(self, cost: float, now: float) -> bool:
        if int(now / self.length) != self.number:
            self.number, self.used = int(now / self.length), 0.0
        if self.used + cost > self.limit:
            return False
        self.used += cost
        return True

    def give_back(self, cost: float) -> None:
        self.used = max(0.0, self.used - cost)


@dataclass(frozen=True)
class Scenario:
    name: str
    quota: Callable[[], Bucket | Window]
    runs: int
    answer: float
    ideal: float
    limit: float = 0.9
    refused: float = 0.15
    kind: Quota = 'requests'
    reserved: float = 1.0
    used: float = 1.0
    streamed: bool = False
    processes: int = 1
    hopeless: bool = False


@dataclass
class Outcome:
    answered: int = 0
    expired: int = 0
    wall: float = 0.0
    refused: int = 0
    refused_late: int = 0


class Simulation:
    """Processes that share a quota, with a network between."""

    def __init__(self, scenario: Scenario, seed: int = 1) -> None:
        self.scenario = scenario
        self.rng, self.numbers = random.Random(seed), count()
        self.quota, self.outcome = scenario.quota(), Outcome()
        self.machines = [Pacing() for _ in range(scenario.processes)]
        self.wakes = [float('inf')] * scenario.processes
        self.events: list[tuple[float, int, Event, int, Call]] = []
        for who in range(scenario.processes):
            for _ in range(scenario.runs):
                self.push(0.0, 'arrive', who, Call(scenario.reserved))

    def run(self, until: float = 3600.0) -> Outcome:
        """Run to the end."""
        while self.events:
            now, _, kind, who, call = heapq.heappop(self.events)
            if now > until:
                break
            if kind == 'server':
                self.serve(now, who, call)
            else:
                self.note(now, kind, who, call)
                self.release(now, who)
        return self.outcome

    def push(self, at: float, kind: Event, who: int, call: Call) -> None:
        heapq.heappush(self.events, (at, next(self.numbers), kind, who, call))

    def latency(self) -> float:
        return self.rng.uniform(0.0025, 0.015)

    def serve(self, now: float, who: int, call: Call) -> None:
        if not self.quota.take(self.scenario.reserved, now):
            self.push(now + self.latency(), 'refused', who, call)
            return
        if self.scenario.streamed:
            self.push(now + self.latency(), 'headers', who, call)
        self.push(now + self.scenario.answer + self.latency(), 'done', who, call)

    def note(self, now: float, kind: Event, who: int, call: Call) -> None:
        machine = self.machines[who]
        if kind == 'arrive':
            if machine.admit(call, now):
                self.push(now + self.latency(), 'server', who, call)
        elif kind == 'refused':
            self.outcome.refused += 1
            self.outcome.refused_late += now > 2
            machine.refused(call, now, self.scenario.kind)
        elif kind == 'headers':
            machine.admitted(call, now)
        elif kind == 'done':
            self.quota.give_back(self.scenario.reserved - self.scenario.used)
            machine.finished(call, now, self.scenario.used)
            self.outcome.answered += 1
            self.outcome.wall = now
        elif now >= self.wakes[who]:
            self.wakes[who] = float('inf')

    def release(self, now: float, who: int) -> None:
        due = self.machines[who].due(now)
        for each in due.released:
            self.push(now + self.latency(), 'server', who, each)
        if due.expired:
            self.outcome.expired += len(due.expired)
            self.outcome.wall = now
        wake = self.machines[who].next_wakeup(now)
        if wake is not None and (wake < self.wakes[who] - 1e-3 or self.wakes[who] <= now):
            self.wakes[who] = wake
            self.push(wake + self.rng.uniform(0.0, 0.002), 'wake', who, Call())


def bucket(rate: float, burst: float, *changes: tuple[float, float]) -> Callable[[], Bucket]:
    return lambda: Bucket(rate, burst, changes)


SCENARIOS = (
    Scenario('50/s, burst 50, 0.3 s', bucket(50, 50), 1000, 0.3, 19.3),
    Scenario('10/s, burst 10, 4 s', bucket(10, 10), 300, 4, 33),
    Scenario('20/s, burst 1, 1 s', bucket(20, 1), 400, 1, 20.95),
    Scenario('tokens: 3,300/s', bucket(3300, 6600), 600, 0.5, 7, 1.0, kind='tokens', reserved=110, used=12),
    Scenario('30/s, streams', bucket(30, 30), 400, 1, 13.33, streamed=True),
    Scenario('40/s, two processes', bucket(40, 40), 300, 0.3, 14.3, 0.85, 0.3, processes=2),
    Scenario('40/s, eight processes', bucket(40, 40), 300, 0.3, 59.3, 0.85, 0.3, processes=8),
    Scenario('nothing gets through', bucket(0, 0), 30, 1, 120, 1.0, 99, hopeless=True),
    Scenario('10,000 at 100/s, 2 s', bucket(100, 100), 10000, 2, 101, 0.95, 0.05),
    Scenario('60 s answers, 10/s', bucket(10, 10), 300, 60, 89),
    Scenario('600 per fixed minute', lambda: Window(600, 60), 1200, 1, 61),
    Scenario('50/s, halves at 5 s', bucket(50, 50, (5, 25)), 1000, 0.3, 33.3),
    Scenario('50/s, doubles at 5 s', bucket(50, 50, (5, 100)), 1000, 0.3, 12.3),
    Scenario('50/s, zero from 5 to 20 s', bucket(50, 50, (5, 0), (20, 50)), 1000, 0.3, 34.3),
)


def main() -> None:
    """Print all scenarios."""
    table = Table('quota', 'answered', 'gave up', 'wall', 'of ideal', 'refused after 2 s', 'refused', 'reached')
    for each in SCENARIOS:
        outcome, runs = Simulation(each).run(), each.runs * each.processes
        share, late = each.ideal / max(outcome.wall, 0.001), outcome.refused_late / runs
        ended = outcome.expired if each.hopeless else outcome.answered
        reached = ended == runs and share >= each.limit and late <= each.refused
        table.add_row(
            each.name,
            f'{outcome.answered}',
            f'{outcome.expired}',
            f'{outcome.wall:.1f} s',
            f'{share:.2f}',
            f'{late:.1%}',
            f'{outcome.refused}',
            'yes' if reached else 'NO',
        )
    Console(width=130).print(table)


if __name__ == '__main__':
    main()
