"""Patience and recovery of a throttled model, without a clock and without I/O."""

from __future__ import annotations

from pydantic_ai_aiobedrock._runtime.pacing import GOT_THROUGH, RECOVERED, Call, Pacing, State

PATIENCE = 60.0
MUCH_LATER = 1000.0
"""Seconds of `Retry-After`, so that nothing is sent meanwhile."""


def beside_a_refused_call(other: Call) -> tuple[Pacing, Call]:
    """Return a pacing with a call in flight since 0.0, and another that was refused at 0.1 and waits."""
    pacing, refused = Pacing(PATIENCE), Call()
    pacing.admit(other, 0.0)
    pacing.admit(refused, 0.0)
    pacing.refused(refused, 0.1, retry_after=MUCH_LATER)
    return pacing, refused


def test_a_call_in_flight_for_longer_than_a_refusal_takes_is_progress_once() -> None:
    pacing, refused = beside_a_refused_call(Call())
    assert pacing.due(0.1 + PATIENCE).expired == ()
    assert pacing.due(GOT_THROUGH + PATIENCE - 0.01).expired == ()
    assert pacing.due(GOT_THROUGH + PATIENCE).expired == (refused,)


def test_the_last_call_that_was_sent_and_not_refused_counts() -> None:
    pacing, refused = Pacing(PATIENCE), Call()
    pacing.admit(Call(), 0.0)
    pacing.admit(Call(), 20.0)
    pacing.admit(refused, 20.0)
    pacing.refused(refused, 20.1, retry_after=MUCH_LATER)
    assert pacing.due(20 + GOT_THROUGH + PATIENCE - 0.01).expired == ()
    assert pacing.due(20 + GOT_THROUGH + PATIENCE).expired == (refused,)


def test_a_call_that_is_sent_just_before_patience_ends_is_no_progress_yet() -> None:
    pacing, (first, second) = Pacing(PATIENCE), (Call(), Call())
    for call in (first, second):
        pacing.admit(call, 0.0)
    for call in (first, second):
        pacing.refused(call, 0.1, retry_after=PATIENCE - 0.5)
    assert pacing.due(PATIENCE - 0.3).released == (first, second)
    pacing.refused(second, PATIENCE - 0.2)
    assert pacing.due(0.1 + PATIENCE).expired == (second,)


def test_an_answer_is_progress_when_it_comes() -> None:
    slow = Call()
    pacing, refused = beside_a_refused_call(slow)
    pacing.finished(slow, 50.0)
    assert pacing.due(50 + PATIENCE - 0.01).expired == ()
    assert pacing.due(50 + PATIENCE).expired == (refused,)


def test_refusals_that_come_late_are_no_progress() -> None:
    """Those of streams are read as their first event."""
    pacing, calls = Pacing(PATIENCE), [Call() for _ in range(20)]
    for call in calls:
        pacing.admit(call, 0.0)
    now, flying = 0.0, calls.copy()
    while calls[0].state is not State.DONE and now < 3 * PATIENCE:
        now += 0.1
        late = [call for call in flying if now - call.sent_at >= 2 * GOT_THROUGH]
        for call in late:
            pacing.refused(call, now)
        flying = [call for call in flying if call not in late] + list(pacing.due(now).released)
    assert PATIENCE <= now < PATIENCE + 5 * GOT_THROUGH


def test_patience_begins_when_a_call_first_waits_not_when_it_is_first_let_go() -> None:
    pacing, late = Pacing(PATIENCE), Call()
    pacing.admit(late, 0.0)
    # It waits for a connection until then.
    pacing.refused(late, 70.0, retry_after=MUCH_LATER)
    assert pacing.due(70.0).expired == ()
    assert pacing.report(71.0).longest_wait == 1.0
    assert pacing.due(70 + PATIENCE).expired == (late,)


def test_patience_does_not_begin_again_at_each_refusal() -> None:
    pacing, refused = Pacing(PATIENCE), Call()
    pacing.admit(refused, 0.0)
    pacing.refused(refused, 0.0)
    now, refusals = 0.0, 0
    while not (due := pacing.due(now)).expired:
        if due.released:
            pacing.refused(refused, now + 0.1)
            refusals += 1
        now = (pacing.next_wakeup(now + 0.1) or now) + 0.01
    assert refusals > 5
    assert PATIENCE <= now <= PATIENCE + 3


def test_throttling_of_a_model_that_nobody_asks_any_more_has_a_time_to_end() -> None:
    pacing, refused = Pacing(PATIENCE), Call()
    pacing.admit(refused, 0.0)
    pacing.refused(refused, 0.1)
    pacing.cancelled(refused, 0.2)
    wakeup = pacing.next_wakeup(0.2)
    assert wakeup == 0.1 + RECOVERED
    pacing.due(wakeup)
    assert not pacing.throttling
    assert pacing.next_wakeup(wakeup) is None


def test_a_report_in_the_middle_of_a_change_loses_no_call() -> None:
    """Another thread, that of an exporter of metrics, may ask at any time."""

    class Reported(Pacing):
        def _send(self, call: Call, now: float) -> None:
            super()._send(call, now)
            self.report(now)

    pacing, calls = Reported(PATIENCE), [Call() for _ in range(40)]
    for call in calls:
        pacing.admit(call, 0.0)
    for call in calls:
        pacing.refused(call, 0.1)
    released: list[Call] = []
    now = 0.1
    while len(released) < len(calls) and (wakeup := pacing.next_wakeup(now)) is not None and wakeup < RECOVERED:
        now = wakeup
        released += pacing.due(now).released
    assert released == calls


def test_a_report_names_the_first_of_those_that_wait_after_others_were_given_up() -> None:
    pacing, calls = Pacing(PATIENCE), [Call() for _ in range(10)]
    for call in calls:
        pacing.admit(call, 0.0)
    for number, call in enumerate(calls):
        pacing.refused(call, 1.0 + number, retry_after=MUCH_LATER)
    for call in calls[:6]:
        pacing.cancelled(call, 15.0)
    assert pacing.report(20.0).longest_wait == 20.0 - (1.0 + 6)
    for call in calls[6:]:
        pacing.cancelled(call, 20.0)
    assert pacing.report(20.0).longest_wait == 0.0
