"""The guards around every test: each misbehaviour fails the test that does it, and nothing else does."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic_ai import Agent

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

CONFTEST = Path(__file__).with_name('conftest.py')
PYPROJECT = Path(__file__).parents[1] / 'pyproject.toml'

MISBEHAVIOUR = """
import asyncio, logging, os, socket, sys, threading, time, warnings
from pathlib import Path

from pydantic_ai import ModelAPIError, UserError

import pydantic_ai_aiobedrock

keep = []


class slow:
    exec(compile('def sleep(): time.sleep(0)', f'{Path(pydantic_ai_aiobedrock.__file__).parent}/slow.py', 'exec'))


async def test_nothing_wrong():
    reader, writer = await asyncio.open_connection('127.0.0.1', (await serve()).sockets[0].getsockname()[1])
    writer.close()
    await writer.wait_closed()
    keep.pop().close()


async def serve():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), '127.0.0.1', 0)
    keep.append(server)
    return server


def test_a_sync_test():
    with socket.socket():
        asyncio.run(asyncio.to_thread(time.sleep, 0))


async def test_a_task_that_ends_of_itself():
    keep.append(asyncio.create_task(asyncio.sleep(0.01)))


async def test_a_thread_that_ends_of_itself():
    threading.Thread(target=time.sleep, args=(0.01,)).start()


async def test_an_async_generator_that_the_loop_closes():
    async def generator():
        sleeping = asyncio.create_task(asyncio.sleep(60))
        try:
            yield
        finally:
            sleeping.cancel()

    keep.append(generator())
    await anext(keep[-1])


async def test_blocking_outside_of_the_package():
    time.sleep(0)


async def test_blocking_in_a_thread():
    await asyncio.to_thread(slow.sleep)


def test_blocking_without_a_loop():
    slow.sleep()


async def test_blocking_call():
    slow.sleep()


async def test_swallowed_blocking_call():
    try:
        slow.sleep()
    except Exception:
        pass


async def test_task_left():
    keep.append(asyncio.create_task(asyncio.sleep(60), name='forgotten task'))


def test_thread_left():
    threading.Thread(target=time.sleep, args=(60,), name='forgotten thread', daemon=True).start()


async def test_socket_left():
    keep.append(socket.socket())
    keep[-1].bind(('127.0.0.1', 0))


def test_socket_unclosed():
    socket.socket()


def test_loop_left():
    keep.append(asyncio.new_event_loop())


async def test_exception_in_a_callback():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)


async def test_exception_in_a_task():
    async def fail():
        raise LookupError('nobody has asked for it')

    task = asyncio.create_task(fail())
    await asyncio.wait([task])


async def test_coroutine_never_awaited():
    asyncio.sleep(0)


def test_warning():
    warnings.warn('not so', UserWarning)


def test_exception_in_a_thread():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


def test_secret_in_a_log_record():
    logging.getLogger('pydantic_ai_aiobedrock.somewhere').debug('at debug %s', 'local-bedrock-secret-0123')


def test_secret_in_an_error():
    try:
        raise UserError('local-bedrock-session-4567')
    except UserError:
        pass


def test_secret_behind_an_error():
    try:
        try:
            {}['bedrock-api-key-local-89']
        except KeyError as error:
            raise ModelAPIError('nova', 'It failed') from error
    except ModelAPIError:
        pass


async def test_reply_that_fails(bedrock):
    bedrock.reply(lambda request: 1 / 0)
    options = {'region_name': 'us-east-1', 'base_url': bedrock.base_url, 'api_key': bedrock.api_key}
    async with pydantic_ai_aiobedrock.BedrockProvider(**options) as provider:
        try:
            await provider.client.converse(
                modelId='us.amazon.nova-lite-v1:0', messages=[{'role': 'user', 'content': [{'text': 'hello'}]}]
            )
        except Exception:
            pass


def test_environment():
    assert {name: value for name, value in os.environ.items() if name.startswith('AWS_')} == {
        'AWS_CONFIG_FILE': f'{Path.home()}/aws_config_file',
        'AWS_SHARED_CREDENTIALS_FILE': f'{Path.home()}/aws_shared_credentials_file',
        'AWS_EC2_METADATA_DISABLED': 'true',
    }
    assert not {'HTTPS_PROXY', 'http_proxy', 'REQUESTS_CA_BUNDLE'} & os.environ.keys()
    assert [path.read_bytes() for path in Path.home().iterdir()] == [b'', b'']


async def test_kind_of_loop():
    loop = asyncio.get_running_loop()
    assert type(loop).__module__ == 'uvloop' if '--uvloop' in sys.argv else isinstance(loop, asyncio.SelectorEventLoop)
    assert loop.get_debug() == ('--asyncio-debug' in sys.argv)
