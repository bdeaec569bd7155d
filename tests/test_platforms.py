"""A call needs nothing that only POSIX has; this is not Windows, but the parts that Windows lacks are taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from local_bedrock import LocalBedrock

WITHOUT_POSIX = """
import asyncio, os, signal, socket, sys

ABSENT = ('fcntl', 'grp', 'pwd', 'resource', 'termios', 'uvloop')

class Absent:
    def find_spec(self, name, path, target=None):
        if name in ABSENT:
            raise ModuleNotFoundError(name, name=name)

class Loop(asyncio.SelectorEventLoop):
    # A proactor's loop on Windows has none of these.
    def add_reader(self, *args): raise NotImplementedError
    def add_writer(self, *args): raise NotImplementedError
    def add_signal_handler(self, *args): raise NotImplementedError

pair, family = socket.socketpair, socket.AF_UNIX
socket.socketpair = lambda *args: pair(family)
sys.meta_path.insert(0, Absent())
for name in ABSENT:
    sys.modules.pop(name, None)
for module, names in {
    os: ('fork', 'forkpty', 'getloadavg', 'getpgid', 'geteuid', 'getuid', 'killpg', 'nice', 'register_at_fork',
         'sched_getaffinity', 'setsid', 'sysconf', 'uname', 'wait3', 'wait4'),
    signal: ('SIGALRM', 'SIGCHLD', 'SIGHUP', 'SIGKILL', 'SIGPIPE', 'SIGUSR1', 'SIGUSR2', 'alarm', 'pause',
             'pthread_sigmask', 'setitimer', 'sigwait'),
    socket: ('AF_UNIX', 'MSG_NOSIGNAL', 'SO_REUSEPORT', 'TCP_KEEPIDLE', 'TCP_KEEPINTVL', 'TCP_KEEPCNT',
             'TCP_USER_TIMEOUT'),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""

CALLS = f"""
{WITHOUT_POSIX}
from pydantic_ai import Agent
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider

async def main():
    async with BedrockProvider() as provider:
        agent = Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider))
        print((await agent.run('Hello!')).output)
        async with agent.run_stream('Hello!') as stream:
            print(await stream.get_output())
        model = BedrockEmbeddingModel('amazon.titan-embed-text-v2:0', provider=provider)
        print(len((await model.embed('Hello!', input_type='query')).embeddings[0]))

with asyncio.Runner(loop_factory=Loop) as runner:
    runner.run(main())
"""

DOCTOR = f"""
{WITHOUT_POSIX}
asyncio.events.new_event_loop = Loop

from pydantic_ai_aiobedrock.__main__ import main

sys.exit(main(['doctor', '--json']))
"""


def run(program: str, bedrock: LocalBedrock) -> str:
    ended = subprocess.run(
        [sys.executable, '-c', program],
        env={**os.environ, **bedrock.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ''
    assert ended.returncode == 0
    return ended.stdout


def test_a_call_a_stream_and_an_embedding_come_through_without_the_parts_that_only_posix_has(
    bedrock: LocalBedrock,
) -> None:
    bedrock.reply('Fine.', times=2)
    assert run(CALLS, bedrock) == 'Fine.\nFine.\n1024\n'


def test_the_doctor_runs_without_the_parts_that_only_posix_has(bedrock: LocalBedrock) -> None:
    assert json.loads(run(DOCTOR, bedrock))['healthy'] is True
