"""Responses that are read straight from their connections, over http and https."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiohttp
import pytest
from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError
from generation import eventually
from moved_clock import Clock

from pydantic_ai_aiobedrock._client.connector import Connector
from pydantic_ai_aiobedrock._client.exchange import Exchange, SignedRequest
from pydantic_ai_aiobedrock._client.protocol import Protocol
from pydantic_ai_aiobedrock._client.raw_response import UNREAD_BYTES, RawResponse
from pydantic_ai_aiobedrock._client.transport import HTTPSession
from pydantic_ai_aiobedrock._config.call_options import CallOptions
from pydantic_ai_aiobedrock._core.turns import turns
from pydantic_ai_aiobedrock._wire.http_response import HEAD_BYTES, HttpResponseError, ResponseParser
from pydantic_ai_aiobedrock.errors import UnreadableResponseError

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
UNTIL_END = b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n'
READ_BYTES = 256 * 1024
"""The most that asyncio and uvloop take from a socket, or from its TLS, at once."""


class Peer:
    """The server's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        head = await self._reader.readuntil(b'\r\n\r\n')
        length = int(head.lower().partition(b'content-length: ')[2].partition(b'\r\n')[0])
        return head + await self._reader.readexactly(length)

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def gone(self) -> None:
        """Wait until the client has closed or reset the connection."""
        with suppress(ConnectionError, ssl.SSLError):
            while await self._reader.read(READ_BYTES):
                pass

    def reset(self) -> None:
        sock: socket.socket = self.writer.get_extra_info('socket')
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.writer.transport.abort()


class Server:
    """A server whose every step is the test's."""

    def __init__(self, session: HTTPSession) -> None:
        self.session = session
        self.url = ''
        self._accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self.peers: list[Peer] = []

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(peer := Peer(reader, writer))
        self._accepted.put_nowait(peer)

    async def accepted(self) -> Peer:
        async with asyncio.timeout(60):
            return await self._accepted.get()

    def signed(self, *, stream: bool = True) -> SignedRequest:
        return SignedRequest(self.url, {'Content-Length': '2'}, b'{}', stream)

    def send(self, read_timeout: float | None = None, *, stream: bool = True) -> asyncio.Task[Any]:
        options = CallOptions(read_timeout=read_timeout)
        return asyncio.create_task(self.session.send(self.signed(stream=stream), options))

    def send_by_aiohttp(self, body: bytes = b'{}', *, stream: bool = False) -> asyncio.Task[Any]:
        headers = HeadersDict({'Content-Length': str(len(body))})
        return asyncio.create_task(self.session.send(AWSPreparedRequest('POST', self.url, headers, body, stream)))

    async def opened(self, read_timeout: float | None = None, start: bytes = CHUNKED) -> tuple[RawResponse, Peer]:
        """Open a response over a new connection."""
        sending = self.send(read_timeout)
        peer = await self.accepted()
        await peer.request()
        peer.write(start)
        return (await sending).raw, peer

    def protocols(self) -> list[Any]:
        """The client's ends of the connections that are open."""
        assert self.session._session is not None
        connector: Any = self.session._session.connector
        return [protocol for protocol in connector._used if protocol.transport is not None]


def make_session(timeout: float | None = None) -> HTTPSession:
    return HTTPSession(verify=os.environ.get('AWS_CA_BUNDLE', True), timeout=timeout)


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None, timeout: float | None = 300) -> AsyncIterator[Server]:
    async with make_session(timeout) as session:
        server = Server(session)
        listening = await asyncio.start_server(server.accept, '127.0.0.1', 0, ssl=tls)
        server.url = f'{"https" if tls else "http"}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/'
        try:
            yield server
        finally:
            listening.close()
            for peer in server.peers:
                peer.writer.transport.abort()
    assert session.connections_in_use == 0
    await eventually(lambda: session.open_connections == 0)


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


