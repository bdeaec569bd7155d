"""What this package and its peers do in the same situations: `nox -s benchmarks -- --behaviour`."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import environments, pages
from benchmarks.catalogue import BEHAVIOURS, COMPARED
from benchmarks.contestants import CONTESTANTS, ENVIRONMENTS, Contestant
from benchmarks.processes import ROOT, lean_server, take_turn
from benchmarks.report import TITLES
from benchmarks.results import Results, Round, describe_machine
from benchmarks.scenario import Scenario
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

SAVED = ROOT / 'benchmarks' / 'COMPARISON.json'
PAGE = ROOT / 'docs' / 'comparison.md'

HEADINGS = {
    'ours': 'this package',
    'upstream': 'pydantic-ai `[bedrock]`',
    'langchain-aws': 'langchain-aws',
    'litellm': 'litellm',
    'strands': 'strands-agents',
    'anthropic': '`anthropic[bedrock]`',
}
DISTRIBUTIONS = {
    'upstream': 'pydantic-ai-slim',
    'langchain-aws': 'langchain-aws',
    'litellm': 'litellm',
    'strands': 'strands-agents',
    'anthropic': 'anthropic',
}
AT_ONCE = 0.5
"""Seconds after which a connection that is closed was not closed at once."""
NO_ERROR = 'no error'

README_ROWS = {
    'in-flight': 'in flight at once',
    'stop': 'cancelling stops the generation',
    'half': 'half a stream',
    'rotation': 'a rotated access key',
}
README_WORDS = {'an error': 'is an error', 'a whole answer': 'passes for whole', 'taken up': 'is taken up'}


def run(console: Console, arguments: argparse.Namespace, chosen: list[Contestant | Scenario]) -> int:
    """Try what was asked for, show it, and with `--save` write it down; 1 if anything could not be tried."""
    if arguments.write or arguments.show:
        results = Results.load(SAVED)
    else:
        try:
            results = compare(console, arguments.environments, chosen)
        except KeyboardInterrupt:
            return 130
    show(console, results)
    if arguments.save:
        kept = Results.load(SAVED) if chosen and SAVED.exists() else Results()
        kept.take_over(results)
        kept.save(SAVED)
    if arguments.save or arguments.write:
        kept = Results.load(SAVED)
        pages.put(PAGE, page(kept))
        console.print(f'wrote {PAGE.relative_to(ROOT)}. For the table of README.md:\n')
        console.print('\n'.join(readme_rows(kept)), markup=False, soft_wrap=True)
    return int(any('error' in round_ for _, _, round_ in _rounds(results)))


def compare(console: Console, folder: Path, chosen: list[Contestant | Scenario]) -> Results:
    """Put all peers into all situations, each in a process of its own.

    Args:
        console: Where to say how far it is.
        folder: Where the environments are.
        chosen: The peers and the situations that were named; all of a kind of which none was.
    """
    contestants = [each for each in chosen if isinstance(each, Contestant)] or CONTESTANTS
    contestants = [each for each in contestants if each.name in COMPARED]
    scenarios = [each for each in chosen if isinstance(each, Scenario)] or list(BEHAVIOURS)
    results = Results(machine=describe_machine())
    columns = (TextColumn('{task.description:46}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=2) as progress, lean_server([]) as port:
        task = progress.add_task('', total=len(contestants) * (1 + len(scenarios)))
        for contestant in contestants:
            python = environments.make(
                contestant.environment,
                ENVIRONMENTS[contestant.environment],
                folder,
                lambda what: progress.update(task, description=what),
            )
            progress.advance(task)
            for scenario in scenarios:
                progress.update(task, description=f'{scenario.name}: {contestant.title}')
                results.add(scenario.name, contestant.name, 0, _try(python, contestant, scenario, port))
                progress.advance(task)
    return results


def _try(python: Path, contestant: Contestant, scenario: Scenario, port: int) -> Round:
    with tempfile.TemporaryDirectory() as folder:
        home = None
        if scenario.name == 'rotation':
            home = Path(folder)
            where = {'credentials': str(home / '.aws' / 'credentials')}
            scenario = dataclasses.replace(scenario, arguments=scenario.arguments | where)
        # Without cores of their own: nothing is timed to the millisecond, and some size their pools by their number.
        return take_turn(python, contestant, [scenario], port, [], False, home)[scenario.name]


def show(console: Console, results: Results) -> None:
    """Print what each does, and what was seen of it."""
    table = Table(title='What they do', box=box.SIMPLE_HEAD, title_justify='left')
    for heading in ('', *(scenario.title for scenario in BEHAVIOURS)):
        table.add_column(heading.replace('`', ''))
    for name in COMPARED:
        table.add_row(escape(TITLES[name]), *(cell(results, scenario, name) for scenario in BEHAVIOURS))
    console.print(table)
    details = Table(title='What was seen', box=box.SIMPLE_HEAD, title_justify='left')
    for heading in ('', '', ''):
        details.add_column(heading)
    for scenario, name, round_ in _rounds(results):
        details.add_row(scenario.name, escape(TITLES[name]), escape(_seen(scenario, round_)))
    console.print(details)


def page(results: Results) -> str:
    """Return what docs/comparison.md says of it."""
    day = results.dates[-1]
    boto3 = sorted({results.versions[name]['boto3'] for name in DISTRIBUTIONS})
    named = [f'{title} {results.versions[name][title]}' for name, title in DISTRIBUTIONS.items()]
    machine = results.machine
    return '\n'.join(
        [
            f'Seen on {day}, on Python {machine["python"]} and {machine["cores"]} cores, with this package at '
            f'{machine["revision"]}, {", ".join(named)}; boto3 {" and ".join(boto3)}.',
            '',
            f'| | {" | ".join(HEADINGS[name] for name in COMPARED)} |',
            f'|---|{"---|" * len(COMPARED)}',
            *(
                f'| {scenario.title} [^{number}] | {" | ".join(cell(results, scenario, name) for name in COMPARED)} |'
                for number, scenario in enumerate(BEHAVIOURS, 1)
            ),
        ]
    )


def readme_rows(results: Results) -> list[str]:
    """Return the rows of the README's table."""
    return [
        f'| {README_ROWS[scenario.name]} | '
        + ' | '.join(README_WORDS.get(word := cell(results, scenario, name), word) for name in COMPARED)
        + ' |'
        for scenario in BEHAVIOURS
    ]


