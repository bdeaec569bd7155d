"""The rate that is learned of a quota, by the time, and what a call leaves of it when it ends."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pydantic_ai_aiobedrock._runtime.pacing import FAMINE_SECONDS, FLOOR, WINDOW, Call, Pacing, Quota


class Account:
    """An account with a quota of calls per second and no burst, whose calls are answered at once."""

    def __init__(self, rate: float, calls: int) -> None:
        self.rate = rate
        self.pacing = Pacing()
        self.now = 0.0
        self.free_at = 0.0
        burst = [Call() for _ in range(calls)]
        for call in burst:
            self.pacing.admit(call, self.now)
        for call in burst:
            self._receive(call)

    @property
    def learned_rate(self) -> float:
        rate = self.pacing.report(self.now).rate
        assert rate is not None
        return rate

    def run_until(self, end: float) -> None:
        """Send what is due until a time, or until nothing waits."""
        while (wakeup := self.pacing.next_wakeup(self.now)) is not None and wakeup < end:
            self.now = max(self.now + 1e-3, wakeup)
            for call in self.pacing.due(self.now).released:
                self._receive(call)
        self.now = max(self.now, end)

    def _receive(self, call: Call) -> None:
        if self.now < self.free_at:
            self.pacing.refused(call, self.now)
        else:
            self.free_at = max(self.free_at, self.now - 1e-3) + 1 / self.rate
            self.pacing.finished(call, self.now)


def test_a_quota_that_lets_nothing_through_for_long_is_asked_slowly_until_it_does() -> None:
    account = Account(rate=50, calls=400)
    account.run_until(4.0)
    assert account.learned_rate == pytest.approx(50, rel=0.2)
    account.free_at = 30.0
    account.run_until(4.0 + 5 * FAMINE_SECONDS)
    assert account.learned_rate == FLOOR
    account.run_until(40.0)
    assert account.learned_rate == pytest.approx(50, rel=0.4)


def test_calls_of_which_others_had_the_quota_for_a_moment_go_soon() -> None:
    pacing, calls = Pacing(), [Call() for _ in range(20)]
    for call in calls:
        pacing.admit(call, 0.0)
    for call in calls[10:]:
        pacing.refused(call, 0.02)
    now = 0.02
    while not pacing.learned:
        now = pacing.next_wakeup(now) or now
        for call in pacing.due(now).released:
            pacing.refused(call, now)
    while (wakeup := pacing.next_wakeup(now)) is not None and pacing.report(now).waiting:
        now = wakeup
        for call in pacing.due(now).released:
            pacing.finished(call, now)
    assert now < 10


def test_a_lowered_quota_is_learned_within_a_few_windows() -> None:
    account = Account(rate=50, calls=1000)
    account.run_until(4.0)
    account.rate = 10
    account.run_until(4.0 + 4 * WINDOW)
    assert account.learned_rate == pytest.approx(10, rel=0.2)


def test_the_rate_grows_ever_faster_while_nothing_is_refused() -> None:
    account = Account(rate=50, calls=2000)
    account.run_until(4.0)
    account.rate = 1e6
    rates: list[float] = []
    for second in range(5, 12):
        account.run_until(second)
        rates.append(account.learned_rate)
    growth = [later / earlier for earlier, later in pairwise(rates)]
    assert growth == sorted(growth)
    assert growth[-1] > 1.1


def test_a_call_that_a_quota_refused_takes_nothing_of_the_other() -> None:
    def sent_after(refusing: Quota) -> int:
        pacing = Pacing()
        calls = [Call(100.0) for _ in range(60)]
        for call in calls:
            pacing.admit(call, 0.0)
        for call, quota in zip(calls, ('requests', 'tokens') * 30, strict=True):
            pacing.refused(call, 0.02, quota)
        first = pacing.due(3.0).released
        for call in first:
            pacing.refused(call, 3.0, refusing)
        return len(pacing.due(3.0).released)

    assert sent_after('tokens') > 0
    assert sent_after('requests') > 0


@pytest.mark.parametrize('quota', ['requests', 'tokens'])
def test_a_call_that_was_not_answered_gives_its_tokens_back(quota: Quota) -> None:
    def sent(*, failed: bool) -> int:
        pacing = Pacing()
        calls = [Call(1000.0) for _ in range(50)]
        for call in calls:
            pacing.admit(call, 0.0)
        for call in calls:
            pacing.refused(call, 0.02, quota)
        now, flying = 0.02, list[Call]()
        while not flying:
            now = pacing.next_wakeup(now) or now
            flying = list(pacing.due(now).released)
        for call in flying:
            if failed:
                pacing.failed(call, now)
            else:
                pacing.finished(call, now, call.tokens)
        return len(pacing.due(now).released)

    assert (sent(failed=True) > sent(failed=False)) == (quota == 'tokens')


def test_calls_that_are_given_up_are_not_kept_in_the_queue() -> None:
    pacing = Pacing()
    pacing.admit(first := Call(), 0.0)
    pacing.refused(first, 0.1, retry_after=60.0)
    for _ in range(1000):
        pacing.admit(call := Call(), 0.2)
        pacing.cancelled(call, 0.2)
    assert len(pacing._queue) < 20
    assert pacing.report(0.2).waiting == 1
    assert pacing.due(60.2).released == (first,)
