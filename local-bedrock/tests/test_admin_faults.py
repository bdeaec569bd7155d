"""Faults and quotas that are put over the admin API."""

from __future__ import annotations

from contextlib import closing
from dataclasses import fields
from typing import Any

import aiohttp
import pytest
from support.admin_client import AdminClient
from support.requests import CLAUDE, NOVA, Post, user

from local_bedrock import LocalBedrock, Quota
from local_bedrock._admin import faults, quotas

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
        ({'requests_per_minute': -1}, 'requests_per_minute: input should be greater than or equal to 0.'),
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
