"""Compares this package with its peers: `nox -s benchmarks -- --help`."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks import charts, environments, report
from benchmarks.catalogue import CONTESTANTS, ENVIRONMENTS, SCENARIOS, Contestant, Scenario
from benchmarks.results import Results, describe_machine
from benchmarks.worker import JOB_SECONDS

FOLDER = Path(__file__).parent
LATEST = FOLDER / 'results' / 'latest.json'
NOT_REACHED = 3
SAVED = FOLDER / 'RESULTS.json'

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


def main() -> int:
    """Measure what was asked for, and show it."""
    names = {each.name: each for each in (*CONTESTANTS, *SCENARIOS)}
    parser = argparse.ArgumentParser(prog='nox -s benchmarks --', description=__doc__)
    parser.add_argument(
        'names', nargs='*', metavar='NAME', help='peers and scenarios to measure; all of them by default'
    )
    parser.add_argument('--list', action='store_true', help='list the peers and scenarios')
    parser.add_argument('--quick', action='store_true', help='two short rounds: the order of magnitude')
    parser.add_argument('--rounds', type=int, help='rounds per scenario (5, or 2 with --quick)')
    parser.add_argument('--save', action='store_true', help='write the table and the charts that the README shows')
    parser.add_argument('--show', action='store_true', help='show the latest results again; measure nothing')
    parser.add_argument(
        '--environments', type=Path, default=FOLDER / 'results' / 'environments', help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    console = Console()
    if arguments.list:
        report.show_catalogue(console)
        return 0
    if unknown := [name for name in arguments.names if name not in names]:
        parser.error(f'there is no {", ".join(unknown)}: see --list')
    if arguments.show:
        results = Results.load(LATEST)
    else:
        chosen = [names[name] for name in arguments.names]
        contestants = [each for each in chosen if isinstance(each, Contestant)] or list(CONTESTANTS)
        scenarios = [each for each in chosen if isinstance(each, Scenario)] or list(SCENARIOS)
        rounds = arguments.rounds or (2 if arguments.quick else 5)
        results = measure(console, contestants, scenarios, rounds, arguments.quick, arguments.environments)
        results.save(LATEST)
    report.show(console, results)
    if arguments.save:
        results.save(SAVED)
        charts.draw(results, FOLDER / 'charts')
        (FOLDER / 'RESULTS.md').write_text(report.markdown(results))
    reached = all(verdict.reached for each in results.scenarios for _, verdict in results.verdicts(each))
    return 0 if reached else NOT_REACHED


def measure(
    console: Console,
    contestants: list[Contestant],
    scenarios: list[Scenario],
    rounds: int,
    quick: bool,
    folder: Path,
) -> Results:
    """Let all contestants take their turns in every round of every scenario."""
    results = Results(quick=quick, machine=describe_machine())
    groups = [list(group) for _, group in itertools.groupby(scenarios, lambda each: each.shared or each.name)]
    plan = [
        (contestant, jobs)
        for group in groups
        for number in range(min(rounds, max(each.rounds for each in group)))
        for contestant in contestants
        if (jobs := [each for each in group if contestant.name in each.contestants and number < each.rounds])
    ]
    columns = (TextColumn('{task.description:46}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        needed = {contestant.environment for contestant, _ in plan}
        task = progress.add_task('', total=len(needed) + sum(len(jobs) for _, jobs in plan))
        pythons = {}
        for name in sorted(needed):
            pythons[name] = environments.make(
                name, ENVIRONMENTS[name], folder, lambda what: progress.update(task, description=what)
            )
            progress.advance(task)
        with lean_server() as port:
            for contestant, jobs in plan:
                left = len(jobs)
                progress.update(task, description=f'{jobs[0].name}: {contestant.title}')
                for scenario, measured in take_turn(pythons[contestant.environment], contestant, jobs, port, quick):
                    if 'error' in measured:
                        progress.console.print(f'[red]{scenario}, {contestant.name}:[/] {measured["error"]}')
                    results.add(scenario, contestant.name, measured)
                    left -= 1
                    progress.advance(task)
                progress.advance(task, left)
                # A run takes an hour: what has been measured outlives an interruption.
                results.save(LATEST)
    results.machine['load at the end'] = os.getloadavg()
    return results


@contextmanager
def lean_server() -> Iterator[int]:
    """Run the server on the first core, and give its port."""
    cores = _cores()
    command = [sys.executable, '-m', 'benchmarks.server', *(['--cpu', str(cores[0])] if cores else [])]
    with subprocess.Popen(
        command, cwd=FOLDER.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.terminate()


def take_turn(
    python: Path, contestant: Contestant, scenarios: list[Scenario], port: int, quick: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measure one contestant in a process of its own, on the last core."""
    cores = _cores()
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
    environment = {name: value for name, value in os.environ.items() if not name.startswith(('AWS_', 'PYTHON'))}
    with subprocess.Popen(
        [str(python), '-m', 'benchmarks.worker', json.dumps(order)],
        cwd=FOLDER.parent,
        env=environment | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, complaints = process.communicate(timeout=JOB_SECONDS * len(scenarios) + 30)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    given = set()
    for line in output.splitlines():
        measured = json.loads(line)
        given.add(scenario := measured.pop('scenario'))
        yield scenario, measured
    for scenario in scenarios:
        if scenario.name not in given:
            yield scenario.name, {'error': f'the process ended with {process.returncode}: {complaints[-2000:]}'}


def _cores() -> list[int]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
    return cores if len(cores) > 1 else []


if __name__ == '__main__':
    sys.exit(main())