@pytest.fixture
async def server(tls: ssl.SSLContext | None) -> AsyncIterator[Server]:
    async with serving(tls) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_by_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a response to a signed request is not read straight from its connection."""
    takes = Exchange.takes

    def must_take(self: Exchange, request: SignedRequest) -> bool:
        assert takes(self, request)
        return True

    monkeypatch.setattr(Exchange, 'takes', must_take)


def chunk(data: bytes) -> bytes:
    return b'%x\r\n%b\r\n' % (len(data), data)


async def turn(times: int = 1) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


# Pausing


async def test_what_nobody_reads_is_left_with_the_server_and_comes_once_it_is_read(server: Server) -> None:
    response, peer = await server.opened()
    body = bytes(range(256)) * 32 * 1024
    for start in range(0, len(body), 8192):
        peer.write(chunk(body[start : start + 8192]))
    peer.write(b'0\r\n\r\n')
    await eventually(lambda: response.is_paused)
    taken = response._unread
    assert UNREAD_BYTES < taken <= UNREAD_BYTES + READ_BYTES
    # The server goes on writing.
    await turn(100)
    assert response._unread == taken
    assert len(await response.readany()) <= taken
    assert not response.is_paused
    await eventually(lambda: response.is_paused)
    rest = await response.read()
    assert body.endswith(rest)
    assert not response.is_paused
    assert (server.session.connections_in_use, server.session.open_connections) == (0, 1)
    sending = server.send(stream=False)
    await peer.request()
    peer.write(ANSWER)
    assert await (await sending).content == b'{}'


@pytest.mark.parametrize('length', [0, 1, UNREAD_BYTES - 100, UNREAD_BYTES + 1, 3_000_000])
@pytest.mark.parametrize('framing', ['length', 'chunks', 'until the end'])
async def test_a_body_of_any_length_comes_whole(server: Server, length: int, framing: str) -> None:
    body = bytes(length)
    sending = server.send(stream=False)
    peer = await server.accepted()
    await peer.request()
    if framing == 'length':
        peer.write(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (length, body))
    elif framing == 'chunks':
        peer.write(CHUNKED + (chunk(body) if body else b'') + b'0\r\n\r\n')
    else:
        peer.write(UNTIL_END + body)
        peer.writer.close()
    assert await (await sending).content == body
    assert server.session.connections_in_use == 0


async def test_a_paused_response_that_is_closed_leaves_nothing(server: Server) -> None:
    response, peer = await server.opened()
    peer.write(chunk(bytes(4_000_000)))
    await eventually(lambda: response.is_paused)
    response.close()
    assert server.session.connections_in_use == 0
    await peer.gone()


async def test_what_was_unread_when_another_task_closed_the_response_can_be_read(server: Server) -> None:
    response, peer = await server.opened()
    reading = asyncio.create_task(response.readany())
    await turn()
    peer.write(chunk(bytes(4_000_000)))
    await eventually(lambda: response.is_paused)
    unread = response._unread
    if reading.done():
        assert len(await reading) < unread
    response.close()
    with suppress(aiohttp.ClientConnectionError):
        while await response.readany():
            pass
    with pytest.raises(aiohttp.ClientConnectionError):
        await response.readany()
    reading.cancel()
    await asyncio.wait([reading])


async def test_a_paused_response_whose_server_has_ended_it_is_read_to_its_end(server: Server) -> None:
    response, peer = await server.opened(start=UNTIL_END)
    body = bytes(1_000_000)
    peer.write(body)
    peer.writer.close()
    await eventually(lambda: response.is_paused)
    assert await response.read() == body


@pytest.mark.parametrize('start', [b'0\r\n', b'2\r\n{}\r\n0\r\n'])
async def test_a_reader_is_not_left_to_wait_by_long_trailers(server: Server, start: bytes) -> None:
    response, peer = await server.opened()
    peer.write(start)
    reading = asyncio.create_task(response.read())
    trailer = b'A: ' + bytes(1000).replace(b'\0', b'b') + b'\r\n'
    for _ in range((UNREAD_BYTES + 50_000) // len(trailer)):
        peer.write(trailer)
        await turn()
    peer.write(b'\r\n')
    assert await reading == start[3:5].strip()
    assert (server.session.connections_in_use, server.session.open_connections) == (0, 1)


@pytest.mark.parametrize('start', [b'0\r\nA: ', b'2;a='])
async def test_trailers_and_extensions_without_end_are_an_error(server: Server, start: bytes) -> None:
    response, peer = await server.opened()
    peer.write(start + b'b' * 2 * HEAD_BYTES)
    with pytest.raises(aiohttp.ClientPayloadError, match='its trailers are longer'):
        await response.read()


# Timeouts


async def test_a_response_that_is_not_read_does_not_time_out_while_the_server_has_more(
    server: Server, clock: Clock
) -> None:
    response, peer = await server.opened(read_timeout=1000)
    body = bytes(4_000_000)
    peer.write(chunk(body))
    await eventually(lambda: response.is_paused)
    for _ in range(5):
        await clock.set_forward(999)
    got = 0
    while got < len(body):
        got += len(await response.readany())
        await clock.set_forward(600)
    # The server is silent now.
    reading = asyncio.create_task(response.readany())
    await clock.set_forward(350)
    assert not reading.done()
    await clock.set_forward(650)
    with pytest.raises(TimeoutError):
        await reading
    response.close()


async def test_a_response_that_is_paused_does_not_time_out(server: Server) -> None:
    """On uvloop, too: a few timers fire, and none of them ends the response."""
    response, peer = await server.opened(read_timeout=0.05)
    body = bytes(2_000_000)
    peer.write(chunk(body) + b'0\r\n\r\n')
    await eventually(lambda: response.is_paused)
    fired = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, fired.set)
    await fired.wait()
    assert await response.read() == body


async def answered(server: Server, peer: Peer | None, read_timeout: float | None) -> Peer:
    sending = server.send(read_timeout, stream=False)
    peer = peer or await server.accepted()
    await peer.request()
    peer.write(ANSWER)
    assert (await sending).status_code == 200
    return peer


@pytest.mark.parametrize('before', [None, 5, 10, 1000])
@pytest.mark.parametrize('way', ['exchange', 'session'])
async def test_each_request_over_a_connection_has_its_own_read_timeout(
    server: Server, clock: Clock, before: float | None, way: str
) -> None:
    peer = await answered(server, None, before)
    if way == 'session':
        sending = server.send_by_aiohttp()
        await peer.request()
        peer.write(ANSWER)
        await sending
    await clock.set_forward(3)
    sending = server.send(10, stream=False)
    await peer.request()
    await clock.set_forward(9.9)
    assert not sending.done()
    await clock.set_forward(0.1)
    with pytest.raises(ReadTimeoutError):
        await sending
    assert server.session.connections_opened == 1
    await peer.gone()


async def test_a_connection_outlives_the_read_timeout_of_its_last_request(server: Server, clock: Clock) -> None:
    peer = await answered(server, None, 10)
    for _ in range(3):
        await clock.set_forward(11)
        peer = await answered(server, peer, None)
    assert (server.session.connections_opened, server.session.open_connections) == (1, 1)


async def test_silence_in_the_middle_of_a_body_is_an_error_after_what_has_come(server: Server, clock: Clock) -> None:
    response, peer = await server.opened(read_timeout=10)
    peer.write(chunk(b'[]'))
    await eventually(lambda: response._unread > 0)
    await turn(2)
    await clock.set_forward(11)
    assert await response.readany() == b'[]'
    for _ in range(2):
        with pytest.raises(aiohttp.SocketTimeoutError):
            await response.readany()
    response.close()


async def close_it(server: Server, response: RawResponse, peer: Peer) -> None:
    response.close()


async def end_it(server: Server, response: RawResponse, peer: Peer) -> None:
    peer.writer.close()


async def reset_it(server: Server, response: RawResponse, peer: Peer) -> None:
    peer.reset()


async def damage_it(server: Server, response: RawResponse, peer: Peer) -> None:
    peer.write(b'x')


async def close_the_session(server: Server, response: RawResponse, peer: Peer) -> None:
    await server.session.close()


@pytest.mark.parametrize('end', [close_it, end_it, reset_it, damage_it, close_the_session])
async def test_a_connection_that_is_closed_leaves_no_timer(
    server: Server, end: Callable[[Server, RawResponse, Peer], Awaitable[None]]
) -> None:
    response, peer = await server.opened(read_timeout=1000)
    [protocol] = server.protocols()
    timer = protocol._read_timeout_handle
    assert isinstance(protocol, Protocol)
    assert not timer.cancelled()
    await end(server, response, peer)
    with pytest.raises(aiohttp.ClientError):
        await response.readany()
    response.close()
    assert timer.cancelled()
    assert protocol._read_timeout_handle is None


async def test_an_idle_connection_that_is_closed_leaves_no_timer(server: Server) -> None:
    peer = await answered(server, None, 1000)
    [protocol] = server.protocols()
    timer = protocol._read_timeout_handle
    peer.writer.close()
    await eventually(lambda: protocol.transport is None)
    assert timer.cancelled()


# What comes unasked


@pytest.mark.parametrize('unasked', [b'H', b'\r\n', ANSWER, b'x' * 500_000])
@pytest.mark.parametrize('way', ['exchange', 'session before', 'session after'])
async def test_a_connection_on_which_something_has_come_unasked_is_not_used_again(
    server: Server, unasked: bytes, way: str
) -> None:
    sending = server.send_by_aiohttp() if way == 'session before' else server.send(stream=False)
    peer = await server.accepted()
    await peer.request()
    peer.write(ANSWER)
    await sending
    peer = await answered(server, peer, None)
    [protocol] = server.protocols()
    peer.write(unasked)
    await eventually(lambda: protocol.should_close)
    sending = server.send_by_aiohttp() if way == 'session after' else server.send(stream=False)
    other = await server.accepted()
    await other.request()
    other.write(ANSWER)
    assert await (await sending).content == b'{}'
    await peer.gone()


@pytest.mark.parametrize('after', [b'x', ANSWER, b'HTTP/1.1 200 OK\r\n'])
async def test_a_response_with_bytes_after_it_is_right_and_the_last_of_its_connection(
    server: Server, after: bytes
) -> None:
    sending = server.send(stream=False)
    peer = await server.accepted()
    await peer.request()
    peer.write(ANSWER + after)
    assert await (await sending).content == b'{}'
    await peer.gone()
    await answered(server, None, None)
    assert server.session.connections_opened == 2


@pytest.mark.parametrize('length', [2, 100_000, 1_000_000])
async def test_what_a_server_says_on_a_new_connection_is_the_response(
    server: Server, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with too many connections may answer before it is asked."""
    create: Any = Connector._create_connection
    body = bytes(length)
    first = b'HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n%b' % (length, body[:80_000])
    received = 65_536 if length > 65_536 else len(first)

    async def create_connection(self: Any, *args: Any, **kwargs: Any) -> Any:
        protocol = await create(self, *args, **kwargs)
        await eventually(lambda: server.peers != [])
        server.peers[0].write(first)
        await eventually(lambda: len(protocol._tail) >= received)
        return protocol

    monkeypatch.setattr(Connector, '_create_connection', create_connection)
    sending = server.send(stream=False)
    peer = await server.accepted()
    await peer.request()
    peer.write(body[80_000:])
    response = await sending
    assert (response.status_code, await response.content) == (503, body)


