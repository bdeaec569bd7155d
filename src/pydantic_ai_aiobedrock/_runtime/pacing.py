"""Pace the calls of a model by the outcomes of earlier ones, without a clock and without I/O.

    admit() -> True ------------------------> in flight --- finished(), cancelled() ---> done
    admit() -> False --> waiting -- due() -->    |                                        ^
                          ^  |                   |                                        |
                          |  +-- expired, cancelled() ------------------------------------+
                          +------ refused() -----+

Before the first refusal every call goes at once. After it, calls leave the queue in the order of their arrival, at the
rate that the account was seen to take. A quota is empty whenever it refuses, so the calls that were not refused between
two refusals, divided by the time between them, are its rate: slow answers need not be awaited to know it.
Tokens are measured likewise, less the reserved tokens that AWS returns when an answer ends.

Call `due` after `admit` returned False, after every outcome, and at `next_wakeup`. `report` is for other threads, too.
Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

Quota = Literal['requests', 'tokens']

PATIENCE = 75.0
"""Seconds without any progress of the model after which a waiting call expires: quotas are per minute."""

WINDOW, SHORTEST_SPAN = 3.0, 0.3
"""Seconds between the refusals that a rate is measured between."""

DOUBLING = 0.4
"""Seconds in which the rate doubles while none has been measured."""

CALM, GROWTH = 1.5, 0.04
"""Growth of the rate by the second, once nothing was refused for a while; it rises with the time."""

GENTLE = 0.95
"""The least of a rate that a single refusal leaves of it."""

SLACK = 0.05
"""Seconds of lateness of the event loop that are caught up with."""

REFUSALS = 3
"""Refusals for its tokens after which a call lets the others pass: it may be larger than all of the quota."""

START = 4.0
"""Calls per second after the first refusal."""

SMALL_BURST = 2
"""Calls that a quota admits at once, up to which it is taken to have no burst."""

FAMINE, FAMINE_SECONDS = 5, 2.0
"""With so many refusals, and nothing admitted, for this long, the rate is looked for again."""

FLOOR, SLOWEST = 0.5, 0.05
"""Calls per second that are sent at least: to find out whether any gets through, and at a measured rate."""

CEILING, MOST_DOUBLINGS = 1e9, 30
RECOVERED = 30.0
"""Seconds without a refusal after which, if no call waits, nothing is held back any more."""

GOT_THROUGH, MOST_GOT_THROUGH = 1.0, 10.0
"""A call in flight for these seconds, and for longer than refusals took, at most the second, got through: once."""


class State(Enum):
    """The place of a call."""

    NEW = 'new'
    WAITING = 'waiting'
    FLYING = 'flying'
    DONE = 'done'


@dataclass(eq=False, slots=True)
class Call:
    """A call that is paced: create it for a request, and pass it along until the request ends.

    Args:
        tokens: The tokens that AWS reserves for it: the estimated input and `maxTokens`.
    """

    tokens: float = 0.0
    state: State = field(default=State.NEW, init=False)
    order: int = field(default=-1, init=False)
    waiting_since: float = field(default=float('inf'), init=False)
    paced: bool = field(default=False, init=False)
    refusals: int = field(default=0, init=False)
    sent_at: float = field(default=0.0, init=False)


@dataclass(frozen=True, slots=True)
class Due:
    """The calls that go now, and those that waited in vain."""

    released: tuple[Call, ...] = ()
    expired: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a model: `rate` is in calls or tokens per second, None while nothing is held back."""

    throttling: bool
    rate: float | None
    quota: Quota | None
    waiting: int
    longest_wait: float
    flying: int
    throttled: int


