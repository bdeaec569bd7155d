"""Programs that run as a user's scripts would, under `-X dev -W error`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap

from local_bedrock import LocalBedrock

PROGRAM = """
import asyncio, os, signal, sys, threading
# Shells start what runs in the background without it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pydantic_ai import Agent
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

provider = BedrockProvider()
pool = provider.client.pool
agent = Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider))
"""


def run(bedrock: LocalBedrock, program: str, *, exit_status: int = 0, flags: tuple[str, ...] = ()) -> tuple[str, str]:
    """Run a program as a user's script would be; return its output on both streams, but for asyncio's slow tasks."""
    done = subprocess.run(
        [sys.executable, '-X', 'dev', '-W', 'error', *flags, '-c', PROGRAM + textwrap.dedent(program)],
        env={**environment(bedrock), 'PYTHONASYNCIODEBUG': '0'},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == exit_status, done.stderr
    # In debug mode, asyncio reports whatever took long.
    slow = re.compile(r'^Executing <.* took [0-9.]+ seconds\n', re.MULTILINE)
    return done.stdout, slow.sub('', done.stderr)


def environment(bedrock: LocalBedrock) -> dict[str, str]:
    variables = {**os.environ, **bedrock.environment}
    variables.pop('AWS_BEARER_TOKEN_BEDROCK', None)
    return variables
