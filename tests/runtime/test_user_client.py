"""Caller-supplied clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiobotocore.session import AioSession
from botocore.loaders import Loader
from generation import EndlessGeneration, eventually
from pydantic_ai import Agent, ModelRequest
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UserError
from pydantic_ai.models import ModelRequestParameters
from sessions import aioboto3_session, client_of

from local_bedrock import LocalBedrock, Reply, ToolCall, Truncate
from pydantic_ai_aiobedrock import (
    BedrockConverseModel,
    BedrockEmbeddingModel,
    BedrockProvider,
    WrongLoopError,
)

NOVA = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'anthropic.claude-sonnet-4-20250514-v1:0'
TITAN = 'amazon.titan-embed-text-v2:0'
LOADER = Loader()
"""Botocore's data, read once for all clients that the tests open themselves."""
HELLO: dict[str, Any] = {'modelId': NOVA, 'messages': [{'role': 'user', 'content': [{'text': 'Hello.'}]}]}


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
