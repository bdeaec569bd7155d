"""Bedrock Runtime without pydantic-ai: the provider's own client, and clients that the user brings."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError, EventStreamError, NoCredentialsError, ResponseStreamingError
from botocore.loaders import Loader
from generation import EndlessGeneration, eventually
from pydantic_ai import Agent, ModelRequest
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UserError
from pydantic_ai.models import ModelRequestParameters
from served_bedrock import make_provider
from sessions import aioboto3_session, client_of

from local_bedrock import LocalBedrock, Reply, ToolCall, Truncate, exception_event
from pydantic_ai_aiobedrock import (
    BedrockConverseModel,
    BedrockEmbeddingModel,
    BedrockProvider,
    PoolClosedError,
    SessionPool,
    WrongLoopError,
)
from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

NOVA = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'anthropic.claude-sonnet-4-20250514-v1:0'
TITAN = 'amazon.titan-embed-text-v2:0'
LOADER = Loader()
"""Botocore's data, read once for all clients that the tests open themselves."""
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


async def aclose(stream: ConverseEventStream) -> None:
    await read_two(stream)
    await stream.aclose()


async def leave_the_context(stream: ConverseEventStream) -> None:
    async with stream:
        await read_two(stream)


async def close_unread(stream: ConverseEventStream) -> None:
    stream.close()


@pytest.mark.parametrize('leave', [close, aclose, leave_the_context, close_unread])
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


async def test_a_cancelled_read_cuts_the_stream(bedrock: LocalBedrock, runtime: BedrockRuntime) -> None:
    endless = EndlessGeneration()
    bedrock.reply(endless)
    stream = (await runtime.converse_stream(**HELLO))['stream']

    seen: set[str] = set()

    async def read() -> None:
        async for event in stream:
            seen.update(event)

    reader = asyncio.create_task(read())
    await eventually(lambda: 'contentBlockDelta' in seen)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert runtime.pool.stats().leases == 0
    await endless.until_ended()


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


# Clients that are brought along


@pytest.fixture(params=['aioboto3', 'aiobotocore'])
async def brought(request: pytest.FixtureRequest, bedrock: LocalBedrock) -> AsyncIterator[Any]:
    """Yield a client that the user has opened."""
    arguments: dict[str, Any] = {
        'region_name': bedrock.region_name,
        'endpoint_url': bedrock.base_url,
        'aws_access_key_id': bedrock.aws_access_key_id,
        'aws_secret_access_key': bedrock.aws_secret_access_key,
    }
    session = AioSession()
    session.register_component('data_loader', LOADER)
    if request.param == 'aioboto3':
        context: Any = aioboto3_session(botocore_session=session).client('bedrock-runtime', **arguments)
    else:
        context = session.create_client('bedrock-runtime', **arguments)
    async with context as client:
        yield client


async def test_a_brought_client_is_used_as_it_is(bedrock: LocalBedrock, brought: Any) -> None:
    model = BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=brought))
    assert model.base_url == bedrock.base_url
    assert model.client.meta is brought.meta
    bedrock.reply('Hello.')
    assert (await Agent(model).run('Hi.')).output == 'Hello.'


async def test_a_brought_client_streams(bedrock: LocalBedrock, brought: Any) -> None:
    bedrock.reply(Reply('Two words.', thinking='Hm.', chunks=['Two', ' words.']))
    model = BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=brought))
    async with Agent(model).run_stream('Hi.') as result:
        assert [text async for text in result.stream_text(delta=True, debounce_by=None)] == ['Two', ' words.']
    assert result.response.provider_response_id == bedrock.requests[0].request_id
    assert result.response.state == 'complete'


async def test_a_brought_client_calls_tools(bedrock: LocalBedrock, brought: Any) -> None:
    agent = Agent(BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=brought)))

    @agent.tool_plain
    def weather(city: str) -> str:
        return f'Sunny in {city}.'

    bedrock.reply(Reply(tool_calls=[ToolCall('weather', {'city': 'Rome'}, id='call-1')]), 'It is sunny.')
    assert (await agent.run('The weather in Rome?')).output == 'It is sunny.'
    assert bedrock.requests[1].tool_results[0]['content'] == [{'text': 'Sunny in Rome.'}]


async def test_a_brought_client_counts_tokens_and_embeds(bedrock: LocalBedrock, brought: Any) -> None:
    provider = BedrockProvider(bedrock_client=brought)
    model = BedrockConverseModel(CLAUDE, provider=provider)
    usage = await model.count_tokens([ModelRequest.user_text_prompt('Hi.')], None, ModelRequestParameters())
    assert usage.input_tokens > 0
    result = await BedrockEmbeddingModel(TITAN, provider=provider).embed(['a', 'b'], input_type='query')
    assert len(result.embeddings) == 2
    assert result.usage.input_tokens > 0


async def test_a_brought_client_sends_extra_headers_signed(bedrock: LocalBedrock, brought: Any) -> None:
    agent = Agent(BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=brought)))
    await agent.run('Hi.', model_settings={'extra_headers': {'X-Tenant': 'a'}})
    await agent.run('Hi.')
    assert [request.headers.get('X-Tenant') for request in bedrock.requests] == ['a', None]
    assert 'x-tenant' in bedrock.requests[0].headers['Authorization']


