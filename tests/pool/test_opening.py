"""Opening a client: bounded, and given up as a whole on any failure, with an error that says so."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import AioSession
from credential_sources import current, hello, runtime, write_credentials
from generation import eventually
from pydantic_ai import ModelRequest
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import ModelRequestParameters

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, PoolTimeoutError, SessionPool
from pydantic_ai_aiobedrock.errors import OpeningError

REQUEST = ([ModelRequest.user_text_prompt('Hello.')], None, ModelRequestParameters())


class HangingProcess:
    """A `credential_process` that never ends, and notes its process id."""

    def __init__(self, folder: Path) -> None:
        self._pid = folder / 'pid'
        program = folder / 'hanging.py'
        program.write_text(
            f'import os, time\nopen({str(self._pid)!r}, "w").write(str(os.getpid()))\nwhile True: time.sleep(60)\n'
        )
        self.command = f'{sys.executable} -IS {program}'

    @property
    def has_started(self) -> bool:
        return self._pid.exists() and self._pid.read_text() != ''

    @property
    def is_running(self) -> bool:
        return Path('/proc', self._pid.read_text()).exists()


@pytest.fixture
def hanging(tmp_path: Path) -> HangingProcess:
    process = HangingProcess(tmp_path)
    Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[default]\ncredential_process = {process.command}\n')
    return process


def mend(bedrock: LocalBedrock) -> None:
    """Replace the program that hangs by credentials."""
    Path(os.environ['AWS_CONFIG_FILE']).write_text('')
    write_credentials(Path(os.environ['AWS_SHARED_CREDENTIALS_FILE']), current(bedrock))


async def test_a_call_whose_client_is_still_being_opened_when_it_gives_up_says_so(
    bedrock: LocalBedrock, pool: SessionPool, hanging: HangingProcess
) -> None:
    call = asyncio.create_task(pool.lease(runtime(bedrock, pool).spec, pool_timeout=1))
    await eventually(lambda: hanging.has_started)
    with pytest.raises(PoolTimeoutError) as caught:
        await call
    assert str(caught.value) == (
        f'No connection to {bedrock.base_url} became free in 1 seconds: the client is still being opened (resolving '
        'credentials).'
    )


async def test_an_opening_that_hangs_is_given_up_with_all_that_it_started(
    bedrock: LocalBedrock, pool: SessionPool, hanging: HangingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._pool.loop_pool.OPEN_SECONDS', 5)
    client = runtime(bedrock, pool)
    calls = [asyncio.create_task(client.converse(**hello())) for _ in range(3)]
    await eventually(lambda: hanging.has_started)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {str(outcome) for outcome in outcomes} == {
        f'No connection to {bedrock.base_url} became free in 5 seconds: the client could not be opened (resolving '
        'credentials took too long).'
    }
    await eventually(lambda: not hanging.is_running)
    monkeypatch.setattr('pydantic_ai_aiobedrock._pool.loop_pool.OPEN_SECONDS', 60)
    mend(bedrock)
    assert await client.converse(**hello())


async def test_an_opening_that_is_cancelled_with_all_tasks_of_the_loop_leaves_its_spec_to_the_next_call(
    bedrock: LocalBedrock, pool: SessionPool, hanging: HangingProcess
) -> None:
    client = runtime(bedrock, pool)
    call = asyncio.create_task(client.converse(**hello()))
    await eventually(lambda: hanging.has_started)
    cancelled = [task for task in asyncio.all_tasks() if 'LoopPool._open' in repr(task) or task is call]
    assert len(cancelled) == 2
    for task in cancelled:
        task.cancel()
    await asyncio.wait(cancelled)
    await eventually(lambda: not hanging.is_running)
    mend(bedrock)
    assert await client.converse(**hello())


async def test_the_calls_of_an_opening_that_is_cancelled_fail_with_that_reason(
    bedrock: LocalBedrock, pool: SessionPool, hanging: HangingProcess
) -> None:
    call = asyncio.create_task(runtime(bedrock, pool).converse(**hello()))
    await eventually(lambda: hanging.has_started)
    (opening,) = [task for task in asyncio.all_tasks() if 'LoopPool._open' in repr(task)]
    opening.cancel()
    with pytest.raises(OpeningError, match='could not be opened: the opening was cancelled'):
        await call


async def test_an_unexpected_error_of_an_opening_fails_its_calls_as_one_of_the_configuration(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    class BrokenSession(AioSession):
        def create_client(self, *_args: Any, **_kwargs: Any) -> Any:
            raise RuntimeError('a plugin failed')

    session = BrokenSession()
    session.set_credentials(bedrock.aws_access_key_id, bedrock.aws_secret_access_key)
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, pool=pool, session=session)
    reason = f'{bedrock.base_url} could not be opened: RuntimeError: a plugin failed'
    with pytest.raises(OpeningError, match=re.escape(reason)):
        await provider.client.converse(**hello())
    with pytest.raises(UserError, match=re.escape(reason)):
        await BedrockConverseModel(hello()['modelId'], provider=provider).request(*REQUEST)
    assert (pool.stats().clients, pool.stats().waiting) == (0, 0)


async def test_each_transition_of_a_client_and_each_step_of_its_opening_is_in_the_debug_log(
    bedrock: LocalBedrock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, 'pydantic_ai_aiobedrock.pool')
    pool = SessionPool()
    write_credentials(Path(os.environ['AWS_SHARED_CREDENTIALS_FILE']), current(bedrock))
    await runtime(bedrock, pool).converse(**hello())
    await pool.aclose()
    messages = [record.getMessage() for record in caplog.records if record.name == 'pydantic_ai_aiobedrock.pool']
    assert messages == [
        f'{bedrock.base_url}: {event}'
        for event in (
            'loading aiobotocore',
            'reading the AWS configuration',
            'resolving credentials',
            'making the client',
            'OPENING -> READY (opened), 0 leases',
            'READY -> RETIRED (the pool is closed), 0 leases',
            'RETIRED -> CLOSED (closed), 0 leases',
        )
    ]
