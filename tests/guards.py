"""Guards around every test: an empty AWS environment, and nothing left behind.

A test fails when it leaves a task, a thread, a socket or an unhandled exception behind, and when a secret is shown.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from pytest_asyncio import is_async_test
from secrecy import no_secret_is_told

__all__ = (
    'everything_is_collected',
    'isolated_environment',
    'loop_of_the_test',
    'no_secret_is_told',
    'no_task_left_behind',
    'nothing_left_behind',
)

GRACE_SECONDS = 2.0
"""How long a task, thread or socket that is on its way out at the end of a test may take."""

AWS_FILES = ('AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE')
PROXIES = ('HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY')


@pytest.fixture(autouse=True, scope='module')
def everything_is_collected() -> None:
    """Collect all that earlier modules have left, and exempt the rest from the collections after each test.

    Those walk through the objects of one test then, not through half a million of imported modules.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


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
def nothing_left_behind() -> Iterator[None]:
    """Fail the test when its loop is closed and a thread or a socket is left, or a loop has reported an exception."""
    # pytest held on to the fixtures of the test before until now: frozen sooner, its servers would stay in memory.
    gc.collect()
    gc.freeze()
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
