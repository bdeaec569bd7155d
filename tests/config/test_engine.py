"""An engine of releases that do not belong together is a clear error, and the same from the doctor."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock._config.engine import check_engine

MESSAGE = (
    r'aiobotocore (?P<engine>[\d.]+) allows botocore(?P<allowed>\S+), but botocore 1\.999\.0 is installed\. '
    r"Run: pip install 'boto3(?P=allowed)' 'botocore(?P=allowed)'"
)

CALL = """
import asyncio
from pydantic_ai import Agent, UserError
from pydantic_ai_aiobedrock import BedrockConverseModel

agent = Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0'))
try:
    agent.run_sync('Hello!')
except UserError as error:
    print(error)
"""


def said(bedrock: LocalBedrock, path: Path, *arguments: str) -> str:
    """Run Python with a folder ahead of what is installed; return its output."""
    environment = {**os.environ, **bedrock.environment, 'PYTHONPATH': str(path)}
    run = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert run.stderr == ''
    return run.stdout


@pytest.fixture
def newer_botocore(tmp_path: Path) -> Path:
    """Return a folder that says that a botocore is installed which no aiobotocore allows."""
    metadata = tmp_path / 'botocore-1.999.0.dist-info' / 'METADATA'
    metadata.parent.mkdir()
    metadata.write_text('Metadata-Version: 2.1\nName: botocore\nVersion: 1.999.0\n')
    return tmp_path


def test_the_installed_releases_belong_together() -> None:
    check_engine()


def test_the_first_call_names_the_command_that_mends_it(bedrock: LocalBedrock, newer_botocore: Path) -> None:
    output = said(bedrock, newer_botocore, '-c', CALL)
    said_so = re.fullmatch(MESSAGE, output.strip())
    assert said_so is not None, output
    assert said_so['engine'] == version('aiobotocore')
    assert version('botocore') in SpecifierSet(said_so['allowed'])
    assert bedrock.requests == []


def test_the_doctor_names_the_command_that_mends_it(bedrock: LocalBedrock, newer_botocore: Path) -> None:
    output = said(bedrock, newer_botocore, '-m', 'pydantic_ai_aiobedrock', 'doctor', '--json')
    (problem,) = json.loads(output)['problems']
    assert problem['code'] == 'engine_mismatch'
    assert re.fullmatch(MESSAGE, problem['meaning'])
