"""The admin API: an endpoint that is scripted over HTTP answers as one that is scripted in Python."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from dataclasses import fields
from typing import Any

import aiohttp
import pytest
import yarl
from botocore.exceptions import ClientError, EventStreamError
from support.admin_client import AdminClient
from support.requests import CLAUDE, NOVA, Post, user

from local_bedrock import LocalBedrock, Quota, RawReply, Reply
from local_bedrock._admin import replies


def text_of(body: bytes) -> str:
    return json.loads(body)['output']['message']['content'][0]['text']


async def test_health_is_reported_without_authentication(admin: AdminClient) -> None:
    health = await admin.ok('GET', '/health')
    assert health['status'] == 'ok'
    assert health['version']


async def test_requests_to_the_admin_api_are_not_among_the_requests(admin: AdminClient, bedrock: LocalBedrock) -> None:
    await admin.ok('GET', '/health')
    await admin.ok('POST', '/_local/replies', 'Paris')
    assert bedrock.requests == []
    assert bedrock.stats().requests == bedrock.stats().max_in_flight == 0


# Replies


async def test_replies_answer_in_the_order_in_which_they_were_put(admin: AdminClient, post: Post) -> None:
    assert await admin.ok('POST', '/_local/replies', 'first') == {'pending': 1}
    assert await admin.ok('POST', '/_local/replies', [{'text': 'second', 'times': 2}, 'third']) == {'pending': 3}
    assert [text_of((await post())[2]) for _ in range(4)] == ['first', 'second', 'second', 'third']
    assert await admin.ok('GET', '/_local/replies') == {'pending': 0}


async def test_a_reply_may_be_for_a_model_an_operation_or_a_text(admin: AdminClient, post: Post) -> None:
    scripted = [
        {'text': 'model', 'model': CLAUDE},
        {'text': 'text', 'user_text_contains': 'night', 'times': None},
        {'error': 'ThrottlingException', 'operation': 'CountTokens'},
        {'text': 'rest', 'times': None},
    ]
    await admin.ok('POST', '/_local/replies', scripted)
    assert text_of((await post(text='Good evening'))[2]) == 'rest'
    assert text_of((await post(text='Good night'))[2]) == 'text'
    assert text_of((await post(model=CLAUDE))[2]) == 'model'
    asked = {'input': {'converse': {'messages': [user('Hello')]}}}
    assert (await post('count-tokens', asked, model=CLAUDE.removeprefix('us.')))[0] == 429


async def test_tool_calls_thinking_and_usage_are_put(admin: AdminClient, post: Post) -> None:
    reply = {
        'text': 'Let me see.',
        'thinking': 'Rain?',
        'signature': 'abc',
        'tool_calls': [{'name': 'weather', 'input': {'city': 'Paris'}, 'id': 'tooluse_7'}],
        'usage': {'inputTokens': 12},
    }
    await admin.ok('POST', '/_local/replies', reply)
    answer = json.loads((await post())[2])
    thinking, text, call = answer['output']['message']['content']
    assert thinking == {'reasoningContent': {'reasoningText': {'text': 'Rain?', 'signature': 'abc'}}}
    assert text == {'text': 'Let me see.'}
    assert call == {'toolUse': {'toolUseId': 'tooluse_7', 'name': 'weather', 'input': {'city': 'Paris'}}}
    assert answer['stopReason'] == 'tool_use'
    assert answer['usage']['inputTokens'] == 12


def put(bedrock: LocalBedrock, scripted: Any) -> None:
    """Script replies as the admin API does."""
    for reply in replies.read_replies(scripted):
        reply.put(bedrock)


def test_a_stream_comes_in_the_chunks_that_were_put(served: LocalBedrock, client: Any) -> None:
    put(served, {'chunks': ['Par', 'is']})
    stream = client.converse_stream(modelId=NOVA, messages=[user('Hello')])['stream']
    pieces = [event['contentBlockDelta']['delta']['text'] for event in stream if 'contentBlockDelta' in event]
    assert pieces == ['Par', 'is']


def test_a_stream_is_put_event_by_event_with_its_exception(served: LocalBedrock, client: Any) -> None:
    events = [
        {'messageStart': {'role': 'assistant'}},
        {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': 'Par'}}},
        {'throttlingException': {'message': 'Too fast'}},
    ]
    put(served, {'events': events})
    with closing(client.converse_stream(modelId=NOVA, messages=[user('Hello')])['stream']) as stream:
        found = iter(stream)
        assert next(found) == {'messageStart': {'role': 'assistant'}}
        assert next(found)['contentBlockDelta']['delta'] == {'text': 'Par'}
        with pytest.raises(EventStreamError, match='Too fast'):
            next(found)


@pytest.mark.parametrize(
    ('scripted', 'status', 'code', 'message'),
    [
        ({'error': 'ThrottlingException'}, 429, 'ThrottlingException', 'Too many requests'),
        ({'error': 'ThrottlingException', 'message': 'Slow down'}, 429, 'ThrottlingException', 'Slow down'),
        ({'error': 'ServiceUnavailableException', 'status': 504}, 504, 'ServiceUnavailableException', 'unable'),
        ({'error': 'OwnException', 'status': 418, 'message': 'Tea'}, 418, 'OwnException', 'Tea'),
    ],
)
def test_an_error_is_put_by_its_name(
    served: LocalBedrock, client: Any, scripted: Any, status: int, code: str, message: str
) -> None:
    put(served, scripted)
    with pytest.raises(ClientError, match=message) as caught:
        client.converse(modelId=NOVA, messages=[user('Hello')])
    assert caught.value.response['Error']['Code'] == code
    assert caught.value.response['ResponseMetadata']['HTTPStatusCode'] == status


@pytest.mark.parametrize('body', [{'body': 'no JSON'}, {'body_base64': base64.b64encode(b'no JSON').decode()}])
async def test_a_response_is_put_byte_for_byte(admin: AdminClient, post: Post, body: dict[str, str]) -> None:
    reply = {**body, 'status': 502, 'headers': {'X-Proxy': 'yes'}}
    await admin.ok('POST', '/_local/replies', reply)
    status, headers, answered = await post()
    assert (status, headers['x-proxy'], answered) == (502, 'yes', b'no JSON')


async def test_replies_are_taken_back(admin: AdminClient, post: Post) -> None:
    await admin.ok('POST', '/_local/replies', {'text': 'never', 'times': None})
    assert await admin.ok('DELETE', '/_local/replies') == {'pending': 0}
    assert text_of((await post())[2]) != 'never'


@pytest.mark.parametrize(
    ('body', 'message'),
    [
        (b'{"text": ', 'body: not JSON, EOF while parsing a value at line 1 column 9.'),
        (b'{"latency_ms": NaN}', 'body: not JSON, expected value at line 1 column 16.'),
        (5, 'body: input should be a valid dictionary.'),
        ({}, 'body: an empty reply; give text, tool_calls, content, error, events or body.'),
        ({'text': 5}, 'text: input should be a valid string.'),
        (['a', {'tool_calls': [{'input': {}}]}], 'replies[1].tool_calls[0].name: field required.'),
        ({'tool_calls': [{'name': 'a', 'input': 3}]}, 'tool_calls[0].input: input should be an object, or text.'),
        ({'text': 'a', 'times': 0}, 'times: input should be greater than or equal to 1.'),
        ({'text': 'a', 'delay_before': -1}, 'delay_before: input should be greater than or equal to 0.'),
        ({'text': 'a', 'delay_per_event': 'x'}, 'delay_per_event: input should be seconds, as a number or a list of'),
        ({'text': 'a', 'operation': 'Chat'}, "operation: input should be 'ApplyGuardrail', 'Converse', "),
        ({'txt': 'a'}, 'txt: there is no such field; the fields are text, thinking, '),
        ({'redacted_thinking': '*'}, 'redacted_thinking: not base64: '),
        ({'error': 'OwnException'}, 'status: needed, for the error OwnException is none of ThrottlingException, '),
        ([{'error': 'OwnException'}], 'replies[0].status: needed, '),
        ({'error': 'ThrottlingException', 'text': 'a'}, 'text: there is no such field; the fields are error, status,'),
        ({'events': [{'a': {}, 'b': {}}]}, 'events[0]: an event has one member, its type.'),
        ({'events': [{'messageStart': 1}]}, 'events[0]: an event is an object by the name of its type, or base64 text'),
        ({'body': 'a', 'headers': {'X': 'a\r\nY: b'}}, 'headers.X: string should match pattern'),
        ({'body': 'a', 'status': 99}, 'status: input should be greater than or equal to 200.'),
    ],
)
async def test_a_reply_that_is_wrong_is_refused_by_the_name_of_its_field(
    admin: AdminClient, bedrock: LocalBedrock, body: Any, message: str
) -> None:
    error = await admin.error('POST', '/_local/replies', body)
    assert error.startswith(message)
    assert error.endswith('.')
    assert await admin.ok('GET', '/_local/replies') == {'pending': 0}


def test_the_form_of_a_reply_has_every_field_of_a_reply() -> None:
    conditions = {'model', 'operation', 'times', 'user_text_contains'}
    forms = {kind: set(form.names) - conditions for kind, form in replies.forms().items()}
    assert forms['text'] == {field.name for field in fields(Reply)}
    assert forms['body'] == {field.name for field in fields(RawReply)}


# Requests


async def test_the_requests_seen_are_read_without_secrets(
    admin: AdminClient, post: Post, bedrock: LocalBedrock
) -> None:
    await post(text='Hello')
    [seen] = await admin.ok('GET', '/_local/requests')
    assert (seen['operation'], seen['model_id'], seen['method'], seen['status']) == ('Converse', NOVA, 'POST', 200)
    assert seen['body'] == {'messages': [user('Hello')]}
    assert seen['body_bytes'] == len(bedrock.requests[0].raw_body)
    assert seen['last_user_text'] == 'Hello'
    assert seen['auth_scheme'] == 'bearer'
    assert seen['ms'] >= 0
    assert bedrock.api_key not in json.dumps(seen)


async def test_signatures_in_a_path_are_starred(admin: AdminClient, bedrock: LocalBedrock, s3: Any) -> None:
    path = (
        '/bucket/key?X-Amz-Credential=a%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature=5ec1e7&X-Amz-Date=1'
    )
    await admin._http.get(yarl.URL(bedrock.base_url + path, encoded=True))
    [seen] = await admin.ok('GET', '/_local/requests')
    assert seen['path'].endswith('&X-Amz-Signature=***&X-Amz-Date=1')


async def test_the_requests_are_the_latest_that_the_parameters_name(admin: AdminClient, post: Post) -> None:
    for text in 'abc':
        await post(text=text)
    await post(model=CLAUDE, text='d')

    async def texts(query: str) -> list[str]:
        return [seen['last_user_text'] for seen in await admin.ok('GET', f'/_local/requests?{query}')]

    assert await texts('') == ['a', 'b', 'c', 'd']
    assert await texts('limit=2') == ['c', 'd']
    assert await texts(f'limit=2&model={NOVA}') == ['b', 'c']
    assert await texts('operation=ConverseStream') == []
    assert await texts('service=bedrock-runtime&operation=Converse&limit=1') == ['d']
    await admin.ok('DELETE', '/_local/requests')
    assert await texts('') == []


async def test_a_large_body_is_left_out_of_the_requests(admin: AdminClient, post: Post) -> None:
    await post(text='a' * 300_000)
    await post(text='b')
    large, small = await admin.ok('GET', '/_local/requests')
    assert (large['body'], large['body_bytes'] > 300_000) == (None, True)
    assert small['body'] == {'messages': [user('b')]}


@pytest.mark.parametrize(
    ('query', 'message'),
    [
        ('limit=0', "limit: must be a number from 1 to 1000, not '0'."),
        ('limit=1001', "limit: must be a number from 1 to 1000, not '1001'."),
        ('limit=%C2%B2', "limit: must be a number from 1 to 1000, not '²'."),
        ('operation=Chat', "operation: 'Chat' is none of ApplyGuardrail, "),
        ('service=ec2', "service: 'ec2' is none of bedrock-runtime, bedrock, s3, sts."),
        ('page=2', 'page: there is no such parameter; the parameters are limit, model, operation, service.'),
    ],
)
async def test_a_parameter_that_is_wrong_is_refused_by_its_name(admin: AdminClient, query: str, message: str) -> None:
    assert (await admin.error('GET', f'/_local/requests?{query}')).startswith(message)


async def test_the_counts_and_failures_are_read(admin: AdminClient, post: Post, bedrock: LocalBedrock) -> None:
    bedrock.reply(lambda request: 1 / 0)  # pyright: ignore[reportArgumentType]
    await post()
    stats = await admin.ok('GET', '/_local/stats')
    assert (stats['requests'], stats['in_flight']) == (1, 0)
    assert stats['failures'] == ['ZeroDivisionError: division by zero']
    bedrock.failures.clear()


# Reset


async def test_reset_returns_to_the_start_on_the_same_connection(
    admin: AdminClient, post: Post, http: aiohttp.ClientSession
) -> None:
    bedrock = LocalBedrock(quotas=[Quota(requests_per_second=100)])
    bedrock.reply('at the start')
    async with bedrock:
        admin, key = AdminClient(http, bedrock), bedrock.api_key
        await admin.ok('POST', '/_local/replies', {'text': 'never', 'times': None})
        await admin.ok('POST', '/_local/faults', {'error': 'ThrottlingException'})
        await admin.ok('PUT', '/_local/quotas', {'requests_per_minute': 0})
        bedrock.rotate_api_key()
        bedrock.objects.put('s3://bucket/key', b'content')
        assert (await admin.ok('POST', '/_local/reset'))['requests'] == 0
        assert bedrock.api_key == key
        assert bedrock.objects.list('s3://bucket/') == []
        assert await admin.ok('GET', '/_local/replies') == {'pending': 1}
        assert await admin.ok('GET', '/_local/faults') == {'pending': 0}
        assert (await admin.ok('GET', '/_local/quotas'))['quotas'] == [{'requests_per_second': 100, 'in_stream': False}]
        for _ in range(2):
            url = f'{bedrock.base_url}/model/{NOVA}/converse'
            headers = {'Authorization': f'Bearer {key}'}
            async with http.post(
                yarl.URL(url, encoded=True), json={'messages': [user('Hi')]}, headers=headers
            ) as response:
                assert text_of(await response.read()) == 'at the start'
            await admin.ok('POST', '/_local/reset')
        assert bedrock.stats().open_connections == 1


# Paths, methods, sizes, access


async def test_another_path_is_not_found_and_another_method_not_allowed(admin: AdminClient) -> None:
    assert (await admin.error('GET', '/_local/reply', status=404)).startswith(
        'There is no /_local/reply; the paths are'
    )
    assert await admin.error('PUT', '/_local/reset', status=405) == '/_local/reset takes POST, not PUT.'


async def test_a_body_that_is_too_large_is_refused(admin: AdminClient) -> None:
    body = b'"' + b'a' * (16 * 1024 * 1024) + b'"'
    assert await admin.error('POST', '/_local/replies', body, status=413) == 'The body has more than 16,777,216 bytes.'


async def test_deep_json_is_refused(admin: AdminClient) -> None:
    assert (await admin.error('POST', '/_local/replies', b'[' * 100_000)).startswith('body: not JSON, ')


async def test_a_bucket_named_health_is_still_a_bucket(s3: Any, served: LocalBedrock) -> None:
    served.objects.put('s3://health/key', b'content')
    assert [found['Key'] for found in s3.list_objects_v2(Bucket='health')['Contents']] == ['key']


@pytest.mark.parametrize('headers', [{'Origin': 'http://evil.example'}, {'Host': 'evil.example'}])
async def test_a_page_in_a_browser_is_refused(admin: AdminClient, headers: dict[str, str]) -> None:
    status, answer = await admin('POST', '/_local/reset', headers=headers)
    assert status == 403
    assert headers.keys() & set(answer['error'].replace(':', '').split())


async def test_beyond_loopback_the_admin_api_takes_an_api_key(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock(host='0.0.0.0', api_keys=['a-key-of-the-test']) as bedrock:
        admin = AdminClient(http, bedrock)
        assert (await admin.ok('GET', '/health'))['status'] == 'ok'
        error = await admin.error('GET', '/_local/requests', status=403)
        assert error.startswith('The admin API needs the header "Authorization: Bearer KEY"')
        for key, status in (('a-key-of-the-test', 200), ('another', 403)):
            assert (await admin('GET', '/_local/stats', headers={'Authorization': f'Bearer {key}'}))[0] == status
        bedrock.expire('a-key-of-the-test')
        assert (await admin('GET', '/_local/stats', headers={'Authorization': 'Bearer a-key-of-the-test'}))[0] == 403
