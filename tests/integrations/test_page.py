"""The programs of docs/integrations.md run as they stand: in workflow engines, on a cluster, in a terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from local_bedrock import LocalBedrock

PAGE = (Path(__file__).parents[2] / 'docs' / 'integrations.md').read_text()
# A server of Prefect, or workers of Dask, take some seconds to start on a busy machine.
pytestmark = pytest.mark.timeout(180)


def program(heading: str, language: str = 'py') -> str:
    """Return the first block under a heading."""
    [code] = re.findall(rf'^## {heading}$(?:(?!^## ).)*?^```{language}\n(.*?)^```$', PAGE, flags=re.DOTALL | re.M)
    return code


def run(folder: Path, bedrock: LocalBedrock, *arguments: str, **environment: str) -> str:
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **bedrock.environment, 'PYTHONPATH': str(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, log = process.communicate(timeout=170)
        finally:
            # Servers and workers that a program has started end with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said + log
    return said


def test_an_agent_runs_in_a_workflow_of_dbos(tmp_path: Path, bedrock: LocalBedrock) -> None:
    pytest.importorskip('dbos', reason='DBOS runs the workflow: nox -s integrations')
    pytest.importorskip('pydantic_ai.durable_exec.dbos._durability', reason='this Pydantic AI has no DBOSDurability')
    (tmp_path / 'greetings.py').write_text(program('DBOS'))
    bedrock.reply('Good morning.')
    assert 'Good morning.\n' in run(tmp_path, bedrock, 'greetings.py')
    assert bedrock.stats().requests == 1


def test_an_agent_runs_in_a_flow_of_prefect_and_its_call_is_a_task(tmp_path: Path, bedrock: LocalBedrock) -> None:
    pytest.importorskip('prefect', reason='Prefect runs the flow: nox -s integrations')
    pytest.importorskip('pydantic_ai.durable_exec.prefect._durability', reason='this Pydantic AI has no durability')
    (tmp_path / 'greetings.py').write_text(program('Prefect'))
    bedrock.reply('Good morning.')
    settings = {
        'PREFECT_HOME': str(tmp_path / 'prefect'),
        'PREFECT_SERVER_ANALYTICS_ENABLED': 'false',
        'PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS': '160',
        'PREFECT_LOGGING_LEVEL': 'INFO',
    }
    assert 'Good morning.\n' in run(tmp_path, bedrock, 'greetings.py', **settings)
    assert bedrock.stats().requests == 1


def test_a_model_travels_to_the_workers_of_dask(tmp_path: Path, bedrock: LocalBedrock) -> None:
    pytest.importorskip('distributed', reason='Dask runs the workers: nox -s integrations')
    (tmp_path / 'numbers_of_dask.py').write_text(program('Dask'))
    assert run(tmp_path, bedrock, 'numbers_of_dask.py').count('You said') == 20
    assert bedrock.stats().requests == 20


def test_clai_talks_to_an_agent_of_a_module(tmp_path: Path, bedrock: LocalBedrock) -> None:
    pytest.importorskip('prompt_toolkit', reason='the terminal of clai: nox -s integrations')
    (tmp_path / 'chat.py').write_text(program('to_web and clai', 'python').replace('app = agent.to_web()\n', ''))
    bedrock.reply('Good morning.')
    said = run(tmp_path, bedrock, '-m', 'pydantic_ai', '--agent', 'chat:agent', '--no-stream', 'Hello!')
    assert 'Good morning.' in said
    assert bedrock.stats().requests == 1
