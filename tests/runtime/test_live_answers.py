"""Live calls in place of a batch inference job: their outcomes are those that the job would have written."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from credential_sources import Gate
from served_bedrock import make_runtime

from local_bedrock import ErrorReply, LocalBedrock, NoResponse, RecordedRequest
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._runtime.live_answers import MAX_IN_FLIGHT, answer_live
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

CLAUDE = 'us.anthropic.claude-sonnet-4-20250514-v1:0'


@pytest.fixture
def runtime(bedrock: LocalBedrock, pool: SessionPool) -> BedrockRuntime:
    return make_runtime(bedrock, pool)


def converse(text: str) -> bytes:
    return json.dumps({'messages': [{'role': 'user', 'content': [{'text': text}]}]}).encode()


def messages(text: str) -> bytes:
    request: dict[str, Any] = {'anthropic_version': 'bedrock-2023-05-31', 'max_tokens': 10}
    return json.dumps({**request, 'messages': [{'role': 'user', 'content': text}]}).encode()


async def test_each_record_has_the_output_of_its_operation(bedrock: LocalBedrock, runtime: BedrockRuntime) -> None:
    bedrock.reply('Fine.', times=None)
    conversed = await answer_live(runtime, CLAUDE, 'Converse', {'a': converse('Hi'), 'b': converse('Ho')})
    assert [conversed[name]['modelOutput']['output']['message']['content'] for name in 'ab'] == [
        [{'text': 'Fine.'}]
    ] * 2
    assert 'ResponseMetadata' not in conversed['a']['modelOutput']
    invoked = await answer_live(runtime, CLAUDE, 'InvokeModel', {'c': messages('Hi')})
    assert invoked['c']['modelOutput']['content'] == [{'type': 'text', 'text': 'Fine.'}]
    assert [request.operation for request in bedrock.requests] == ['Converse', 'Converse', 'InvokeModel']


async def test_a_record_that_fails_has_an_error_and_the_others_their_outputs(
    bedrock: LocalBedrock, runtime: BedrockRuntime
) -> None:
    def says(text: str) -> Any:
        def concerns(request: RecordedRequest) -> bool:
            return request.last_user_text == text

        return concerns

    bedrock.reply(ErrorReply(400, 'ValidationException', 'No.'), when=says('refused'))
    bedrock.fault(NoResponse('reset'), when=says('lost'))
    bodies = {name: converse(name) for name in ('refused', 'lost', 'answered')}
    outcomes = await answer_live(runtime, CLAUDE, 'Converse', bodies)
    assert outcomes['refused'] == {'error': {'errorCode': 400, 'errorMessage': 'No.'}}
    assert outcomes['lost']['error']['errorCode'] == 503
    assert 'Connection was closed' in outcomes['lost']['error']['errorMessage']
    assert outcomes['answered'].keys() == {'modelOutput'}


async def test_only_a_few_requests_are_in_flight_at_once(
    bedrock: LocalBedrock, pool: SessionPool, runtime: BedrockRuntime
) -> None:
    gate = Gate(bedrock)
    bodies = {str(number): converse('Hi') for number in range(3 * MAX_IN_FLIGHT)}
    answering = asyncio.create_task(answer_live(runtime, CLAUDE, 'Converse', bodies))
    await gate.reached_by(MAX_IN_FLIGHT)
    assert (pool.stats().leases, pool.stats().waiting) == (MAX_IN_FLIGHT, 0)
    gate.opened.set()
    assert (await answering).keys() == bodies.keys()
    assert bedrock.stats().max_in_flight == MAX_IN_FLIGHT
