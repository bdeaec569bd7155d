"""Bedrock Runtime without pydantic-ai: the client of a provider."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError, NoCredentialsError, ResponseStreamingError
from generation import EndlessGeneration, eventually
from served_bedrock import make_provider

from local_bedrock import LocalBedrock, Reply, exception_event
from pydantic_ai_aiobedrock import (
    BedrockProvider,
    PoolClosedError,
    SessionPool,
)
from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime
from pydantic_ai_aiobedrock.errors import AsyncClientError

NOVA = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'anthropic.claude-sonnet-4-20250514-v1:0'
TITAN = 'amazon.titan-embed-text-v2:0'
HELLO: dict[str, Any] = {'modelId': NOVA, 'messages': [{'role': 'user', 'content': [{'text': 'Hello.'}]}]}


@pytest.fixture
def runtime(provider: BedrockProvider) -> BedrockRuntime:
    assert isinstance(provider.client, BedrockRuntime)
    return provider.client


# The provider's client


async def test_converse_answers_as_boto3_would(bedrock: LocalBedrock, runtime: BedrockRuntime) -> None:
    bedrock.reply(Reply('Hi.', usage={'inputTokens': 3, 'outputTokens': 2}, latency_ms=7))
    response = await runtime.converse(**HELLO)
    metadata = response.pop('ResponseMetadata')
    assert response == {
        'output': {'message': {'role': 'assistant', 'content': [{'text': 'Hi.'}]}},
        'stopReason': 'end_turn',
        'usage': {'inputTokens': 3, 'outputTokens': 2, 'totalTokens': 5},
        'metrics': {'latencyMs': 7},
    }
    assert metadata['HTTPStatusCode'] == 200
    assert metadata['RequestId'] == bedrock.requests[0].request_id
    assert metadata['HTTPHeaders']['content-type'] == 'application/json'
    assert metadata['RetryAttempts'] == 0


async def test_converse_stream_gives_the_events_and_then_its_connection_back(
    bedrock: LocalBedrock, runtime: BedrockRuntime
) -> None:
    bedrock.reply(Reply('Hi you.', chunks=['Hi', ' you.']))
    response = await runtime.converse_stream(**HELLO)
    assert response['ResponseMetadata']['RequestId'] == bedrock.requests[0].request_id
    stream = response['stream']
    assert isinstance(stream, ConverseEventStream)
    assert runtime.pool.stats().leases == 1
    events = [event async for event in stream]
    assert runtime.pool.stats().leases == 0
    assert [next(iter(event)) for event in events] == [
        'messageStart',
        'contentBlockDelta',
        'contentBlockDelta',
        'contentBlockStop',
        'messageStop',
        'metadata',
    ]
    assert events[1] == {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': 'Hi'}}}
    assert [event async for event in stream] == []


async def test_count_tokens_counts(bedrock: LocalBedrock, runtime: BedrockRuntime) -> None:
    bedrock.reply(Reply(usage={'inputTokens': 12}), operation='CountTokens')
    response = await runtime.count_tokens(modelId=CLAUDE, input={'converse': {'messages': HELLO['messages']}})
    assert response['inputTokens'] == 12
    assert bedrock.requests[0].body == {'input': {'converse': {'messages': HELLO['messages']}}}


async def test_invoke_model_gives_the_body_and_the_headers(runtime: BedrockRuntime) -> None:
    response = await runtime.invoke_model(
        modelId=TITAN,
        body=json.dumps({'inputText': 'Hello.'}),
        contentType='application/json',
        accept='application/json',
    )
    body = json.loads(response['body'].read())
    assert len(body['embedding']) == 1024
    assert response['contentType'] == 'application/json'
    headers = response['ResponseMetadata']['HTTPHeaders']
    assert headers['x-amzn-bedrock-input-token-count'] == str(body['inputTextTokenCount'])
    assert runtime.pool.stats().leases == 0


async def test_members_that_botocore_does_not_know_are_sent(bedrock: LocalBedrock, runtime: BedrockRuntime) -> None:
    unknown = {'serviceTier': {'type': 'flex'}, 'notYetInvented': {'answer': 42}}
    await runtime.converse(**HELLO, **unknown)
    assert bedrock.requests[0].body == {'messages': HELLO['messages'], **unknown}


async def test_an_error_of_aws_is_botocores(bedrock: LocalBedrock, runtime: BedrockRuntime) -> None:
    with pytest.raises(ClientError) as raised:
        await runtime.converse(**{**HELLO, 'modelId': 'no-such-model'})
    assert raised.value.response['Error'] == {
        'Code': 'ValidationException',
        'Message': 'The provided model identifier is invalid.',
    }
    assert raised.value.response['ResponseMetadata']['HTTPStatusCode'] == 400
    assert runtime.pool.stats().leases == 0


async def test_an_exception_in_a_stream_is_botocores(bedrock: LocalBedrock, runtime: BedrockRuntime) -> None:
    bedrock.fault(exception_event('throttlingException', 'Slow down.'))
    stream = (await runtime.converse_stream(**HELLO))['stream']
    with pytest.raises(EventStreamError, match='Slow down') as raised:
        [event async for event in stream]
    assert raised.value.response['Error'] == {'Code': 'throttlingException', 'Message': 'Slow down.'}
    assert runtime.pool.stats().leases == 0


async def test_missing_credentials_are_botocores_error(bedrock: LocalBedrock) -> None:
    async with BedrockProvider(
        region_name=bedrock.region_name, base_url=bedrock.base_url, pool=SessionPool()
    ) as provider:
        with pytest.raises(NoCredentialsError):
            await provider.client.converse(**HELLO)
    assert bedrock.requests == []


async def test_the_pool_being_closed_is_named(runtime: BedrockRuntime) -> None:
    await runtime.pool.aclose()
    for call in (runtime.converse, runtime.converse_stream):
        with pytest.raises(PoolClosedError, match=r'^This SessionPool is closed: '):
            await call(**HELLO)


# Giving a stream back


async def read_two(stream: ConverseEventStream) -> None:
    for _ in range(2):
        await anext(stream)


async def close(stream: ConverseEventStream) -> None:
    await read_two(stream)
    stream.close()
    stream.close()


async def close_unread(stream: ConverseEventStream) -> None:
    stream.close()


@pytest.mark.parametrize('leave', [close, close_unread])
async def test_a_stream_that_is_closed_early_is_cut_at_once(
    bedrock: LocalBedrock, runtime: BedrockRuntime, leave: Callable[[ConverseEventStream], Any]
) -> None:
    endless = EndlessGeneration()
    bedrock.reply(endless)
    await leave((await runtime.converse_stream(**HELLO))['stream'])
    assert runtime.pool.stats().leases == 0
    await endless.until_ended()
    await eventually(lambda: bedrock.stats().streams_generating == 0)
    assert bedrock.requests[0].disconnected
    assert (await runtime.converse(**HELLO))['stopReason'] == 'end_turn'


@pytest.mark.parametrize('read', [0, 2], ids=['never iterated', 'iterated'])
async def test_a_stream_that_is_forgotten_is_cut_when_it_is_collected(
    bedrock: LocalBedrock, runtime: BedrockRuntime, read: int
) -> None:
    endless = EndlessGeneration()
    bedrock.reply(endless)
    stream = (await runtime.converse_stream(**HELLO))['stream']
    for _ in range(read):
        await anext(stream)
    del stream
    gc.collect()
    await eventually(lambda: runtime.pool.stats().leases == 0)
    await endless.until_ended()
    await eventually(lambda: bedrock.stats().streams_generating == 0)


async def test_a_read_that_waits_fails_when_another_task_closes_the_stream(
    bedrock: LocalBedrock, runtime: BedrockRuntime
) -> None:
    endless = EndlessGeneration()
    bedrock.reply(endless)
    stream = (await runtime.converse_stream(**HELLO))['stream']
    for _ in range(3):
        await anext(stream)
    reader = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    stream.close()
    with pytest.raises(ResponseStreamingError):
        await reader
    with pytest.raises(ResponseStreamingError, match='the stream has been closed'):
        await anext(stream)


# Refused


def test_the_events_of_botocore_are_refused_with_the_way_to_them() -> None:
    meta = BedrockProvider(region_name='us-east-1').client.meta
    assert not hasattr(meta, 'events')
    with pytest.raises(AsyncClientError, match=r'`AioSession\(\)\.register\(\.\.\.\)`'):
        meta.events.register('before-call', print)


@pytest.mark.parametrize('connections', [0, -1, 1.5, '3'])
async def test_warm_up_opens_only_a_positive_number_of_connections(runtime: BedrockRuntime, connections: Any) -> None:
    with pytest.raises(ValueError, match=f'^`connections` must be a positive whole number, not {connections!r}'):
        await runtime.warm_up(connections)


# What it says of itself


def test_the_endpoint_is_known_without_opening_a_client() -> None:
    pool = SessionPool()
    client = BedrockProvider(region_name='eu-central-1', pool=pool).client
    assert client.meta.endpoint_url == 'https://bedrock-runtime.eu-central-1.amazonaws.com'
    assert client.meta.region_name == 'eu-central-1'
    assert repr(client) == '<BedrockRuntime https://bedrock-runtime.eu-central-1.amazonaws.com (eu-central-1)>'
    assert pool.stats().opened == 0


@pytest.mark.parametrize(
    ('environment', 'endpoint'),
    [
        ({'AWS_ENDPOINT_URL_BEDROCK_RUNTIME': 'http://127.0.0.1:1'}, 'http://127.0.0.1:1'),
        ({'AWS_ENDPOINT_URL': 'http://127.0.0.1:2'}, 'http://127.0.0.1:2'),
        (
            {'AWS_ENDPOINT_URL': 'http://127.0.0.1:2', 'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS': 'true'},
            'https://bedrock-runtime.us-east-1.amazonaws.com',
        ),
        ({'AWS_USE_FIPS_ENDPOINT': 'true'}, 'https://bedrock-runtime-fips.us-east-1.amazonaws.com'),
    ],
)
async def test_the_endpoint_that_is_said_is_the_one_that_is_used(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], endpoint: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    pool = SessionPool()
    client = BedrockProvider(region_name='us-east-1', pool=pool).client
    assert client.meta.endpoint_url == endpoint
    with await pool.lease(client.spec) as lease:
        assert lease.client.meta.endpoint_url == endpoint
    await pool.aclose()


def test_the_providers_own_client_works_on_any_number_of_loops(bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    provider = make_provider(bedrock, pool)

    async def use() -> str:
        return (await provider.client.converse(**HELLO))['stopReason']

    assert [asyncio.run(use()) for _ in range(3)] == ['end_turn'] * 3
    assert (pool.stats().opened, pool.stats().clients) == (3, 0)
