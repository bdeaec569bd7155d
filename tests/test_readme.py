"""What the README says is so: its Python blocks run, its commands and links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from parity.table import CASES

from local_bedrock import LocalBedrock

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```$', README, flags=re.DOTALL | re.MULTILINE)


def under_their_headings() -> list[object]:
    found: list[object] = []
    heading = 'top'
    for title, code in re.findall(r'^## ([^\n]*)$|^```python\n(.*?)^```$', README, flags=re.DOTALL | re.MULTILINE):
        if title:
            heading = title
        else:
            found.append(pytest.param(code, id=heading))
    return found


ASK = """

import asyncio
import httpx


async def ask():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url='http://test') as client:
        print((await client.get('/story', params={'about': 'a river'})).raise_for_status().text)


asyncio.run(ask())
"""
"""What a browser does to the application of a block."""


@pytest.mark.parametrize('code', under_their_headings())
def test_a_block_runs_and_leaves_nothing_open(code: str, bedrock: LocalBedrock, tmp_path: Path) -> None:
    script = tmp_path / 'test_block.py'
    script.write_text(code + (ASK if 'FastAPI()' in code else ''))
    is_test = 'def test_' in code
    if 'FastAPI()' in code:
        pytest.importorskip('fastapi', reason='the block needs FastAPI')
    # This folder may be in the project's own, as nox makes it, whose settings are not a user's.
    (tmp_path / 'pytest.ini').write_text('[pytest]\n')
    options = ['-m', 'pytest', '-q', '-p', 'no:asyncio']
    run = subprocess.run(
        [sys.executable, '-W', 'always::ResourceWarning', *(options if is_test else ()), str(script)],
        env={**os.environ, **bedrock.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ''
    assert run.stdout.strip()
    # A test serves its own.
    assert (bedrock.stats().requests > 0) is not is_test


def test_the_two_commands_do_their_own_set_up() -> None:
    commands = [block.strip() for block in blocks('sh') if 'venv' in block and 'pip install' in block]
    assert commands == [
        f'python3 -m venv .venv && .venv/bin/pip install -q nox && .venv/bin/nox -s {session}'
        for session in ('demo', 'tests')
    ]


COMMANDS = [line for block in blocks('sh') for line in block.splitlines()]


def test_every_command_is_checked_here() -> None:
    """A command that is added to the README needs a test, too."""
    checked = (
        'pip install ',
        '.venv/bin/nox -s demo -- ',
        'python3 -m venv .venv && ',
        'python -m pydantic_ai_aiobedrock',
        'python -m local_bedrock',
    )
    assert [command for command in COMMANDS if not command.startswith(checked)] == []


def test_what_is_installed_is_called_as_this_project_is() -> None:
    name = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['name']
    installed = [command for command in COMMANDS if command.startswith('pip install')]
    of_the_examples = "pip install -e '.[aioboto3]' -e ./local-bedrock --group examples"
    assert installed == [f"pip install '{name}[aioboto3]'", f'pip install {name}', of_the_examples]


@pytest.mark.parametrize(
    ('start', 'program'),
    [
        ('.venv/bin/nox -s demo -- ', [str(ROOT / 'examples' / 'concurrent_agents.py')]),
        ('python -m pydantic_ai_aiobedrock doctor ', ['-m', 'pydantic_ai_aiobedrock', 'doctor']),
    ],
    ids=['demo', 'doctor'],
)
def test_a_command_for_aws_runs(start: str, program: list[str], bedrock: LocalBedrock) -> None:
    (command,) = (command for command in COMMANDS if command.startswith(start))
    run = subprocess.run(
        [sys.executable, *program, *shlex.split(command.removeprefix(start))],
        env={**os.environ, **bedrock.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert {request.model_id for request in bedrock.requests if request.model_id} == {'us.amazon.nova-lite-v1:0'}


def test_the_command_that_serves_a_local_bedrock_tells_its_environment() -> None:
    assert 'python -m local_bedrock' in COMMANDS
    program = [sys.executable, '-u', '-m', 'local_bedrock', '--port', '0']
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            assert any('AWS_ENDPOINT_URL_BEDROCK_RUNTIME' in line for line in server.stdout)
        finally:
            server.terminate()


CONTRIBUTING = (ROOT / 'CONTRIBUTING.md').read_text()


def test_every_session_that_is_named_exists() -> None:
    commands = re.findall(r'nox -s ([a-z ]+)', README + CONTRIBUTING)
    named = {session for command in commands for session in command.split()}
    defined = re.findall(
        r'^@nox\.session(?:\(.*\))?\n(?:@.*\n)*def (\w+)', (ROOT / 'noxfile.py').read_text(), flags=re.MULTILINE
    )
    assert named >= {'demo', 'tests'}
    assert named <= set(defined)


def test_what_every_change_must_pass_includes_the_tests_command() -> None:
    script = (ROOT / '.ci/run').read_text()
    assert re.findall(r'^check (\w+) \d+', script, flags=re.MULTILINE) == ['lint', 'types', 'tests']
    assert '-s "$1"' in script


def test_every_relative_link_leads_to_a_file() -> None:
    links = [link for link in re.findall(r'\]\(([^)]+)\)', README) if not link.startswith(('https://', '#'))]
    assert links
    assert [link for link in links if not (ROOT / link.partition('#')[0]).exists()] == []


def test_every_session_has_a_line_of_help_and_is_named_to_contributors() -> None:
    noxfile = (ROOT / 'noxfile.py').read_text()
    helped = re.findall(
        r'^@nox\.session(?:\(.*\))?\n(?:@.*\n)*def (\w+)\(.*\n    """.+"""$', noxfile, flags=re.MULTILINE
    )
    assert len(helped) == noxfile.count('@nox.session')
    documented = README + CONTRIBUTING
    assert [session for session in helped if f'nox -s {session}' not in documented] == []


def test_the_cases_of_the_comparison_with_upstream_are_counted() -> None:
    counted = re.search(r'More than (\d+) cases .*? but for (\d+) that differ', README, re.DOTALL)
    assert counted is not None
    more_than, but_for = map(int, counted.groups())
    assert more_than < len(CASES) < more_than + 100
    assert but_for == sum(bool(case.upstream) for case in CASES.values())
