"""Calls that are left to botocore."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from botocore import UNSIGNED
from credential_sources import hello, runtime

from local_bedrock import SERVICE_UNAVAILABLE, LocalBedrock
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._client import fast_path
from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

pytestmark = pytest.mark.usefixtures('no_backoff')


def keys(bedrock: LocalBedrock) -> dict[str, Any]:
    return {
        'aws_access_key_id': bedrock.aws_access_key_id,
        'aws_secret_access_key': bedrock.aws_secret_access_key,
        'aws_session_token': bedrock.aws_session_token,
    }


@pytest.mark.parametrize(
    'event', ['before-send', 'request-created.bedrock-runtime.Converse', 'after-call', 'needs-retry']
)
async def test_whoever_listens_hears_of_every_call(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], event: str
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    for _ in range(2):
        await client.converse(**hello())
    heard: list[str] = []

    def listen(event_name: str, **_: object) -> None:
        heard.append(event_name)

    with await pool.lease(client.spec) as lease:
        lease.client.meta.events.register(event, listen)
        for _ in range(2):
            await client.converse(**hello())
        lease.client.meta.events.unregister(event, listen)
    await client.converse(**hello())
    assert len(heard) == 2
    assert sent_by == ['botocore', 'prepared', 'botocore', 'botocore', 'prepared']


@pytest.mark.parametrize('mode', ['legacy', 'adaptive'])
async def test_other_ways_of_retrying_are_botocores(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], mode: str
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    config: Any = AioConfig(retries={'mode': mode})
    client.spec = dataclasses.replace(client.spec, config=config)
    for _ in range(2):
        await client.converse(**hello())
    assert sent_by == ['botocore', 'botocore']


async def test_requests_that_are_not_signed_are_botocores(pool: SessionPool, sent_by: list[str]) -> None:
    async def answer_anybody(_: web.BaseRequest) -> web.Response:
        return web.json_response({'output': {}})

    config: Any = AioConfig(signature_version=UNSIGNED)
    async with RawTestServer(answer_anybody) as server:
        spec = ClientSpec(region_name='us-east-1', endpoint_url=str(server.make_url('')), config=config)
        client = BedrockRuntime(pool, spec, str(server.make_url('')))
        for _ in range(2):
            assert 'output' in await client.converse(**hello())
        await pool.aclose()
    assert sent_by == ['botocore', 'botocore']


async def test_each_invocation_of_a_lambda_function_has_its_own_trace(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_LAMBDA_FUNCTION_NAME', 'f')
    client = runtime(bedrock, pool, **keys(bedrock))
    for trace in ('Root=1', 'Root=2'):
        monkeypatch.setenv('_X_AMZN_TRACE_ID', trace)
        await client.converse(**hello())
    assert [request.headers['X-Amzn-Trace-Id'] for request in bedrock.requests] == ['Root=1', 'Root=2']


async def test_a_first_call_that_failed_is_no_example(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    bedrock.fault(SERVICE_UNAVAILABLE, times=1)
    for _ in range(3):
        await client.converse(**hello())
    assert sent_by == ['botocore', 'botocore', 'botocore', 'prepared']


async def test_a_header_that_is_not_known_is_left_to_botocore(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_path, '_HEADERS', fast_path._HEADERS - {'Content-Type'})
    client = runtime(bedrock, pool, **keys(bedrock))
    for _ in range(2):
        await client.converse(**hello())
    assert sent_by == ['botocore', 'botocore']


async def test_a_signature_that_is_not_understood_is_left_to_botocore(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._client.sigv4._token_line', lambda _: 'x:y\n')
    client = runtime(bedrock, pool, **keys(bedrock))
    for _ in range(2):
        await client.converse(**hello())
    assert sent_by == ['botocore', 'botocore']
    assert [request.error_code for request in bedrock.requests] == [None, None]


async def test_a_client_that_is_opened_again_begins_again(bedrock: LocalBedrock, sent_by: list[str]) -> None:
    pool = SessionPool()
    client = runtime(bedrock, pool, **keys(bedrock))
    for _ in range(2):
        await client.converse(**hello())
    with await pool.lease(client.spec) as lease:
        lease.retire()
    for _ in range(2):
        await client.converse(**hello())
    await pool.aclose()
    assert sent_by == ['botocore', 'prepared'] * 2


async def test_the_client_of_a_session_that_was_brought_is_no_exception(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]
) -> None:
    session = AioSession()
    session.set_credentials(bedrock.aws_access_key_id, bedrock.aws_secret_access_key)
    heard: list[str] = []
    for listens in (False, True):
        if listens:
            session.register('before-sign', lambda event_name, **_: heard.append(event_name))
        client = runtime(bedrock, pool)
        client.spec = dataclasses.replace(client.spec, session=session, read_timeout=100 + listens)
        for _ in range(2):
            await client.converse(**hello())
    assert sent_by == ['botocore', 'prepared', 'botocore', 'botocore']
    assert len(heard) == 2