# Connections that break


@pytest.mark.parametrize(
    'sent', [b'', b'HTTP/1.1 200', b'HTTP/1.1 100 Continue\r\n\r\n', ANSWER[:-1], CHUNKED, CHUNKED + b'1\r\n{']
)
@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('way', ['reset', 'close', 'shutdown'])
async def test_a_connection_that_breaks_off_is_an_error(server: Server, sent: bytes, stream: bool, way: str) -> None:
    sending = server.send(stream=stream)
    peer = await server.accepted()
    await peer.request()
    if way == 'close':
        peer.write(sent)
        peer.writer.close()
    elif sent:
        [protocol] = server.protocols()
        protocol._heard_at = 0.0
        peer.write(sent)
        await eventually(lambda: protocol._heard_at > 0)
    if way == 'reset':
        peer.reset()
    elif way == 'shutdown' and not peer.writer.is_closing():
        peer.writer.transport.abort()
    if stream and b'\r\n\r\n' in sent and b' 100 ' not in sent:
        response = (await sending).raw
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)) as caught:
            await response.read()
        assert 'None' not in str(caught.value)
    else:
        with pytest.raises(ConnectionClosedError) as failed:
            await sending
        assert 'None' not in str(failed.value)
    assert server.session.connections_in_use == 0
    await eventually(lambda: server.session.open_connections == 0)


