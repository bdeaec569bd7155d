"""Functions of the caller that fail: the client gets an error, and the test finds the exception in `failures`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError
from support.requests import NOVA, MakeClient, Post, user

from local_bedrock import LocalBedrock, NoResponse, Quota, Response


def fail(_: object) -> Any:
    raise KeyError('oops')


def fault_when(bedrock: LocalBedrock) -> None:
    bedrock.fault(NoResponse('hang'), when=fail)


def fault_model(bedrock: LocalBedrock) -> None:
    bedrock.fault(NoResponse('hang'), model=fail)


def fault_itself(bedrock: LocalBedrock) -> None:
    bedrock.fault(fail)


def reply_when(bedrock: LocalBedrock) -> None:
    bedrock.reply('Hello', when=fail)


def reply_model(bedrock: LocalBedrock) -> None:
    bedrock.reply('Hello', model=fail)


def reply_itself(bedrock: LocalBedrock) -> None:
    bedrock.reply(fail)


def quota_model(bedrock: LocalBedrock) -> None:
    bedrock.set_quotas(Quota(requests_per_second=1, model=fail))


@pytest.mark.parametrize('operation', ['converse', 'converse-stream'])
@pytest.mark.parametrize(
    'script', [fault_when, fault_model, fault_itself, reply_when, reply_model, reply_itself, quota_model]
)
async def test_a_function_that_fails_is_a_failure(
    bedrock: LocalBedrock, post: Post, script: Callable[[LocalBedrock], None], operation: str
) -> None:
    script(bedrock)
    status, headers, body = await post(operation)
    assert (status, headers['x-amzn-errortype'].partition(':')[0]) == (500, 'InternalServerException')
    assert json.loads(body)['message'].startswith(
        "LocalBedrock could not answer: KeyError('oops') (test_failures.py, line "
    )
    assert bedrock.requests[0].error_code == 'InternalServerException'
    [error] = bedrock.failures
    assert isinstance(error, KeyError)
    bedrock.failures.clear()


def test_a_clock_that_fails_is_a_failure(make_client: MakeClient) -> None:
    with LocalBedrock(clock=lambda: fail(None)) as bedrock:
        client = make_client(bedrock=bedrock)
        with pytest.raises(ClientError, match='InternalServerException'):
            client.converse(modelId=NOVA, messages=[user('Hello')])
        [error] = bedrock.failures
        assert isinstance(error, KeyError)


async def test_a_piece_without_bytes_is_a_failure(bedrock: LocalBedrock, post: Post) -> None:
    def cut_in_vain(response: Response) -> None:
        response.chunk_sizes = (5, 0)

    bedrock.fault(cut_in_vain)
    status, _, body = await post('converse')
    assert status == 500
    assert 'Response.chunk_sizes is (5, 0): a piece must have at least 1 byte.' in json.loads(body)['message']
    [error] = bedrock.failures
    assert isinstance(error, ValueError)
    bedrock.failures.clear()


async def test_a_stream_ends_where_a_fault_fails(bedrock: LocalBedrock, post: Post) -> None:
    def fail_later(response: Response) -> None:
        response.edits.append(lambda number, piece: fail(piece) if number else [piece])

    bedrock.fault(fail_later)
    with pytest.raises(aiohttp.ClientPayloadError):
        await post('converse-stream')
    [request] = bedrock.requests
    assert (request.status, request.error_code, request.bytes_sent > 0) == (200, 'InternalServerException', True)
    [error] = bedrock.failures
    assert isinstance(error, KeyError)
    bedrock.failures.clear()
