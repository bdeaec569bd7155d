"""The pytest plugin, in test runs of its own: with the plugins for async tests, and where nobody asks for it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PLUGIN = 'pytest_local_bedrock'
OF_THE_PROVIDER = 'pytest_pydantic_ai_aiobedrock'
PROJECT = Path(__file__).parents[1] / 'pyproject.toml'
PAGE = Path(__file__).parents[2] / 'docs' / 'testing.md'
BLOCKS = re.findall(r'^```python\n(.*?)^```$', PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
RunTests = Callable[..., str]

SYNC_TESTS = """
import os

import boto3
import pytest
from pydantic_ai import Agent

from pydantic_ai_aiobedrock import BedrockConverseModel

MODEL = 'us.amazon.nova-lite-v1:0'
seen = set()


def ask(prompt='Hello'):
    client = boto3.client('bedrock-runtime')
    response = client.converse(modelId=MODEL, messages=[{'role': 'user', 'content': [{'text': prompt}]}])
    client.close()
    return response['output']['message']['content'][0]['text']


def test_a_client_of_boto3_finds_the_endpoint(local_bedrock):
    local_bedrock.reply('Paris', 'never asked for')
    seen.add(local_bedrock.base_url)
    assert ask('How are you?') == 'Paris'
    assert [request.last_user_text for request in local_bedrock.requests] == ['How are you?']


def test_each_test_has_it_as_new_and_at_the_same_place(local_bedrock):
    seen.add(local_bedrock.base_url)
    assert len(seen) == 1
    assert local_bedrock.requests == []
    assert 'Hello' in ask()


def test_the_environment_is_put_back():
    assert 'AWS_ENDPOINT_URL_BEDROCK_RUNTIME' not in os.environ


def test_an_agent_may_be_sync(local_bedrock, bedrock_provider):
    local_bedrock.reply('Lima')
    assert Agent(BedrockConverseModel(MODEL, provider=bedrock_provider)).run_sync('Hello').output == 'Lima'
"""

OTHER_ENDPOINT = """
import pytest
from pydantic_ai import Agent

from pydantic_ai_aiobedrock import BedrockConverseModel
from local_bedrock import LocalBedrock


@pytest.fixture
def local_bedrock():
    with LocalBedrock(region_name='eu-central-1', responder=lambda request: 'Somebody else') as bedrock:
        yield bedrock


def test_it_is_what_the_provider_leads_to(bedrock_provider):
    model = BedrockConverseModel('eu.amazon.nova-lite-v1:0', provider=bedrock_provider)
    assert Agent(model).run_sync('Hello').output == 'Somebody else'
"""

ASYNC_TESTS = """
import pytest
from pydantic_ai import Agent

from pydantic_ai_aiobedrock import BedrockConverseModel

MODEL = 'us.amazon.nova-lite-v1:0'
{mark}


@pytest.mark.parametrize('city', ['Oslo', 'Quito'])
async def test_an_agent(local_bedrock, bedrock_provider, city):
    local_bedrock.reply(city)
    agent = Agent(BedrockConverseModel(MODEL, provider=bedrock_provider))
    assert (await agent.run('Hello')).output == city


@pytest.mark.parametrize('city', ['Oslo', 'Quito'])
async def test_a_model_finds_the_endpoint_by_itself(local_bedrock, city):
    local_bedrock.reply(city)
    async with Agent(BedrockConverseModel(MODEL)).run_stream('Hello') as result:
        assert await result.get_output() == city
    assert local_bedrock.requests[0].streaming
"""

LOOPS = {
    'strict': ('pytestmark = pytest.mark.asyncio', ['-p', 'pytest_asyncio.plugin', '-o', 'asyncio_mode=strict']),
    'one loop for all tests': (
        'pytestmark = pytest.mark.asyncio(loop_scope="session")',
        ['-p', 'pytest_asyncio.plugin'],
    ),
    'anyio': ('pytestmark = pytest.mark.anyio', ['-p', 'anyio.pytest_plugin']),
}
PYTEST_ASYNCIO = ['-o', 'asyncio_default_fixture_loop_scope=function']


@pytest.fixture
def run_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunTests:
    """Return a function that runs tests with the named plugins, warnings being errors, and returns what pytest says."""
    # The plugin is named, so that it is there whether or not the installed entry points are those of today.
    monkeypatch.setenv('PYTEST_DISABLE_PLUGIN_AUTOLOAD', '1')
    monkeypatch.delenv('PYTEST_ADDOPTS', raising=False)

    def run(*options: str, status: int = 0, **files: str) -> str:
        for name, code in files.items():
            (tmp_path / f'{name}.py').write_text(code)
        (tmp_path / 'pytest.ini').write_text('[pytest]\n')
        strict = ['-W', 'error', '--strict-markers', '-p', 'no:cacheprovider', '-p', PLUGIN, '-p', OF_THE_PROVIDER]
        done = subprocess.run(
            [sys.executable, '-m', 'pytest', *strict, *options], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return run


def test_sync_tests_need_nothing_but_the_fixtures(run_tests: RunTests) -> None:
    """And a suite may put another endpoint in the place of the fixture's."""
    assert '5 passed' in run_tests(test_sync=SYNC_TESTS, test_other=OTHER_ENDPOINT)


