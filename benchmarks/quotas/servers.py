"""Quotas as a service may keep them; each decides whether a request that arrives is admitted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

Rate = float | Callable[[float], float]


class Quota(Protocol):
    """A quota of requests or of tokens."""

    resource: str

    def admit(self, reserved: float, now: float) -> bool: ...

    def give_back(self, tokens: float, now: float) -> None: ...


def at(rate: Rate, now: float) -> float:
    return rate(now) if callable(rate) else rate


class Bucket:
    """A token bucket, of requests or of tokens, that fills all the time; its rate may depend on the time."""

    def __init__(self, rate: Rate, burst: float, resource: str = 'requests') -> None:
        self.resource = resource
        self._rate, self._burst, self._level, self._then = rate, burst, burst, 0.0

    def admit(self, reserved: float, now: float) -> bool:
        self._fill(now)
        cost = reserved if self.resource == 'tokens' else 1.0
        if self._level < cost:
            return False
        self._level -= cost
        return True

    def give_back(self, tokens: float, now: float) -> None:
        if self.resource == 'tokens':
            self._fill(now)
            self._level = min(self._level + tokens, self._burst)

    def _fill(self, now: float) -> None:
        self._level = min(self._level + (now - self._then) * at(self._rate, now), self._burst)
        self._then = now


class FixedWindow:
    """So many requests in each period of the clock."""

    resource = 'requests'

    def __init__(self, limit: float, seconds: float, offset: float = 0.0) -> None:
        self._limit, self._seconds, self._offset = limit, seconds, offset
        self._window, self._used = -1, 0

    def admit(self, reserved: float, now: float) -> bool:
        window = int((now + self._offset) // self._seconds)
        if window != self._window:
            self._window, self._used = window, 0
        self._used += self._used < self._limit
        if self._used == self._limit and self._last == (window, self._limit):
            return False
        self._last = (window, self._used)
        return True

    _last: tuple[int, float] = (-1, 0)

    def give_back(self, tokens: float, now: float) -> None: ...


class SlidingWindow:
    """So many requests in the latest period, whenever that began."""

    resource = 'requests'

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._admitted: deque[float] = deque()

    def admit(self, reserved: float, now: float) -> bool:
        while self._admitted and self._admitted[0] <= now - self._seconds:
            self._admitted.popleft()
        if len(self._admitted) >= self._limit:
            return False
        self._admitted.append(now)
        return True

    def give_back(self, tokens: float, now: float) -> None: ...
