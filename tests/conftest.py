"""What no test may do or leave behind, and the fixtures that many tests share.

Every test runs in an empty AWS environment, and fails when the package blocks the event loop, when it leaves a task, a
thread, a socket or an unhandled exception behind, and when a secret is told. `pytest --uvloop` runs the coroutine tests
on uvloop, `pytest --asyncio-debug` in asyncio's debug mode.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
import stat
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing
from itertools import product
from pathlib import Path

import blockbuster.blockbuster
import pytest
import trustme
from blockbuster import BlockingError, blockbuster_ctx
from pytest_asyncio import is_async_test
from secrecy import no_secret_is_told

from pydantic_ai_aiobedrock import BedrockProvider, SessionPool
from pydantic_ai_aiobedrock.local import LocalBedrock

__all__ = ('no_secret_is_told',)

GRACE_SECONDS = 2.0
"""How long a task, thread or socket that is on its way out at the end of a test may take."""

MAY_BLOCK = (
    ('pydantic_ai_aiobedrock/off_loop.py', 'run', 'runs in a thread of its own, on an event loop of its own if any'),
    ('pydantic_ai_aiobedrock/providers.py', '__init__', 'cannot wait, and says that it may read the AWS configuration'),
)
"""The end of a file's name, a function in it under which anything may block, and why."""

AWS_FILES = ('AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE')
PROXIES = ('HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY')


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--uvloop', action='store_true', help='run the coroutine tests and async fixtures on uvloop')


def pytest_asyncio_loop_factories(config: pytest.Config) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if config.getoption('uvloop'):
        import uvloop

        return {'uvloop': uvloop.new_event_loop}
    return {'asyncio': asyncio.new_event_loop}


def pytest_collection_finish() -> None:
    # Each test ends with a collection: what the imports have made need not be walked through again each time.
    gc.collect()
    gc.freeze()


# What every test gets


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the AWS settings, the AWS files, the proxies and the CA bundles of whoever runs the tests."""
    for name in os.environ:
        if name.upper().startswith(('AWS_', 'BOTO_')) or name.upper() in (*PROXIES, 'REQUESTS_CA_BUNDLE'):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp('home')
    monkeypatch.setenv('HOME', str(home))
    for name in AWS_FILES:
        path = home / name.lower()
        path.touch()
        monkeypatch.setenv(name, str(path))
    monkeypatch.setattr('botocore.loaders.Loader.CUSTOMER_DATA_PATH', str(home / 'models'))
    monkeypatch.setenv('AWS_EC2_METADATA_DISABLED', 'true')
    if 'boto3' in sys.modules:
        monkeypatch.setattr('boto3.DEFAULT_SESSION', None)


@pytest.fixture(autouse=True)
def no_blocking_call(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test when the package, or what it calls, blocks an event loop, even if the error is swallowed."""
    blocked: list[str] = []

    class RecordedBlockingError(BlockingError):
        def __init__(self, func: str) -> None:
            super().__init__(func)
            blocked.append(f'{func}\n' + ''.join(traceback.format_stack(sys._getframe(2), limit=12)))

    monkeypatch.setattr(blockbuster.blockbuster, 'BlockingError', RecordedBlockingError)
    with blockbuster_ctx('pydantic_ai_aiobedrock') as guard:
        for (file, function, _), blocking in product(MAY_BLOCK, guard.functions.values()):
            blocking.can_block_in(file, function)
        yield
    if blocked:
        pytest.fail('The event loop was blocked by ' + '\n'.join(blocked), pytrace=False)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test when its loop is closed and a thread or a socket is left, or a loop has reported an exception."""
    threads = set(threading.enumerate())
    sockets = _open_sockets()
    errors = _ErrorsOfLoops()
    logging.getLogger('asyncio').addHandler(errors)
    yield
    # What only a finalizer reports (an exception that no one has retrieved, a session that no one has closed) is
    # reported here, and not in some later test.
    gc.collect()
    left = [
        *_left(lambda: [f'thread {thread!r}' for thread in threading.enumerate() if thread not in threads]),
        *_left(lambda: [f'socket {name}' for inode, name in _open_sockets().items() if inode not in sockets]),
    ]
    logging.getLogger('asyncio').removeHandler(errors)
    problems = [f'left behind: {what}' for what in left] + [f'reported by a loop: {what}' for what in errors.found]
    if problems:
        pytest.fail('\n'.join(problems), pytrace=False)


@pytest.fixture(autouse=True)
def no_task_left_behind(request: pytest.FixtureRequest, nothing_left_behind: None) -> Iterator[None]:
    """Fail the test when a task is left on its loop after the loop has closed its async generators, as loops do."""
    if not is_async_test(request.node):
        yield
        return
    loop: asyncio.AbstractEventLoop = request.getfixturevalue('loop_of_the_test')
    yield
    loop.run_until_complete(loop.shutdown_asyncgens())
    tasks = asyncio.all_tasks(loop)
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE_SECONDS))
    if left := [task for task in tasks if not task.done()]:
        pytest.fail('\n'.join(f'left behind: {task!r}' for task in left), pytrace=False)


@pytest.fixture
async def loop_of_the_test() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _left(look: Callable[[], list[str]]) -> list[str]:
    """Return what `look` still finds when the time of grace is over."""
    end = time.monotonic() + GRACE_SECONDS
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.005)
    return found


def _open_sockets() -> dict[int, str]:
    """Return the sockets of this process, by inode. They are asked from the system: uvloop's are no Python objects."""
    sockets: dict[int, str] = {}
    for entry in os.listdir('/dev/fd'):
        try:
            status = os.fstat(int(entry))
            if stat.S_ISSOCK(status.st_mode):
                sockets[status.st_ino] = _description(int(entry))
        except OSError:  # closed meanwhile, as the descriptor of the listing itself is
            continue
    return sockets


