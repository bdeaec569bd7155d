"""Temporal validates a workflow whose module imports this package, with Pydantic AI's plugin as it comes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('temporalio', reason='temporalio validates the workflow: nox -s integrations')
pytest.importorskip('pydantic_ai.durable_exec.temporal._durability', reason='needs TemporalDurability')

WORKFLOW = """
from pydantic_ai import Agent
from pydantic_ai.durable_exec.temporal import TemporalDurability
from temporalio import workflow

from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, ResolveBedrock

model = BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=BedrockProvider(region_name='us-east-1'))
agent = Agent(model, name='greeter', capabilities=[ResolveBedrock(), TemporalDurability()])


@workflow.defn
class Greet:
    @workflow.run
    async def run(self, prompt: str) -> str:
        return (await agent.run(prompt)).output
"""

VALIDATE = """
import asyncio

from pydantic_ai.durable_exec.temporal import PydanticAIPlugin
from temporalio import workflow
from temporalio.worker import ReplayerConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from greeting import Greet


async def main():
    # As a worker does when it is made, which takes a connection to a server.
    config = ReplayerConfig(workflows=[Greet], workflow_runner=SandboxedWorkflowRunner())
    runner = PydanticAIPlugin().configure_replayer(config)['workflow_runner']
    runner.prepare_workflow(workflow._Definition.must_from_class(Greet))
    print('valid')


asyncio.run(main())
"""


def test_a_workflow_that_imports_the_package_is_valid(tmp_path: Path) -> None:
    (tmp_path / 'greeting.py').write_text(WORKFLOW)
    (tmp_path / 'validate.py').write_text(VALIDATE)
    ran = subprocess.run(
        [sys.executable, 'validate.py'], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, 'valid\n'), ran.stderr
