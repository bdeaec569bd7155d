"""Simulate ways of pacing under quotas, and print what each comes to: `python -m benchmarks.quotas`."""

from __future__ import annotations

import argparse
import sys
from statistics import median

from rich.console import Console
from rich.table import Table

from .controllers import CONTROLLERS
from .scenarios import SCENARIOS, Scenario
from .simulation import Outcome, simulate


def run(scenario: Scenario, name: str, seeds: int) -> list[Outcome]:
    return [
        simulate(CONTROLLERS[name], scenario.quota(), scenario.loads, seed=seed, network=scenario.network)
        for seed in range(seeds)
    ]


def main() -> int:
    """Print the table; the exit status is 1 if this package misses a threshold."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.quotas', description=__doc__)
    parser.add_argument('--seeds', type=int, default=3, help='runs of each scenario (default: %(default)s)')
    parser.add_argument('--only', default='', help='only scenarios with this in their name')
    parser.add_argument('--all', action='store_true', help='the ways that it is compared with, too')
    options = parser.parse_args()
    table = Table('quota', 'pacing', 'answered', 'seconds', 'of ideal speed', 'refused', 'after 2 s', '')
    missed = 0
    for scenario in SCENARIOS:
        if options.only not in scenario.name:
            continue
        calls = sum(load.calls for load in scenario.loads)
        for name in CONTROLLERS if options.all else list(CONTROLLERS)[:1]:
            outcomes = run(scenario, name, options.seeds)
            answered = min(outcome.answered for outcome in outcomes)
            wall = median(outcome.wall for outcome in outcomes)
            late = median(outcome.refused_late for outcome in outcomes) / calls
            share = None if scenario.ideal is None else scenario.ideal / wall
            good = (answered == calls or scenario.name == 'nothing') and (
                share is None or (share >= scenario.share and late <= scenario.refused)
            )
            if name == 'this package':
                missed += not good
            table.add_row(
                scenario.name,
                name,
                f'{answered:,} of {calls:,}',
                f'{wall:.1f}',
                '' if share is None else f'{share:.0%}',
                f'{median(outcome.refused for outcome in outcomes):,}',
                f'{late:.1%}',
                '' if name != 'this package' or good else 'missed',
            )
    Console(width=130).print(table)
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