@pytest.mark.parametrize(('mark', 'options'), LOOPS.values(), ids=LOOPS.keys())
def test_async_tests_run_with_any_plugin_for_them(run_tests: RunTests, mark: str, options: list[str]) -> None:
    fixtures = {'conftest': "import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"}
    asyncio_options = PYTEST_ASYNCIO if 'pytest_asyncio.plugin' in options else []
    said = run_tests(*options, *asyncio_options, test_async=ASYNC_TESTS.format(mark=mark), **fixtures)
    assert '4 passed' in said


def test_a_reply_that_fails_fails_the_test_and_the_next_one_is_not_concerned(run_tests: RunTests) -> None:
    code = """
import boto3
import pytest
from botocore.exceptions import ClientError
from contextlib import closing


def ask():
    with closing(boto3.client('bedrock-runtime')) as client:
        client.converse(modelId='us.amazon.nova-lite-v1:0', messages=[{'role': 'user', 'content': [{'text': 'Hello'}]}])


def test_that_expects_something_else(local_bedrock):
    def reply(request):
        assert request.last_user_text == 'Good evening', 'too late'

    local_bedrock.reply(reply)
    ask()


def test_that_has_a_typo_in_a_condition(local_bedrock, monkeypatch):
    monkeypatch.setenv('AWS_MAX_ATTEMPTS', '1')
    local_bedrock.reply('Hello', when=lambda request: request.last_user_txt == 'Hello')
    with pytest.raises(ClientError):
        ask()


def test_that_is_fine(local_bedrock):
    ask()
"""
    said = run_tests(test_reply=code, status=1)
    assert '3 passed, 2 errors' in said
    assert 'ERROR at teardown of test_that_expects_something_else' in said
    assert 'AssertionError: too late' in said
    assert "AttributeError: 'RecordedRequest' object has no attribute 'last_user_txt'" in said


def test_who_does_not_ask_for_it_does_not_pay_for_it(run_tests: RunTests) -> None:
    """Nothing is imported for it but pytest, and its fixtures are explained."""
    code = """
import sys


def test_nothing_is_imported():
    found = {name.partition('.')[0] for name in sys.modules}
    assert not found & {'aiobotocore', 'aiohttp', 'botocore', 'pydantic', 'pydantic_ai', 'pydantic_ai_aiobedrock'}
"""
    assert '1 passed' in run_tests(test_else=code)
    said = run_tests('--fixtures', test_else=code)
    assert 'local_bedrock -- ' in said
    assert 'bedrock_provider -- ' in said


def test_pytest_finds_the_plugin() -> None:
    """As the project declares it, and as it is installed, unless that was done before there was one."""
    declared = tomllib.loads(PROJECT.read_text())['project']['entry-points']['pytest11']
    assert declared == {'local_bedrock': PLUGIN}
    installed = {entry.name: entry.value for entry in entry_points(group='pytest11')}
    assert installed.get('local_bedrock') == PLUGIN


def test_the_guide_shows_tests() -> None:
    assert len(BLOCKS) > 4
    assert all('\ndef test_' in block or '\nasync def test_' in block for block in BLOCKS)


@pytest.mark.parametrize('half', [0, 1])
def test_what_the_guide_shows_is_so(run_tests: RunTests, half: int) -> None:
    """In two halves: what takes its time is the start of Python and its imports."""
    modules = {f'test_block_{number}': block for number, block in enumerate(BLOCKS) if number % 2 == half}
    run_tests('-p', 'pytest_asyncio.plugin', '-o', 'asyncio_mode=auto', *PYTEST_ASYNCIO, **modules)
