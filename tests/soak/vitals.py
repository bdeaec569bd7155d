"""What a process has open and holds, and whether it is flat."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

WARM_UP = 0.2
"""The part of the time after which everything has to be flat: the first two minutes of ten."""

_PAGE = os.sysconf('SC_PAGE_SIZE')


@dataclass(frozen=True)
class Vitals:
    """Counts of one moment."""

    at: float
    files: int
    tasks: int
    threads: int
    objects: int
    """What the garbage collector knows and can't free, less what was there before the runs."""
    megabytes: float

    @classmethod
    def now(cls) -> Vitals:
        """Collect what is garbage, and count."""
        gc.collect()
        with open('/proc/self/statm') as statm:
            resident = int(statm.read().split()[1])
        return cls(
            at=time.monotonic(),
            # One is the listing's own.
            files=len(os.listdir('/proc/self/fd')) - 1,
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
            objects=len(gc.get_objects()),
            megabytes=resident * _PAGE / 2**20,
        )


@dataclass(frozen=True)
class Measure:
    """One of the vitals, and by how much it may be higher at the end."""

    name: str
    of: Callable[[Vitals], float]
    allowed: Callable[[float], float]


MEASURES = (
    Measure('file descriptors', lambda vitals: vitals.files, lambda before: max(15, 0.05 * before)),
    Measure('tasks', lambda vitals: vitals.tasks, lambda before: max(15, 0.05 * before)),
    Measure('threads', lambda vitals: vitals.threads, lambda before: 1),
    Measure('objects', lambda vitals: vitals.objects, lambda before: 0.1 * before),
    Measure('resident memory, MiB', lambda vitals: vitals.megabytes, lambda before: max(5, 0.05 * before)),
)
CRITERION = (
    'flat: after the first fifth of the time, the median of the last quarter is not above that of the first quarter by '
    'more than 5 % (or 15 files, 15 tasks, 5 MiB if that is more), 10 % of the objects, or 1 thread'
)


@dataclass(frozen=True)
class Trend:
    """How a measure has developed after the warm-up."""

    name: str
    quarters: Sequence[float]
    highest: float
    allowed: float

    @property
    def flat(self) -> bool:
        """Whether the last quarter is as the first, within what is allowed."""
        return self.quarters[-1] - self.quarters[0] <= self.allowed


@dataclass
class Watch:
    """Takes the vitals from time to time."""

    taken: list[Vitals] = field(default_factory=list[Vitals])

    async def run(self, interval: float) -> None:
        """Take them until cancelled."""
        while True:
            self.taken.append(Vitals.now())
            await asyncio.sleep(interval)

    def trends(self, start: float, end: float) -> list[Trend]:
        """Return how each measure has developed between two times, less the warm-up."""
        begin = start + (end - start) * WARM_UP
        taken = [vitals for vitals in self.taken if begin <= vitals.at <= end]
        width = (end - begin) / 4
        trends: list[Trend] = []
        for measure in MEASURES:
            quarters = [
                median(measure.of(each) for each in taken if int(min((each.at - begin) / width, 3)) == quarter)
                for quarter in range(4)
            ]
            highest = max(map(measure.of, taken))
            trends.append(Trend(measure.name, quarters, highest, measure.allowed(quarters[0])))
        return trends
