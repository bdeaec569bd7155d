"""A row of the comparison, and the goals in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.contestants import AT_MODEL_LEVEL


@dataclass(frozen=True)
class Threshold:
    """What one contestant must reach.

    Attributes:
        who: The contestant.
        limit: The limit, in the scenario's unit or times the figure of `than`.
        than: The contestant that it is compared with, or None for an absolute limit.
        metric: Which of the measured numbers.
        at_least: Whether the number must reach the limit, not stay below it.
    """

    who: str
    limit: float
    than: str | None = None
    metric: str = 'value'
    at_least: bool = False


Unit = Literal['ms', 's', 'KB', 'streams', '']


@dataclass(frozen=True)
class Scenario:
    """One row of the comparison.

    Attributes:
        name: What it is called on the command line and in the results.
        title: What it is called in tables and charts.
        measurement: The coroutine in `benchmarks.measurements`.
        unit: The unit of what is shown.
        arguments: What the measurement is called with.
        quick: What changes in a quick run.
        contestants: Who takes part.
        thresholds: What must be reached.
        tuned: Whether peers may raise their limits of connections; with their default settings otherwise.
        threads: How many threads peers get that make each call in one, or None for as many as they have by default.
        opens_itself: Whether the measurement makes the client.
        shared: Whether it is measured in the process that has measured others before.
        rounds: How often, where what must be reached depends on it.
        other_rounds: How often otherwise.
    """

    name: str
    title: str
    measurement: str
    unit: Unit
    arguments: dict[str, Any]
    thresholds: tuple[Threshold, ...]
    quick: dict[str, Any] = field(default_factory=dict)
    contestants: tuple[str, ...] = AT_MODEL_LEVEL
    tuned: bool = True
    threads: int | None = None
    opens_itself: bool = False
    shared: bool = False
    rounds: int = 3
    other_rounds: int = 2

    @property
    def decisive(self) -> set[str]:
        """The floor, and whoever takes part in what must be reached."""
        named = {name for each in self.thresholds for name in (each.who, each.than)}
        return {name for name in self.contestants if name in named or name.startswith('floor')}

    def rounds_of(self, contestant: str) -> int:
        """How often a contestant is measured."""
        if contestant not in self.contestants:
            return 0
        return self.rounds if contestant in self.decisive else self.other_rounds