def _description(fd: int) -> str:
    with closing(socket.socket(fileno=os.dup(fd))) as sock:
        try:
            return f'{sock.getsockname()} to {sock.getpeername()}'
        except OSError:
            return f'{sock.getsockname()}'


class _ErrorsOfLoops(logging.Handler):
    """Collects what event loops report: by default their exception handler logs an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter().format(record))


# What many tests share


@pytest.fixture
def tls() -> ssl.SSLContext | None:
    """Return the TLS of the LocalBedrock of a test: none, unless a module overrides this."""
    return None


@pytest.fixture(scope='session')
def authority() -> trustme.CA:
    """Return a certificate authority of the tests."""
    return trustme.CA()


@pytest.fixture
def trusted_tls(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext:
    """Return the TLS of a server on 127.0.0.1 whose authority `AWS_CA_BUNDLE` names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert('127.0.0.1', 'localhost').configure_cert(context)
    bundle = tmp_path_factory.mktemp('authority') / 'ca.pem'
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv('AWS_CA_BUNDLE', str(bundle))
    return context


@pytest.fixture
def bedrock(request: pytest.FixtureRequest, tls: ssl.SSLContext | None) -> Iterator[LocalBedrock]:
    """Yield a running LocalBedrock: on the loop of the test, or in a thread if the test has none."""
    if is_async_test(request.node):
        yield request.getfixturevalue('bedrock_on_the_loop')
    else:
        with LocalBedrock(tls=tls) as bedrock:
            yield bedrock


@pytest.fixture
async def bedrock_on_the_loop(tls: ssl.SSLContext | None) -> AsyncIterator[LocalBedrock]:
    async with LocalBedrock(tls=tls) as bedrock:
        yield bedrock


@pytest.fixture
async def pool() -> AsyncIterator[SessionPool]:
    pool = SessionPool()
    yield pool
    await pool.aclose()


@pytest.fixture
async def provider(bedrock: LocalBedrock) -> AsyncIterator[BedrockProvider]:
    """Yield a provider of the LocalBedrock of the test, with a pool of its own."""
    async with BedrockProvider(
        region_name=bedrock.region_name,
        base_url=bedrock.base_url,
        aws_access_key_id=bedrock.aws_access_key_id,
        aws_secret_access_key=bedrock.aws_secret_access_key,
        pool=SessionPool(),
    ) as provider:
        yield provider


@pytest.fixture
def recorded() -> Path:
    """Return the folder of exchanges recorded with Amazon Bedrock, which stands beside the repository, if at all."""
    folder = Path(__file__).parents[2] / 'shared' / 'recorded'
    if not folder.is_dir():
        pytest.skip(f'{folder} is absent: the exchanges recorded with Amazon Bedrock are not part of the repository')
    return folder
