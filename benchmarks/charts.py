"""Draws the results: one SVG per chart, in light and in dark, on a transparent ground."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use('svg')

from matplotlib import pyplot as plt

from benchmarks.catalogue import SCENARIOS, Scenario
from benchmarks.report import OURS, TITLES, best_round, figure, remark
from benchmarks.results import Results


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
    'cpu': ('request', 'stream'),
    'concurrency': ('burst', 'paced'),
    'service': ('health', 'first-call'),
    'history-and-memory': ('history', 'memory'),
}
LOGARITHMIC = {'burst', 'paced', 'paced-1000', 'health', 'stream'}


def draw(results: Results, folder: Path) -> None:
    """Write the charts of those scenarios that have been measured."""
    folder.mkdir(exist_ok=True)
    measured = {scenario.name: scenario for scenario in SCENARIOS if scenario.name in results.rounds}
    for name, wanted in CHARTS.items():
        scenarios = [measured[each] for each in wanted if each in measured]
        if not scenarios:
            continue
        for theme in THEMES:
            _draw_chart(results, scenarios, theme, folder / f'{name}-{theme.name}.svg')


def _draw_chart(results: Results, scenarios: list[Scenario], theme: Theme, path: Path) -> None:
    style = {
        'text.color': theme.text,
        'axes.edgecolor': theme.faint,
        'axes.labelcolor': theme.text,
        'xtick.color': theme.text,
        'ytick.color': theme.text,
        'font.family': 'sans-serif',
        'font.size': 9,
        'svg.fonttype': 'none',
        'svg.hashsalt': 'benchmarks',
    }
    with mpl.rc_context(style):
        rows = max(len(results.contestants(scenario)) for scenario in scenarios)
        canvas, axes = plt.subplots(1, len(scenarios), figsize=(6.2 * len(scenarios), 0.9 + 0.27 * rows), squeeze=False)
        for axis, scenario in zip(axes[0], scenarios, strict=True):
            _draw_bars(axis, results, scenario, theme)
        canvas.tight_layout()
        canvas.savefig(path, transparent=True, metadata={'Date': None})
        plt.close(canvas)


def _draw_bars(axis: plt.Axes, results: Results, scenario: Scenario, theme: Theme) -> None:
    bars = [
        (name, round_['value'], remark(scenario, round_))
        for name in results.contestants(scenario)
        if (round_ := best_round(results, scenario, name)) is not None
    ]
    bars.sort(key=lambda bar: -bar[1])
    values = [value for _, value, _ in bars]
    colours = [theme.ours if name in OURS else theme.floor if 'floor' in name else theme.others for name, _, _ in bars]
    places = range(len(bars))
    axis.barh(places, values, color=colours, height=0.72)
    axis.set_yticks(places, [TITLES[name] for name, _, _ in bars])
    for label, (name, _, _) in zip(axis.get_yticklabels(), bars, strict=True):
        label.set_fontweight('bold' if name in OURS else 'normal')
    if scenario.name in LOGARITHMIC:
        axis.set_xscale('log')
        axis.set_xlim(min(values) / 2, max(values) * 12)
    else:
        axis.set_xlim(0, max(values) * 1.3)
    for place, (_, value, note) in zip(places, bars, strict=True):
        text = f' {figure(scenario.unit, value)} {scenario.unit}' + (f' ({note})' if note else '')
        axis.text(value, place, text, va='center', fontsize=8, color=theme.text)
    axis.set_title(scenario.title, fontsize=10, loc='left', color=theme.text)
    axis.tick_params(length=0)
    axis.xaxis.set_visible(False)
    for side in ('top', 'right', 'bottom'):
        axis.spines[side].set_visible(False)
