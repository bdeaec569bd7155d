"""Measure how long `import local_bedrock` takes, and a process until it serves: `python scripts/measure_start.py`.

Each figure is the best of several processes, the start of the interpreter included.
"""

from __future__ import annotations

import subprocess
import sys
import time

RUNS = 5


def imported() -> float:
    """Return the seconds of a process that imports the package and ends."""
    began = time.perf_counter()
    subprocess.run([sys.executable, '-c', 'import local_bedrock'], check=True)
    return time.perf_counter() - began


def serving() -> float:
    """Return the seconds from the start of a server until it says where it serves."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, '-m', 'local_bedrock', '--json'], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline()
        seconds = time.perf_counter() - began
        server.terminate()
    return seconds


if __name__ == '__main__':
    sys.stdout.write(f'import local_bedrock   {min(imported() for _ in range(RUNS)):.3f} s\n')
    sys.stdout.write(f'local-bedrock serves   {min(serving() for _ in range(RUNS)):.3f} s\n')
