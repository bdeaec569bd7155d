"""The pages that show figures: benchmarks/RESULTS.md whole, and what stands between markers in other pages."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from benchmarks.contestants import CONTESTANTS, RETRYING
from benchmarks.report import DISTURBED, OURS, TITLES, figure, goal, outcome, remark
from benchmarks.results import Results
from benchmarks.scenario import Scenario

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / 'benchmarks' / 'RESULTS.md'
DOCUMENTATION = ROOT / 'docs' / 'benchmarks.md'
README = ROOT / 'README.md'

COMPARED = (
    'ours',
    'floor',
    'aiobotocore',
    'aiobotocore-3',
    'upstream',
    'langchain-aws',
    'litellm',
    'strands',
    'anthropic',
    'anthropic-aiohttp',
)
"""The columns of the table of all peers."""

CODEC_TITLES = {
    'event, one chunk': 'decode one event of a stream that arrives at once',
    'event, a chunk per event': 'decode one event of a stream that arrives event by event',
    'event, chunks of 100 bytes': 'decode one event of a stream that arrives in pieces of 100 bytes',
    'encode, short': 'encode a short request',
    'encode, 200 messages, 20 tools': 'encode a request with 200 messages of 2 KB and 20 tools',
    'encode, image of 1 MiB': 'encode a request with an image of 1 MiB',
    'decode': 'decode a response',
    'whole call, short': 'whole call on an aiobotocore client, short',
    'whole call, 200 messages, 20 tools': 'whole call on an aiobotocore client, 200 messages of 2 KB and 20 tools',
}
TELEMETRY = 'telemetry'


def write(results: Results) -> list[Path]:
    """Write all of them, and say which."""
    RESULTS.write_text(markdown(results))
    parts = [*_measured(results), '', *goals(results), '', *everybody(results), '', *quotas(results), '']
    put(DOCUMENTATION, '\n'.join(['', *parts]))
    put(README, textwrap.fill(headline(results), 120))
    return [RESULTS, DOCUMENTATION, README]


def put(page: Path, generated: str) -> None:
    """Put it between the markers of a page that has them."""
    text = page.read_text()
    put, times = re.subn(
        r'(<!-- figures[^>]*-->\n).*?(<!-- end of figures -->)',
        lambda found: found[1] + generated.lstrip('\n').rstrip() + '\n' + found[2],
        text,
        flags=re.DOTALL,
    )
    if times:
        page.write_text(put)


def headline(results: Results) -> str:
    """Say in a sentence what the README says."""
    named = {scenario.name: scenario for scenario in results.scenarios}
    parts = []
    for name, what in (
        ('stream', 'CPU per stream of 200 deltas'),
        ('paced', 'Delay of delivery (p99) with 500 streams on one core'),
    ):
        if name not in named:
            continue
        scenario = named[name]
        figures = {who: results.figures(scenario, who) for who in ('ours', 'aiobotocore', 'upstream')}
        if all('median' in each for each in figures.values()):
            ours, raw, upstream = (
                f'{figure(scenario.unit, each["median"])} {scenario.unit}' for each in figures.values()
            )
            parts.append(f'{what}: {ours}; raw aiobotocore {raw}; `pydantic-ai-slim[bedrock]` {upstream}')
    if (quota := named.get('quota-50')) is not None:
        ours, upstream = (results.typical(quota, who) for who in ('ours', 'upstream'))
        if ours is not None and upstream is not None:
            parts.append(
                f'{quota.title}: {ours["answered"]:,} answered in {ours["value"]:.1f} s; '
                f'`pydantic-ai-slim[bedrock]` {upstream["answered"]:,}'
            )
    return '. '.join(parts) + '.' if parts else 'Not measured yet.'


def goals(results: Results) -> list[str]:
    """Return the table of what must be reached."""
    lines = ['| | goal | is | reached |', '|---|---|--:|---|']
    for scenario in results.scenarios:
        for threshold, verdict in results.verdicts(scenario):
            who = '' if threshold.who == 'ours' or 'uvloop' in scenario.title else f' ({TITLES[threshold.who]})'
            reached = 'yes' if verdict.reached else '**no**'
            lines.append(
                f'| {scenario.title}{who} | {goal(threshold, scenario.unit)} '
                f'| {outcome(threshold, verdict, scenario.unit)} | {reached} |'
            )
    return lines


def everybody(results: Results) -> list[str]:
    """Return the table of all peers, a line per scenario."""
    lines = [
        f'| | {" | ".join(TITLES[name] for name in COMPARED)} |',
        f'|---|{"--:|" * len(COMPARED)}',
    ]
    for scenario in results.scenarios:
        if scenario.name != 'paced-1000' and not scenario.name.startswith('quota-'):
            cells = [_cell(results, scenario, name) for name in COMPARED]
            lines.append(f'| {scenario.title}, {scenario.unit} | {" | ".join(cells)} |')
    return lines


def quotas(results: Results) -> list[str]:
    """Return the table of calls under quotas: how many are answered says more than how soon the rest has failed."""
    rows = [scenario for scenario in results.scenarios if scenario.name.startswith('quota-')]
    names = [name for name in (*COMPARED, *RETRYING) if any(name in results.contestants(scenario) for scenario in rows)]
    if not rows:
        return []
    lines = [
        'Under a quota, with default settings: calls that are answered, and the seconds until the last is answered or '
        'has failed.',
        '',
        f'| | {" | ".join(TITLES[name] for name in names)} |',
        f'|---|{"--:|" * len(names)}',
    ]
    for scenario in rows:
        cells: list[str] = []
        for name in names:
            round_ = results.typical(scenario, name) if name in results.contestants(scenario) else None
            cells.append('' if round_ is None else f'{round_["answered"]:,} in {figure("s", round_["value"])} s')
        lines.append(f'| {scenario.title} | {" | ".join(cells)} |')
    return lines


def _cell(results: Results, scenario: Scenario, contestant: str) -> str:
    if contestant not in results.contestants(scenario):
        return ''
    figures = results.figures(scenario, contestant)
    if 'failed' in figures:
        return 'failed'
    number = figure(scenario.unit, figures['median'])
    return f'**{number}**' if contestant in OURS else number


def markdown(results: Results) -> str:
    """Return the page with every number."""
    lines = [
        '# Results of the benchmarks',
        '',
        'Written by `nox -s benchmarks -- --save` from RESULTS.json, which has every round. '
        '[docs/benchmarks.md](../docs/benchmarks.md) says how it is measured and how to read it.',
        '',
        *_measured(results),
        '',
        '## Goals',
        '',
        *goals(results),
        '',
        '## All peers',
        '',
        *everybody(results),
        '',
        *quotas(results),
        '',
    ]
    for scenario in results.scenarios:
        lines += [f'## {scenario.title}', '', *_scenario_table(results, scenario), '']
    if results.codec:
        lines += ['## In memory', '', *_codec_table(results), '']
    lines += ['## Versions', '', '| | |', '|---|---|']
    for contestant in CONTESTANTS:
        if versions := results.versions.get(contestant.name):
            named = ', '.join(f'{name} {version}' for name, version in versions.items() if name != 'python')
            lines.append(f'| {contestant.title} | {named} |')
    return '\n'.join(lines) + '\n'


def _measured(results: Results) -> list[str]:
    machine, shares = results.machine, results.disturbances
    revision = f' of revision {machine["revision"]}' if machine.get('revision') else ''
    lines = [
        f'Measured {" to ".join(sorted({results.dates[0], results.dates[-1]}))}{revision}, on {machine["cores"]} cores '
        f'of {machine["processor"]} ({machine["system"]}), Python {machine["python"]}. Others had the core of the '
        f'client for {shares[len(shares) // 2]:.1%} of the time in the median round, {shares[-1]:.0%} in the worst; '
        f'figures whose median round was disturbed for more than {DISTURBED:.0%} are marked ~.'
    ]
    if results.quick:
        lines += ['', '**Some of this is of a quick run**: the order of magnitude, not more.']
    return lines


def _scenario_table(results: Results, scenario: Scenario) -> list[str]:
    lines = [f'| | {scenario.unit} | min to max | x floor | x aiobotocore | |', '|---|--:|--:|--:|--:|---|']
    for name in results.contestants(scenario):
        title = f'**{TITLES[name]}**' if name in OURS else TITLES[name]
        round_ = results.typical(scenario, name)
        if round_ is None:
            lines.append(f'| {title} | failed | | | | |')
            continue
        figures = results.figures(scenario, name)
        mark = '~' if figures['disturbed'] > DISTURBED else ''
        median, least, most = (figure(scenario.unit, figures[each]) for each in ('median', 'min', 'max'))
        ratios = [results.ratio(scenario, name, than) for than in ('floor', 'aiobotocore')]
        compared = ' | '.join('' if ratio is None else f'{ratio:.2f}' for ratio in ratios)
        lines.append(f'| {title} | {mark}{median} | {least} to {most} | {compared} | {remark(scenario, round_)} |')
    return lines


def _codec_table(results: Results) -> list[str]:
    codec = results.codec
    lines = [
        f'`python -m benchmarks.codec`: µs of CPU, median of {codec["rounds"]} rounds, beside botocore '
        f'{codec["versions"]["botocore"]}.',
        '',
        '| | this package | botocore | ratio |',
        '|---|--:|--:|--:|',
    ]
    for name, (ours, others) in codec['microseconds'].items():
        if name in CODEC_TITLES:
            lines.append(f'| {CODEC_TITLES[name]} | {ours:,.1f} | {others:,.1f} | {ours / others:.2f} |')
    if TELEMETRY in codec['microseconds']:
        measured, bare = codec['microseconds'][TELEMETRY]
        lines += [
            '',
            f'Telemetry without an OpenTelemetry SDK costs a call {max(0, measured - bare):.0f} µs '
            f'({measured / bare - 1:.1%} of the short call on an aiobotocore client with this codec).',
        ]
    return lines
