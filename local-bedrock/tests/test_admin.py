"""The admin API: an endpoint that is scripted over HTTP answers as one that is scripted in Python."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import fields
from typing import Any

import aiohttp
import pytest
import yarl
from botocore.exceptions import ClientError, EventStreamError
from support.requests import CLAUDE, NOVA, Post, user

from local_bedrock import LocalBedrock, Quota, RawReply, Reply
from local_bedrock._admin import faults, quotas, replies


class AdminClient:
    """A client of the admin API, as it could be in any language."""

    def __init__(self, http: aiohttp.ClientSession, bedrock: LocalBedrock) -> None:
        self._http, self._bedrock = http, bedrock

    async def __call__(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        data = None if data is None else io.BytesIO(data)
        url = yarl.URL(self._bedrock.base_url + path)
        async with self._http.request(method, url, data=data, headers=headers) as response:
            assert response.content_type == 'application/json'
            return response.status, await response.json()

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = await self(method, path, body)
        assert status == 200, answer
        return answer

    async def error(self, method: str, path: str, body: Any = None, *, status: int = 400) -> str:
        answered, answer = await self(method, path, body)
        assert answered == status, answer
        assert list(answer) == ['error']
        return answer['error']


@pytest.fixture
def admin(http: aiohttp.ClientSession, bedrock: LocalBedrock) -> AdminClient:
    return AdminClient(http, bedrock)


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


# Faults


async def test_a_fault_happens_to_the_requests_that_it_is_for(admin: AdminClient, post: Post) -> None:
    faults_put = [
        {'error': 'ServiceUnavailableException', 'nth': 2},
        {'fault': 'error', 'error': 'ThrottlingException'},
    ]
    assert await admin.ok('POST', '/_local/faults', [{**faults_put[0]}]) == {'pending': 1}
    assert [(await post())[0] for _ in range(3)] == [200, 503, 200]
    await admin.ok('POST', '/_local/faults', {**faults_put[1], 'model': CLAUDE, 'times': 1})
    assert [(await post(model=model))[0] for model in (NOVA, CLAUDE, CLAUDE)] == [200, 429, 200]


async def test_a_lost_response_and_a_failed_connection_are_put(
    admin: AdminClient, post: Post, bedrock: LocalBedrock
) -> None:
    await admin.ok('POST', '/_local/faults', {'fault': 'no_response', 'then': 'close', 'times': 1})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await post()
    assert (await post())[0] == 200
    await admin.ok('POST', '/_local/faults', {'fault': 'fail_connection', 'times': 1})
    async with aiohttp.ClientSession() as another:
        # A request that is not idempotent: aiohttp asks again otherwise.
        with pytest.raises(aiohttp.ClientError):
            await another.post(f'{bedrock.base_url}/_local/replies', json='Paris')
        assert (await another.get(f'{bedrock.base_url}/health')).status == 200


@pytest.mark.parametrize(
    ('fault', 'expected'),
    [
        ({'fault': 'exception_event', 'name': 'throttlingException'}, 'The stream ended with throttlingException.'),
        (
            {'fault': 'insert_event', 'event': {'modelStreamErrorException': {'message': 'Lost'}}, 'end': True},
            'Lost',
        ),
        ({'fault': 'wrong_checksum', 'event': 1}, 'Checksum mismatch'),
    ],
)
def test_faults_of_streams_are_put(served: LocalBedrock, client: Any, fault: Any, expected: str) -> None:
    for scripted in faults.read_faults(fault):
        scripted.put(served)
    stream = client.converse_stream(modelId=NOVA, messages=[user('Hello')])['stream']
    with closing(stream), pytest.raises(Exception, match=expected):
        list(stream)


SMALLEST: dict[str, dict[str, Any]] = {
    'truncate': {'at': 3},
    'slow_headers': {'interval': 0.0},
    'slow_body': {'interval': 0.0},
    'flip_bit': {'at': 0},
    'insert_event': {'event': {'messageStart': {'role': 'assistant'}}},
    'exception_event': {'name': 'throttlingException'},
    'error': {'error': 'ThrottlingException'},
}


def test_each_kind_of_fault_is_read() -> None:
    for kind in faults.forms():
        [scripted] = faults.read_faults({'fault': kind, **SMALLEST.get(kind, {})})
        assert scripted.conditions == {}


async def test_faults_are_taken_back(admin: AdminClient, post: Post) -> None:
    put_faults = [{'error': 'ThrottlingException'}, {'fault': 'fail_connection'}]
    assert await admin.ok('POST', '/_local/faults', put_faults) == {'pending': 2}
    assert await admin.ok('DELETE', '/_local/faults') == {'pending': 0}
    assert (await post())[0] == 200


@pytest.mark.parametrize(
    ('body', 'message'),
    [
        ({}, 'fault: must be one of truncate, no_response, '),
        ([{'fault': 'flood'}], 'faults[0].fault: must be one of truncate, '),
        ({'fault': 'truncate'}, 'at: field required.'),
        ({'fault': 'truncate', 'at': 1, 'then': 'explode'}, "then: input should be 'end', 'close', 'reset' or 'hang'."),
        ({'fault': 'drop_connection', 'probability': 2}, 'probability: input should be less than or equal to 1.'),
        ({'fault': 'drop_connection', 'nth': 'a'}, 'nth: input should be a number from 1 up, or a list of them.'),
        ({'fault': 'fail_connection', 'model': NOVA}, 'fault: A connection fails before it has a request: leave out'),
    ],
)
async def test_a_fault_that_is_wrong_is_refused_by_the_name_of_its_field(
    admin: AdminClient, body: Any, message: str
) -> None:
    assert (await admin.error('POST', '/_local/faults', body)).startswith(message)
    assert await admin.ok('GET', '/_local/faults') == {'pending': 0}


# Quotas


async def test_a_quota_throttles_and_its_statistics_are_reported(admin: AdminClient, post: Post) -> None:
    quota = {'model': NOVA, 'requests_per_minute': 2, 'burst': 2}
    set_quotas = await admin.ok('PUT', '/_local/quotas', quota)
    assert set_quotas['quotas'] == [{**quota, 'in_stream': False}]
    assert [(await post())[0] for _ in range(3)] == [200, 200, 429]
    assert (await post(model=CLAUDE))[0] == 200
    reported = await admin.ok('GET', '/_local/quotas')
    assert (reported['admitted'], reported['throttled']) == (3, 1)
    assert reported['models'][NOVA]['throttled'] == {'requests': 1}
    assert 0 <= reported['models'][NOVA]['available']['requests_per_minute'] < 1
    lifted = await admin.ok('DELETE', '/_local/quotas')
    assert lifted['quotas'] == []
    assert (await post())[0] == 200


async def test_tokens_are_throttled_by_quota(admin: AdminClient, post: Post) -> None:
    await admin.ok('PUT', '/_local/quotas', {'tokens_per_minute': 100})
    asked = {'messages': [user('Hello')], 'inferenceConfig': {'maxTokens': 500}}
    assert (await post(body=asked))[0] == 429
    assert (await admin.ok('GET', '/_local/quotas'))['models'][NOVA]['throttled'] == {'tokens': 1}


@pytest.mark.parametrize(
    ('body', 'message'),
    [
        ({'rpm': 5}, 'rpm: there is no such field; the fields are requests_per_second, '),
        ({'requests_per_minute': 'many'}, 'requests_per_minute: input should be a valid number.'),
        ([{'model': NOVA}], 'quotas[0]: A Quota needs a limit: set at least one of requests_per_second, '),
        ({'requests_per_minute': -1}, 'Quota(requests_per_minute=-1.0): must be a number from 0 up.'),
        ([{'requests_per_minute': 1}] * 2, 'quotas: Two quotas set the same limit for the same models: leave one out.'),
    ],
)
async def test_a_quota_that_is_wrong_is_refused_and_changes_nothing(
    admin: AdminClient, body: Any, message: str
) -> None:
    await admin.ok('PUT', '/_local/quotas', {'requests_per_second': 7})
    assert (await admin.error('PUT', '/_local/quotas', body)).startswith(message)
    assert (await admin.ok('GET', '/_local/quotas'))['quotas'] == [{'requests_per_second': 7, 'in_stream': False}]


def test_the_form_of_a_quota_has_every_field_of_a_quota() -> None:
    assert set(quotas.form().names) == {field.name for field in fields(Quota)}


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
