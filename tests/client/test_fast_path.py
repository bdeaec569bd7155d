"""From the second call on, requests are sent as botocore prepared the first, and nobody can tell the difference."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, CredentialRetrievalError
from credential_sources import MODEL, current, hello, runtime, text_of, write_credentials

from local_bedrock import INTERNAL_SERVER_ERROR, SERVICE_UNAVAILABLE, ErrorReply, LocalBedrock, NoResponse
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._client import fast_path
from pydantic_ai_aiobedrock._config.call_options import NO_OPTIONS, CallOptions
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

pytestmark = pytest.mark.usefixtures('no_backoff')

OPERATIONS = ('converse', 'converse_stream')
GUARDED = hello('Hällo') | {
    'guardrailConfig': {'guardrailIdentifier': 'abc', 'guardrailVersion': '1'},
    'inferenceConfig': {'maxTokens': 5},
}
ARN = 'arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0'


@pytest.fixture
def credentials_file() -> Path:
    return Path(os.environ['AWS_SHARED_CREDENTIALS_FILE'])


def keys(bedrock: LocalBedrock) -> dict[str, Any]:
    return {
        'aws_access_key_id': bedrock.aws_access_key_id,
        'aws_secret_access_key': bedrock.aws_secret_access_key,
        'aws_session_token': bedrock.aws_session_token,
    }


async def answer(
    client: BedrockRuntime, operation: Any, params: Mapping[str, Any], options: CallOptions = NO_OPTIONS
) -> dict[str, Any]:
    """Return the response, with the events of a stream in a list."""
    response = await client.call(operation, params, options)
    if 'stream' in response:
        async with response['stream'] as stream:
            return {**response, 'stream': [event async for event in stream]}
    return response


async def tell_botocore_to_do_it_all(client: BedrockRuntime, pool: SessionPool) -> Callable[[], None]:
    """Have somebody look on, and return how to send them away."""

    def look_on(**_: object) -> None: ...

    with await pool.lease(client.spec) as lease:
        events = lease.client.meta.events
    events.register('before-send', look_on)
    return lambda: events.unregister('before-send', look_on)


# What is sent, and what is made of the answer


@pytest.mark.parametrize('operation', OPERATIONS)
@pytest.mark.parametrize('who', ['keys', 'session token', 'api key'])
@pytest.mark.parametrize('params', [hello(), GUARDED, hello() | {'modelId': ARN}], ids=['short', 'guarded', 'arn'])
async def test_what_is_sent_is_what_botocore_sends(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], operation: str, who: str, params: dict[str, Any]
) -> None:
    if who == 'session token':
        bedrock.rotate_credentials(temporary=True)
    client = runtime(bedrock, pool, **({'api_key': bedrock.api_key} if who == 'api key' else keys(bedrock)))
    for _ in range(3):
        await answer(client, operation, params)
    assert sent_by == ['botocore', 'prepared', 'prepared']
    first, *others = bedrock.requests
    # LocalBedrock has verified the signatures.
    assert [request.error_code for request in bedrock.requests] == [None] * 3
    own = {'Authorization', 'X-Amz-Date', 'amz-sdk-invocation-id'}
    for request in others:
        assert (request.path, request.raw_body) == (first.path, first.raw_body)
        assert list(request.headers) == list(first.headers)
        assert {n: v for n, v in request.headers.items() if n not in own} == {
            n: v for n, v in first.headers.items() if n not in own
        }
    assert len({request.invocation_id for request in bedrock.requests}) == 3


@pytest.mark.parametrize('operation', OPERATIONS)
@pytest.mark.parametrize('attempts', [1, 3])
async def test_what_is_made_of_an_answer_is_what_botocore_makes_of_it(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], operation: str, attempts: int
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    responses: list[dict[str, Any]] = []
    for _ in range(2):
        response = await answer(client, operation, hello(), CallOptions(max_attempts=attempts))
        metadata = response['ResponseMetadata']
        assert metadata['RequestId'] == metadata['HTTPHeaders'].pop('x-amzn-requestid')
        del metadata['RequestId'], metadata['HTTPHeaders']['date']
        for event in response.get('stream', [response]):
            event.get('metadata', event).get('metrics', {}).clear()
        responses.append(response)
    assert sent_by == ['botocore', 'prepared']
    assert responses[0] == responses[1]


async def test_each_body_has_its_own_signature(bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    await client.converse(**hello('0'))
    await asyncio.gather(*(client.converse(**hello(str(number))) for number in range(20)))
    assert sent_by == ['botocore'] + ['prepared'] * 20
    assert [request.error_code for request in bedrock.requests] == [None] * 21


async def test_requests_are_remembered_by_operation_and_model_and_not_without_bound(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_path, 'REMEMBERED', 2)
    client = runtime(bedrock, pool, **keys(bedrock))
    for model in (MODEL, 'amazon.nova-pro-v1:0', MODEL, 'amazon.nova-micro-v1:0', MODEL, 'amazon.nova-micro-v1:0'):
        await client.converse(**hello() | {'modelId': model})
    assert sent_by == ['botocore', 'botocore', 'prepared', 'botocore', 'botocore', 'prepared']
    assert {request.path for request in bedrock.requests} == {
        f'/model/{model}-v1%3A0/converse' for model in ('us.amazon.nova-lite', 'amazon.nova-pro', 'amazon.nova-micro')
    }


async def test_extra_headers_are_signed_by_botocore(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    for _ in range(2):
        await client.converse(**hello())
        await client.call('converse', hello(), CallOptions(extra_headers={'x-trace': 'a'}))
    assert sent_by == ['botocore', 'botocore', 'prepared', 'botocore']
    assert [request.headers.get('x-trace') for request in bedrock.requests] == [None, 'a', None, 'a']
    assert 'x-trace' in bedrock.requests[-1].headers['Authorization']


async def test_a_call_waits_no_longer_than_its_own_timeout(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    await client.converse(**hello())
    bedrock.fault(NoResponse('hang'), times=1)
    assert text_of(await client.call('converse', hello(), CallOptions(read_timeout=0.05)))
    assert sent_by == ['botocore', 'prepared', 'botocore']


async def test_a_request_without_what_botocore_asks_for_is_left_to_botocore(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    await client.converse(**hello())
    for model_id in (None, 7, b'x'):
        with pytest.raises(Exception, match='modelId'):
            await client.converse(modelId=model_id, messages=[])
    assert sent_by == ['botocore']


# What happens after an attempt that failed


@pytest.mark.parametrize('operation', OPERATIONS)
@pytest.mark.parametrize('failure', [SERVICE_UNAVAILABLE, INTERNAL_SERVER_ERROR], ids=['503', '500'])
async def test_a_failed_attempt_is_the_first_of_a_call_of_botocores(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], operation: str, failure: ErrorReply
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    await answer(client, operation, hello('first'))
    params = hello('second')
    bedrock.fault(failure, times=1)
    response = await answer(client, operation, params)
    assert response['ResponseMetadata']['RetryAttempts'] == 1
    assert sent_by == ['botocore', 'prepared', 'botocore']
    first, second = bedrock.requests[1:]
    assert first.raw_body == second.raw_body
    assert first.invocation_id == second.invocation_id
    assert first.headers['amz-sdk-request'] == 'attempt=1'
    ttl, *others = second.headers['amz-sdk-request'].split('; ')
    assert ttl.startswith('ttl=20')
    assert others == ['attempt=2', 'max=3']
    assert second.error_code is None
    # The next call begins anew.
    await answer(client, operation, hello('third'))
    assert sent_by[3:] == ['prepared']
    assert bedrock.requests[-1].headers['amz-sdk-request'] == 'attempt=1'


async def test_attempts_end_where_botocore_ends_them(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    await client.converse(**hello())
    bedrock.fault(SERVICE_UNAVAILABLE, times=3)
    with pytest.raises(ClientError) as raised:
        await client.converse(**hello())
    metadata: Any = raised.value.response['ResponseMetadata']
    assert (metadata['RetryAttempts'], metadata['MaxAttemptsReached']) == (2, True)
    assert raised.value.response['Error']['Code'] == 'ServiceUnavailableException'
    assert raised.value.operation_name == 'Converse'
    assert len(sent_by) == 4


async def test_an_error_that_is_not_tried_again_is_raised_as_botocore_raises_it(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    responses: list[Any] = []
    await client.converse(**hello())
    for look_on in (True, False):
        send_away = await tell_botocore_to_do_it_all(client, pool) if look_on else None
        bedrock.fault(ErrorReply(400, 'ValidationException', 'no'), times=1)
        with pytest.raises(ClientError) as raised:
            await client.converse(**hello())
        if send_away is not None:
            send_away()
        response: Any = raised.value.response
        del response['ResponseMetadata']['HTTPHeaders'], response['ResponseMetadata']['RequestId']
        responses.append((type(raised.value).__name__, str(raised.value), response))
    assert responses[0] == responses[1]
    assert sent_by == ['botocore', 'botocore', 'prepared']


async def test_a_broken_connection_is_tried_again_by_botocore(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    await client.converse(**hello())
    once = CallOptions(max_attempts=1)
    bedrock.fault(NoResponse(), times=1)
    with pytest.raises(ConnectionClosedError):
        await client.call('converse', hello(), once)
    bedrock.fault(NoResponse(), times=1)
    response = await client.converse(**hello())
    assert response['ResponseMetadata']['RetryAttempts'] == 1
    assert sent_by == ['botocore', 'prepared', 'prepared', 'botocore']


async def test_a_success_fills_up_the_quota_of_retries(bedrock: LocalBedrock, pool: SessionPool) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    await client.converse(**hello())
    with await pool.lease(client.spec) as lease:
        handlers = lease.client.meta.events._emitter._handlers.prefix_search('after-call.bedrock-runtime.Converse')
    quota = next(h.__self__._quota for h in handlers if type(h.__self__).__name__ == 'RetryQuotaChecker')
    full = quota.available_capacity
    bedrock.fault(SERVICE_UNAVAILABLE, times=3)
    with pytest.raises(ClientError):
        await client.converse(**hello())
    spent = quota.available_capacity
    assert spent == full - 10
    await client.converse(**hello())
    assert quota.available_capacity == spent + 1


# Credentials


async def test_credentials_that_are_refused_are_renewed(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], credentials_file: Path
) -> None:
    write_credentials(credentials_file, current(bedrock))
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    bedrock.rotate_credentials()
    write_credentials(credentials_file, current(bedrock))
    answers = await asyncio.gather(*(client.converse(**hello(str(n))) for n in range(5)))
    assert [text_of(one) for one in answers]
    assert sent_by == ['botocore'] + ['prepared'] * 10
    assert [request.error_code for request in bedrock.requests[6:]] == [None] * 5


async def test_a_session_token_that_comes_or_goes_is_not_taken_for_granted(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str], credentials_file: Path
) -> None:
    write_credentials(credentials_file, current(bedrock))
    client = runtime(bedrock, pool)
    for temporary in (False, True, False):
        bedrock.rotate_credentials(temporary=temporary)
        write_credentials(credentials_file, current(bedrock))
        for _ in range(2):
            assert text_of(await client.converse(**hello()))
        assert sent_by[-1] == 'prepared'
        assert ('X-Amz-Security-Token' in bedrock.requests[-1].headers) is temporary


async def test_an_api_key_is_asked_for_again_when_it_is_refused(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]
) -> None:
    client = runtime(bedrock, pool, api_key=lambda: bedrock.api_key)
    await client.converse(**hello())
    bedrock.rotate_api_key()
    assert text_of(await client.converse(**hello()))
    assert sent_by == ['botocore', 'prepared', 'prepared']


async def test_credentials_that_can_not_be_had_fail_the_call(
    bedrock: LocalBedrock, pool: SessionPool, sent_by: list[str]
) -> None:
    client = runtime(bedrock, pool, **keys(bedrock))
    await client.converse(**hello())

    class Gone:
        async def get_frozen_credentials(self) -> None:
            raise CredentialRetrievalError(provider='test', error_msg='gone')

    with await pool.lease(client.spec) as lease:
        lease.client._client._request_signer._credentials = Gone()
    with pytest.raises(CredentialRetrievalError, match='gone'):
        await client.converse(**hello())
    assert sent_by == ['botocore']
