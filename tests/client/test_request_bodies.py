"""Large requests: written for as long as the server takes them, and no longer than until it answers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from typing import Any

import httpx
import pytest
from aiobotocore.config import AioConfig
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, ReadTimeoutError
from categories import ModelTimeoutError
from credential_sources import MODEL, current, hello, runtime
from pydantic_ai import Agent, BinaryContent

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._client.transport import HTTPSession
from pydantic_ai_aiobedrock._wire.converse import decode_request
from pydantic_ai_aiobedrock.errors import WriteTimeoutError

LARGE = 12 * 1024 * 1024
"""More than the buffers of a connection hold."""

ONE_ATTEMPT = AioConfig(retries={'total_max_attempts': 1})
KEYS = {'aws_access_key_id': 'AKIDTEST', 'aws_secret_access_key': 'secret-of-the-test'}

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=['http', 'https'])
def server_tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None) -> AsyncIterator[str]:
    """Serve each connection by a function; yield the URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(
        lambda reader, writer: tasks.add(asyncio.create_task(handle(reader, writer))), '127.0.0.1', 0, ssl=tls
    )
    # Its connections inherit this: a client is done with a body only a little before the server has read it.
    server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    try:
        yield f'{"https" if tls else "http"}://127.0.0.1:{server.sockets[0].getsockname()[1]}'
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def read_no_body(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.readuntil(b'\r\n\r\n')
    await asyncio.Event().wait()


async def refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b'\r\n\r\n')
    body = b'{"message": "Too large."}'
    writer.write(
        b'HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Type: application/json\r\n'
        b'x-amzn-ErrorType: ValidationException\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body)
    )
    await writer.drain()


def with_document(size: int = LARGE) -> dict[str, Any]:
    params = hello()
    document = {'format': 'pdf', 'name': 'paper', 'source': {'bytes': bytes(size)}}
    params['messages'][0]['content'].append({'document': document})
    return params


async def test_a_server_that_stops_reading_ends_the_call_in_the_time_of_a_write(
    server_tls: ssl.SSLContext | None,
) -> None:
    async with serving(read_no_body, server_tls) as url:
        provider = BedrockProvider(region_name='us-east-1', base_url=url, **KEYS)
        async with provider:
            agent = Agent(BedrockConverseModel(MODEL, provider=provider))
            with pytest.raises(ModelTimeoutError) as caught:
                await agent.run(
                    ['Read it.', BinaryContent(bytes(LARGE), media_type='application/pdf')],
                    model_settings={'timeout': httpx.Timeout(60, write=0.2), 'max_retries': 0},
                )
            assert 'took no more of the request' in str(caught.value)
            stats = provider.client.pool.stats()
            assert (stats.leases, stats.in_flight) == (0, 0)


async def test_the_read_timeout_of_the_client_bounds_writes(
    bedrock: LocalBedrock, pool: SessionPool, server_tls: ssl.SSLContext | None
) -> None:
    async with serving(read_no_body, server_tls) as url:
        client = runtime(bedrock, pool, base_url=url, aws_read_timeout=0.2, config=ONE_ATTEMPT, **KEYS)
        with pytest.raises(WriteTimeoutError, match=r'to http.* for 0\.2 seconds'):
            await client.converse(**with_document())


async def test_a_server_that_reads_slowly_is_waited_for(
    bedrock: LocalBedrock, pool: SessionPool, server_tls: ssl.SSLContext | None
) -> None:
    """What is bounded is a standstill, not the whole request."""
    answer = b'{"output":{"message":{"role":"assistant","content":[{"text":"Read."}]}},"stopReason":"end_turn"}'
    waits: list[float] = []
    loop = asyncio.get_running_loop()

    async def read_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = loop.time()
        head = await reader.readuntil(b'\r\n\r\n')
        length = int(head.lower().partition(b'content-length: ')[2].partition(b'\r')[0])
        while length:
            length -= len(await reader.readexactly(min(length, 1_000_000)))
            await asyncio.sleep(0.15)
        waits.append(loop.time() - began)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(answer), answer))
        await reader.read()

    async with serving(read_slowly, server_tls) as url:
        client = runtime(bedrock, pool, base_url=url, aws_read_timeout=2, config=ONE_ATTEMPT, **KEYS)
        response = await client.converse(**with_document())
    assert response['output']['message']['content'] == [{'text': 'Read.'}]
    assert waits[0] > 2


async def test_no_server_is_waited_for_to_ask_for_the_body() -> None:
    """botocore sends `Expect: 100-continue` with uploads to S3, which not every endpoint answers."""
    heads: list[bytes] = []

    async def read_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b'\r\n\r\n')
        heads.append(head.lower())
        await reader.readexactly(5)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
        await reader.read()

    async with serving(read_head, None) as url, HTTPSession(timeout=5) as session:
        response = await session.send(
            AWSPreparedRequest('PUT', f'{url}/a', HTTPHeaders.from_pairs([('Expect', '100-continue')]), b'hello', False)
        )
        assert response.status_code == 200
    (head,) = heads
    assert b'expect' not in head


