"""Rules of a script: replies and the requests that they are for, in the order in which they were written."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from local_bedrock.requests import Operation, RecordedRequest

T = TypeVar('T')


@dataclass(kw_only=True)
class Rule(Generic[T]):
    """An action and the requests that it is for. Handed out so that a test can watch it or take it back."""

    action: T
    model: str | Callable[[str], bool] | None = None
    operations: Collection[Operation] | None = None
    text_only: bool = False
    """True if the action is only for requests that generate text."""
    when: Callable[[RecordedRequest], bool] | None = None
    nth: Collection[int] | None = None
    probability: float = 1.0
    times: int | None = None
    chance: random.Random = field(default_factory=random.Random, repr=False)
    seen: int = 0
    """Requests of this model, operation and condition so far, or connections."""
    used: int = 0
    """Times that the action was taken."""
    removed: bool = False

    def remove(self) -> None:
        """Take the rule back."""
        self.removed = True

    @property
    def spent(self) -> bool:
        """True if the rule will never be used again."""
        return self.removed or (self.times is not None and self.used >= self.times)

    def take(self, request: RecordedRequest | None) -> bool:
        """Return True if the action is for this request, or for a connection that has none yet, and count it."""
        if self.spent or not (request is None or self._concerns(request)):
            return False
        self.seen += 1
        if self.nth is not None and self.seen not in self.nth:
            return False
        if self.probability < 1.0 and self.chance.random() >= self.probability:
            return False
        self.used += 1
        return True

    def _concerns(self, request: RecordedRequest) -> bool:
        if self.operations is not None and request.operation not in self.operations:
            return False
        if self.text_only and not request.generates_text:
            return False
        if callable(self.model):
            if not self.model(request.model_id):
                return False
        elif self.model is not None and request.model_id != self.model:
            return False
        return self.when is None or self.when(request)


class Script(Generic[T]):
    """Rules in order: the first that takes a request acts on it."""

    def __init__(self) -> None:
        self._rules: list[Rule[T]] = []
        self._kept: list[Rule[T]] = []

    def add(self, rule: Rule[T]) -> Rule[T]:
        """Add a rule after those that are there."""
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Take all rules back."""
        self._rules.clear()

    @property
    def pending(self) -> int:
        """Number of the rules that may still be used."""
        return sum(not rule.spent for rule in self._rules)

    def keep(self) -> None:
        """Keep the rules of this moment, for `start_over`."""
        self._kept = [replace(rule) for rule in self._rules]

    def start_over(self) -> None:
        """Return to the rules that were kept, none of them used."""
        self._rules = [replace(rule) for rule in self._kept]

    def choose(self, request: RecordedRequest | None) -> Rule[T] | None:
        """Return the first rule that takes the request, or the connection that has none yet."""
        if not self._rules:
            return None
        chosen = next((rule for rule in self._rules if rule.take(request)), None)
        if chosen is not None and chosen.spent:
            self._rules = [rule for rule in self._rules if not rule.spent]
        return chosen
