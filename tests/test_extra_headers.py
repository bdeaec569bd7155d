"""`extra_headers` that are sent without being signed, and those that cannot be sent."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic_ai import Agent, ModelRequest
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import ModelRequestParameters
from sessions import client_of

from local_bedrock import SERVICE_UNAVAILABLE, LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

NOVA = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'

UNSIGNED = [
    'traceparent',
    'tracestate',
    'baggage',
    'X-Amzn-Trace-Id',
    'x-b3-traceid',
    'x-datadog-trace-id',
    'sentry-trace',
    'Connection',
    'Keep-Alive',
    'TE',
    'Via',
    'X-Forwarded-For',
    'Accept-Encoding',
    'Cache-Control',
]


@pytest.fixture
def model(provider: BedrockProvider) -> BedrockConverseModel:
    return BedrockConverseModel(CLAUDE, provider=provider)


@pytest.mark.parametrize('name', UNSIGNED)
@pytest.mark.parametrize('caller_supplied', [False, True], ids=['pooled', 'caller-supplied'])
async def test_headers_that_proxies_change_are_sent_but_not_signed(
    name: str, caller_supplied: bool, bedrock: LocalBedrock, provider: BedrockProvider
) -> None:
    value = 'keep-alive' if name == 'Connection' else 'identity'
    async with AsyncExitStack() as stack:
        if caller_supplied:
            provider = BedrockProvider(bedrock_client=await stack.enter_async_context(client_of(bedrock)))
        agent = Agent(BedrockConverseModel(NOVA, provider=provider))
        await agent.run('Hi.', model_settings={'extra_headers': {name: value, 'X-Tenant': 'a'}})
    (request,) = bedrock.requests
    headers: Any = request.headers
    assert headers.getall(name) == [value]
    signed = request.headers['Authorization'].partition('SignedHeaders=')[2].partition(',')[0].split(';')
    assert 'x-tenant' in signed
    assert name.lower() not in signed


async def test_an_accept_encoding_of_the_caller_is_sent_as_it_is(
    bedrock: LocalBedrock, model: BedrockConverseModel
) -> None:
    await Agent(model).run('Hi.', model_settings={'extra_headers': {'accept-encoding': 'identity;q=0.5'}})
    (request,) = bedrock.requests
    headers: Any = request.headers
    assert headers.getall('Accept-Encoding') == ['identity;q=0.5']


async def test_unsigned_headers_go_with_each_attempt(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    bedrock.fault(SERVICE_UNAVAILABLE, nth=1)
    await Agent(model).run('Hi.', model_settings={'extra_headers': {'traceparent': '00-a'}})
    headers: list[Any] = [request.headers for request in bedrock.requests]
    assert [each.getall('traceparent') for each in headers] == [['00-a'], ['00-a']]


@pytest.mark.parametrize(
    ('headers', 'message'),
    [
        ({'X-Broken': 'secret\r\nX-Other: b'}, r"`X-Broken` in `extra_headers` contains '\\r'"),
        ({'X-Broken': 'secret\n'}, r"`X-Broken` in `extra_headers` contains '\\n'"),
        ({'X-Broken': 'secret\x00'}, r"`X-Broken` in `extra_headers` contains '\\x00'"),
        ({'X-Broken': 'secret\ud800'}, r"`X-Broken` in `extra_headers` contains '\\ud800'"),
        ({'X-Broken': 5}, r'`X-Broken` in `extra_headers` must be a str, not int'),
        ({'X-Broken\n': 'secret'}, r"`extra_headers` has 'X-Broken\\n', which is not the name of an HTTP header"),
        ({'': 'secret'}, r"`extra_headers` has '', which is not the name of an HTTP header"),
        ('X-Other: secret', r'`extra_headers` must be a dict of names and values, not str'),
        ([('X-Other', 'secret')], r'`extra_headers` must be a dict of names and values, not list'),
        ({5: 'secret'}, r'`extra_headers` has 5, which is not the name of an HTTP header'),
    ],
    ids=repr,
)
@pytest.mark.parametrize('call', ['request', 'request_stream', 'count_tokens'])
async def test_a_header_that_cannot_be_sent_is_one_error_that_names_it(
    call: str, headers: Any, message: str, bedrock: LocalBedrock, model: BedrockConverseModel
) -> None:
    messages, parameters = [ModelRequest.user_text_prompt('Hi.')], ModelRequestParameters()
    sent = getattr(model, call)(messages, {'extra_headers': headers}, parameters)
    with pytest.raises(UserError, match=message) as caught:
        await (sent.__aenter__() if call == 'request_stream' else sent)
    assert 'secret' not in str(caught.value)
    assert not bedrock.requests