async def test_a_client_can_be_brought_by_several_providers(bedrock: LocalBedrock, brought: Any) -> None:
    agents = [Agent(BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=brought))) for _ in range(3)]
    await asyncio.gather(
        *(
            agent.run('Hi.', model_settings={'extra_headers': {'X-Tenant': f'{number}'}})
            for number, agent in enumerate(agents)
        )
    )
    headers: list[Any] = [request.headers for request in bedrock.requests]
    assert sorted(each.getall('X-Tenant')[0] for each in headers) == ['0', '1', '2']
    assert all(len(each.getall('X-Tenant')) == 1 for each in headers)


async def test_a_provider_does_not_close_the_client_that_was_brought(bedrock: LocalBedrock, brought: Any) -> None:
    agent = Agent(BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=brought)))
    async with agent:
        await agent.run('Hi.')
    bedrock.reply('Still here.')
    assert (await agent.run('Hi.')).output == 'Still here.'


async def test_a_stream_of_a_brought_client_that_is_left_early_is_cut_at_once(
    bedrock: LocalBedrock, brought: Any
) -> None:
    endless = EndlessGeneration()
    bedrock.reply(endless)
    model = BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=brought))
    async with Agent(model).run_stream('Hi.') as result:
        async for text in result.stream_text(debounce_by=None):
            if text == 'Once upon':
                await result.cancel()
        assert result.response.state == 'interrupted'
    await endless.until_ended()
    await eventually(lambda: bedrock.stats().streams_generating == 0)


@pytest.mark.parametrize('fault', [Truncate(300, 'close'), Truncate(300, 'reset')], ids=str)
async def test_a_broken_stream_of_a_brought_client_is_a_model_error(
    bedrock: LocalBedrock, brought: Any, fault: Truncate
) -> None:
    bedrock.fault(fault)
    model = BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=brought))

    async def read() -> None:
        async with Agent(model).run_stream('Hi.') as result:
            await result.get_output()

    with pytest.raises(ModelAPIError):
        await read()


async def test_an_error_through_a_brought_client_is_a_model_error(brought: Any) -> None:
    model = BedrockConverseModel('no-such-model', provider=BedrockProvider(bedrock_client=brought))
    with pytest.raises(ModelHTTPError) as raised:
        await Agent(model).run('Hi.')
    assert raised.value.status_code == 400


async def test_a_brought_client_keeps_what_else_it_offers(brought: Any) -> None:
    client: Any = BedrockProvider(bedrock_client=brought).client
    assert client.exceptions.ThrottlingException is brought.exceptions.ThrottlingException
    with pytest.raises(AttributeError):
        _ = client.not_there


# On the wrong loop


def test_a_brought_client_is_refused_on_another_loop(bedrock: LocalBedrock) -> None:
    context = client_of(bedrock)

    async def open_and_use() -> BedrockProvider:
        provider = BedrockProvider(bedrock_client=await context.__aenter__())
        await provider.client.converse(**HELLO)
        return provider

    async def misuse(provider: BedrockProvider) -> None:
        for call in (provider.client.converse, provider.client.converse_stream):
            with pytest.raises(WrongLoopError, match='belongs to another event loop than the one it is used on now'):
                await call(**HELLO)
        model = BedrockConverseModel(NOVA, provider=provider)
        with pytest.raises(UserError, match='a BedrockProvider opens its own client on each loop'):
            await Agent(model).run('Hi.')
        with pytest.raises(UserError, match='a BedrockProvider opens its own client on each loop'):
            await BedrockEmbeddingModel(TITAN, provider=provider).embed('Hi.', input_type='query')

    with asyncio.Runner() as its_own:
        provider = its_own.run(open_and_use())
        with asyncio.Runner() as another:
            another.run(misuse(provider))
        its_own.run(context.__aexit__(None, None, None))
    assert len(bedrock.requests) == 1


def test_a_brought_client_that_was_never_used_is_refused_on_another_loop_too(bedrock: LocalBedrock) -> None:
    context = client_of(bedrock)

    async def bring() -> BedrockProvider:
        return BedrockProvider(bedrock_client=await context.__aenter__())

    async def misuse(provider: BedrockProvider) -> None:
        with pytest.raises(WrongLoopError):
            await provider.client.converse(**HELLO)

    with asyncio.Runner() as its_own:
        provider = its_own.run(bring())
        with asyncio.Runner() as another:
            another.run(misuse(provider))
        its_own.run(context.__aexit__(None, None, None))
    assert bedrock.requests == []


def test_the_providers_own_client_works_on_any_number_of_loops(bedrock: LocalBedrock) -> None:
    pool = SessionPool()
    provider = make_provider(bedrock, pool)

    async def use() -> str:
        return (await provider.client.converse(**HELLO))['stopReason']

    assert [asyncio.run(use()) for _ in range(3)] == ['end_turn'] * 3
    assert (pool.stats().opened, pool.stats().clients) == (3, 0)
