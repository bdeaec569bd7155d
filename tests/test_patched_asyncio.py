"""Programs under gevent's monkey patching, or with nest_asyncio: both change asyncio for the whole process."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from credential_sources import CredentialProcess, current

from local_bedrock import LocalBedrock

needs_gevent = pytest.mark.skipif(find_spec('gevent') is None, reason='gevent is not installed')
needs_nest_asyncio = pytest.mark.skipif(find_spec('nest_asyncio') is None, reason='nest_asyncio is not installed')

GEVENT = 'from gevent import monkey; monkey.patch_all()\n'
NEST_ASYNCIO = 'import nest_asyncio; nest_asyncio.apply()\n'
AGENT = """
import asyncio
import sys

from pydantic_ai import Agent, UserError

from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

url, access_key_id, secret_access_key = sys.argv[1:]
provider = BedrockProvider(
    region_name='us-east-1',
    base_url=url,
    aws_access_key_id=access_key_id,
    aws_secret_access_key=secret_access_key,
)
agent = Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider))


async def main():
    results = await asyncio.gather(*(agent.run('Hi.') for _ in range(3)))
    async with agent.run_stream('Hi.') as stream:
        return [result.output for result in results] + [await stream.get_output()]

"""
FOUR = "['Hello.', 'Hello.', 'Hello.', 'Hello.']\n"
DEFAULT_LOOP = """
async def nested():
    return agent.run_sync('Hi.').output, asyncio.run(main())

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
"""


def run(program: str, bedrock: LocalBedrock) -> str:
    bedrock.reply('Hello.', times=None)
    arguments = (bedrock.base_url, bedrock.aws_access_key_id, bedrock.aws_secret_access_key)
    done = subprocess.run(
        [sys.executable, '-c', program, *arguments], capture_output=True, text=True, check=False, timeout=110
    )
    assert (done.returncode, done.stderr) == (0, '')
    return done.stdout


@needs_gevent
@pytest.mark.parametrize(
    ('program', 'output'),
    [
        ('print(asyncio.run(main()))', FOUR),
        ("print(agent.run_sync('Hi.').output)", 'Hello.\n'),
        (
            'import gevent\npool = gevent.get_hub().threadpool\n'
            'for result in [pool.spawn(asyncio.run, main()) for _ in range(2)]:\n    print(result.get())',
            2 * FOUR,
        ),
    ],
    ids=['asyncio.run', 'run_sync', 'loops in native threads'],
)
def test_agents_run_under_the_monkey_patching_of_gevent(program: str, output: str, bedrock: LocalBedrock) -> None:
    assert run(GEVENT + AGENT + program, bedrock) == output


@needs_gevent
@pytest.mark.parametrize('patches', ['', 'thread=False, subprocess=False'])
def test_a_credential_process_under_gevent_is_an_error_instead_of_a_wait(
    patches: str, bedrock: LocalBedrock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = CredentialProcess(tmp_path)
    process.give(current(bedrock))
    config = tmp_path / 'config'
    config.write_text(f'[default]\ncredential_process = {process.command}\n')
    monkeypatch.setenv('AWS_CONFIG_FILE', str(config))
    program = (
        f'from gevent import monkey; monkey.patch_all({patches})\n'
        + AGENT.replace('    aws_access_key_id=access_key_id,\n    aws_secret_access_key=secret_access_key,\n', '')
        + "try:\n    print(asyncio.run(agent.run('Hi.')).output)\nexcept UserError as error:\n    print(error)\n"
    )
    assert 'A `credential_process` cannot be run under the monkey patching of gevent' in run(program, bedrock)


@needs_nest_asyncio
@pytest.mark.parametrize(
    ('program', 'output'),
    [
        ('print(asyncio.run(main()))\nprint(asyncio.run(main()))', 2 * FOUR),
        (DEFAULT_LOOP + 'print(loop.run_until_complete(nested()))', f"('Hello.', {FOUR[:-1]})\n"),
    ],
    ids=['asyncio.run twice', 'loops within a running loop'],
)
def test_agents_run_with_nest_asyncio_and_the_program_ends_in_silence(
    program: str, output: str, bedrock: LocalBedrock
) -> None:
    assert run(NEST_ASYNCIO + AGENT + program, bedrock) == output
