"""The rules of pacing that hold whatever happens, in any order and at any time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from benchmarks.quotas.servers import Bucket
from benchmarks.quotas.simulation import Load, simulate
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pydantic_ai_aiobedrock._runtime.pacing import RECOVERED, SLACK, Call, Pacing, State

PATIENCE = 75.0
SECONDS = st.floats(0, 5)
QUOTAS = st.sampled_from(['requests', 'tokens'])


class PacedCalls(RuleBasedStateMachine):
    """Calls that come, are refused, answered, fail and are given up, while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.pacing = Pacing(PATIENCE)
        self.now = 0.0
        self.calls: list[Call] = []
        self.progress = float('-inf')

    def of(self, state: State) -> list[Call]:
        return [call for call in self.calls if call.state is state]

    @rule(tokens=st.sampled_from([0.0, 10.0, 5000.0]))
    def come(self, tokens: float) -> None:
        held_back = self.pacing.throttling or bool(self.of(State.WAITING))
        self.calls.append(call := Call(tokens))
        went = self.pacing.admit(call, self.now)
        assert call.state is (State.FLYING if went else State.WAITING)
        # Nobody overtakes the queue, and without a refusal nobody waits.
        assert not (went and held_back)
        assert went or self.pacing.throttled

    @precondition(lambda self: self.of(State.FLYING))
    @rule(data=st.data(), quota=QUOTAS, retry_after=st.one_of(st.none(), st.floats(0, 90)))
    def refuse(self, data: st.DataObject, quota: str, retry_after: float | None) -> None:
        call = data.draw(st.sampled_from(self.of(State.FLYING)))
        self.pacing.refused(call, self.now, quota, retry_after)  # pyright: ignore[reportArgumentType]
        assert call.state is State.WAITING
        assert self.pacing.throttling

    @precondition(lambda self: self.of(State.FLYING))
    @rule(data=st.data(), used=st.one_of(st.none(), st.floats(0, 6000)))
    def answer(self, data: st.DataObject, used: float | None) -> None:
        call = data.draw(st.sampled_from(self.of(State.FLYING)))
        self.pacing.finished(call, self.now, used)
        self.progress = self.now

    @precondition(lambda self: self.of(State.FLYING))
    @rule(data=st.data())
    def begin_an_answer(self, data: st.DataObject) -> None:
        self.pacing.admitted(data.draw(st.sampled_from(self.of(State.FLYING))), self.now)
        self.progress = self.now

    @precondition(lambda self: self.of(State.FLYING))
    @rule(data=st.data())
    def recall(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.of(State.FLYING)))
        early = self.pacing.throttling and not call.paced
        assert self.pacing.recalled(call, self.now) == early
        assert call.state is (State.WAITING if early else State.FLYING)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.calls))
        self.pacing.cancelled(call, self.now)
        assert call.state is State.DONE

    @rule(passed=SECONDS)
    def let_go(self, passed: float) -> None:
        self.now += passed
        waiting = sorted(self.of(State.WAITING), key=lambda call: call.order)
        due = self.pacing.due(self.now)
        # First come, first served.
        assert (
            sorted([*due.released, *due.expired], key=lambda call: call.order)
            == waiting[: len(due.released) + len(due.expired)]
        )
        assert all(call.state is State.FLYING for call in due.released)
        assert all(call.state is State.DONE for call in due.expired)
        # Patience is progress.
        for call in due.expired:
            assert self.now - max(call.waiting_since, self.progress) >= PATIENCE
        # What may go goes at once.
        assert self.pacing.due(self.now).released == ()

    @invariant()
    def every_call_is_in_one_place(self) -> None:
        report = self.pacing.report(self.now)
        assert report.waiting == len(self.of(State.WAITING))
        assert report.flying == self.pacing.flying == len(self.of(State.FLYING))
        assert (report.rate is not None) == report.throttling == (report.quota is not None)

    @invariant()
    def a_waiting_call_has_a_time_to_wake(self) -> None:
        wakeup = self.pacing.next_wakeup(self.now)
        assert (wakeup is not None) == (bool(self.of(State.WAITING)) or self.pacing.throttling)
        assert wakeup is None or self.now <= wakeup <= self.now + PATIENCE + 1e-6

    def teardown(self) -> None:
        """Nobody starves: without further refusals all that wait go, or expire, in a bounded time."""
        wakeups = 0
        while (wakeup := self.pacing.next_wakeup(self.now)) is not None:
            self.now = max(self.now, wakeup)
            self.pacing.due(self.now)
            wakeups += 1
            assert wakeups <= 40 * (len(self.calls) + 1)
        assert not self.of(State.WAITING)


