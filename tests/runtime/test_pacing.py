from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydantic_ai_aiobedrock._runtime.pacing import Call, Pacing, State


def throttled(waiting: int) -> tuple[Pacing, list[Call]]:
    pacing = Pacing()
    calls = [Call() for _ in range(waiting)]
    assert all(pacing.admit(call, 0.0) for call in calls)
    for call in reversed(calls):
        pacing.refused(call, 0.02)
    return pacing, calls


def test_nothing_is_held_back_before_a_refusal():
    pacing = Pacing()
    assert all(pacing.admit(Call(), 0.0) for _ in range(500))
    assert pacing.flying == 500
    assert pacing.next_wakeup(0.0) is None
    assert not pacing.throttling


def test_refused_calls_go_in_the_order_of_their_arrival():
    pacing, calls = throttled(20)
    now, released = 0.02, []
    while len(released) < 20:
        released += pacing.due(now).released
        now = pacing.next_wakeup(now) or now
    assert released == calls


def test_a_new_call_waits_behind_those_that_were_refused():
    pacing, calls = throttled(1)
    late = Call()
    assert not pacing.admit(late, 0.03)
    assert pacing.due(10.0).released[0] is calls[0]


def test_retry_after_holds_everything_back_until_it_has_passed():
    pacing = Pacing()
    call = Call()
    pacing.admit(call, 0.0)
    pacing.refused(call, 0.1, retry_after=5.0)
    assert not pacing.due(5.0).released
    assert pacing.next_wakeup(5.0) == pytest.approx(5.1, abs=1e-3)
    assert pacing.due(5.11).released == (call,)


def test_a_call_expires_only_when_none_of_its_model_got_through_for_the_patience():
    pacing = Pacing(patience=60.0)
    answered, refused = Call(), Call()
    pacing.admit(answered, 0.0)
    pacing.admit(refused, 0.0)
    pacing.refused(refused, 0.1, retry_after=1000.0)
    pacing.finished(answered, 50.0)
    assert pacing.due(109.9).expired == ()
    assert pacing.due(110.0).expired == (refused,)


def test_a_cancelled_waiter_is_as_though_it_had_never_come():
    pacing, _ = throttled(3)
    before = pacing.report(1.0), pacing.next_wakeup(1.0)
    late = Call()
    pacing.admit(late, 1.0)
    pacing.cancelled(late, 1.0)
    assert (pacing.report(1.0), pacing.next_wakeup(1.0)) == before
    assert late not in pacing.due(100.0).released


def test_tokens_that_were_not_used_are_sent_with_again():
    def released(used: float) -> int:
        pacing = Pacing()
        answered, *refused = [Call(1000.0) for _ in range(50)]
        for call in (answered, *refused):
            pacing.admit(call, 0.0)
        for call in refused:
            pacing.refused(call, 0.02, 'tokens')
        count = len(pacing.due(0.02).released)
        pacing.finished(answered, 0.03, used)
        return count + len(pacing.due(0.03).released)

    assert released(0.0) > released(1000.0)


def test_throttling_ends_when_nothing_waits_and_nothing_was_refused_for_long():
    pacing, (call,) = throttled(1)
    assert pacing.throttling
    pacing.due(1.0)
    pacing.finished(call, 2.0)
    pacing.due(40.0)
    assert not pacing.throttling
    assert pacing.admit(Call(), 40.0)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(['admit', 'refuse', 'finish', 'fail', 'cancel', 'wait']), st.integers(0, 50), st.floats(0, 5)
    )
)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_every_call_is_in_one_place_and_a_waiting_call_always_has_a_time_to_wake(events: list[tuple[str, int, float]]):
    pacing, calls, now = Pacing(), [], 0.0
    for kind, index, passed in events:
        now += passed
        flying = [call for call in calls if call.state is State.FLYING]
        if kind == 'admit':
            calls.append(Call(100.0))
            pacing.admit(calls[-1], now)
        elif kind == 'cancel' and calls:
            pacing.cancelled(calls[index % len(calls)], now)
        elif kind == 'refuse' and flying:
            pacing.refused(flying[index % len(flying)], now, 'tokens' if index % 2 else 'requests')
        elif kind == 'finish' and flying:
            pacing.finished(flying[index % len(flying)], now, 10.0)
        elif kind == 'fail' and flying:
            pacing.failed(flying[index % len(flying)], now)
        waiting_before = [call for call in calls if call.state is State.WAITING]
        due = pacing.due(now)
        gone = [*due.released, *due.expired]
        assert sorted(gone, key=lambda call: call.order) == waiting_before[: len(gone)]
        waiting = sum(call.state is State.WAITING for call in calls)
        assert pacing.report(now).waiting == waiting
        assert pacing.flying == sum(call.state is State.FLYING for call in calls)
        wakeup = pacing.next_wakeup(now)
        assert (wakeup is not None) == (waiting > 0 or pacing.throttling)
        assert wakeup is None or now <= wakeup <= now + pacing.patience + 1e-6
