"""What an installation costs: bytes to download, packages, and the CPU time of its import."""

from __future__ import annotations

import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RUNS = 7


@dataclass(frozen=True)
class Cost:
    """What an installation costs.

    Attributes:
        mebibytes: The size of the files that pip downloads.
        packages: How many there are.
        milliseconds: The CPU time of the import in a new process, the median of seven.
    """

    mebibytes: float
    packages: int
    milliseconds: float


def measure(folder: Path, requirement: str, program: str) -> Cost:
    """Download a requirement and all that it needs, install it from there, and time a program.

    Args:
        folder: An empty folder for the files and the environment.
        requirement: What pip downloads.
        program: The import, in Python.
    """
    files = folder / 'files'
    subprocess.run((sys.executable, '-m', 'pip', 'download', '--quiet', '-d', str(files), requirement), check=True)
    wheels = [*files.iterdir()]
    subprocess.run((sys.executable, '-m', 'virtualenv', '--quiet', str(folder / 'environment')), check=True)
    python = str(folder / 'environment' / 'bin' / 'python')
    offline = ('--quiet', '--no-index', '--find-links', str(files))
    subprocess.run((python, '-m', 'pip', 'install', *offline, requirement), check=True)
    code = f'from time import process_time as now\nstart = now()\n{program}\nprint(now() - start)'
    # The first run compiles.
    times = [float(subprocess.check_output((python, '-c', code), text=True)) for _ in range(RUNS + 1)][1:]
    size = sum(path.stat().st_size for path in wheels)
    return Cost(size / 2**20, len(wheels), 1000 * statistics.median(times))
