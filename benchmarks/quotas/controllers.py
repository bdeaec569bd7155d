"""Ways of pacing calls: this package's, and those that it is compared with."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

from pydantic_ai_aiobedrock._runtime.pacing import Call, Due, Pacing


class Controller(Protocol):
    """The part of `Pacing` that the simulation drives."""

    def admit(self, call: Call, now: float) -> bool: ...

    def due(self, now: float) -> Due: ...

    def admitted(self, call: Call, now: float) -> None: ...

    def refused(self, call: Call, now: float, quota: Any = 'requests') -> None: ...

    def finished(self, call: Call, now: float, used_tokens: float | None = None) -> None: ...

    def recalled(self, call: Call, now: float) -> bool: ...

    def next_wakeup(self, now: float) -> float | None: ...


class Retries:
    """botocore's standard mode: three attempts with a backoff, and a quota of retries that all calls share."""

    def __init__(self, attempts: int = 3) -> None:
        self._limit = attempts
        self._attempts: dict[Call, int] = {}
        self._waiting: list[tuple[float, Call]] = []
        self._failed: list[Call] = []
        self._quota = 500
        self._chance = random.Random(1)

    def admit(self, call: Call, now: float) -> bool:
        self._attempts[call] = 1
        return True

    def due(self, now: float) -> Due:
        ready = [call for at, call in self._waiting if at <= now]
        self._waiting = [(at, call) for at, call in self._waiting if at > now]
        for call in ready:
            self._attempts[call] += 1
        failed, self._failed = self._failed, []
        return Due(tuple(ready), tuple(failed))

    def admitted(self, call: Call, now: float) -> None: ...

    def refused(self, call: Call, now: float, quota: Any = 'requests') -> None:
        attempts = self._attempts[call]
        if attempts >= self._limit or self._quota < 5:
            self._failed.append(call)
            return
        self._quota -= 5
        self._waiting.append((now + self._chance.random() * min(2 ** (attempts - 1), 20), call))

    def finished(self, call: Call, now: float, used_tokens: float | None = None) -> None:
        self._quota = min(self._quota + (5 if self._attempts[call] > 1 else 1), 500)

    def recalled(self, call: Call, now: float) -> bool:
        return False

    def next_wakeup(self, now: float) -> float | None:
        return now if self._failed else min((at for at, _ in self._waiting), default=None)


class Cubic:
    """The rate of botocore's adaptive mode, which is that of CUBIC, with attempts without limit."""

    def __init__(self) -> None:
        self._waiting: list[Call] = []
        self._rate = self._maximum = self._since = self._next_at = 0.0
        self._admitted: list[float] = []

    def admit(self, call: Call, now: float) -> bool:
        if not self._rate:
            return True
        self._waiting.append(call)
        return False

    def due(self, now: float) -> Due:
        ready: list[Call] = []
        if self._rate:
            elapsed = now - self._since
            plateau = (self._maximum * 0.3 / 0.4) ** (1 / 3)
            self._rate = max(0.4 * (elapsed - plateau) ** 3 + self._maximum, 0.5)
        while self._waiting and self._next_at <= now:
            ready.append(self._waiting.pop(0))
            self._next_at = max(self._next_at, now - 0.1) + 1 / self._rate
        return Due(tuple(ready))

    def admitted(self, call: Call, now: float) -> None:
        self._admitted.append(now)

    def refused(self, call: Call, now: float, quota: Any = 'requests') -> None:
        self._waiting.insert(0, call)
        if now - self._since < 0.05:
            return
        self._admitted = [at for at in self._admitted if at > now - 1]
        self._maximum = self._rate or max(len(self._admitted), 1.0)
        self._rate = 0.7 * self._maximum
        self._since = now
        self._next_at = max(self._next_at, now + 1 / self._rate)

    def finished(self, call: Call, now: float, used_tokens: float | None = None) -> None: ...

    def recalled(self, call: Call, now: float) -> bool:
        return False

    def next_wakeup(self, now: float) -> float | None:
        return max(self._next_at, now) if self._waiting else None


CONTROLLERS: dict[str, Callable[[], Controller]] = {
    'this package': Pacing,
    'CUBIC': Cubic,
    'three attempts': Retries,
}
