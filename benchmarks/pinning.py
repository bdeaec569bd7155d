"""A core of its own for a process, and what the other processes of the machine cost it."""

from __future__ import annotations

import os
from pathlib import Path


def pin(cpu: int | None) -> None:
    """Run on this core only, where there is one to choose."""
    if cpu is not None and hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {cpu})


def waited_for_cpu() -> float:
    """Seconds that the threads of this process were ready to run while others ran; 0 where no kernel says."""
    waited = 0
    for schedstat in Path('/proc/self/task').glob('*/schedstat'):
        waited += int(schedstat.read_text().split()[1])
    return waited / 1e9
