"""The commands of the Dockerfile, on this machine: the entry point serves, and the health check sees it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1]
DOCKERFILE = (FOLDER / 'Dockerfile').read_text()
HEALTH_CHECK = FOLDER / 'healthcheck.py'
SECONDS = 30


def command(instruction: str) -> list[str]:
    """Return the command of an instruction, in the form that runs without a shell."""
    [found] = re.findall(rf'^{instruction}\b[^\[\n]*(\[.*\])$', DOCKERFILE, flags=re.M)
    return json.loads(found)


def free_port() -> str:
    with socket.create_server(('127.0.0.1', 0)) as free:
        return str(free.getsockname()[1])


def status_of_health(port: str) -> int:
    """Return the exit status of the health check, made for another port than that of the container."""
    python, file = command('HEALTHCHECK')
    assert (python, file) == ('python', f'/{HEALTH_CHECK.name}')
    code = HEALTH_CHECK.read_text()
    assert '\nPORT = 8080\n' in code
    code = code.replace('\nPORT = 8080\n', f'\nPORT = {port}\n')
    return subprocess.run([sys.executable, '-c', code], timeout=SECONDS).returncode


@contextmanager
def container(port: str, options: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Start the entry point with the options of `docker run`, at another port."""
    program, *arguments = command('ENTRYPOINT')
    assert program == 'local-bedrock'
    assert arguments[-2:] == ['--port', '8080']
    with subprocess.Popen(
        [sys.executable, '-m', 'local_bedrock', *arguments[:-1], port, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
        text=True,
    ) as server:
        try:
            yield server
        finally:
            server.terminate()
            server.communicate(timeout=SECONDS)


@pytest.mark.parametrize('options', [[], ['--tls']], ids=['http', 'https'])
def test_the_health_check_succeeds_as_soon_as_the_server_says_that_it_serves(options: list[str]) -> None:
    if options:
        pytest.importorskip('trustme', reason='--tls needs it')
    port = free_port()
    with container(port, ['--api-key', 'my-key', '--json', *options]) as server:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())['base_url'].endswith(f':{port}')
        assert status_of_health(port) == 0


def test_the_health_check_fails_without_a_server() -> None:
    assert status_of_health(free_port()) == 1


def test_the_health_check_ends_by_itself_if_nothing_answers() -> None:
    [timeout] = re.findall(r'^HEALTHCHECK.*--timeout=(\d+)s', DOCKERFILE, flags=re.M)
    [seconds] = re.findall(r'^SECONDS = ([\d.]+)$', HEALTH_CHECK.read_text(), flags=re.M)
    # There are two attempts.
    assert int(timeout) > 2 * float(seconds)
    with socket.create_server(('127.0.0.1', 0)) as silent:
        assert status_of_health(str(silent.getsockname()[1])) == 1