class _Meter:
    """The learned rate of a quota, and the credit to send by it."""

    def __init__(self, unit: float, now: float, flying: int, admitted: int) -> None:
        # A quota with a burst is not full when it refuses; without a burst it loses what it would hold beyond a call.
        self.kept = 0.9 if (small := admitted <= SMALL_BURST) else 0.5
        # Where a late call loses its place in the quota, the rate is sent with something on top.
        self.above = 1.02 if small else 1.0
        # It refuses once calls come too quickly, however few were admitted while the rate was looked for.
        self.crossing = 0.85 if small else 0.0
        self.unit = max(unit, 1.0)
        self.rate = max(START, flying / 40) * self.unit
        self.famine = self.learned = False
        self.peak, self.peak_at, self.in_vain = 0.0, now, 0
        self.credit = self.taken = 0.0
        self.marks: deque[tuple[float, float]] = deque([(now, 0.0)])
        self.updated = now

    def advance(self, now: float) -> None:
        """Earn credit, and grow while nothing is refused."""
        passed = max(now - self.updated, 0.0)
        self.updated = max(now, self.updated)
        if not self.learned:
            # In a famine, the first call that is not refused ends it.
            held_until = self.marks[-1][0] + (1.2 / FLOOR if self.famine else 0.0)
            if now > held_until:
                self.rate *= 2 ** min(min(passed, now - held_until) / DOUBLING, MOST_DOUBLINGS)
        else:
            calm = now - self.marks[-1][0] - max(CALM, min(20 * self.unit / self.rate, 4.0))
            if calm > 0:
                self.rate *= 1 + min(GROWTH * passed * (1 + calm), 1.0)
        self.rate = min(self.rate, CEILING)
        self.credit = min(self.credit + self.rate * passed, max(self.rate * SLACK, self.credit))

    def take(self, cost: float) -> None:
        """Count a call that is sent."""
        self.credit -= cost
        self.taken += cost

    def give_back(self, cost: float) -> None:
        """Count units that the quota did not keep."""
        self.credit = min(self.credit + cost, max(self.rate * SLACK, self.credit, self.unit))
        self.taken -= cost

    def begin(self, now: float) -> None:
        """Start measuring at a late refusal of the burst that was sent before the throttling was known."""
        if not self.learned:
            self.marks = deque([(now, self.taken)])

    def refused(self, cost: float, now: float) -> None:
        """Measure the rate between this refusal and those before it."""
        self.taken -= cost
        self.in_vain += 1
        if self.taken > self.peak:
            self.peak, self.peak_at, self.in_vain = self.taken, now, 0
        self.famine = self.in_vain >= FAMINE and now - self.peak_at >= max(FAMINE_SECONDS, 10 * self.unit / self.rate)
        smaller, self.unit = min(cost / self.unit, 1.0), min(cost, self.unit)
        self.rate *= 1.0 if self.learned else smaller
        # A large call that the quota may never hold keeps the others waiting no longer than a small one.
        self.credit = min(self.credit + cost - self.unit * (1 - self.kept), self.rate * SLACK)
        self.marks.append((now, self.taken))
        if self.famine:
            self.rate, self.learned = FLOOR * self.unit, False
            return
        window = max(WINDOW, 30 * self.unit / self.rate)
        while len(self.marks) > 2 and now - self.marks[1][0] >= window:
            self.marks.popleft()
        since, taken = self.marks[0]
        if now - since >= SHORTEST_SPAN:
            admitted = self.taken - taken
            # Where nothing was admitted, others may have come first: one such call is never ruled out.
            measured = max(admitted, self.unit) / (now - since)
            lowest = self.rate * (GENTLE if self.learned and admitted > 0 else self.crossing)
            self.rate = max(measured * self.above, lowest, SLOWEST * self.unit)
            self.learned = True


