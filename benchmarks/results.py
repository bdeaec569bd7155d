"""The numbers of a run: what each round gave, and what follows from them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.catalogue import SCENARIOS
from benchmarks.contestants import CONTESTANTS
from benchmarks.scenario import Scenario, Threshold

SLOWER = 1.1
"""The multiple of a saved figure from which on a new figure counts as slower."""

Round = dict[str, Any]
"""What one contestant gave in one scenario, the number of its `round`, and `at` what time."""


@dataclass
class Results:
    """All rounds of a run, by scenario and contestant, and the circumstances."""

    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    rounds: dict[str, dict[str, list[Round]]] = field(default_factory=dict)
    codec: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` has written."""
        saved = json.loads(path.read_text())
        return cls(**{name: saved[name] for name in ('machine', 'versions', 'rounds', 'codec')})

    def save(self, path: Path) -> None:
        """Write the rounds, and what follows from them for those who only read."""
        path.parent.mkdir(parents=True, exist_ok=True)
        summary = {
            scenario.name: {
                'title': scenario.title,
                'unit': scenario.unit,
                'arguments': scenario.arguments,
                'figures': {name: self.figures(scenario, name) for name in self.contestants(scenario)},
                'ratios': self.ratios(scenario),
                'thresholds': [asdict(threshold) | asdict(verdict) for threshold, verdict in self.verdicts(scenario)],
            }
            for scenario in self.scenarios
        }
        text = json.dumps({**asdict(self), 'scenarios': summary}, indent=1, allow_nan=False) + '\n'
        # A reader, or an interruption, never finds half of it.
        partial = path.with_suffix('.partial')
        partial.write_text(text)
        partial.replace(path)

    def add(self, scenario: str, contestant: str, number: int, measured: Round) -> None:
        """Take the numbers of one round, in place of those that it gave before."""
        self.versions[contestant] = measured.pop('versions', self.versions.get(contestant, {}))
        rounds = self.rounds.setdefault(scenario, {}).setdefault(contestant, [])
        rounds[:] = [each for each in rounds if each['round'] != number]
        rounds.append({'round': number, 'at': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()), **measured})
        rounds.sort(key=lambda each: each['round'])

    def has(self, scenario: str, contestant: str, number: int) -> bool:
        """Say whether a round has been measured, and has not failed."""
        rounds = self.rounds.get(scenario, {}).get(contestant, [])
        return any(each['round'] == number and 'value' in each for each in rounds)

    def take_over(self, newer: Results) -> None:
        """Replace what was measured anew: whole scenarios of a contestant, never single rounds."""
        self.machine = newer.machine
        self.versions |= newer.versions
        self.codec = newer.codec or self.codec
        for scenario, contestants in newer.rounds.items():
            self.rounds.setdefault(scenario, {}).update(contestants)

    @property
    def scenarios(self) -> list[Scenario]:
        """The scenarios that have numbers."""
        return [scenario for scenario in SCENARIOS if scenario.name in self.rounds]

    @property
    def dates(self) -> list[str]:
        """The days on which the rounds were measured."""
        return sorted({each['at'][:10] for each in self._all_rounds()})

    @property
    def quick(self) -> bool:
        """Whether any round was a quick one."""
        return any(each.get('quick') for each in self._all_rounds())

    @property
    def disturbances(self) -> list[float]:
        """By which share of the time others had the client's core, in each round, in ascending order."""
        return sorted(each['disturbed'] for each in self._all_rounds() if 'disturbed' in each)

    def took(self, scenario: Scenario) -> float:
        """Seconds that all rounds of a scenario took, the start of the processes included."""
        return sum(each.get('took', 0) for rounds in self.rounds[scenario.name].values() for each in rounds)

    def contestants(self, scenario: Scenario) -> list[str]:
        """Who took part in a scenario, in the order of the catalogue."""
        return [each.name for each in CONTESTANTS if each.name in self.rounds[scenario.name]]

    def numbers(self, scenario: Scenario, contestant: str, metric: str = 'value') -> dict[int, float]:
        """The numbers of the rounds that did not fail, by round."""
        rounds = self.rounds[scenario.name].get(contestant, [])
        return {each['round']: each[metric] for each in rounds if metric in each}

    def values(self, scenario: Scenario, contestant: str, metric: str = 'value') -> list[float]:
        """The numbers of the rounds that did not fail."""
        return list(self.numbers(scenario, contestant, metric).values())

    def figures(self, scenario: Scenario, contestant: str) -> dict[str, Any]:
        """Minimum, median and maximum, and how much of the time others had the core."""
        values = self.values(scenario, contestant)
        if not values:
            return {'failed': self.rounds[scenario.name][contestant][-1].get('error', 'no rounds').splitlines()[-1:]}
        disturbed = self.values(scenario, contestant, 'disturbed')
        return {'min': min(values), 'median': median(values), 'max': max(values), 'disturbed': median(disturbed)}

    def typical(self, scenario: Scenario, contestant: str) -> Round | None:
        """Return the round in the middle."""
        rounds = [each for each in self.rounds[scenario.name].get(contestant, []) if 'value' in each]
        return sorted(rounds, key=lambda each: each['value'])[(len(rounds) - 1) // 2] if rounds else None

    def ratio(self, scenario: Scenario, one: str, two: str) -> float | None:
        """The median over the rounds of one's number divided by the other's in the same round."""
        others = self.numbers(scenario, two)
        mine = self.numbers(scenario, one)
        ratios = [mine[number] / others[number] for number in mine if others.get(number)]
        return median(ratios) if ratios else None

    def ratios(self, scenario: Scenario) -> dict[str, dict[str, float]]:
        """The ratio of each pair."""
        names = self.contestants(scenario)
        return {
            one: {two: ratio for two in names if (ratio := self.ratio(scenario, one, two)) is not None} for one in names
        }

    def verdicts(self, scenario: Scenario) -> Iterator[tuple[Threshold, Verdict]]:
        """Whether what must be reached was reached, where it was measured."""
        for threshold in scenario.thresholds:
            if threshold.than is not None:
                figure = self.ratio(scenario, threshold.who, threshold.than)
            elif values := self.values(scenario, threshold.who, threshold.metric):
                # Of what is counted, the worst round counts.
                counted = max if scenario.unit == 'streams' else median
                figure = min(values) if threshold.at_least else counted(values)
            else:
                figure = None
            if figure is not None:
                reached = figure >= threshold.limit if threshold.at_least else figure <= threshold.limit
                yield threshold, Verdict(figure, reached)

    def slower_than(self, saved: Results) -> Iterator[tuple[Scenario, str, float]]:
        """The scenarios and contestants that take more than `SLOWER` of the figure that was saved, and how much.

        A figure is compared as a multiple of the floor's if both runs have measured the floor: machines differ.
        """
        for scenario in self.scenarios:
            if scenario.unit not in ('ms', 's', 'KB') or scenario.name not in saved.rounds:
                continue
            for name in self.contestants(scenario):
                now, before = self.ratio(scenario, name, 'floor'), saved.ratio(scenario, name, 'floor')
                if now is None or before is None:
                    values, earlier = self.values(scenario, name), saved.values(scenario, name)
                    if not values or not earlier:
                        continue
                    now, before = median(values), median(earlier)
                if before and now > SLOWER * before:
                    yield scenario, name, now / before

    def _all_rounds(self) -> Iterator[Round]:
        for contestants in self.rounds.values():
            for rounds in contestants.values():
                yield from rounds


@dataclass(frozen=True)
class Verdict:
    """What was measured against a threshold."""

    figure: float
    reached: bool


def describe_machine() -> dict[str, Any]:
    """Say what the numbers were measured on, and which state of the sources was measured."""
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
        'revision': _revision(),
    }


def _revision() -> str:
    command = ['git', 'describe', '--always', '--tags', '--dirty=, with changes']
    try:
        described = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return ''
    return described.stdout.strip()