async def test_a_body_until_the_end_that_is_reset_or_closed_by_the_client_is_not_complete(server: Server) -> None:
    for end in (reset_it, close_the_session):
        response, peer = await server.opened(start=UNTIL_END + b'{"a": ')
        assert await response.readany() == b'{"a": '
        reading = asyncio.create_task(response.read())
        await turn()
        await end(server, response, peer)
        with pytest.raises(aiohttp.ClientError):
            await reading


async def test_a_body_until_the_end_is_complete_at_its_end(server: Server) -> None:
    sending = server.send(stream=False)
    peer = await server.accepted()
    await peer.request()
    peer.write(UNTIL_END + b'{}')
    peer.writer.close()
    assert await (await sending).content == b'{}'


@pytest.mark.parametrize(
    'line', [b'HTTP/1.1 100 Continue\r\n\r\n', b'HTTP/1.1 102 Processing\r\nA: b\r\n\r\n', b'A: b\r\n']
)
async def test_a_head_without_end_is_an_error(server: Server, line: bytes) -> None:
    sending = server.send()
    peer = await server.accepted()
    await peer.request()
    peer.write(b'' if line.startswith(b'HTTP') else b'HTTP/1.1 200 OK\r\n')
    peer.write(line * (HEAD_BYTES // len(line) + 1))
    with pytest.raises(UnreadableResponseError, match='its headers are longer than 262144 bytes'):
        await sending
    await peer.gone()


async def test_an_interim_response_begins_the_read_timeout_again(server: Server, clock: Clock) -> None:
    sending = server.send(10)
    peer = await server.accepted()
    await peer.request()
    [protocol] = server.protocols()
    for _ in range(3):
        await clock.set_forward(8)
        protocol._heard_at = 0.0
        peer.write(b'HTTP/1.1 102 Processing\r\n\r\n')
        await eventually(lambda: protocol._heard_at > 0)
    await clock.set_forward(11)
    with pytest.raises(ReadTimeoutError):
        await sending


@pytest.mark.parametrize('status', [b'000', b'099', b'101'])
async def test_a_status_that_is_not_final_is_an_error_at_once(server: Server, status: bytes) -> None:
    sending = server.send()
    peer = await server.accepted()
    await peer.request()
    peer.write(b'HTTP/1.1 ' + status + b' Odd\r\nContent-Length: 2\r\n\r\n{}')
    with pytest.raises(UnreadableResponseError, match=f'its status is {int(status)}$'):
        await sending
    await peer.gone()


# Cancelling and closing


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_request_that_is_cancelled_while_it_waits_for_the_headers_gives_up_its_connection(
    server: Server,
) -> None:
    for sent in (b'', b'HTTP/1.1 2', b'HTTP/1.1 100 Continue\r\n\r\n'):
        sending = server.send()
        peer = await server.accepted()
        await peer.request()
        if sent:
            [protocol] = server.protocols()
            protocol._heard_at = 0.0
            peer.write(sent)
            await eventually(lambda protocol=protocol: protocol._heard_at > 0)
        await cancel(sending)
        assert server.session.connections_in_use == 0
        await peer.gone()


@pytest.mark.parametrize('start', [ANSWER, CHUNKED])
async def test_a_request_that_is_cancelled_while_its_answer_waits_for_its_turn_gives_up_what_is_not_complete(
    server: Server, start: bytes
) -> None:
    answers = turns().answers
    sending = server.send()
    peer = await server.accepted()
    await peer.request()
    # The turn of others does not end.
    answers._used = answers._per_turn
    peer.write(start)
    await eventually(lambda: len(answers._waiting) > 0)
    await cancel(sending)
    answers._used = 0
    answers._waiting.clear()
    assert server.session.connections_in_use == 0
    if start is CHUNKED:
        await peer.gone()
    else:
        await answered(server, peer, None)


async def test_reading_a_whole_body_that_is_cancelled_gives_up_its_connection(server: Server) -> None:
    response, peer = await server.opened()
    peer.write(chunk(b'{'))
    reading = asyncio.create_task(response.read())
    await eventually(lambda: response._unread == 0)
    await cancel(reading)
    assert server.session.connections_in_use == 0
    await peer.gone()


async def test_reading_a_piece_can_be_cancelled_and_begun_again(server: Server) -> None:
    response, peer = await server.opened()
    reading = asyncio.create_task(response.readany())
    await turn()
    await cancel(reading)
    peer.write(chunk(b'{}'))
    assert await response.readany() == b'{}'
    reading = asyncio.create_task(response.readany())
    await turn()
    # It comes in the turn of the loop in which the reading is cancelled.
    response.received(chunk(b'[]'))
    await cancel(reading)
    assert await response.readany() == b'[]'
    peer.write(b'0\r\n\r\n')
    assert await response.readany() == b''
    assert server.session.connections_in_use == 0


async def test_of_two_tasks_that_read_a_response_the_second_is_refused(server: Server) -> None:
    response, peer = await server.opened()
    first = asyncio.create_task(response.readany())
    await turn()
    with pytest.raises(RuntimeError, match='Another task is reading'):
        await response.readany()
    peer.write(chunk(b'{}') + b'0\r\n\r\n')
    assert await first == b'{}'
    assert await response.readany() == b''


@pytest.mark.parametrize('read', [RawResponse.read, RawResponse.readany])
async def test_a_reader_is_woken_when_another_task_closes_the_response(
    server: Server, read: Callable[[RawResponse], Awaitable[bytes]]
) -> None:
    response, peer = await server.opened()
    reading = asyncio.ensure_future(read(response))
    await turn()
    response.close()
    response.close()
    for again in (reading, read(response)):
        with pytest.raises(aiohttp.ClientConnectionError):
            await again
    assert server.session.connections_in_use == 0
    await peer.gone()


async def test_a_complete_response_can_be_read_after_it_is_closed(server: Server) -> None:
    response, peer = await server.opened(start=ANSWER)
    response.close()
    assert await response.read() == b'{}'
    assert await response.read() == b''
    await answered(server, peer, None)
    assert server.session.connections_opened == 1


async def test_closing_the_session_ends_every_response(server: Server) -> None:
    streams = [(await server.opened())[0] for _ in range(3)]
    reading = [asyncio.create_task(stream.read()) for stream in streams]
    sending = server.send()
    await (await server.accepted()).request()
    await server.session.close()
    for task in reading:
        with pytest.raises(aiohttp.ClientError):
            await task
    with pytest.raises(HTTPClientError):
        await sending
    assert server.session.open_connections == 0


# Requests of both kinds


async def test_requests_with_and_without_aiohttps_session_take_turns_on_a_connection(server: Server) -> None:
    peer: Peer | None = None
    for way in ('exchange', 'session', 'session', 'exchange', 'exchange', 'large', 'exchange', 'stream', 'exchange'):
        if way == 'exchange':
            sending = server.send(5)
        else:
            sending = server.send_by_aiohttp(bytes(300_000) if way == 'large' else b'{}', stream=way == 'stream')
        peer = peer or await server.accepted()
        await peer.request()
        peer.write(b'HTTP/1.1 100 Continue\r\n\r\n' + CHUNKED + chunk(way.encode()))
        await turn(2)
        peer.write(b'0\r\nTrailer: a\r\n\r\n')
        assert await (await sending).content == way.encode()
        assert server.session.connections_in_use == 0
    assert server.session.connections_opened == 1


async def test_a_large_response_by_either_way_leaves_a_connection_that_is_read(server: Server) -> None:
    """A response that was paused leaves no connection behind that takes nothing."""
    body = bytes(1_000_000)
    peer: Peer | None = None
    for way in ('exchange', 'session', 'exchange', 'exchange', 'session'):
        sending = server.send() if way == 'exchange' else server.send_by_aiohttp(stream=True)
        peer = peer or await server.accepted()
        await peer.request()
        peer.write(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body))
        response = await sending
        if way == 'exchange':
            await eventually(lambda response=response: response.raw.is_paused)
        assert await response.content == body
    assert server.session.connections_opened == 1


# What is left


@contextmanager
def without_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def left() -> list[str]:
    return [
        type(each).__name__
        for each in gc.get_objects()
        if type(each) in (RawResponse, ResponseParser, HttpResponseError)
        and getattr(each, '_parser', None) is not None
        and each is not NOTHING
    ]


NOTHING: Any = next(each for each in vars(sys.modules[RawResponse.__module__]).values() if type(each) is ResponseParser)
ENDS = {
    'complete': (CHUNKED + b'0\r\n\r\n', None),
    'closed': (CHUNKED, close_it),
    'malformed': (CHUNKED, damage_it),
    'reset': (CHUNKED, reset_it),
    'broken off': (CHUNKED + b'2\r\n[', end_it),
    'ended': (UNTIL_END, end_it),
}


@pytest.mark.parametrize('way', ENDS)
async def test_a_response_leaves_no_cycle(server: Server, way: str) -> None:
    start, end = ENDS[way]
    peer = await answered(server, None, 1000)
    with without_collections():
        sending = server.send()
        await peer.request()
        peer.write(start)
        response: Any = (await sending).raw
        if end is not None:
            await end(server, response, peer)
        with suppress(aiohttp.ClientError):
            await response.read()
        del response, sending
        await turn(3)
        assert left() == []


@pytest.mark.parametrize('way', ['cancelled', 'malformed', 'reset', 'broken off', 'timed out'])
async def test_a_request_that_fails_leaves_no_cycle_of_its_response(server: Server, way: str) -> None:
    peer = await answered(server, None, 1000)
    with without_collections():
        sending = server.send(0.05 if way == 'timed out' else None)
        await peer.request()
        [protocol] = server.protocols()
        protocol._heard_at = 0.0
        peer.write(b'HTTP/1.1 200 OK\r\nA: b')
        await eventually(lambda: protocol._heard_at > 0)
        if way == 'cancelled':
            sending.cancel()
        elif way == 'malformed':
            peer.write(b'\r\n: c\r\n')
        elif way == 'reset':
            peer.reset()
        elif way == 'broken off':
            peer.writer.close()
        with suppress(asyncio.CancelledError, HTTPClientError, UnreadableResponseError):
            await sending
        assert sending.done()
        del sending
        await turn(3)
        assert left() == []


# Loops


def test_a_loop_that_is_closed_under_a_response_leaves_no_socket(tls: ssl.SSLContext | None) -> None:
    kept: list[Any] = []

    async def leave() -> None:
        session = make_session()
        await session.__aenter__()
        server = Server(session)
        listening = await asyncio.start_server(server.accept, '127.0.0.1', 0, ssl=tls)
        server.url = f'{"https" if tls else "http"}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/'
        response, peer = await server.opened(1000)
        peer.write(chunk(bytes(2_000_000)))
        await eventually(lambda: response.is_paused)
        await answered(server, None, 1000)
        listening.close()
        for each in server.peers:
            each.writer.transport.abort()
        await turn(20)
        kept.extend([session, response])

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(leave())
    finally:
        loop.close()
    session, response = kept
    assert session.open_connections > 0
    session.abandon()
    assert session.open_connections == 0
    response.close()
