"""What the documentation says is so: its Python blocks run, and its links and codes lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import botocore.session
import pytest

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock._core import telemetry
from pydantic_ai_aiobedrock._doctor import diagnosis, doctor

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / 'docs').glob('*.md'))
# docs/testing.md is about tests: its blocks are tests themselves, run where LocalBedrock is tested.
RUN = [page for page in PAGES if page.stem != 'testing']


NEEDS = {
    'from fastapi': 'fastapi',
    'from fastmcp': 'fastmcp',
    'pydantic_ai.ui.ag_ui': 'ag_ui',
    'import logfire': 'logfire',
    'from tenacity': 'tenacity',
    'set_meter_provider': 'opentelemetry.sdk',
    'BatchInference': 'pydantic_ai.models.batch',
}
"""Words of a block, and the module without which it cannot run: `nox -s integrations` has them all."""

ASK = """
import asyncio
import httpx


async def ask():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url='http://localhost') as client:
        response = await client.post({path!r}, json={body!r}, headers={{'accept': 'text/event-stream'}})
        print(response.raise_for_status().text)


asyncio.run(ask())
"""
"""A front end that sends one message to the application of a block."""

VERCEL = {
    'trigger': 'submit-message',
    'id': 'chat',
    'messages': [{'id': '1', 'role': 'user', 'parts': [{'type': 'text', 'text': 'Hello!'}]}],
}
AG_UI = {
    'threadId': 'thread',
    'runId': 'run',
    'state': {},
    'messages': [{'id': '1', 'role': 'user', 'content': 'Hello!'}],
    'tools': [],
    'context': [],
    'forwardedProps': {},
}
FRONT_ENDS = {
    'AGUIAdapter': ASK.format(path='/agent', body=AG_UI),
    'VercelAIAdapter': ASK.format(path='/chat', body=VERCEL),
    'to_web()': ASK.format(path='/api/chat', body=VERCEL),
}


def blocks() -> list[object]:
    found: list[object] = []
    for page in RUN:
        for number, code in enumerate(re.findall(r'^```python\n(.*?)^```$', page.read_text(), flags=re.DOTALL | re.M)):
            found.append(pytest.param(code, id=f'{page.stem}-{number + 1}'))
    return found


@pytest.mark.parametrize('code', blocks())
def test_a_block_runs_and_leaves_nothing_open(
    code: str,
    bedrock: LocalBedrock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv('BEDROCK_API_KEY', bedrock.api_key)
    for words, module in NEEDS.items():
        if words in code:
            pytest.importorskip(module, reason=f'the block needs {module}')
    code += ''.join(front_end for words, front_end in FRONT_ENDS.items() if words in code)
    # Some can be done once in a process, others leave their event loop to the process.
    if any(words in code for words in ('set_meter_provider', '_sync(', 'logfire', 'fastmcp', 'ASGITransport')):
        # Other libraries warn, and that is theirs.
        strict = () if any(words in code for words in ('logfire', 'fastmcp', 'ag_ui')) else ('-W', 'error')
        ran = subprocess.run([sys.executable, *strict, '-c', code], check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        print(ran.stdout)
    else:
        exec(compile(code, 'block', 'exec'), {'__name__': 'block'})
    assert bedrock.stats().requests > 0
    assert {request.status for request in bedrock.requests if request.operation} <= {200}
    assert capsys.readouterr().out.strip()


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / 'mkdocs.yml').read_text()
    assert [page.name for page in PAGES if f' {page.name}\n' not in navigation] == []


def test_every_code_of_the_doctor_that_the_troubleshooting_names_is_one() -> None:
    source = Path(diagnosis.__file__).read_text() + Path(doctor.__file__).read_text()
    named = re.findall(r'\[`([a-z_`, ]+)`\]', (ROOT / 'docs' / 'troubleshooting.md').read_text())
    codes = {code.strip('` ') for codes in named for code in codes.split(',')}
    assert len(codes) > 10
    assert [code for code in sorted(codes) if f"'{code}'" not in source] == []


def instruments() -> set[str]:
    """Return the names of all instruments, as exporters for Prometheus spell them, without a suffix."""
    source = Path(telemetry.__file__).read_text().replace('{_SCOPE}', 'pydantic_ai_aiobedrock')
    names = re.findall(r"""'((?:gen_ai|http)\.client\.[a-z_.]+|pydantic_ai_aiobedrock\.[a-z_.]+)'""", source)
    return {name.replace('.', '_') for name in names}


@pytest.mark.parametrize('file', ['dashboard.json', 'alerts.yml'])
def test_what_is_asked_of_prometheus_is_measured(file: str) -> None:
    text = (ROOT / 'docs' / 'grafana' / file).read_text()
    if file == 'dashboard.json':
        text = '\n'.join(target['expr'] for panel in json.loads(text)['panels'] for target in panel['targets'])
    asked = set(re.findall(r'\b(?:gen_ai_client|http_client|pydantic_ai_aiobedrock)_[a-z_]+', text))
    assert len(asked) > 4
    known = {re.sub('_seconds_(bucket|count)$|_total$', '', name) for name in asked}
    assert known - instruments() == set()


def test_every_instrument_that_the_page_names_is_there() -> None:
    page = (ROOT / 'docs' / 'telemetry.md').read_text().partition('## Debug logs')[0]
    named = {name.replace('.', '_') for name in re.findall(r'^\| `([a-z_.]+)`', page, flags=re.MULTILINE)}
    assert len(named) > 10
    assert named - instruments() == set()


def test_the_policies_for_batch_inference_are_policies_of_known_actions() -> None:
    page = (ROOT / 'docs' / 'batch-inference.md').read_text()
    policies = [json.loads(block) for block in re.findall(r'^```json\n(.*?)^```$', page, flags=re.DOTALL | re.M)]
    assert len(policies) == 2
    bedrock = botocore.session.Session().get_service_model('bedrock').operation_names
    known = {f'bedrock:{name}' for name in bedrock} | {'iam:PassRole'}
    # Actions of S3 are not named like its operations.
    known |= {f's3:{verb}' for verb in ('GetObject', 'PutObject', 'DeleteObject', 'ListBucket', 'AbortMultipartUpload')}
    known |= {'s3:ListBucketMultipartUploads'}
    for policy in policies:
        assert policy['Version'] == '2012-10-17'
        for statement in policy['Statement']:
            assert statement['Effect'] == 'Allow'
            actions = statement['Action']
            assert set([actions] if isinstance(actions, str) else actions) <= known
