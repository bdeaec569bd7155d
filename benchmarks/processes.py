"""Starts the processes of a comparison: the server, and one per turn of a peer, apart from the user's settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contestants import Contestant
from benchmarks.results import Round
from benchmarks.scenario import Scenario
from benchmarks.worker import JOB_SECONDS

ROOT = Path(__file__).parent.parent

ENVIRONMENT = {
    'AWS_ACCESS_KEY_ID': 'AKIAIOSFODNN7EXAMPLE',
    'AWS_SECRET_ACCESS_KEY': 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    'AWS_DEFAULT_REGION': 'us-east-1',
    'AWS_REGION': 'us-east-1',
    'AWS_CONFIG_FILE': os.devnull,
    'AWS_SHARED_CREDENTIALS_FILE': os.devnull,
    'AWS_EC2_METADATA_DISABLED': 'true',
    'NO_PROXY': '127.0.0.1',
    'no_proxy': '127.0.0.1',
    'LITELLM_LOCAL_MODEL_COST_MAP': 'True',
    'ANONYMIZED_TELEMETRY': 'false',
}

KEYS = ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SHARED_CREDENTIALS_FILE')
"""Where peers find credentials before they look into the home directory."""
FOREIGN = ('AWS_', 'PYTHON', 'ANTHROPIC_', 'LANGCHAIN_', 'LANGSMITH_', 'LITELLM_')
"""What begins like these would change what is compared."""


@contextmanager
def lean_server(cores: list[int]) -> Iterator[int]:
    """Run the server on the first core, and give its port."""
    command = [sys.executable, '-m', 'benchmarks.server', *(['--cpu', str(cores[0])] if cores else [])]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.terminate()


def take_turn(
    python: Path,
    contestant: Contestant,
    scenarios: list[Scenario],
    port: int,
    cores: list[int],
    quick: bool,
    home: Path | None = None,
) -> dict[str, Round]:
    """Measure one contestant in a process of its own, on the last core.

    Args:
        python: The interpreter of the contestant's environment.
        contestant: Who it is.
        scenarios: What is measured.
        port: The server's.
        cores: Those of the machine, if there are more than one.
        quick: Whether the rounds are short ones.
        home: A home directory to take AWS credentials from, where they are not to come from the environment.
    """
    order = {
        'peer': contestant.module,
        'uvloop': contestant.uvloop,
        'port': port,
        'cpu': cores[-1] if cores else None,
        'jobs': [
            {
                'scenario': scenario.name,
                'measurement': scenario.measurement,
                'arguments': {**scenario.arguments, **(scenario.quick if quick else {})},
                'tuned': scenario.tuned,
                'threads': scenario.threads,
                'opens_itself': scenario.opens_itself,
            }
            for scenario in scenarios
        ],
    }
    started = time.monotonic()
    with subprocess.Popen(
        [str(python), '-m', 'benchmarks.worker', json.dumps(order)],
        cwd=ROOT,
        env=isolated(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, complaints = process.communicate(timeout=JOB_SECONDS * len(scenarios) + 30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, complaints = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    ended = f'the process ended with {process.returncode}: {complaints[-2000:]}'
    turn = {scenario.name: {'error': ended} for scenario in scenarios}
    for line in output.splitlines():
        measured = json.loads(line)
        turn[measured.pop('scenario')] = measured
    for measured in turn.values():
        measured['took'] = (time.monotonic() - started) / len(scenarios)
        if quick:
            measured['quick'] = True
    return turn


def isolated(home: Path | None = None) -> dict[str, str]:
    """Return an environment with nothing of the machine's in it that a peer reads, and with or without keys."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    if home is None:
        return kept | ENVIRONMENT
    return kept | {name: value for name, value in ENVIRONMENT.items() if name not in KEYS} | {'HOME': str(home)}
