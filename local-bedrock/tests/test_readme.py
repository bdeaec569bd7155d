"""The README: its blocks run, and its table of operations is that of the dispatch."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import botocore.session
import pytest

from local_bedrock import LocalBedrock, routing
from local_bedrock._cli.arguments import parse
from local_bedrock.routing import OPERATIONS

ROOT = Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text()
NAMES = {'Bedrock Runtime': 'bedrock-runtime', 'Bedrock': 'bedrock', 'S3': 's3', 'STS': 'sts'}


def rows(section: str) -> list[list[str]]:
    """Return the cells of the table of a section."""
    text = README.partition(f'\n## {section}\n')[2].partition('\n## ')[0]
    lines = [line for line in text.splitlines() if line.startswith('| ')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[1:]]


def blocks(language: str) -> dict[str, str]:
    """Return the first block of a language below each heading."""
    sections = re.split(r'^##+ ', README, flags=re.MULTILINE)
    found = {
        section.partition('\n')[0]: re.search(rf'^```{language}\n(.*?)^```$', section, re.DOTALL | re.MULTILINE)
        for section in sections
    }
    return {heading: block[1] for heading, block in found.items() if block is not None}


# Operations


def test_the_table_of_operations_names_each_that_is_dispatched() -> None:
    supported = [operation for _, operation, answer in rows('Operations') if answer != 'no']
    assert sorted(supported) == sorted(OPERATIONS)
    assert set(OPERATIONS) == {
        name for literal in get_args(routing.Operation) for name in get_args(literal) or [literal]
    }


def test_the_table_of_operations_names_each_of_bedrock_runtime() -> None:
    model = botocore.session.Session().get_service_model('bedrock-runtime')
    named = {operation for service, operation, _ in rows('Operations') if service == 'Bedrock Runtime'}
    assert set(model.operation_names) <= named


def test_each_operation_stands_beside_its_service() -> None:
    session = botocore.session.Session()
    known = {name: set(session.get_service_model(service).operation_names) for name, service in NAMES.items()}
    # The botocore of the tests may be older than an operation that is not supported.
    wrong = [row for row in rows('Operations') if row[2] != 'no' and row[1] not in known[row[0]]]
    assert wrong == []


# Blocks


@pytest.mark.parametrize(('client', 'module'), [('boto3', 'boto3'), ('pydantic-ai', 'pydantic_ai.models.bedrock')])
def test_a_first_test_passes(client: str, module: str, tmp_path: Path) -> None:
    pytest.importorskip(module, reason=f'the block needs {client}')
    test = tmp_path / 'test_first.py'
    test.write_text(blocks('python')[client])
    # This folder may be in the project's own, whose settings are not a user's.
    (tmp_path / 'pytest.ini').write_text('[pytest]\n')
    options = ('-q', '-p', 'no:cacheprovider', '-p', 'no:randomly')
    ran = subprocess.run([sys.executable, '-m', 'pytest', *options, str(test)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    assert '1 passed' in ran.stdout


def test_each_first_test_is_run_here_or_with_its_client() -> None:
    first = blocks('python') | blocks('js')
    assert first.keys() == {'boto3', 'LangChain', 'litellm', 'pydantic-ai', 'JavaScript'}
    spec = importlib.util.spec_from_file_location('first_tests', ROOT.parent / 'tests' / 'clients' / 'first_tests.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert set(module.HEADINGS.values()) == first.keys()
    assert module.blocks() == first


@pytest.mark.skipif(shutil.which('curl') is None, reason='curl is not installed')
def test_the_shell_block_of_the_admin_api_runs(served: LocalBedrock) -> None:
    script = blocks('sh')['From any language: the admin API']
    ran = subprocess.run(
        ['sh', '-e', '-c', script], env={**os.environ, **served.environment}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    answers = [json.loads(answer) for answer in re.findall(r'^[\[{].*$', ran.stdout, re.MULTILINE)]
    assert [answer['pending'] for answer in answers[:3]] == [2, 3, 1]
    assert answers[3]['quotas'][0]['tokens_per_minute'] == 100_000
    assert answers[4:5] == [[]]
    assert answers[5]['requests'] == 0


def test_the_command_of_the_readme_is_understood() -> None:
    [command] = [line for line in README.splitlines() if line.startswith('local-bedrock --')]
    options = parse(command.replace("'", '').split()[1:])
    assert (options.command, options.port, options.replies, options.tls) == (
        'serve',
        8080,
        ['replies.jsonl'],
        './authority',
    )


def test_the_table_of_emulators_is_that_of_the_last_run() -> None:
    table = README.partition('<!-- emulators -->\n')[2].partition('\n<!-- /emulators -->')[0]
    assert len(table.splitlines()) > 10
    assert f'\n{table}\n' in (ROOT / 'benchmarks' / 'EMULATORS.md').read_text()


# Dockerfile


def test_the_dockerfile_copies_files_that_exist_and_starts_the_console_script() -> None:
    lines = (ROOT / 'Dockerfile').read_text().splitlines()
    copied = [path for line in lines if line.startswith('COPY') for path in line.split()[1:-1]]
    assert copied == ['pyproject.toml', 'README.md', 'src', 'healthcheck.py']
    assert all((ROOT / path).exists() for path in copied)
    [entrypoint] = [json.loads(line.partition(' ')[2]) for line in lines if line.startswith('ENTRYPOINT')]
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    assert entrypoint[0] in project['scripts']
    assert 'tls' in project['optional-dependencies']
    options = parse(entrypoint[1:])
    assert (options.host, options.port) == ('0.0.0.0', 8080)
    assert f'EXPOSE {options.port}' in lines
