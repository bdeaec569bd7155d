"""Draws the results: one SVG per chart, in light and in dark, on a transparent ground."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use('svg')

from benchmarks.contestants import CONTESTANTS
from benchmarks.report import SCALES, TITLES, figure
from benchmarks.results import Results, Round
from benchmarks.scenario import Scenario
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

FOLDER = Path(__file__).parent.parent / 'docs' / 'images'
SHOWN = (
    'floor',
    'aiobotocore',
    'ours',
    'upstream',
    'langchain-aws',
    'litellm',
    'strands',
    'anthropic',
    'anthropic-aiohttp',
)


@dataclass(frozen=True)
class Theme:
    """The colours of a chart."""

    name: str
    text: str
    faint: str
    ours: str
    others: str
    floor: str


THEMES = (
    Theme('light', text='#1f2328', faint='#d1d9e0', ours='#e0631b', others='#8c959f', floor='#54aeff'),
    Theme('dark', text='#e6edf3', faint='#3d444d', ours='#f0883e', others='#6e7681', floor='#388bfd'),
)

CHARTS = {
    'benchmark': ('stream', 'paced'),
    'benchmark-cpu': ('request', 'history'),
    'benchmark-concurrency': ('burst', 'health'),
    'benchmark-process': ('first-call', 'memory'),
}
QUOTAS = ('quota-50', 'quota-10', 'quota-20', 'quota-tokens', 'quota-streams')
"""The quotas that are drawn: the shares of the calls that are answered, beside each other."""

WIDTH = 5.2
"""Inches: 500 pixels, as wide as a page on a phone almost, where text of 9 points is to be read still."""

LOGARITHMIC = {'paced', 'health'}
"""What differs by orders of magnitude; drawn as points, for a bar without a zero has no honest length."""
NOTES: dict[str, Callable[[Round], str]] = {
    'burst': lambda round_: f'{round_["in_flight"]} in flight',
    'paced': lambda round_: f'{round_["kept_pace"]} keep pace',
}
"""What belongs to a number of these scenarios."""


def draw(results: Results, folder: Path = FOLDER) -> list[Path]:
    """Write the charts of those scenarios that have been measured, and say which."""
    folder.mkdir(exist_ok=True)
    measured = {scenario.name: scenario for scenario in results.scenarios}
    written: list[Path] = []
    for name, wanted in CHARTS.items():
        scenarios = [measured[each] for each in wanted if each in measured and _bars(results, measured[each])]
        if not scenarios:
            continue
        for theme in THEMES:
            written.append(folder / f'{name}-{theme.name}.svg')
            draw_chart(results, scenarios, theme, written[-1])
    if quotas := [each for name, each in measured.items() if name in QUOTAS]:
        for theme in THEMES:
            written.append(folder / f'benchmark-quotas-{theme.name}.svg')
            draw_quotas(results, quotas, theme, written[-1])
    return written


def draw_quotas(results: Results, scenarios: list[Scenario], theme: Theme, path: Path) -> None:
    """Draw the share of the calls that each peer got answered under each quota, with the seconds it took."""
    with mpl.rc_context(_style(theme)):
        rows = max(len(results.contestants(scenario)) for scenario in scenarios)
        canvas, axes = plt.subplots(
            len(scenarios), 1, figsize=(WIDTH, (0.75 + 0.24 * rows) * len(scenarios)), squeeze=False
        )
        for axis, scenario in zip(axes[:, 0], scenarios, strict=True):
            _draw_quota(axis, results, scenario, theme)
        axes[-1, 0].set_xlabel('% of the calls answered', fontsize=9)
        canvas.tight_layout(h_pad=1.2)
        canvas.savefig(path, transparent=True, metadata={'Date': None})
        plt.close(canvas)


def _draw_quota(axis: plt.Axes, results: Results, scenario: Scenario, theme: Theme) -> None:
    rounds = {name: results.typical(scenario, name) for name in results.contestants(scenario)}
    calls = scenario.arguments['calls']
    bars = sorted(
        ((name, round_) for name, round_ in rounds.items() if round_ is not None),
        key=lambda bar: (bar[1]['answered'], -bar[1]['value']),
    )
    shares = [100 * round_['answered'] / calls for _, round_ in bars]
    places = range(len(bars))
    axis.barh(places, shares, color=[_colour(theme, name) for name, _ in bars], height=0.7, zorder=2)
    for place, share, (_, round_) in zip(places, shares, bars, strict=True):
        axis.annotate(
            f'{round_["answered"]:,} in {round_["value"]:.0f} s',
            (share, place),
            xytext=(3, 0),
            textcoords='offset points',
            va='center',
            fontsize=9,
        )
    axis.set_xlim(0, 140)
    axis.xaxis.set_major_locator(FixedLocator(range(0, 101, 25)))
    _finish(axis, [name for name, _ in bars], scenario.title, theme)


def draw_chart(results: Results, scenarios: list[Scenario], theme: Theme, path: Path, **options: object) -> None:
    """Draw some scenarios below each other."""
    with mpl.rc_context(_style(theme)):
        rows = max(len(_bars(results, scenario)) for scenario in scenarios)
        canvas, axes = plt.subplots(
            len(scenarios), 1, figsize=(WIDTH, (1.1 + 0.24 * rows) * len(scenarios)), squeeze=False
        )
        for axis, scenario in zip(axes[:, 0], scenarios, strict=True):
            _draw_scenario(axis, results, scenario, theme)
        canvas.tight_layout(h_pad=1.2)
        canvas.savefig(path, **{'transparent': True, 'metadata': {'Date': None}, **options})
        plt.close(canvas)


def _style(theme: Theme) -> dict[str, object]:
    return {
        'text.color': theme.text,
        'axes.edgecolor': theme.faint,
        'axes.labelcolor': theme.text,
        'xtick.color': theme.text,
        'ytick.color': theme.text,
        'font.family': 'sans-serif',
        'font.size': 9.5,
        'svg.fonttype': 'path',
        'svg.hashsalt': 'benchmarks',
    }


def _colour(theme: Theme, name: str) -> str:
    return {'ours': theme.ours, 'floor': theme.floor}.get(name, theme.others)


def _bars(results: Results, scenario: Scenario) -> list[tuple[str, dict[str, float], str]]:
    """The contestants with their figures and remarks, the smallest figure last: on top."""
    bars = [
        (name, results.figures(scenario, name), NOTES.get(scenario.name, lambda _: '')(round_))
        for name in (contestant.name for contestant in CONTESTANTS if contestant.name in SHOWN)
        if name in results.contestants(scenario) and (round_ := results.typical(scenario, name)) is not None
    ]
    return sorted(bars, key=lambda bar: -bar[1]['median'])


def _draw_scenario(axis: plt.Axes, results: Results, scenario: Scenario, theme: Theme) -> None:
    bars = _bars(results, scenario)
    factor, _ = SCALES[scenario.unit]
    values = [figures['median'] * factor for _, figures, _ in bars]
    colours = [_colour(theme, name) for name, *_ in bars]
    places = range(len(bars))
    noted = scenario.name in NOTES
    if scenario.name in LOGARITHMIC:
        axis.set_xscale('log')
        # Labels end right of their points.
        room = 20_000 if noted else 40
        axis.set_xlim(min(figures['min'] for _, figures, _ in bars) * factor / 2, max(values) * room)
        axis.scatter(values, places, color=colours, s=42, zorder=3)
        axis.set_ylim(-0.6, len(bars) - 0.4)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,g}' if value < 1e5 else ''))
        axis.xaxis.set_major_locator(LogLocator(numticks=4))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel(f'{scenario.unit}, logarithmic', fontsize=9)
    else:
        axis.set_xlim(0, max(values) * (1.75 if noted else 1.38))
        axis.barh(places, values, color=colours, height=0.7, zorder=2)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.set_xlabel(scenario.unit, fontsize=9)
    for place, value, (_, figures, note) in zip(places, values, bars, strict=True):
        axis.plot(
            [figures['min'] * factor, figures['max'] * factor], [place, place], color=theme.text, lw=0.8, zorder=4
        )
        offset = 7 if scenario.name in LOGARITHMIC else 3
        axis.annotate(
            figure(scenario.unit, figures['median']) + (f'  ({note})' if note else ''),
            (max(value, figures['max'] * factor), place),
            xytext=(offset, 0),
            textcoords='offset points',
            va='center',
            fontsize=9,
        )
    _finish(axis, [name for name, *_ in bars], scenario.title, theme)


def _finish(axis: plt.Axes, names: list[str], title: str, theme: Theme) -> None:
    axis.set_yticks(range(len(names)), [TITLES[name] for name in names])
    for label, name in zip(axis.get_yticklabels(), names, strict=True):
        label.set_fontweight('bold' if name == 'ours' else 'normal')
    axis.set_title('\n'.join(textwrap.wrap(title, 42)), fontsize=10, loc='left', color=theme.text)
    axis.set_facecolor('none')
    axis.grid(axis='x', color=theme.faint, lw=0.6, zorder=0)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    axis.tick_params(axis='x', labelsize=9)
    for side in ('top', 'right', 'bottom'):
        axis.spines[side].set_visible(False)
