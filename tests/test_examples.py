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
        [sys.executable, str(DEMO), *options],
        # The processes of the clients inherit it.
        env={**os.environ, 'PYTHONWARNINGS': 'always::ResourceWarning', 'COLUMNS': '200', **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def columns(table: str) -> list[dict[str, str]]:
    """Return the columns of the table that the demo ends with, but the first, which has the names of the rows."""
    rows = [re.split(r' *[│┃] *', line)[1:-1] for line in table.splitlines() if line.startswith(('│', '┃'))]
    names = ['title', *(row[0] for row in rows[1:])]
    return [dict(zip(names, column, strict=True)) for column in list(zip(*rows, strict=True))[1:]]


def test_the_demo_runs_both_clients_side_by_side_and_then_under_a_quota() -> None:
    run = demo('--runs', '24', '--latency', '0.2', '--quota', '10', '--seconds', '100')
    assert run.returncode == 0, run.stdout + run.stderr
    ours, theirs, under_a_quota = columns(run.stdout)
    assert [column['title'] for column in (ours, theirs)] == ['this package', "Pydantic AI's own"]
    assert under_a_quota['title'] == 'this package, quota of 10/s'
    for column in (ours, theirs, under_a_quota):
        assert (column['answered'], column['failed']) == ('24', '0')
        for name in ('seconds until all had answered', 'seconds of CPU', 'memory at most, MB'):
            assert float(column[name]) > 0
        assert (
            0 < float(column['seconds to the first token, median']) <= float(column['seconds to the first token, p99'])
        )
    assert int(ours['calls in flight at most']) > 10
    assert ours['worker threads at most'] == under_a_quota['worker threads at most'] == '0'
    assert int(theirs['worker threads at most']) > 0
    assert ours['calls that the quota refused'] == '0'
    assert int(under_a_quota['calls that the quota refused']) > 0


def test_the_demo_keeps_to_the_concurrency_that_is_asked_for() -> None:
    run = demo('--runs', '12', '--concurrency', '3', '--latency', '0', '--quota', '1000', '--seconds', '100')
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(columns(run.stdout)[0]['calls in flight at most']) <= 3


def test_the_demo_ends_at_its_time_limit_and_says_what_has_not_ended() -> None:
    run = demo('--runs', '4', '--latency', '600', '--seconds', '0.2')
    assert run.returncode == 1, run.stdout + run.stderr
    assert 'Stopped after 0.2 s.' in run.stdout
    assert [column['answered'] for column in columns(run.stdout)] == ['0', '0', '0']
    assert {column['seconds of CPU'] for column in columns(run.stdout)} == {'not ended'}
    assert run.stderr == ''


def test_the_demo_on_aws_uses_the_credentials_of_the_caller(bedrock: LocalBedrock) -> None:
    run = demo('--region', bedrock.region_name, '--runs', '4', environment=bedrock.environment)
    assert run.returncode == 0, run.stdout + run.stderr
    [ours] = columns(run.stdout)
    assert (ours['answered'], ours['worker threads at most'], run.stderr) == ('4', '0', '')
    # Beside those, the connection that is opened ahead of them.
    calls = [request for request in bedrock.requests if request.operation]
    assert {request.operation for request in calls} == {'Converse', 'ConverseStream'}
    assert {request.model_id for request in calls} == {'us.amazon.nova-lite-v1:0'}


def test_a_failed_run_is_shown_and_fails_the_demo(bedrock: LocalBedrock) -> None:
    run = demo('--region', 'eu-west-1', '--runs', '8', environment=bedrock.environment)
    assert run.returncode == 1
    assert columns(run.stdout)[0]['failed'] == '8'
    assert len(re.findall(r'^agent \d \(\w+\): Model\w+Error: .*403', run.stdout, flags=re.MULTILINE)) == 5


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
        [sys.executable, str(DEMO), '--runs', '5000', '--concurrency', '20', '--latency', '0.2'],
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