def cell(results: Results, scenario: Scenario, contestant: str) -> str:
    """Say in few words what a peer does."""
    rounds = results.rounds.get(scenario.name, {}).get(contestant, [])
    if not rounds:
        return ''
    return 'failed' if 'error' in rounds[-1] else WORDS[scenario.name](rounds[-1])


def _rounds(results: Results) -> list[tuple[Scenario, str, Round]]:
    return [
        (scenario, name, round_)
        for scenario in BEHAVIOURS
        for name in COMPARED
        for round_ in results.rounds.get(scenario.name, {}).get(name, [])
    ]


def _seen(scenario: Scenario, round_: Round) -> str:
    return round_['error'].strip().splitlines()[-1] if 'error' in round_ else _SEEN[scenario.name](round_)


def _flights(round_: Round) -> str:
    return f'all {round_["calls"]:,}' if round_['most'] == round_['calls'] else f'{round_["most"]:,}'


def _stops(round_: Round) -> str:
    def word(talking: float | None, silent: float | None) -> str:
        if talking is None:
            return 'no'
        if talking > AT_ONCE:
            return 'at the next event'
        return 'at once' if silent is not None and silent <= AT_ONCE else 'at once, but not in silence'

    return _of_levels({level: word(**round_[level]) for level in ('model', 'agent') if level in round_})


def _halves(round_: Round) -> str:
    levels = {level: round_[level] for level in ('model', 'agent') if level in round_}
    return _of_levels({level: 'an error' if each['failure'] else 'a whole answer' for level, each in levels.items()})


def _rotates(round_: Round) -> str:
    if round_['failure'] is None:
        return 'taken up'
    if round_['later'] is None:
        return 'taken up within the hour'
    return 'needs a new client' if round_['new_client'] is None else 'needs a restart'


def _of_levels(words: dict[str, str]) -> str:
    if len(set(words.values())) == 1:
        return words['model']
    return f'{words["model"]}; in its agent: {words["agent"]}'


def _seen_of_stops(round_: Round) -> str:
    def took(seconds: float | None) -> str:
        return 'not closed' if seconds is None else f'closed after {seconds:.2f} s'

    return '; '.join(
        f'{level}: {took(round_[level]["talking"])}, in silence {took(round_[level]["silent"])}'
        for level in ('model', 'agent')
        if level in round_
    )


WORDS: dict[str, Callable[[Round], str]] = {
    'in-flight': _flights,
    'stop': _stops,
    'half': _halves,
    'rotation': _rotates,
}
_SEEN: dict[str, Callable[[Round], str]] = {
    'in-flight': lambda round_: f'{round_["answered"]} of {round_["calls"]} answered {" ".join(round_["failure"])}',
    'stop': _seen_of_stops,
    'half': lambda round_: '; '.join(
        f'{level}: {round_[level]["failure"] or NO_ERROR}, {round_[level]["characters"]} characters, '
        f'{round_[level]["requests"]} requests'
        for level in ('model', 'agent')
        if level in round_
    ),
    'rotation': lambda round_: (
        f'{round_["failure"] or NO_ERROR}, refused {round_["refused"]} times'
        + ''.join(
            f'; {what}: {round_[when] or NO_ERROR}'
            for when, what in (('new_client', 'with a new client'), ('later', 'an hour later'))
            if when in round_
        )
    ),
}