"""

FINE = (
    'test_nothing_wrong',
    'test_a_sync_test',
    'test_a_task_that_ends_of_itself',
    'test_a_thread_that_ends_of_itself',
    'test_an_async_generator_that_the_loop_closes',
    'test_blocking_outside_of_the_package',
    'test_blocking_in_a_thread',
    'test_blocking_without_a_loop',
    'test_environment',
    'test_kind_of_loop',
)

WRONG = {
    'test_blocking_call': 'Blocking call to time.sleep',
    'test_swallowed_blocking_call': r'The event loop was blocked by time\.sleep\n(.*\n)*.*slow\.py',
    'test_task_left': "left behind: <Task pending name='forgotten task'",
    'test_thread_left': r'left behind: thread <Thread\(forgotten thread',
    'test_socket_left': r"left behind: socket \('127.0.0.1', \d+\)",
    'test_socket_unclosed': 'ResourceWarning: unclosed <socket.socket',
    'test_loop_left': 'left behind: socket',
    'test_exception_in_a_callback': r'reported by a loop: Exception in callback (.*\n)+ZeroDivisionError',
    'test_exception_in_a_task': r'reported by a loop: Task exception was never retrieved\n(.*\n)+LookupError: nobody',
    'test_coroutine_never_awaited': "RuntimeWarning: coroutine 'sleep' was never awaited",
    'test_warning': 'UserWarning: not so',
    'test_exception_in_a_thread': 'ZeroDivisionError',
    'test_reply_that_fails': r'LocalBedrock could not answer(.*\n)*.*ZeroDivisionError',
    'test_secret_in_a_log_record': 'local-bedrock-secret-0123 in a log record: at debug local-bedrock-secret-0123',
    'test_secret_in_an_error': 'local-bedrock-session-4567 in UserError',
    'test_secret_behind_an_error': 'bedrock-api-key-local-89 in KeyError',
}

if find_spec('opentelemetry.sdk') is not None:
    WRONG['test_secret_in_a_span'] = 'local-bedrock-secret-0123 in a span'
    MISBEHAVIOUR += """
def test_secret_in_a_span():
    from opentelemetry.sdk import trace

    trace.TracerProvider().get_tracer('tests').start_span('local-bedrock-secret-0123').end()
"""


@pytest.fixture(scope='module', params=[(), ('--asyncio-debug',), ('--uvloop',)], ids=lambda options: ''.join(options))
def complaints(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run the misbehaving tests under this suite's own conftest and settings; return what is said of each."""
    folder = tmp_path_factory.mktemp('suite')
    (folder / 'pyproject.toml').write_text(PYPROJECT.read_text())
    tests = folder / 'tests'
    tests.mkdir()
    guards = CONFTEST.with_name('guards.py').read_text()
    guards, patient = re.subn(r'^GRACE_SECONDS = .*', 'GRACE_SECONDS = 0.2', guards, flags=re.MULTILINE)
    assert patient == 1
    (tests / 'guards.py').write_text(guards)
    for name in ('conftest.py', 'generation.py', 'secrecy.py', 'served_bedrock.py'):
        (tests / name).write_text(CONFTEST.with_name(name).read_text())
    (tests / 'test_misbehaviour.py').write_text(MISBEHAVIOUR)
    report = folder / 'report.xml'
    environment = {
        'AWS_PROFILE': 'mine',
        'AWS_ACCESS_KEY_ID': 'mine',
        'HTTPS_PROXY': 'http://127.0.0.1:9',
        'http_proxy': 'http://127.0.0.1:9',
        'REQUESTS_CA_BUNDLE': '/nowhere',
    }
    run = subprocess.run(
        [sys.executable, '-m', 'pytest', 'tests', f'--junitxml={report}', *request.param],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    said: dict[str, str] = {}
    for case in ET.parse(report).iter('testcase'):
        name = case.attrib['name'].partition('[')[0]
        said[name] = said.get(name, '') + ''.join(f'{child.get("message")}\n{child.text}' for child in case)
    return said


@pytest.mark.parametrize('test', FINE)
def test_a_guard_has_nothing_to_say(complaints: dict[str, str], test: str) -> None:
    assert complaints[test] == ''


@pytest.mark.parametrize('test', WRONG)
def test_a_guard_fails_the_test(complaints: dict[str, str], test: str) -> None:
    assert re.search(WRONG[test], complaints[test])


def test_every_case_is_judged(complaints: dict[str, str]) -> None:
    assert complaints.keys() == {*FINE, *WRONG}


async def test_a_coroutine_test_gets_a_bedrock_on_its_own_loop(
    bedrock: LocalBedrock, provider: BedrockProvider
) -> None:
    await Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider)).run('Hello!')
    assert bedrock.stats().requests == 1
    assert 'LocalBedrock' not in {thread.name for thread in threading.enumerate()}


def test_a_test_without_a_loop_gets_a_bedrock_in_a_thread(bedrock: LocalBedrock, provider: BedrockProvider) -> None:
    Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider)).run_sync('Hello!')
    assert bedrock.stats().requests == 1
    assert 'LocalBedrock' in {thread.name for thread in threading.enumerate()}
