"""What an endpoint remembers of the requests that it has seen."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from support.requests import NOVA, Post, tool_result, user

from local_bedrock import LocalBedrock


async def test_a_request_is_recorded_decoded(bedrock: LocalBedrock, post: Post) -> None:
    tools = {'tools': [{'toolSpec': {'name': 'a', 'inputSchema': {'json': {'type': 'object'}}}}]}
    body: dict[str, Any] = {
        'messages': [
            user('First'),
            {'role': 'assistant', 'content': [{'toolUse': {'toolUseId': 't', 'name': 'a', 'input': {}}}]},
            user(tool_result('x', 't')),
        ],
        'toolConfig': tools,
    }
    await post('converse', body, headers={'amz-sdk-request': 'attempt=2; max=3', 'X-Amz-Security-Token': 'secret'})
    (request,) = bedrock.requests
    assert (request.operation, request.model_id, request.method) == ('Converse', NOVA, 'POST')
    assert request.body == body == json.loads(request.raw_body)
    assert (request.attempt, request.auth_scheme, request.status, request.error_code) == (2, 'bearer', 200, None)
    assert request.last_user_text == 'First'
    assert request.tool_results == [{'toolUseId': 't', 'content': [{'text': 'x'}]}]
    assert list(request.tools) == ['a']
    assert request.headers['authorization'] == 'Bearer ***'
    assert request.headers['x-amz-security-token'] == '***'
    assert request.ended is not None
    assert request.ended >= request.started
    assert request.bytes_sent > 100
    assert (request.in_flight, request.connection, request.disconnected, request.streaming) == (1, 1, False, False)


async def test_requests_that_were_refused_are_recorded_too(bedrock: LocalBedrock, post: Post) -> None:
    await post('converse', b'{')
    await post('converse', {'messages': 'no list', 'toolConfig': []})
    await post('converse', headers={'Authorization': 'Bearer wrong'})
    assert [request.error_code for request in bedrock.requests] == [
        'SerializationException',
        'SerializationException',
        'AccessDeniedException',
    ]
    for request in bedrock.requests[:2]:
        assert (request.messages, request.tools, request.tool_results, request.last_user_text) == ([], {}, [], '')


async def test_only_the_latest_requests_are_kept(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock(keep_requests=2) as bedrock:
        headers = {'Authorization': f'Bearer {bedrock.api_key}'}
        for number in range(4):
            url = f'{bedrock.base_url}/model/{NOVA}/converse'
            async with http.post(url, json={'messages': [user(f'{number}')]}, headers=headers) as response:
                await response.read()
        assert [request.last_user_text for request in bedrock.requests] == ['2', '3']
        assert bedrock.stats().requests == 4