class Pacing:
    """The pace of the calls of one client, operation family and model.

    Args:
        patience: The seconds without any progress of the model after which a waiting call expires.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self.patience = patience
        self.throttled = 0
        self._flights: dict[int, Call] = {}
        self._orders = 0
        self._queue: list[tuple[int, Call]] = []
        self._waiting = 0
        self._meters: dict[Quota, _Meter] = {}
        self._progress = self._last_refusal = self._hold = float('-inf')
        self._slowest_refusal = GOT_THROUGH

    @property
    def flying(self) -> int:
        """The calls in flight."""
        return len(self._flights)

    @property
    def throttling(self) -> bool:
        """True while calls are paced: compare before and after an event to log the beginning and the end."""
        return bool(self._meters)

    @property
    def learned(self) -> bool:
        """True if a rate has been measured."""
        return any(meter.learned for meter in self._meters.values())

    def admit(self, call: Call, now: float) -> bool:
        """Accept a new call: True if it goes at once, False if it waits for `due`."""
        if call.state is not State.NEW:
            raise ValueError(f'a call is admitted once, this one is {call.state.value}')
        call.order = self._orders
        self._orders += 1
        if not self._meters and not self._waiting and now >= self._hold:
            self._send(call, now)
            return True
        self._wait(call, now)
        return False

    def due(self, now: float) -> Due:
        """Release the calls that may go now, and those whose patience has ended."""
        for meter in self._meters.values():
            meter.advance(now)
        released: list[Call] = []
        expired: list[Call] = []
        while (call := self._head()) is not None:
            if now >= self._expiry(call, now):
                expired.append(call)
                call.state = State.DONE
            elif now >= self._hold and all(meter.credit >= 0 for meter in self._meters.values()):
                released.append(call)
                self._send(call, now)
            else:
                break
            heapq.heappop(self._queue)
            self._waiting -= 1
        if self._meters and not self._waiting and now >= self._last_refusal + RECOVERED:
            self._meters.clear()
        return Due(tuple(released), tuple(expired))

    def next_wakeup(self, now: float) -> float | None:
        """Return the time to call `due` again, None if nothing waits or is held back."""
        if (call := self._head()) is None:
            return max(self._last_refusal + RECOVERED, now) if self._meters else None
        at = max([now, self._hold, *(m.updated - m.credit / m.rate for m in self._meters.values() if m.credit < 0)])
        return min(at + 1e-6, max(self._expiry(call, now), now))

    def admitted(self, call: Call, now: float) -> None:
        """Note that a call got through: the headers of its answer, or the first frame of its stream, arrived."""
        self._flying(call)
        self._progress = max(self._progress, now)

    def refused(self, call: Call, now: float, quota: Quota = 'requests', retry_after: float | None = None) -> None:
        """Take a throttled call back to the head of the queue.

        Args:
            call: A call in flight.
            now: The time.
            quota: The quota that refused it, by the words of the error.
            retry_after: The seconds of `Retry-After`.
        """
        self._flying(call)
        del self._flights[call.order]
        self.throttled += 1
        self._last_refusal = max(self._last_refusal, now)
        self._slowest_refusal = min(max(self._slowest_refusal, now - call.sent_at), MOST_GOT_THROUGH)
        if retry_after is not None:
            self._hold = max(self._hold, now + retry_after)
        for kind, meter in self._meters.items():
            if call.paced and kind != quota:
                meter.give_back(self._cost(kind, call))
        meter = self._meters.get(quota)
        if meter is None:
            sent_before = sum(1 for order in self._flights if order < call.order)
            self._meters[quota] = _Meter(self._cost(quota, call), now, self.flying, sent_before)
        else:
            meter.advance(now)
            if call.paced:
                call.refusals += 1
                if quota == 'tokens' and call.refusals % REFUSALS == 0:
                    call.order, self._orders = self._orders, self._orders + 1
                meter.refused(self._cost(quota, call), now)
            else:
                meter.begin(now)
        self._wait(call, now)

    def finished(self, call: Call, now: float, used_tokens: float | None = None) -> None:
        """End a call that was answered; `used_tokens` are those of its usage, None if unknown."""
        self.admitted(call, now)
        self._end(call)
        if used_tokens is not None and (meter := self._meters.get('tokens')) is not None:
            meter.advance(now)
            meter.give_back(max(call.tokens - used_tokens, 0.0))

    def failed(self, call: Call, now: float) -> None:
        """End a call in flight that failed for a reason other than a quota, or that was not sent after all."""
        self._flying(call)
        self._end(call)
        self._give_back(call, now)

    def cancelled(self, call: Call, now: float) -> None:
        """Forget a call, waiting or in flight."""
        if call.state is State.WAITING:
            self._waiting -= 1
            call.state = State.DONE
            self._compact()
        elif call.state is State.FLYING:
            self.failed(call, now)

    def recalled(self, call: Call, now: float) -> bool:
        """Take back a call that was let go before the throttling was known, and is not sent yet; True if it waits."""
        self._flying(call)
        if call.paced or not self._meters:
            return False
        del self._flights[call.order]
        self._wait(call, now)
        return True

    def report(self, now: float) -> Report:
        """Return the figures of now, and change nothing: it may be asked for in the middle of a change."""
        meters = dict(self._meters)
        quota = min(meters, key=lambda kind: meters[kind].credit, default=None)
        head = min((entry for entry in self._queue.copy() if entry[1].state is State.WAITING), default=None)
        return Report(
            throttling=bool(meters),
            rate=meters[quota].rate if quota else None,
            quota=quota,
            waiting=self._waiting,
            longest_wait=max(now - head[1].waiting_since, 0.0) if head else 0.0,
            flying=self.flying,
            throttled=self.throttled,
        )

    def _head(self) -> Call | None:
        while self._queue and self._queue[0][1].state is not State.WAITING:
            heapq.heappop(self._queue)
        return self._queue[0][1] if self._queue else None

    def _compact(self) -> None:
        if len(self._queue) > 2 * self._waiting + 16:
            self._queue = [entry for entry in self._queue if entry[1].state is State.WAITING]
            heapq.heapify(self._queue)

    def _give_back(self, call: Call, now: float) -> None:
        if call.paced and (meter := self._meters.get('tokens')) is not None:
            meter.advance(now)
            meter.give_back(max(call.tokens, 1.0))

    def _wait(self, call: Call, now: float) -> None:
        call.state = State.WAITING
        call.waiting_since = min(call.waiting_since, now)
        self._waiting += 1
        heapq.heappush(self._queue, (call.order, call))

    def _send(self, call: Call, now: float) -> None:
        call.state = State.FLYING
        call.paced = bool(self._meters)
        call.sent_at = now
        self._flights[call.order] = call
        for kind, meter in self._meters.items():
            meter.take(self._cost(kind, call))

    def _end(self, call: Call) -> None:
        call.state = State.DONE
        del self._flights[call.order]

    def _expiry(self, call: Call, now: float) -> float:
        since = max(call.waiting_since, self._progress)
        if now >= since + self.patience:
            enough = self._slowest_refusal
            proven = (each.sent_at for each in reversed(self._flights.values()) if now - each.sent_at >= enough)
            since = max(since, next(proven, float('-inf')) + enough)
        return since + self.patience

    @staticmethod
    def _cost(kind: Quota, call: Call) -> float:
        return 1.0 if kind == 'requests' else max(call.tokens, 1.0)

    @staticmethod
    def _flying(call: Call) -> None:
        if call.state is not State.FLYING:
            raise ValueError(f'a call in flight is expected, this one is {call.state.value}')
