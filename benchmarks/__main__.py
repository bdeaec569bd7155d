"""Compares this package with its peers: `nox -s benchmarks -- --help`.

Without names everything is measured, and compared with the results that were saved: what has become slower by more than
10 % is named. With `--save`, what was measured goes into benchmarks/RESULTS.json (if that is not
everything, in place of the same scenarios of the same peers), and all pages and pictures are written from it.

With `--behaviour` it is not the cost that is compared, but what this package and five peers do in four situations;
with `--save`, too, that goes into benchmarks/COMPARISON.json and docs/comparison.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import charts, comparison, environments, pages, report
from benchmarks.catalogue import BEHAVIOURS, COMPARED, SCENARIOS
from benchmarks.contestants import CONTESTANTS, ENVIRONMENTS, Contestant
from benchmarks.pinning import pin
from benchmarks.processes import isolated, lean_server, take_turn
from benchmarks.results import Results, Round, describe_machine
from benchmarks.scenario import Scenario
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

FOLDER = Path(__file__).parent
LATEST = FOLDER / 'results' / 'latest.json'
SAVED = FOLDER / 'RESULTS.json'
NOT_REACHED = 3
CODEC = 'codec'


def main() -> int:
    """Measure what was asked for, and show it."""
    names = {each.name: each for each in (*CONTESTANTS, *SCENARIOS, *BEHAVIOURS)}
    parser = argparse.ArgumentParser(
        prog='nox -s benchmarks --', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('names', nargs='*', metavar='NAME', help='peers and scenarios to measure, of those in --list')
    parser.add_argument(
        '--behaviour', action='store_true', help='compare what peers do, not what they cost; in 2 minutes'
    )
    parser.add_argument('--list', action='store_true', help='list the peers and scenarios')
    parser.add_argument(
        '--quick', action='store_true', help='short rounds, and of the peers only those that a goal names: a first look'
    )
    parser.add_argument('--rounds', type=int, help='rounds per scenario, at most (2 with --quick)')
    parser.add_argument(
        '--python', metavar='VERSION', help='measure on another Python, such as 3.13: a look, which is not saved'
    )
    parser.add_argument('--resume', action='store_true', help='go on with a run that was interrupted')
    parser.add_argument('--save', action='store_true', help='keep the results, and write the pages and the pictures')
    parser.add_argument('--show', action='store_true', help='show the latest results again; measure nothing')
    parser.add_argument('--write', action='store_true', help='write pages and pictures from the kept results')
    parser.add_argument(
        '--environments', type=Path, default=FOLDER / 'results' / 'environments', help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=140)
    if arguments.list:
        report.show_catalogue(console)
        return 0
    if unknown := [name for name in arguments.names if name not in names and name != CODEC]:
        parser.error(f'there is no {", ".join(unknown)}: see --list')
    if arguments.python and (arguments.save or arguments.resume or arguments.behaviour):
        parser.error('with --python, figures are measured and shown, and neither kept nor compared')
    chosen = [names[name] for name in arguments.names if name != CODEC]
    behaviours = [each for each in chosen if each in BEHAVIOURS]
    if arguments.behaviour or behaviours:
        if len(behaviours) != sum(isinstance(each, Scenario) for each in chosen) or CODEC in arguments.names:
            parser.error('behaviours and figures are not compared in one run')
        if strangers := [each.name for each in chosen if isinstance(each, Contestant) and each.name not in COMPARED]:
            parser.error(f'the behaviour of {", ".join(strangers)} is not compared, but that of {", ".join(COMPARED)}')
        return comparison.run(console, arguments, chosen)
    if arguments.write:
        results = Results.load(SAVED)
    elif arguments.show:
        results = Results.load(LATEST)
    else:
        try:
            results = measure(console, arguments, chosen)
        except KeyboardInterrupt:
            console.print('Interrupted. The same with --resume goes on from here.')
            return 130
    return present(console, arguments, results)


def present(console: Console, arguments: argparse.Namespace, results: Results) -> int:
    """Show results, save and write what was asked for, and return the exit status."""
    report.show(console, results)
    if not arguments.write and not arguments.python:
        report.show_slower(console, results, Results.load(SAVED))
    if arguments.save:
        keep(results, in_part=bool(arguments.names or arguments.quick))
    if arguments.save or arguments.write:
        for written in pages.write(Results.load(SAVED)) + charts.draw(Results.load(SAVED)):
            console.print(f'wrote {written.relative_to(FOLDER.parent)}')
    reached = all(verdict.reached for each in results.scenarios for _, verdict in results.verdicts(each))
    return 0 if reached else NOT_REACHED


def keep(results: Results, *, in_part: bool) -> None:
    """Save the results, beside those of other scenarios and peers if only some were measured."""
    saved = Results.load(SAVED) if in_part and SAVED.exists() else Results()
    saved.take_over(results)
    saved.save(SAVED)


def turns(
    chosen: list[Contestant | Scenario], rounds: int, quick: bool, results: Results
) -> list[tuple[int, Contestant, list[Scenario]]]:
    """Plan who is measured when: in every round of a scenario, all contestants one after the other.

    Args:
        chosen: The contestants and the scenarios that were named; all of a kind of which none was.
        rounds: How many there are at most.
        quick: Whether those contestants are left out that no goal names, unless they were named.
        results: What has been measured already.
    """
    contestants = [each for each in chosen if isinstance(each, Contestant)]
    scenarios = [each for each in chosen if isinstance(each, Scenario)] or list(SCENARIOS)
    groups = [list(group) for _, group in itertools.groupby(scenarios, lambda each: each.shared or each.name)]
    return [
        (number, contestant, jobs)
        for group in groups
        for number in range(min(rounds, max(each.rounds for each in group)))
        for contestant in contestants or CONTESTANTS
        if (
            jobs := [
                each
                for each in group
                if number < each.rounds_of(contestant.name)
                and (contestants or not quick or contestant.name in each.decisive)
                and not results.has(each.name, contestant.name, number)
            ]
        )
    ]


def measure(console: Console, arguments: argparse.Namespace, chosen: list[Contestant | Scenario]) -> Results:
    """Let all contestants take their turns, and keep what they give as it comes."""
    results = Results.load(LATEST) if arguments.resume else Results()
    results.machine = describe_machine()
    results.machine['python'] = arguments.python or results.machine['python']
    quick, rounds = arguments.quick, arguments.rounds or (2 if arguments.quick else 100)
    plan = [] if arguments.names == [CODEC] else turns(chosen, rounds, quick, results)
    with_codec = (not chosen or CODEC in arguments.names) and not results.codec
    cores = _cores()
    columns = (TextColumn('{task.description:46}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, refresh_per_second=2) as progress:
        needed = {contestant.environment for _, contestant, _ in plan} | ({'ours'} if with_codec else set())
        task = progress.add_task('', total=len(needed) + sum(len(jobs) for *_, jobs in plan) + with_codec)
        pythons = {}
        for name in sorted(needed):
            pythons[name] = environments.make(
                name,
                ENVIRONMENTS[name],
                arguments.environments,
                lambda what: progress.update(task, description=what),
                arguments.python,
            )
            progress.advance(task)
        # The progress bar, too, keeps off the client's core.
        pin(cores[0] if cores else None)
        with lean_server(cores) as port:
            for number, contestant, jobs in plan:
                progress.update(task, description=f'{jobs[0].name}: {contestant.title}')
                python = pythons[contestant.environment]
                turn = calm_turn(lambda: take_turn(python, contestant, jobs, port, cores, quick), patient=not quick)  # noqa: B023
                for scenario, measured in turn.items():
                    if 'error' in measured:
                        progress.console.print(
                            f'{scenario}, {contestant.name}: {measured["error"]}', style='red', markup=False
                        )
                    results.add(scenario, contestant.name, number, measured)
                progress.advance(task, len(jobs))
                if not console.is_terminal:
                    took = sum(measured['took'] for measured in turn.values())
                    done = f'{progress.tasks[task].completed:.0f} of {progress.tasks[task].total:.0f}'
                    console.print(f'{done}: {", ".join(turn)}: {contestant.name}, {took:.0f} s', markup=False)
                # What has been measured outlives an interruption.
                results.save(LATEST)
        if with_codec:
            progress.update(task, description='codec')
            results.codec = measure_codec(pythons['ours'], cores, quick)
            results.save(LATEST)
            progress.advance(task)
    results.machine['load at the end'] = os.getloadavg()
    results.save(LATEST)
    return results


def calm_turn(take: Callable[[], dict[str, Round]], patient: bool) -> dict[str, Round]:
    """Take a turn, and if others had the core meanwhile, one more; keep the calmer numbers."""
    first = take()
    if not patient or all(each.get('disturbed', 0) <= report.DISTURBED for each in first.values()):
        return first
    second = take()
    return {
        scenario: min(each, second[scenario], key=lambda one: ('error' in one, one.get('disturbed', 0)))
        for scenario, each in first.items()
    }


def measure_codec(python: Path, cores: list[int], quick: bool) -> dict[str, Any]:
    """Time the codec in memory, beside botocore's."""
    command = [str(python), '-m', 'benchmarks.codec', '--json', '--rounds', '3' if quick else '9']
    command += ['--cpu', str(cores[-1])] if cores else []
    done = subprocess.run(command, cwd=FOLDER.parent, env=isolated(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f'the codec cannot be measured:\n{done.stderr}')
    return json.loads(done.stdout)


def _cores() -> list[int]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
    return cores if len(cores) > 1 else []


if __name__ == '__main__':
    sys.exit(main())
