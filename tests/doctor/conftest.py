from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock.__main__ import main

Doctor = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def bedrock() -> Any:
    """Serve in a thread: the doctor has an event loop of its own."""
    with LocalBedrock() as bedrock:
        yield bedrock


@pytest.fixture
def in_environment(bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch) -> LocalBedrock:
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    return bedrock


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    def run(*options: str) -> tuple[int, dict[str, Any]]:
        status = main(['doctor', '--json', *options])
        return status, json.loads(capsys.readouterr().out)

    return run
