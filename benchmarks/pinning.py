"""A core of its own for a process, and what the other processes of the machine cost it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


def pin(cpu: int | None) -> None:
    """Run on this core only, where there is one to choose."""
    if cpu is not None and hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {cpu})


class Disturbance:
    """Measures, from when it is made, how much of the time others kept this process from its core."""

    def __init__(self, cpu: int | None) -> None:
        self._cpu = cpu
        self._started = self._now()

    def share(self) -> float:
        """Return the share of the time until now; 0 where no kernel says."""
        wall, waited, busy, own = (now - then for now, then in zip(self._now(), self._started, strict=True))
        # Threads of this process wait for each other, too; and what others do while it sleeps is no disturbance.
        return max(0, min(waited, busy - own)) / wall

    def _now(self) -> tuple[float, float, float, float]:
        return time.monotonic(), _waited_for_cpu(), _busy_seconds(self._cpu), time.process_time()


def _waited_for_cpu() -> float:
    """Seconds that the threads of this process were ready to run while others ran."""
    waited = 0
    for schedstat in Path('/proc/self/task').glob('*/schedstat'):
        with suppress(OSError):
            waited += int(schedstat.read_text().split()[1])
    return waited / 1e9


def _busy_seconds(cpu: int | None) -> float:
    """Seconds that a core has been busy with anything since it was started."""
    stat = Path('/proc/stat')
    if cpu is None or not stat.exists():
        return 0
    (line,) = (line for line in stat.read_text().splitlines() if line.startswith(f'cpu{cpu} '))
    user, nice, system, _idle, _waiting, irq, softirq, steal, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq + steal) / os.sysconf('SC_CLK_TCK')
