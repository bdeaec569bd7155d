"""What the README says is so: its Python blocks run, its commands and links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pydantic_ai_aiobedrock.local import LocalBedrock

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


@pytest.mark.parametrize('code', under_their_headings())
def test_a_block_runs_and_leaves_nothing_open(code: str, bedrock: LocalBedrock, tmp_path: Path) -> None:
    script = tmp_path / 'test_block.py'
    script.write_text(code)
    is_test = 'def test_' in code
    options = ['-m', 'pytest', '-q', '--asyncio-mode=auto', f'--rootdir={tmp_path}'] if is_test else []
    run = subprocess.run(
        [sys.executable, '-W', 'always::ResourceWarning', *options, str(script)],
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


def test_every_session_that_is_named_exists() -> None:
    named = set(re.findall(r'nox -s (\w+)', README))
    defined = re.findall(r'^@nox\.session\n(?:@.*\n)*def (\w+)', (ROOT / 'noxfile.py').read_text(), flags=re.MULTILINE)
    assert named >= {'demo', 'tests'}
    assert named <= set(defined)


def test_what_every_change_must_pass_includes_the_tests_command() -> None:
    script = (ROOT / '.ci/run').read_text()
    assert re.findall(r'^check (\w+) \d+', script, flags=re.MULTILINE) == ['lint', 'types', 'tests']
    assert '-s "$1"' in script


def test_every_relative_link_leads_to_a_file() -> None:
    links = [link for link in re.findall(r'\]\(([^)]+)\)', README) if not link.startswith(('https://', '#'))]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
