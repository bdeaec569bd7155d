"""The numbers of a run: what each round gave, and what follows from them."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.catalogue import CONTESTANTS, SCENARIOS, Scenario, Threshold

Round = dict[str, Any]


@dataclass
class Results:
    """All rounds of a run, by scenario and contestant, and the circumstances."""

    started: str = field(default_factory=lambda: time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()))
    quick: bool = False
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    rounds: dict[str, dict[str, list[Round]]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` has written."""
        saved = json.loads(path.read_text())
        return cls(**{name: saved[name] for name in ('started', 'quick', 'machine', 'versions', 'rounds')})

    def save(self, path: Path) -> None:
        """Write the rounds, and what follows from them for those who only read."""
        path.parent.mkdir(parents=True, exist_ok=True)
        summary = {
            scenario.name: {
                'title': scenario.title,
                'unit': scenario.unit,
                'arguments': scenario.arguments,
                'figures': {name: self.figures(scenario, name) for name in self.rounds[scenario.name]},
                'ratios': self.ratios(scenario),
                'thresholds': [asdict(threshold) | asdict(verdict) for threshold, verdict in self.verdicts(scenario)],
            }
            for scenario in self.scenarios
        }
        path.write_text(json.dumps({**asdict(self), 'scenarios': summary}, indent=1, allow_nan=False) + '\n')

    def add(self, scenario: str, contestant: str, measured: Round) -> None:
        """Take the numbers of one round."""
        self.versions[contestant] = measured.pop('versions', {})
        self.rounds.setdefault(scenario, {}).setdefault(contestant, []).append(measured)

    @property
    def scenarios(self) -> list[Scenario]:
        """The scenarios that have numbers."""
        return [scenario for scenario in SCENARIOS if scenario.name in self.rounds]

    def contestants(self, scenario: Scenario) -> list[str]:
        """Who took part in a scenario, in the order of the catalogue."""
        return [each.name for each in CONTESTANTS if each.name in self.rounds[scenario.name]]

    def values(self, scenario: Scenario, contestant: str, metric: str = 'value') -> list[float]:
        """The numbers of all rounds that did not fail."""
        return [each[metric] for each in self.rounds[scenario.name].get(contestant, []) if metric in each]

    def best(self, scenario: Scenario, contestant: str, metric: str = 'value') -> float | None:
        """The figure that counts: the round that was disturbed least gave the smallest number."""
        values = self.values(scenario, contestant, metric)
        if not values:
            return None
        return min(values) if metric == 'value' else median(values)

    def figures(self, scenario: Scenario, contestant: str) -> dict[str, Any]:
        """Minimum, median and maximum, and how much of the time others had the core."""
        values = self.values(scenario, contestant)
        if not values:
            return {'failed': self.rounds[scenario.name][contestant][-1].get('error', 'no rounds').splitlines()[-1:]}
        disturbed = self.values(scenario, contestant, 'disturbed')
        return {'min': min(values), 'median': median(values), 'max': max(values), 'disturbed': median(disturbed)}

    def ratios(self, scenario: Scenario) -> dict[str, dict[str, float]]:
        """For each pair, the median over the rounds of one's number divided by the other's in the same round."""
        names = [name for name in self.contestants(scenario) if self.values(scenario, name)]
        return {one: dict(self._ratios_to(scenario, one, names)) for one in names}

    def _ratios_to(self, scenario: Scenario, one: str, names: list[str]) -> Iterator[tuple[str, float]]:
        for two in names:
            pairs = zip(self.values(scenario, one), self.values(scenario, two), strict=False)
            if ratios := [mine / other for mine, other in pairs if other]:
                yield two, median(ratios)

    def verdicts(self, scenario: Scenario) -> Iterator[tuple[Threshold, Verdict]]:
        """Whether what must be reached was reached, where it was measured."""
        for threshold in scenario.thresholds:
            figure = self.best(scenario, threshold.who, threshold.metric)
            if threshold.than is not None and figure is not None:
                other = self.best(scenario, threshold.than)
                figure = figure / other if other else None
            if figure is not None:
                reached = figure >= threshold.limit if threshold.at_least else figure <= threshold.limit
                yield threshold, Verdict(figure, reached)


@dataclass(frozen=True)
class Verdict:
    """What was measured against a threshold."""

    figure: float
    reached: bool


def describe_machine() -> dict[str, Any]:
    """Say what the numbers were measured on."""
    model = 'unknown'
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.exists():
        model = next(
            (line.split(':')[1].strip() for line in cpuinfo.read_text().splitlines() if 'model name' in line), ''
        )
    return {
        'system': f'{platform.system()} {platform.release()}',
        'processor': model or platform.processor(),
        'cores': os.cpu_count(),
        'python': platform.python_version(),
        'load': os.getloadavg(),
    }
