"""The life of an endpoint: on a loop, on a thread, under load, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import ssl
import threading
from typing import Any

import aiohttp
import pytest
import trustme
from botocore.exceptions import BotoCoreError
from support.asking import HELLO, ask
from support.batches import INPUT, prompts
from support.batches import request as batch
from support.requests import NOVA, MakeClient, Post, user

from local_bedrock import AccessKey, LocalBedrock, NoResponse, RecordedRequest, Reply
from local_bedrock._batch import jobs
from local_bedrock._http import connections, lifetime


def converse_in_vain(client: Any) -> None:
    with contextlib.suppress(BotoCoreError):
        client.converse(modelId=NOVA, messages=[user('Hello')])


async def test_an_endpoint_can_be_entered_again(http: aiohttp.ClientSession) -> None:
    bedrock = LocalBedrock()
    for _ in range(2):
        async with bedrock:
            assert await ask(http, bedrock) == 200
        with pytest.raises(RuntimeError, match='LocalBedrock is not serving: enter it first'):
            _ = bedrock.base_url
    assert bedrock.stats().requests == 2


async def test_an_endpoint_serves_once_at_a_time(bedrock: LocalBedrock) -> None:
    with pytest.raises(RuntimeError, match='LocalBedrock is serving already'):
        await bedrock.__aenter__()


async def test_a_port_can_be_chosen_and_is_free_again_afterwards(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock() as first:
        port = int(first.base_url.rpartition(':')[2])
        await ask(http, first)
    async with LocalBedrock(port=port) as second:
        assert second.base_url == f'http://127.0.0.1:{port}'
        assert await ask(http, second) == 200
        with pytest.raises(OSError, match=r'(?i)address already in use'):
            async with LocalBedrock(port=port):
                pass


async def test_leaving_cancels_what_is_under_way(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock() as bedrock:
        bedrock.fault(NoResponse('hang'))
        asking = [asyncio.ensure_future(ask(http, bedrock)) for _ in range(3)]
        async with asyncio.timeout(5):
            while bedrock.stats().in_flight < 3:
                await asyncio.sleep(0.001)
    assert bedrock.stats().in_flight == 0
    for result in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(result, aiohttp.ClientConnectionError)
    assert not any(request.disconnected for request in bedrock.requests)


class Stubborn:
    """A reply that ignores its cancellation until it is released."""

    def __init__(self) -> None:
        self.arrived, self.ignored, self.released = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, request: RecordedRequest) -> str:
        self.arrived.set()
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.ignored.set()
        return 'late'


async def test_leaving_does_not_wait_for_a_reply_that_ignores_its_cancellation(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, '_CLOSE_SECONDS', 0.1)
    reply = Stubborn()
    async with asyncio.timeout(20):
        async with LocalBedrock(responder=reply) as bedrock:
            asking = asyncio.ensure_future(ask(http, bedrock))
            await reply.arrived.wait()
        assert reply.ignored.is_set()
        reply.released.set()
        with pytest.raises(aiohttp.ClientConnectionError):
            await asking


async def test_leaving_does_not_wait_for_a_job_whose_reply_ignores_its_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, '_CLOSE_SECONDS', 0.1)
    reply = Stubborn()
    async with asyncio.timeout(20):
        async with LocalBedrock(responder=reply) as bedrock:
            bedrock.objects.put(INPUT, prompts('one'))
            job = bedrock._handler.jobs.create(batch())
            await reply.arrived.wait()
        assert reply.ignored.is_set()
        reply.released.set()
        assert job.task is not None
        await asyncio.wait([job.task])


async def test_leaving_closes_idle_connections(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock() as bedrock:
        await ask(http, bedrock)
        assert bedrock.stats().open_connections == 1
    assert bedrock.stats().open_connections == 0


async def test_a_client_that_goes_away_is_noted(bedrock: LocalBedrock, http: aiohttp.ClientSession) -> None:
    bedrock.reply(Reply('late', delay_before=30))
    with pytest.raises(TimeoutError):
        await ask(http, bedrock, timeout=aiohttp.ClientTimeout(total=0.05))
    async with asyncio.timeout(5):
        while bedrock.requests[0].ended is None:
            await asyncio.sleep(0.001)
    assert bedrock.requests[0].disconnected
    assert bedrock.requests[0].status is None


async def test_counts_are_of_requests_and_connections(bedrock: LocalBedrock, http: aiohttp.ClientSession) -> None:
    all_here = asyncio.Event()

    async def wait_for_all(request: RecordedRequest) -> str:
        if bedrock.stats().in_flight == 5:
            all_here.set()
        await all_here.wait()
        return 'here'

    bedrock.reply(*[wait_for_all] * 5)
    await asyncio.gather(*(ask(http, bedrock) for _ in range(5)))
    await ask(http, bedrock)
    stats = bedrock.stats()
    assert (stats.requests, stats.in_flight, stats.max_in_flight) == (6, 0, 5)
    assert (stats.connections, stats.open_connections, stats.streams_generating) == (5, 5, 0)
    assert sorted(request.in_flight for request in bedrock.requests) == [1, 1, 2, 3, 4, 5]
    assert {request.connection for request in bedrock.requests[:5]} == {1, 2, 3, 4, 5}
    assert bedrock.requests[5].connection <= 5


async def test_two_thousand_connections_are_served_at_once() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 5000:
        if hard < 5000:
            pytest.skip(f'2,000 connections have 4,000 ends in this process, and the system allows {hard} files')
        resource.setrlimit(resource.RLIMIT_NOFILE, (5000, hard))
    # The debug mode of asyncio notes a traceback for each callback.
    clients = 200 if asyncio.get_running_loop().get_debug() else 2000
    async with LocalBedrock() as bedrock:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            gate = asyncio.Event()

            async def answer(request: RecordedRequest) -> str:
                if bedrock.stats().in_flight == clients:
                    gate.set()
                await gate.wait()
                return request.last_user_text

            bedrock.reply(answer, times=None)
            assert await asyncio.gather(*(ask(http, bedrock) for _ in range(clients))) == [200] * clients
        assert bedrock.stats().max_in_flight == clients


@pytest.mark.parametrize('size', [0, 100_000, 8_000_000])
async def test_large_requests_and_replies_pass(bedrock: LocalBedrock, post: Post, size: int) -> None:
    bedrock.reply(*[Reply('y' * (size + 1))] * 2)
    status, _, body = await post('converse', text='x' * (size + 1))
    assert status == 200
    assert len(json.loads(body)['output']['message']['content'][0]['text']) == size + 1
    assert len(bedrock.requests[0].last_user_text) == size + 1
    assert (await post('converse-stream'))[0] == 200


async def test_a_request_may_come_in_http_chunks(bedrock: LocalBedrock, http: aiohttp.ClientSession) -> None:
    async def pieces() -> Any:
        for byte in json.dumps(HELLO).encode():
            yield bytes((byte,))

    headers = {'Authorization': f'Bearer {bedrock.api_key}'}
    async with http.post(f'{bedrock.base_url}/model/{NOVA}/converse', data=pieces(), headers=headers) as response:
        assert response.status == 200


async def test_a_connection_is_closed_for_whom_asks_for_it(bedrock: LocalBedrock) -> None:
    body = json.dumps(HELLO).encode()
    for version, header, said in (('1.1', 'Connection: close', b'close'), ('1.0', 'X-A: b', b'close')):
        reader, writer = await asyncio.open_connection('127.0.0.1', int(bedrock.base_url.rpartition(':')[2]))
        with contextlib.closing(writer):
            writer.write(
                f'POST /model/{NOVA}/converse HTTP/{version}\r\nHost: local\r\n{header}\r\n'
                f'Authorization: Bearer {bedrock.api_key}\r\nContent-Length: {len(body)}\r\n\r\n'.encode()
                + body
            )
            response = await asyncio.wait_for(reader.read(), 5)
            assert b'Connection: ' + said in response
            assert response.startswith(b'HTTP/1.1 200 OK\r\nDate: ')
        await writer.wait_closed()


async def test_it_serves_over_tls(http: aiohttp.ClientSession) -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('127.0.0.1').configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with LocalBedrock(tls=server) as bedrock:
        assert bedrock.base_url.startswith('https://')
        assert await ask(http, bedrock, ssl=trusting) == 200


async def test_given_keys_are_the_ones_that_are_accepted(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock(credentials={'AKIDMINE': 'mine'}, api_keys=['token'], region_name='eu-west-1') as bedrock:
        assert (bedrock.aws_access_key_id, bedrock.aws_secret_access_key) == ('AKIDMINE', 'mine')
        assert (bedrock.api_key, bedrock.region_name, bedrock.aws_session_token) == ('token', 'eu-west-1', None)
        assert await ask(http, bedrock) == 200
    none = LocalBedrock(credentials={}, api_keys=[])
    with pytest.raises(RuntimeError, match='accepts no access key'):
        _ = none.aws_access_key_id
    with pytest.raises(RuntimeError, match='accepts no API key'):
        _ = none.api_key
    temporary = LocalBedrock(credentials={'ASIA': AccessKey('ASIA', 'secret', 'token')})
    assert temporary.aws_session_token == 'token'


def test_keys_are_made_for_each_endpoint_and_nobody_takes_them_for_real() -> None:
    one, other = LocalBedrock(), LocalBedrock()
    assert one.aws_access_key_id.startswith('AKIDLOCALBEDROCK')
    assert one.aws_secret_access_key.startswith('local-bedrock-secret-')
    assert one.api_key.startswith('bedrock-api-key-local-')
    assert one.aws_secret_access_key != other.aws_secret_access_key


async def test_a_repr_says_where_and_how_much_and_no_secret(bedrock: LocalBedrock, post: Post) -> None:
    await post()
    assert repr(bedrock) == f'<LocalBedrock: {bedrock.base_url} | 1 requests, 0 in flight>'
    shown = repr([bedrock, bedrock.requests, bedrock.stats()])
    for secret in (bedrock.aws_secret_access_key, bedrock.api_key):
        assert secret not in shown
    assert repr(LocalBedrock()) == '<LocalBedrock: not serving>'


# On a thread of its own


def test_a_thread_serves_code_that_is_not_async(make_client: MakeClient) -> None:
    before = threading.active_count()
    with LocalBedrock() as bedrock:
        bedrock.reply('one')
        client = make_client(bedrock=bedrock)
        response = client.converse(modelId=NOVA, messages=[user('Hello')])
        assert response['output']['message']['content'] == [{'text': 'one'}]
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_a_thread_that_cannot_serve_says_why() -> None:
    with (
        socket.create_server(('127.0.0.1', 0)) as taken,
        pytest.raises(OSError, match=r'(?i)address already in use'),
        LocalBedrock(port=taken.getsockname()[1]),
    ):
        pass


def test_leaving_a_thread_that_a_reply_blocks_fails_in_time(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifetime, '_STOP_SECONDS', 0.2)
    blocks, released = threading.Event(), threading.Event()

    def block(request: RecordedRequest) -> str:
        blocks.set()
        released.wait(60)
        return 'late'

    bedrock = LocalBedrock()
    bedrock.__enter__()
    bedrock.reply(block)
    client = make_client(bedrock=bedrock)
    asking = threading.Thread(target=converse_in_vain, args=(client,))
    asking.start()
    try:
        assert blocks.wait(10)
        with pytest.raises(
            RuntimeError, match=r'(?s)did not stop within 0\.2 s: .*test_server\.py", line \d+, in block'
        ):
            bedrock.__exit__()
    finally:
        monkeypatch.undo()
        released.set()
        bedrock.__exit__()
        asking.join(10)
    with pytest.raises(RuntimeError, match='LocalBedrock is not serving'):
        _ = bedrock.base_url


def test_an_endpoint_on_a_thread_can_be_entered_again(make_client: MakeClient) -> None:
    bedrock = LocalBedrock()
    for _ in range(2):
        with bedrock:
            assert make_client(bedrock=bedrock).converse(modelId=NOVA, messages=[user('Hello')])
