"""Bodies are bounded in size and time, examined before they are read, and never unpacked."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.raw import answer, connection, head
from support.requests import NOVA, MakeClient, Post, user

from local_bedrock import LocalBedrock

HELLO = json.dumps({'messages': [user('Hello')]}).encode()
# An unsigned request to S3, by a header that only its clients send.
OBJECT = {'path': '/files/a', 'method': 'PUT'}


@pytest.fixture
async def small() -> AsyncIterator[LocalBedrock]:
    """Yield an endpoint that reads bodies of up to 100,000 bytes."""
    async with LocalBedrock(max_body_bytes=100_000) as bedrock:
        yield bedrock


@pytest.fixture
async def impatient() -> AsyncIterator[LocalBedrock]:
    """Yield an endpoint to which requests must come within a second."""
    async with LocalBedrock(receive_timeout=1) as bedrock:
        yield bedrock


# Compression


async def test_a_compressed_body_is_not_unpacked(bedrock: LocalBedrock, post: Post) -> None:
    packed = gzip.compress(HELLO + b' ' * 50_000_000)
    status, headers, _ = await post('converse', packed, headers={'Content-Encoding': 'gzip'})
    assert (status, headers['x-amzn-errortype'].partition(':')[0]) == (400, 'SerializationException')
    assert bedrock.requests[0].raw_body == packed


def test_an_object_is_stored_as_it_comes_compressed_or_not(s3: Any, served: LocalBedrock) -> None:
    packed = gzip.compress(b'{}\n' * 1000)
    s3.put_object(Bucket='files', Key='a.gz', Body=packed, ContentEncoding='gzip')
    assert served.objects.get('s3://files/a.gz') == packed
    assert s3.get_object(Bucket='files', Key='a.gz')['Body'].read() == packed


# Size


async def test_a_body_that_is_announced_too_large_is_refused_unread(small: LocalBedrock) -> None:
    async with connection(small) as (reader, writer):
        writer.write(head(small, Content_Length='1000000000000'))
        status, headers, body = await answer(reader)
    assert status == 413
    assert headers['connection'] == 'close'
    assert headers['x-amzn-errortype'].startswith('RequestEntityTooLargeException')
    assert json.loads(body)['message'] == (
        'The request body is larger than 100000 bytes, the max_body_bytes of LocalBedrock.'
    )
    assert [(request.status, request.raw_body) for request in small.requests] == [(413, b'')]


async def test_a_body_in_chunks_is_read_up_to_the_bound(small: LocalBedrock) -> None:
    async with connection(small) as (reader, writer):
        writer.write(head(small, Transfer_Encoding='chunked'))
        for _ in range(11):
            writer.write(b'%x\r\n%b\r\n' % (10_000, b'x' * 10_000))
        # The last chunk never comes.
        status, _, _ = await answer(reader)
    assert status == 413


def test_an_object_that_is_too_large_is_refused_in_the_words_of_s3(make_client: MakeClient) -> None:
    with LocalBedrock(max_body_bytes=100_000) as bedrock:
        s3 = make_client('s3', bedrock=bedrock)
        s3.put_object(Bucket='files', Key='a', Body=b'x' * 100_000)
        with pytest.raises(ClientError) as caught:
            s3.put_object(Bucket='files', Key='a', Body=b'x' * 100_001)
        assert caught.value.response['Error']['Code'] == 'EntityTooLarge'


def test_a_client_that_sends_a_large_body_to_its_end_sees_the_refusal(make_client: MakeClient) -> None:
    with LocalBedrock(max_body_bytes=100_000) as bedrock:
        client = make_client(bedrock=bedrock)
        with pytest.raises(ClientError) as caught:
            client.converse(modelId=NOVA, messages=[user('x' * 20_000_000)])
        assert caught.value.response['Error']['Code'] == 'RequestEntityTooLargeException'
        assert client.converse(modelId=NOVA, messages=[user('Hello')])['stopReason'] == 'end_turn'


# Keys


@pytest.mark.parametrize(
    ('authorization', 'code'),
    [
        ('Bearer wrong', 'AccessDeniedException'),
        (
            'AWS4-HMAC-SHA256 Credential=AKIDUNKNOWN/20260101/us-east-1/bedrock/aws4_request, '
            'SignedHeaders=host;x-amz-date, Signature=0',
            'UnrecognizedClientException',
        ),
    ],
)
@pytest.mark.parametrize('framing', [{'Content_Length': '1000000'}, {'Transfer_Encoding': 'chunked'}], ids=str)
async def test_a_large_body_of_a_client_without_a_key_is_not_read(
    bedrock: LocalBedrock, authorization: str, code: str, framing: dict[str, str]
) -> None:
    async with connection(bedrock) as (reader, writer):
        date = '20260101T000000Z'
        writer.write(head(bedrock, Authorization=authorization, X_Amz_Date=date, Expect='100-continue', **framing))
        # It would wait for the body, or say that the client may go on, if it were to read it.
        status, headers, _ = await answer(reader)
    assert (status, headers['x-amzn-errortype'].partition(':')[0]) == (403, code)
    assert bedrock.requests[0].error_code == code


async def test_a_large_body_with_a_wrong_signature_is_refused_when_it_has_been_read(
    served: LocalBedrock, make_client: MakeClient
) -> None:
    client = make_client(aws_secret_access_key='wrong')
    with pytest.raises(ClientError) as caught:
        await asyncio.to_thread(client.converse, modelId=NOVA, messages=[user('x' * 100_000)])
    assert caught.value.response['Error']['Code'] == 'InvalidSignatureException'


# Time


async def test_a_body_that_trickles_is_refused(impatient: LocalBedrock) -> None:
    async with connection(impatient) as (reader, writer):
        writer.write(head(impatient, Content_Length='100') + b'{')
        status, headers, body = await answer(reader)
        assert (status, headers['connection']) == (408, 'close')
        assert b'did not arrive within 1 s' in body


async def test_an_object_that_trickles_is_refused_in_the_words_of_s3(impatient: LocalBedrock) -> None:
    unsigned = head(impatient, **OBJECT, Content_Length='100', x_amz_content_sha256='UNSIGNED-PAYLOAD')
    unsigned = b'\r\n'.join(line for line in unsigned.split(b'\r\n') if not line.startswith(b'Authorization'))
    async with connection(impatient) as (reader, writer):
        writer.write(unsigned + b'{')
        status, _, body = await answer(reader)
    assert status == 400
    assert b'<Code>RequestTimeout</Code>' in body


async def test_a_body_of_the_admin_api_that_trickles_is_refused(impatient: LocalBedrock) -> None:
    async with connection(impatient) as (reader, writer):
        writer.write(head(impatient, '/_local/replies', Content_Length='100') + b'[')
        assert (await answer(reader))[0] == 408


@pytest.mark.parametrize('sent', [b'P', b'POST /model/a/converse HTTP/1.1\r\nHost: a\r\n'])
async def test_a_head_that_trickles_ends_the_connection(impatient: LocalBedrock, sent: bytes) -> None:
    async with connection(impatient) as (reader, writer):
        writer.write(sent)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    assert impatient.stats().requests == 0


async def test_the_head_of_a_later_request_must_arrive_in_time_too(impatient: LocalBedrock) -> None:
    request = head(impatient, Content_Length=str(len(HELLO))) + HELLO
    async with connection(impatient) as (reader, writer):
        for _ in range(2):
            writer.write(request)
            assert (await answer(reader))[0] == 200
        writer.write(request[:10])
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)


async def test_an_idle_connection_and_a_slow_answer_are_not_bounded(impatient: LocalBedrock) -> None:
    request = head(impatient, Content_Length=str(len(HELLO))) + HELLO
    gate = asyncio.Event()

    async def slow(_: object) -> str:
        await gate.wait()
        return 'Late.'

    async with connection(impatient) as (reader, writer):
        writer.write(request)
        assert (await answer(reader))[0] == 200
        await asyncio.sleep(0.4)
        impatient.reply(slow)
        writer.write(request)
        asyncio.get_running_loop().call_later(0.4, gate.set)
        assert b'Late.' in (await answer(reader))[2]


# Form


@pytest.mark.parametrize(
    'framing',
    [
        ({'Transfer_Encoding': 'chunked'}, b'no number\r\n'),
        ({'Transfer_Encoding': 'chunked'}, b'5\r\nlonger than five\r\n'),
        ({'Content_Length': 'many'}, b''),
    ],
    ids=str,
)
async def test_a_malformed_body_is_a_bad_request(bedrock: LocalBedrock, framing: tuple[dict[str, str], bytes]) -> None:
    headers, body = framing
    async with connection(bedrock) as (reader, writer):
        writer.write(head(bedrock, **headers) + body)
        assert (await answer(reader))[0] == 400


@pytest.mark.parametrize(
    'body',
    [
        b'{"messages": NaN}',
        b'{"inferenceConfig": {"temperature": NaN}, "messages": []}',
        b'{"inferenceConfig": {"temperature": -Infinity}, "messages": []}',
        b'[' * 100_000,
        b'{"a":' * 100_000 + b'1' + b'}' * 100_000,
        b'{"additionalModelRequestFields": ' + b'{"a":' * 190 + b'1' + b'}' * 190 + b'}',
        b'{"inferenceConfig": {"maxTokens": 1e999}}',
        b'{"inferenceConfig": {"maxTokens": ' + b'9' * 5000 + b'}}',
        b'"\xff"',
        b'{"messages": "\\ud800"}',
    ],
    ids=lambda body: body[:40].decode(errors='replace'),
)
@pytest.mark.parametrize('operation', ['converse', 'converse-stream', 'count-tokens', 'invoke'])
async def test_no_json_is_an_internal_error(bedrock: LocalBedrock, post: Post, body: bytes, operation: str) -> None:
    status, _, _ = await post(operation, body)
    assert status == 400
    assert bedrock.failures == []


@pytest.mark.parametrize(
    'schema',
    [
        b'{"type": "object", "properties": {"a": {"type": "array", "minItems": 1e999}}}',
        b'{"type": "object", "properties": {"a": {"type": "string", "minLength": 1e999}}}',
        b'{"type": "object", "properties": {"a": {"type": "string", "maxLength": -1e999}}}',
        b'{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1e999}}}',
        b'{"type": "object", "properties": {"a": {"type": "integer", "maximum": -1e999}}}',
        b'{"type": "object", "properties": {"a": {"type": "number", "multipleOf": 1e-320, "minimum": 1e308}}}',
        b'{"type": "object", "properties": {"a": {"type": "integer", "multipleOf": -1e999}}}',
        b'{"type": "object", "properties": {"a": {"type": "integer", "minimum": "x"}}}',
        b'{"type": "object", "properties": {"a": {"type": "integer", "minimum": null, "multipleOf": "x"}}}',
        b'{"type": "object", "properties": {"a": {"enum": 5}}}',
        b'{"type": "object", "properties": {"a": {"anyOf": 5}}}',
        b'{"type": "object", "properties": {"a": {"anyOf": [5]}}}',
        b'{"type": "object", "properties": {"a": {"allOf": [5, null]}}}',
        b'{"type": "object", "properties": {"a": {"type": "array", "prefixItems": 5}}}',
        b'{"type": "object", "properties": {"a": {"type": []}}}',
        b'{"type": "object", "properties": {"a": {"type": {}}}}',
        b'{"type": "object", "properties": {"a": {"$ref": 5}}}',
        b'{"type": "object", "properties": {"a": {"format": {}}}}',
        b'{"type": "object", "properties": 5, "required": 5}',
        b'{"type": "object", "required": [5, {}]}',
        b'{"type": "object", "properties": {"a": {"type": "string", "pattern": "((((((((a*)*)*)*)*)*)*)*)*b"}}}',
        rb'{"type": "object", "properties": {"a": {"type": "string", "pattern": "^[\\p{L}\\p{N}]{1,64}$"}}}',
        rb'{"type": "object", "properties": {"a": {"type": "string", "pattern": "^(\\d+\\.?)+-SNAPSHOT$"}}}',
    ],
    ids=lambda schema: schema[30:90].decode(),
)
async def test_no_schema_of_a_tool_is_an_internal_error(bedrock: LocalBedrock, post: Post, schema: bytes) -> None:
    body = b'{"messages": [%b], "toolConfig": {"tools": [{"toolSpec": {"name": "a", "inputSchema": {"json": %b}}}]}}'
    status, _, said = await post('converse', body % (json.dumps(user('Hello')).encode(), schema))
    assert status == 200, said
    assert b'toolUse' in said
    assert bedrock.failures == []
