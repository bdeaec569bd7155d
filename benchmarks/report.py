"""Results as tables on the terminal, and how numbers and goals are written."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.catalogue import BEHAVIOURS, SCENARIOS
from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.results import Results, Round, Verdict
from benchmarks.scenario import Scenario, Threshold, Unit
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

TITLES = {contestant.name: contestant.title for contestant in CONTESTANTS}
OURS = ('ours', 'ours-3', 'ours-uvloop', 'runtime', 'runtime-3')
DISTURBED = 0.05
"""The share of the time that others had the core above which a number is marked."""

SCALES: dict[Unit, tuple[float, Callable[[float], str]]] = {
    'ms': (1000, lambda value: f'{value:,.0f}' if value >= 100 else f'{value:.3g}'),
    's': (1, lambda value: f'{value:.2f}'),
    'KB': (1 / 1024, lambda value: f'{value:.1f}'),
    'streams': (1, lambda value: f'{value:.0f}'),
    '': (1, str),
}

_REMARKS: dict[str, Callable[[Round], str]] = {
    'burst': lambda round_: (
        f'{round_["in_flight"]} in flight' + (f', {round_["answered"]} answered' if round_['answered'] < 500 else '')
    ),
    'paced': lambda round_: _pace(round_),
    'paced-1000': lambda round_: _pace(round_),
    'health': lambda round_: f'{round_["streaming"]} streaming, {round_["deltas_per_second"]:,.0f} deltas/s',
    'burst-health': lambda round_: _since_first_request(round_),
    'memory': lambda round_: f'{round_["open"]} open',
    'cancelled': lambda round_: f'of {round_["started"]}',
}


def _pace(round_: Round) -> str:
    late = '' if round_['delivered'] > 0.98 else f', {round_["delivered"]:.0%} delivered while it was measured'
    return f'{round_["kept_pace"]} keep pace, {round_["in_flight"]} in flight{late}'


def _since_first_request(round_: Round) -> str:
    if 'since_first_request' not in round_:
        return 'no request'
    before, since = (1000 * round_[f'{each}_first_request'] for each in ('before', 'since'))
    return f'{since:.0f} ms since the first request, {before:.0f} ms at most before it'


def figure(unit: Unit, value: float) -> str:
    """Write a number in its unit, without the unit."""
    factor, write = SCALES[unit]
    return write(value * factor)


def remark(scenario: Scenario, round_: Round) -> str:
    """Say what belongs to a number, such as how many were in flight."""
    return _REMARKS[scenario.name](round_) if scenario.name in _REMARKS else ''


def goal(threshold: Threshold, unit: Unit) -> str:
    """Say what must be reached."""
    sign = '≥' if threshold.at_least else '≤'
    if threshold.than is not None:
        return f'{sign} {threshold.limit:g} x {TITLES[threshold.than]}'
    if threshold.metric != 'value':
        return f'{threshold.metric.replace("_", " ")} {sign} {threshold.limit:g}'
    return f'{sign} {threshold.limit * SCALES[unit][0]:g} {unit}'


def outcome(threshold: Threshold, verdict: Verdict, unit: Unit) -> str:
    """Say what was reached."""
    if threshold.than is not None:
        return f'{verdict.figure:.2f} x'
    return f'{verdict.figure:g}' if threshold.metric != 'value' else f'{figure(unit, verdict.figure)} {unit}'


def show(console: Console, results: Results) -> None:
    """Print a table per scenario, and what has been reached."""
    for scenario in results.scenarios:
        table = Table(
            title=f'{scenario.title} ({scenario.unit}; took {results.took(scenario):.0f} s)',
            box=box.SIMPLE_HEAD,
            title_justify='left',
        )
        for column in ('', 'median', 'min', 'max', 'x floor', 'x raw', 'disturbed', ''):
            table.add_column(column, justify='left' if column == '' else 'right', no_wrap=True)
        ratios = results.ratios(scenario)
        for name in results.contestants(scenario):
            figures = results.figures(scenario, name)
            round_ = results.typical(scenario, name)
            if round_ is None:
                table.add_row(escape(TITLES[name]), 'failed')
                continue
            share = figures['disturbed']
            table.add_row(
                escape(TITLES[name]),
                *(figure(scenario.unit, figures[each]) for each in ('median', 'min', 'max')),
                *(f'{ratios[name][than]:.2f}' if than in ratios[name] else '' for than in ('floor', 'aiobotocore')),
                f'{share:.0%}',
                remark(scenario, round_),
                style='bold' if name in OURS else 'yellow' if share > DISTURBED else '',
            )
        console.print(table)
    table = Table(title='What must be reached', box=box.SIMPLE_HEAD, title_justify='left')
    for column in ('scenario', 'who', 'goal', 'reached', ''):
        table.add_column(column)
    for scenario in results.scenarios:
        for threshold, verdict in results.verdicts(scenario):
            table.add_row(
                scenario.name,
                escape(TITLES[threshold.who]),
                escape(goal(threshold, scenario.unit)),
                outcome(threshold, verdict, scenario.unit),
                '[green]yes[/]' if verdict.reached else '[red]no[/]',
            )
    console.print(table)
    if results.codec:
        table = Table(title='In memory (µs of CPU)', box=box.SIMPLE_HEAD, title_justify='left')
        for column in ('', 'this package', 'botocore', 'ratio'):
            table.add_column(column, justify='left' if column == '' else 'right')
        for name, (ours, others) in results.codec['microseconds'].items():
            table.add_row(name, f'{ours:,.1f}', f'{others:,.1f}', f'{ours / others:.2f}')
        console.print(table)


def show_slower(console: Console, results: Results, saved: Results) -> None:
    """Name what this package does slower than when the results were saved; the peers are those of their releases."""
    slower = [each for each in results.slower_than(saved) if each[1] in OURS]
    revision = saved.machine.get('revision', 'an unknown revision')
    if not slower:
        console.print(f'Nothing is more than 10 % slower than the saved results, of {revision}.')
    for scenario, name, ratio in slower:
        console.print(
            f'{scenario.name}, {escape(TITLES[name])}: {ratio - 1:.0%} slower than at {revision}', style='yellow'
        )


def show_catalogue(console: Console) -> None:
    """Print the names that can be given on the command line."""
    codec = Contestant('codec', 'the codec in memory, beside botocore, and what telemetry costs', '', '')
    for title, entries in (('peers', CONTESTANTS), ('scenarios', (*SCENARIOS, codec)), ('behaviour', BEHAVIOURS)):
        table = Table(title=title, box=box.SIMPLE, show_header=False, title_justify='left')
        for entry in entries:
            table.add_row(entry.name, escape(entry.title))
        console.print(table)