@pytest.mark.parametrize('size', [400_000, 3_000_000, LARGE])
async def test_what_a_server_says_before_it_has_read_the_request_is_heard(
    bedrock: LocalBedrock, pool: SessionPool, server_tls: ssl.SSLContext | None, size: int
) -> None:
    async with serving(refuse_early, server_tls) as url:
        client = runtime(bedrock, pool, base_url=url, **KEYS)
        for _ in range(5):
            with pytest.raises(ClientError) as caught:
                await client.converse(**with_document(size))
            assert caught.value.response['ResponseMetadata']['HTTPStatusCode'] == 413
            assert caught.value.response['Error']['Message'] == 'Too large.'


INTERIM = (b'HTTP/1.1 100 Continue\r\n\r\n', b'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')


@pytest.mark.parametrize('interim', INTERIM, ids=['100', '103'])
async def test_a_request_is_written_whole_whatever_interim_responses_come_meanwhile(
    bedrock: LocalBedrock, pool: SessionPool, server_tls: ssl.SSLContext | None, interim: bytes
) -> None:
    received: list[int] = []
    answer = b'{"output":{"message":{"role":"assistant","content":[{"text":"Read."}]}},"stopReason":"end_turn"}'

    async def announce_often(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b'\r\n\r\n')
            left = length = int(head.lower().partition(b'content-length: ')[2].partition(b'\r')[0])
            while left:
                left -= len(await reader.readexactly(min(left, 200_000)))
                writer.write(interim)
            received.append(length)
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(answer), answer))

    async with serving(announce_often, server_tls) as url:
        client = runtime(bedrock, pool, base_url=url, aws_read_timeout=5, config=ONE_ATTEMPT, **KEYS)
        for _ in range(3):
            response = await client.converse(**with_document())
            assert response['output']['message']['content'] == [{'text': 'Read.'}]
        assert len(received) == 3
        assert pool.stats().connections_opened == 1


async def test_a_final_answer_behind_an_interim_response_ends_the_writing(
    bedrock: LocalBedrock, pool: SessionPool, server_tls: ssl.SSLContext | None
) -> None:
    async def announce_and_refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INTERIM[0])
        await refuse_early(reader, writer)

    async with serving(announce_and_refuse, server_tls) as url:
        client = runtime(bedrock, pool, base_url=url, **KEYS)
        for _ in range(5):
            with pytest.raises(ClientError, match='Too large') as caught:
                await client.converse(**with_document())
            assert caught.value.response['ResponseMetadata']['HTTPStatusCode'] == 413


@pytest.mark.parametrize('size', [1, 200_000])
@pytest.mark.parametrize('interim', INTERIM, ids=['100', '103'])
async def test_silence_after_an_interim_response_ends_with_the_read_timeout(
    bedrock: LocalBedrock, pool: SessionPool, size: int, interim: bytes
) -> None:
    async def announce(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b'\r\n\r\n')
        await reader.readexactly(int(head.lower().partition(b'content-length: ')[2].partition(b'\r')[0]))
        writer.write(interim)
        await asyncio.Event().wait()

    async with serving(announce, None) as url:
        client = runtime(bedrock, pool, base_url=url, aws_read_timeout=0.2, config=ONE_ATTEMPT, **KEYS)
        async with asyncio.timeout(10):
            with pytest.raises(ReadTimeoutError):
                await client.converse(**with_document(size))
        assert pool.stats().leases == 0


@pytest.mark.parametrize('kind', [bytes, str, bytearray, BytesIO], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize('size', [5, 65_536, 200_000])
async def test_every_kind_of_body_that_botocore_sends_arrives_whole(kind: Callable[[Any], Any], size: int) -> None:
    content = bytes(97 + index % 23 for index in range(size))
    body = content.decode() if kind is str else kind(content)
    received: list[bytes] = []

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b'\r\n\r\n')).lower()
        assert head.count(b'content-length') == 1
        received.append(await reader.readexactly(size))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
        await reader.read()

    async with serving(read, None) as url, HTTPSession(timeout=5) as session:
        headers = HTTPHeaders.from_pairs([('Content-Length', str(size))])
        await session.send(AWSPreparedRequest('PUT', url, headers, body, False))
    assert received == [content]


async def test_an_upload_is_sent_again_whole_if_its_connection_is_closed_under_it() -> None:
    """aiohttp does so itself, on another connection, where botocore would not know that the body was read."""
    content = bytes(200_000)
    received: list[bytes] = []

    async def close_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b'\r\n\r\n')
            received.append(await reader.readexactly(len(content)))
            if len(received) == 2:
                return
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')

    async with serving(close_the_second, None) as url, HTTPSession(timeout=5) as session:
        for _ in range(2):
            headers = HTTPHeaders.from_pairs([('Content-Length', str(len(content)))])
            response = await session.send(AWSPreparedRequest('PUT', url, headers, BytesIO(content), False))
            assert response.status_code == 200
    assert received == 3 * [content]


async def test_a_large_request_arrives_whole_and_its_connection_is_used_again(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    key = current(bedrock)
    client = runtime(bedrock, pool, aws_access_key_id=key.access_key_id, aws_secret_access_key=key.secret_access_key)
    for size in (3_000_000, 300_001, 100_002, 3_000_000):
        params = with_document(size)
        await client.converse(**params)
        assert decode_request(bedrock.requests[-1].raw_body)['messages'] == params['messages']
    assert pool.stats().connections_opened == 1
