"""The examples run as they stand, as a user runs them."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from local_bedrock import LocalBedrock

DEMO = Path(__file__).parents[1] / 'examples' / 'concurrent_agents.py'


def demo(*options: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-W', 'always::ResourceWarning', str(DEMO), *options],
        env={**os.environ, 'COLUMNS': '200', **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def rows(table: str) -> dict[str, str]:
    return dict(re.findall(r'^[│┃] (\S[^│┃]*?) +[│┃] +(\S[^│┃]*?) +[│┃]$', table, flags=re.MULTILINE))


def test_the_demo_runs_its_agents_at_the_same_time_without_threads() -> None:
    run = demo('--runs', '100')
    assert run.returncode == 0, run.stdout + run.stderr
    measured = rows(run.stdout)
    assert measured['runs'] == '100'
    assert measured['failures'] == '0'
    assert int(measured['requests in flight at most']) > 10
    assert measured['worker threads while requests are in flight'] == '0'
    assert 10 < int(measured['connections opened']) <= 100
    for name in ('wall time', 'time to first token p50', 'time to first token p99', 'event-loop lag p99'):
        assert re.fullmatch(r'\d+\.\d+ m?s', measured[name])
    assert run.stderr == ''


def test_the_demo_keeps_to_the_concurrency_that_is_asked_for() -> None:
    run = demo('--runs', '12', '--concurrency', '3')
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(rows(run.stdout)['requests in flight at most']) <= 3
    assert int(rows(run.stdout)['connections opened']) <= 3


def test_the_demo_on_aws_uses_the_credentials_of_the_caller(bedrock: LocalBedrock) -> None:
    run = demo('--region', bedrock.region_name, '--runs', '4', environment=bedrock.environment)
    assert run.returncode == 0, run.stdout + run.stderr
    assert {request.operation for request in bedrock.requests} == {'Converse', 'ConverseStream'}
    assert {request.model_id for request in bedrock.requests} == {'us.amazon.nova-lite-v1:0'}


def test_a_failed_run_is_shown_and_fails_the_demo(bedrock: LocalBedrock) -> None:
    run = demo('--region', 'eu-west-1', '--runs', '8', environment=bedrock.environment)
    assert run.returncode == 1
    assert rows(run.stdout)['failures'] == '8'
    assert len(re.findall(r'^run \d \(\w+\): Model\w+Error: .*403', run.stdout, flags=re.MULTILINE)) == 5


def test_the_demo_refuses_an_unknown_profile_in_one_sentence() -> None:
    run = demo('--region', 'us-east-1', '--profile', 'nobody', '--runs', '1')
    assert run.returncode != 0
    assert 'nobody' in run.stdout + run.stderr
    assert 'Traceback' not in run.stderr


def read_to_the_end(screen: int) -> bytes:
    """Read until nobody holds the other end of the terminal, neither the demo nor the server that it started."""
    shown = b''
    with suppress(OSError):  # how Linux reports it; others give an empty read
        while piece := os.read(screen, 4096):
            shown += piece
    return shown


@pytest.fixture
def heeded_interrupts() -> Iterator[None]:
    # What a shell starts in the background ignores them, and so does whatever that starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('heeded_interrupts')
@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_the_demo_ends_cleanly_when_interrupted(signum: signal.Signals) -> None:
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, '-W', 'always::ResourceWarning', str(DEMO), '--runs', '5000', '--concurrency', '20'],
        env={**os.environ, 'TERM': 'xterm', 'COLUMNS': '100'},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        try:
            shown = b''
            while not re.search(rb' [1-9]\d*/5000', shown):
                shown += os.read(screen, 4096)
            process.send_signal(signum)
            shown += read_to_the_end(screen)
            assert process.wait() == 130
        finally:
            os.close(screen)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert b'Interrupted.' in shown
    assert b'Traceback' not in shown
    assert b'Warning' not in shown
