"""One session, whose credentials expire all the time, on several event loops."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import AioSession
from credential_sources import CredentialProcess, current, hello, runtime, text_of
from sessions import aioboto3_session

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import SessionPool


@pytest.fixture
def process(bedrock: LocalBedrock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CredentialProcess:
    """Yield a source whose credentials are so near to their end that each call waits for others."""
    process = CredentialProcess(tmp_path)
    process.give(current(bedrock), datetime.now(UTC) + timedelta(minutes=5))
    config = tmp_path / 'config'
    config.write_text(f'[default]\ncredential_process = {process.command}\n')
    monkeypatch.setenv('AWS_CONFIG_FILE', str(config))
    bedrock.reply('Hello.', times=None)
    return process


@pytest.mark.parametrize('make_session', [AioSession, aioboto3_session])
def test_a_session_is_used_on_one_loop_after_another(
    process: CredentialProcess, bedrock: LocalBedrock, make_session: Any
) -> None:
    pool = SessionPool()
    client = runtime(bedrock, pool, session=make_session())

    async def five_calls() -> list[str]:
        responses = await asyncio.gather(*(client.converse(**hello()) for _ in range(5)))
        return [text_of(response) for response in responses]

    for _ in range(2):
        assert asyncio.run(five_calls()) == ['Hello.'] * 5
    assert process.runs > 2


def test_a_session_is_used_on_several_loops_at_once(process: CredentialProcess, bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    client = runtime(bedrock, pool, session=AioSession())
    together = threading.Barrier(3)

    async def five_calls() -> list[str]:
        together.wait(30)
        responses = await asyncio.gather(*(client.converse(**hello()) for _ in range(5)))
        return [text_of(response) for response in responses]

    with ThreadPoolExecutor(3) as threads:
        outcomes = [threads.submit(asyncio.run, five_calls()) for _ in range(3)]
        assert [outcome.result() for outcome in outcomes] == [['Hello.'] * 5] * 3
    assert process.runs >= 3
