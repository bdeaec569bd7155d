"""A call needs nothing that only POSIX has; this is not Windows, but what Windows lacks is taken away."""

from __future__ import annotations

import os
import subprocess
import sys

from local_bedrock import LocalBedrock

PROGRAM = """
import asyncio, os, signal, socket, sys

class Absent:
    def find_spec(self, name, path, target=None):
        if name in ('fcntl', 'grp', 'posix', 'pwd', 'resource', 'termios', 'uvloop'):
            raise ModuleNotFoundError(name, name=name)

class Loop(asyncio.SelectorEventLoop):
    # A proactor's loop on Windows has none of these.
    def add_reader(self, *args): raise NotImplementedError
    def add_writer(self, *args): raise NotImplementedError
    def add_signal_handler(self, *args): raise NotImplementedError

pair, family = socket.socketpair, socket.AF_UNIX
socket.socketpair = lambda *args: pair(family)
sys.meta_path.insert(0, Absent())
for name in ('fcntl', 'grp', 'pwd', 'resource', 'termios'):
    sys.modules.pop(name, None)
for module, names in {
    os: ('fork', 'register_at_fork', 'getuid', 'getppid', 'uname'),
    signal: ('SIGALRM', 'SIGHUP', 'SIGKILL', 'SIGUSR1', 'setitimer', 'pthread_sigmask'),
    socket: ('AF_UNIX', 'SO_REUSEPORT', 'TCP_KEEPIDLE', 'TCP_KEEPINTVL', 'TCP_KEEPCNT', 'TCP_USER_TIMEOUT'),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

from pydantic_ai import Agent
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

async def main():
    async with BedrockProvider() as provider:
        agent = Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider))
        print((await agent.run('Hello!')).output)
        async with agent.run_stream('Hello!') as stream:
            print(await stream.get_output())

with asyncio.Runner(loop_factory=Loop) as runner:
    runner.run(main())
"""


def test_a_call_and_a_stream_come_through_without_what_only_posix_has(bedrock: LocalBedrock) -> None:
    bedrock.reply('Fine.', times=2)
    run = subprocess.run(
        [sys.executable, '-c', PROGRAM],
        env={**os.environ, **bedrock.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ''
    assert run.stdout == 'Fine.\nFine.\n'