TestPacedCalls = PacedCalls.TestCase
TestPacedCalls.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@settings(max_examples=100, deadline=None)
@example(refusals=[0.0], steps=[2.0] * 16)
@given(
    refusals=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=20),
    steps=st.lists(st.floats(0.0, 2.0), min_size=1, max_size=30),
)
def test_no_more_calls_are_sent_than_the_rate_allows(refusals: list[float], steps: list[float]) -> None:
    pacing = Pacing(PATIENCE)
    calls = [Call() for _ in range(2000)]
    for call in calls:
        pacing.admit(call, 0.0)
    for call, at in zip(calls, sorted(refusals), strict=False):
        pacing.refused(call, at)
    now = max(refusals)
    for call in calls[len(refusals) :]:
        pacing.recalled(call, now)
    pacing.due(now)
    for passed in steps:
        now += passed
        released = len(pacing.due(now).released)
        report = pacing.report(now)
        if report.rate is None:
            # Half a minute without a refusal, and all were sent: pacing is over.
            assert now - max(refusals) >= RECOVERED
            assert report.waiting == 0
            break
        # The rate does not fall while nothing is refused.
        assert released <= report.rate * (passed + SLACK) + 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 29), unique=True, max_size=29))
def test_calls_that_are_given_up_leave_the_others_where_they_were(leaving: list[int]) -> None:
    def released(*, with_leavers: bool) -> list[tuple[int, float]]:
        pacing, now = Pacing(PATIENCE), 0.02
        first = Call()
        pacing.admit(first, 0.0)
        pacing.refused(first, now)
        numbered = {first: -1}
        for number in range(30):
            if with_leavers or number not in leaving:
                numbered[call := Call()] = number
                pacing.admit(call, now)
        for call, number in numbered.items():
            if number in leaving:
                pacing.cancelled(call, now)
        order: list[tuple[int, float]] = []
        while (wakeup := pacing.next_wakeup(now)) is not None:
            now = max(now, wakeup)
            order += [(numbered[call], now) for call in pacing.due(now).released]
        return order

    assert released(with_leavers=True) == released(with_leavers=False)


@settings(max_examples=20, deadline=None)
@given(rate=st.integers(5, 60), factor=st.integers(2, 6))
def test_a_raised_quota_is_found_again(rate: int, factor: int) -> None:
    raised_at, seconds = 10.0, 60.0

    def quota(now: float) -> float:
        return float(rate if now < raised_at else rate * factor)

    calls = int(rate * raised_at + rate * factor * (seconds - raised_at))
    outcome = simulate(Pacing, Bucket(quota, rate), [Load(calls, 0.3)])
    assert outcome.answered == calls
    # A client that knew the quota would need some 60 s.
    assert outcome.wall <= 1.25 * seconds


@pytest.mark.parametrize(
    'end',
    [
        lambda pacing, call: pacing.admitted(call, 1.0),
        lambda pacing, call: pacing.refused(call, 1.0),
        lambda pacing, call: pacing.finished(call, 1.0),
        lambda pacing, call: pacing.failed(call, 1.0),
        lambda pacing, call: pacing.recalled(call, 1.0),
        lambda pacing, call: pacing.admit(call, 1.0),
    ],
    ids=['admitted', 'refused', 'finished', 'failed', 'recalled', 'admitted again'],
)
def test_a_call_that_has_ended_is_no_longer_paced(end: Callable[[Pacing, Call], object]) -> None:
    pacing = Pacing()
    pacing.admit(call := Call(), 0.0)
    pacing.finished(call, 0.5)
    with pytest.raises(ValueError, match='done'):
        end(pacing, call)
