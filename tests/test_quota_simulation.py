"""The pacing reaches its thresholds in the simulated quotas, which take minutes of real time."""

from __future__ import annotations

import pytest
from benchmarks.quotas.scenarios import SCENARIOS, Scenario
from benchmarks.quotas.simulation import simulate

from pydantic_ai_aiobedrock._runtime.pacing import Pacing

LARGE = 5000


@pytest.mark.parametrize(
    'scenario',
    [scenario for scenario in SCENARIOS if sum(load.calls for load in scenario.loads) < LARGE],
    ids=lambda scenario: scenario.name,
)
def test_a_quota_is_used_and_few_calls_are_refused(scenario: Scenario) -> None:
    calls = sum(load.calls for load in scenario.loads)
    outcome = simulate(Pacing, scenario.quota(), scenario.loads, network=scenario.network)
    assert outcome.answered + outcome.failed == calls
    assert outcome.answered == (0 if scenario.name == 'nothing' else calls)
    if scenario.ideal is not None:
        assert outcome.wall <= scenario.ideal / scenario.share
        assert outcome.refused_late <= scenario.refused * calls
