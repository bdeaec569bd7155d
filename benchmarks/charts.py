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
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

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
    return written


def draw_chart(results: Results, scenarios: list[Scenario], theme: Theme, path: Path, **options: object) -> None:
    """Draw some scenarios beside each other."""
    style = {
        'text.color': theme.text,
        'axes.edgecolor': theme.faint,
        'axes.labelcolor': theme.text,
        'xtick.color': theme.text,
        'ytick.color': theme.text,
        'font.family': 'sans-serif',
        'font.size': 9,
        'svg.fonttype': 'path',
        'svg.hashsalt': 'benchmarks',
    }
    with mpl.rc_context(style):
        rows = max(len(_bars(results, scenario)) for scenario in scenarios)
        canvas, axes = plt.subplots(
            1, len(scenarios), figsize=(5.6 * len(scenarios), 1.25 + 0.27 * rows), squeeze=False
        )
        for axis, scenario in zip(axes[0], scenarios, strict=True):
            _draw_scenario(axis, results, scenario, theme)
        canvas.tight_layout(w_pad=2)
        canvas.savefig(path, **{'transparent': True, 'metadata': {'Date': None}, **options})
        plt.close(canvas)


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
    colours = [{'ours': theme.ours, 'floor': theme.floor}.get(name, theme.others) for name, *_ in bars]
    places = range(len(bars))
    if scenario.name in LOGARITHMIC:
        axis.set_xscale('log')
        axis.set_xlim(min(figures['min'] for _, figures, _ in bars) * factor / 2, max(values) * 40)
        axis.scatter(values, places, color=colours, s=42, zorder=3)
        axis.set_ylim(-0.6, len(bars) - 0.4)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,g}' if value < 1e5 else ''))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel(f'{scenario.unit}, logarithmic', fontsize=8)
    else:
        axis.set_xlim(0, max(values) * 1.38)
        axis.barh(places, values, color=colours, height=0.7, zorder=2)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.set_xlabel(scenario.unit, fontsize=8)
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
            fontsize=8,
        )
    axis.set_yticks(places, [TITLES[name] for name, *_ in bars])
    for label, (name, *_) in zip(axis.get_yticklabels(), bars, strict=True):
        label.set_fontweight('bold' if name == 'ours' else 'normal')
    axis.set_title('\n'.join(textwrap.wrap(scenario.title, 48)), fontsize=10, loc='left', color=theme.text)
    axis.set_facecolor('none')
    axis.grid(axis='x', color=theme.faint, lw=0.6, zorder=0)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    axis.tick_params(axis='x', labelsize=8)
    for side in ('top', 'right', 'bottom'):
        axis.spines[side].set_visible(False)
