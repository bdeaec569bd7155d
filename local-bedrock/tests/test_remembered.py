"""Requests are remembered within a number and a size."""

from __future__ import annotations

import json

import aiohttp
import pytest
from multidict import CIMultiDict
from support.requests import NOVA, user

from local_bedrock import LocalBedrock, RecordedRequest
from local_bedrock._http.remembered import RememberedRequests


def request(size: int, path: str = '/') -> RecordedRequest:
    return RecordedRequest(
        operation='Converse', model_id=NOVA, method='POST', path=path, headers=CIMultiDict[str](), raw_body=b'x' * size
    )


async def test_the_oldest_requests_go_where_bodies_take_too_much_memory(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock(keep_bytes=1_000_000) as bedrock:
        for number in range(6):
            body = json.dumps({'messages': [user(f'{number}' + 'x' * 150_000)]}).encode()
            headers = {'Authorization': f'Bearer {bedrock.api_key}'}
            async with http.post(f'{bedrock.base_url}/model/{NOVA}/converse', data=body, headers=headers) as response:
                assert response.status == 200
        # Each takes 300 KB: the body as it came, and its text once more.
        assert [request.last_user_text[0] for request in bedrock.requests] == ['3', '4', '5']
        assert bedrock.stats().requests == 6


def test_a_decoded_body_counts_by_the_memory_that_it_takes() -> None:
    remembered = RememberedRequests(100, 1_000_000)
    for number in range(3):
        record = request(100, f'/{number}')
        record.body = {'lists': [[] for _ in range(10_000)]}
        remembered.remember(record)
    assert [record.path for record in remembered] == ['/2']


def test_the_latest_request_stays_whatever_its_size() -> None:
    remembered = RememberedRequests(100, 1_000)
    for number in range(3):
        remembered.remember(request(2_000, f'/{number}'))
        assert [record.path for record in remembered] == [f'/{number}']


@pytest.mark.parametrize('forget', [list.clear, list.pop], ids=['clear', 'pop'])
def test_tests_may_take_requests_out(forget: object) -> None:
    assert callable(forget)
    remembered = RememberedRequests(100, 10_000)
    for _ in range(3):
        remembered.remember(request(4_000))
        forget(remembered)
    remembered.remember(request(4_000, '/1'))
    remembered.remember(request(4_000, '/2'))
    assert [record.path for record in remembered][-2:] == ['/1', '/2']
