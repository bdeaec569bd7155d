"""Credentials outlive the clients, event loops and threads that they were resolved for."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time

import pytest
from credential_sources import CredentialProcess, CredentialSources, current, hello, runtime, write_credentials
from generation import eventually

from local_bedrock import AccessKey, LocalBedrock
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._client.credential_cache import CredentialCache
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

ROLE = 'arn:aws:iam::123456789012:role/app'


@pytest.fixture
def process(bedrock: LocalBedrock, tmp_path: Path) -> CredentialProcess:
    """Return a `credential_process` of the default profile, which counts how often it is run."""
    process = CredentialProcess(tmp_path)
    process.give(current(bedrock), datetime.now(UTC) + timedelta(hours=1))
    Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[default]\ncredential_process = {process.command}\n')
    return process


@pytest.fixture
async def sources(bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CredentialSources]:
    """Yield an STS that assumes the role of the profile `app`."""
    async with CredentialSources(bedrock) as sources:
        bedrock.rotate_credentials(temporary=True)
        monkeypatch.setenv('AWS_ENDPOINT_URL_STS', sources.url)
        Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[profile app]\nrole_arn = {ROLE}\nsource_profile = base\n')
        write_credentials(Path(os.environ['AWS_SHARED_CREDENTIALS_FILE']), AccessKey.make(), profile='base')
        yield sources


async def call_and_close(client: BedrockRuntime) -> None:
    """Make a call, and wait until the client has been closed, as its pool closes it at once."""
    await client.converse(**hello())
    await eventually(lambda: client.pool.stats().clients == 0)


def test_ten_event_loops_one_after_the_other_resolve_credentials_once(
    bedrock: LocalBedrock, process: CredentialProcess
) -> None:
    client = runtime(bedrock, SessionPool())
    for _ in range(10):
        asyncio.run(client.converse(**hello()))
    assert client.pool.stats().opened == 10
    assert process.runs == 1


def test_event_loops_at_the_same_time_resolve_credentials_once(
    bedrock: LocalBedrock, process: CredentialProcess
) -> None:
    client = runtime(bedrock, SessionPool())
    threads = [threading.Thread(target=lambda: asyncio.run(client.converse(**hello()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bedrock.requests) == 4
    assert process.runs == 1


def test_event_loops_one_after_the_other_ask_a_function_for_an_api_key_once(bedrock: LocalBedrock) -> None:
    asked: list[str] = []

    def api_key() -> str:
        asked.append(bedrock.api_key)
        return bedrock.api_key

    client = runtime(bedrock, SessionPool(), api_key=api_key)
    for _ in range(3):
        asyncio.run(client.converse(**hello()))
    assert len(asked) == 1
    bedrock.rotate_api_key()
    for _ in range(2):
        asyncio.run(client.converse(**hello()))
    assert len(asked) == 2


async def test_a_client_that_is_opened_again_assumes_no_role_again(
    bedrock: LocalBedrock, sources: CredentialSources
) -> None:
    pool = SessionPool(idle_timeout=0.01)
    for read_timeout in (1.0, 1.0, 2.0):
        await call_and_close(runtime(bedrock, pool, profile_name='app', aws_read_timeout=read_timeout))
    assert pool.stats().opened == 3
    assert sources.asked == {'AssumeRole': 1}
    await pool.aclose()


async def test_a_client_of_another_region_assumes_no_role_again(
    bedrock: LocalBedrock, pool: SessionPool, sources: CredentialSources
) -> None:
    await runtime(bedrock, pool, profile_name='app').converse(**hello())
    with await pool.lease(runtime(bedrock, pool, profile_name='app', region_name='eu-west-1').spec):
        assert sources.asked == {'AssumeRole': 1}


async def test_good_credentials_outlive_an_outage_of_their_source(
    bedrock: LocalBedrock, sources: CredentialSources
) -> None:
    pool = SessionPool(idle_timeout=0.01)
    client = runtime(bedrock, pool, profile_name='app')
    await call_and_close(client)
    sources.failing = True
    await call_and_close(client)
    assert [request.status for request in bedrock.requests] == [200, 200]
    await pool.aclose()


async def test_expired_credentials_are_not_kept(
    bedrock: LocalBedrock, sources: CredentialSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = SessionPool(idle_timeout=0.01)
    client = runtime(bedrock, pool, profile_name='app')
    await call_and_close(client)
    monkeypatch.setattr('pydantic_ai_aiobedrock._client.credentials.time', lambda: time() + 3601)
    sources.lifetime = timedelta(hours=3)
    await call_and_close(client)
    assert sources.asked == {'AssumeRole': 2}
    await pool.aclose()


async def test_refused_credentials_are_not_kept(bedrock: LocalBedrock, sources: CredentialSources) -> None:
    pool = SessionPool(idle_timeout=0.01)
    client = runtime(bedrock, pool, profile_name='app')
    await call_and_close(client)
    refused = current(bedrock)
    sources.failing = True
    bedrock.expire(refused.access_key_id)
    with pytest.raises(Exception, match='failed when asked again'):
        await client.converse(**hello())
    await eventually(lambda: pool.stats().clients == 0)
    sources.failing = False
    new = bedrock.rotate_credentials(temporary=True)
    await call_and_close(client)
    assert new.access_key_id in bedrock.requests[-1].headers['Authorization']
    assert [request.status for request in bedrock.requests] == [200, 403, 200], 'the refused ones were not sent again'
    await pool.aclose()


async def test_credentials_that_one_client_has_renewed_are_taken_over_by_the_others(
    bedrock: LocalBedrock, pool: SessionPool, sources: CredentialSources
) -> None:
    one, other = (runtime(bedrock, pool, profile_name='app', aws_read_timeout=seconds) for seconds in (1.0, 2.0))
    for client in (one, other):
        await client.converse(**hello())
    bedrock.rotate_credentials(temporary=True)
    for client in (one, other):
        await client.converse(**hello())
    assert [request.status for request in bedrock.requests] == [200, 200, 403, 200, 403, 200]
    assert sources.asked == {'AssumeRole': 2}


async def test_a_profile_that_was_changed_is_resolved_again(bedrock: LocalBedrock, sources: CredentialSources) -> None:
    """Nobody signs as the role that the profile named before."""
    pool = SessionPool(idle_timeout=0.01)
    client = runtime(bedrock, pool, profile_name='app')
    await call_and_close(client)
    Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[profile app]\nrole_arn = {ROLE}-two\nsource_profile = base\n')
    await call_and_close(client)
    assert sources.asked == {'AssumeRole': 2}
    await pool.aclose()


async def test_another_profile_has_credentials_of_its_own(
    bedrock: LocalBedrock, pool: SessionPool, sources: CredentialSources
) -> None:
    config = Path(os.environ['AWS_CONFIG_FILE'])
    config.write_text(config.read_text() + f'[profile two]\nrole_arn = {ROLE}-two\nsource_profile = base\n')
    for profile_name in ('app', 'two'):
        await runtime(bedrock, pool, profile_name=profile_name).converse(**hello())
    assert sources.asked == {'AssumeRole': 2}


def test_no_more_than_so_many_identities_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._client.credential_cache.REMEMBERED', 2)
    cache = CredentialCache()
    for name in ('a', 'b', 'a', 'c'):
        cache.kept(name).value = name
    assert [cache.kept(name).value for name in ('a', 'c')] == ['a', 'c']
    assert cache.kept('b').value is None


def test_a_closed_pool_keeps_no_credentials(bedrock: LocalBedrock, process: CredentialProcess) -> None:
    client = runtime(bedrock, SessionPool())

    async def main() -> None:
        await client.converse(**hello())
        assert client.pool._cache._kept
        await client.pool.aclose()

    asyncio.run(main())
    assert not client.pool._cache._kept


async def test_a_lock_that_a_thread_of_the_parent_held_does_not_hold_up_a_forked_child() -> None:
    cache = CredentialCache()
    cache.kept('identity').lock.acquire()
    cache.renew_locks()
    async with asyncio.timeout(5), cache.kept('identity').resolving():
        pass
