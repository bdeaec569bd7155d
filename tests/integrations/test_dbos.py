"""An agent of this package runs as a durable workflow of DBOS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_bedrock import LocalBedrock

pytest.importorskip('dbos', reason='DBOS runs the workflow: nox -s integrations')
pytest.importorskip('pydantic_ai.durable_exec.dbos._durability', reason='this Pydantic AI has no DBOSDurability')

PROGRAM = """
import asyncio

from dbos import DBOS
from pydantic_ai import Agent
from pydantic_ai.durable_exec.dbos import DBOSDurability

from pydantic_ai_aiobedrock import BedrockConverseModel

DBOS(config={'name': 'greetings', 'system_database_url': 'sqlite:///greetings.sqlite'})
model = BedrockConverseModel('us.amazon.nova-lite-v1:0')
agent = Agent(model, name='greeter', capabilities=[DBOSDurability()])


@DBOS.workflow()
async def greet(prompt: str) -> str:
    return (await agent.run(prompt)).output


async def main() -> None:
    DBOS.launch()
    print(await greet('Hello.'))
    [ran] = await DBOS.list_workflows_async(name='greet')
    print(ran.status)
    DBOS.destroy()


asyncio.run(main())
"""


def test_an_agent_runs_in_a_workflow(tmp_path: Path) -> None:
    with LocalBedrock() as bedrock:
        bedrock.reply('Good morning.')
        ran = subprocess.run(
            [sys.executable, '-c', PROGRAM],
            cwd=tmp_path,
            env={**os.environ, **bedrock.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert 'Good morning.\nSUCCESS\n' in ran.stdout
        assert bedrock.stats().requests == 1
