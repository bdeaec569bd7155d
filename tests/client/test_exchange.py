"""Short requests in which other code has no part, sent over aiohttp's connections without its session."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import wraps
from typing import Any

import aiohttp
import pytest
from aiobotocore.config import AioConfig
from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, HTTPClientError, ReadTimeoutError
from credential_sources import hello, runtime
from generation import eventually
from moved_clock import Clock
from served_bedrock import keys_of

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._client import exchange, protocol
from pydantic_ai_aiobedrock._client.exchange import Exchange, SignedRequest
from pydantic_ai_aiobedrock._client.request_body import PIECE_BYTES
from pydantic_ai_aiobedrock._client.transport import HTTPSession
from pydantic_ai_aiobedrock._config.call_options import CallOptions
from pydantic_ai_aiobedrock.errors import UnreadableResponseError

HEADERS = {
    'User-Agent': 'Boto3/1',
    'X-Amz-Date': '20261128T000000Z',
    'Authorization': 'AWS4-HMAC-SHA256 secret',
    'Content-Length': '2',
}
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]'


@pytest.fixture
def exchanged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of the requests that did without the session."""
    urls: list[str] = []
    send = Exchange.send

    async def noting_send(self: Exchange, request: SignedRequest, *args: Any) -> Any:
        urls.append(request.url)
        return await send(self, request, *args)

    monkeypatch.setattr(Exchange, 'send', noting_send)
    return urls


# Who takes part


async def test_a_call_like_an_earlier_one_does_without_aiohttps_session(
    bedrock: LocalBedrock, pool: SessionPool, exchanged: list[str]
) -> None:
    client = runtime(bedrock, pool, **keys_of(bedrock))
    for _ in range(3):
        await client.converse(**hello())
    assert len(exchanged) == 2
    assert bedrock.stats().connections == 1


def make_sessions_with(monkeypatch: pytest.MonkeyPatch, **added: Any) -> None:
    make = aiohttp.ClientSession.__init__

    @wraps(make)
    def __init__(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **added, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, '__init__', __init__)


def add_a_trace(monkeypatch: pytest.MonkeyPatch, saw: Callable[[], None]) -> None:
    """Observe requests like OpenTelemetry's instrumentation of aiohttp."""

    async def on_request_end(*_: object) -> None:
        saw()

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(on_request_end)
    make_sessions_with(monkeypatch, trace_configs=[trace])


def add_a_middleware(monkeypatch: pytest.MonkeyPatch, saw: Callable[[], None]) -> None:
    async def middleware(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
        saw()
        return await handler(request)

    make_sessions_with(monkeypatch, middlewares=[middleware])


def wrap_the_session(monkeypatch: pytest.MonkeyPatch, saw: Callable[[], None]) -> None:
    """Observe requests like agents of monitoring services, or answer them like test doubles."""
    request: Any = aiohttp.ClientSession._request

    @wraps(request)
    async def _request(*args: Any, **kwargs: Any) -> Any:
        saw()
        return await request(*args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, '_request', _request)


def wrap_the_request(monkeypatch: pytest.MonkeyPatch, saw: Callable[[], None]) -> None:
    send: Any = aiohttp.ClientRequest.send

    @wraps(send)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        saw()
        return await send(*args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientRequest, 'send', wrapper)


@pytest.mark.parametrize('observe', [add_a_trace, add_a_middleware, wrap_the_session, wrap_the_request])
async def test_other_code_that_observes_aiohttp_sees_every_request(
    observe: Callable[[pytest.MonkeyPatch, Callable[[], None]], None],
    bedrock: LocalBedrock,
    pool: SessionPool,
    exchanged: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[None] = []
    observe(monkeypatch, lambda: seen.append(None))
    client = runtime(bedrock, pool, **keys_of(bedrock))
    for _ in range(3):
        await client.converse(**hello())
    assert (len(seen), len(exchanged)) == (3, 0)


async def test_connections_that_are_not_to_be_kept_are_not_kept(
    bedrock: LocalBedrock, pool: SessionPool, exchanged: list[str]
) -> None:
    config = AioConfig(connector_args={'force_close': True, 'keepalive_timeout': None})
    client = runtime(bedrock, pool, config=config, **keys_of(bedrock))
    for _ in range(3):
        await client.converse(**hello())
    assert (bedrock.stats().connections, len(exchanged)) == (3, 0)


async def test_an_aiohttp_that_has_moved_what_this_builds_on_sends_all_by_its_session(
    bedrock: LocalBedrock, pool: SessionPool, exchanged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, '_USED', ('moved',))
    client = runtime(bedrock, pool, **keys_of(bedrock))
    for _ in range(3):
        await client.converse(**hello())
        async for _ in (await client.converse_stream(**hello()))['stream']:
            pass
    assert (bedrock.stats().connections, len(exchanged)) == (1, 0)


# What is sent


BROKEN = (b'SSH-2.0-OpenSSH_9.2\r\n', b'HTTP/1.1 200', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[')


class RawServer:
    """A server that takes one request after the other, and answers each with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.url = ''
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            while head := await reader.readuntil(b'\r\n\r\n'):
                length = int(head.lower().partition(b'content-length: ')[2].partition(b'\r\n')[0])
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answer)
                if self.answer in BROKEN:
                    return
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def answering(answer: bytes, host: str = '127.0.0.1') -> AsyncIterator[tuple[RawServer, HTTPSession]]:
    raw = RawServer(answer)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(raw.serve, host, 0))
        port = server.sockets[0].getsockname()[1]
        raw.url = f'http://{f"[{host}]" if ":" in host else host}:{port}/model/a%3Ab/converse'
        yield raw, await stack.enter_async_context(HTTPSession(timeout=10))


def signed(raw: RawServer, **headers: str) -> SignedRequest:
    return SignedRequest(raw.url, {**HEADERS, **headers}, b'{}', stream_output=False)


@pytest.mark.parametrize('host', ['127.0.0.1', '::1'])
async def test_what_is_written_is_what_aiohttps_session_writes(host: str, exchanged: list[str]) -> None:
    async with answering(ANSWER, host) as (raw, session):
        await session.send(signed(raw))
        await session.send(AWSPreparedRequest('POST', raw.url, HeadersDict(HEADERS), b'{}', False))
        first, second = raw.requests
    assert len(exchanged) == 1
    assert first == second
    assert first.startswith(b'POST /model/a%3Ab/converse HTTP/1.1\r\nHost: ')


async def test_a_request_that_is_longer_than_the_buffers_of_a_connection_is_written_in_pieces(
    exchanged: list[str],
) -> None:
    async with answering(ANSWER) as (raw, session):
        for size in (PIECE_BYTES, PIECE_BYTES + 1):
            body = b' ' * size
            await session.send(SignedRequest(raw.url, {**HEADERS, 'Content-Length': str(size)}, body, False))
            assert raw.requests[-1].endswith(body)
    assert len(exchanged) == 1


@pytest.mark.parametrize('value', ['a\r\nInjected: b', 'a\nInjected: b', 'a\rInjected: b'])
async def test_a_line_break_in_a_header_is_refused(value: str) -> None:
    async with answering(ANSWER) as (raw, session):
        with pytest.raises(HTTPClientError, match='line break'):
            await session.send(signed(raw, **{'X-Amz-Security-Token': value}))
        assert raw.requests == []


async def test_only_so_many_urls_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, '_REMEMBERED', 2)
    async with answering(ANSWER) as (raw, session):
        for number in range(4):
            await session.send(SignedRequest(f'{raw.url}/{number}', HEADERS, b'{}', False))
        assert session._exchange is not None
        assert [url[-2:] for url in session._exchange._targets] == ['/2', '/3']


# What is answered


@pytest.mark.parametrize('stream_output', [False, True])
async def test_interim_responses_are_passed_over(stream_output: bool) -> None:
    async with answering(b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n' + ANSWER) as (
        raw,
        session,
    ):
        request = signed(raw)
        request.stream_output = stream_output
        for _ in range(2):
            response: Any = await session.send(request)
            assert (response.status_code, await response.content) == (200, b'[]')
        assert session.connections_opened == 1
        assert session.connections_in_use == 0


NOT_FINAL = {
    '101': b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    '101 and bytes': b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0',
    '101 alone': b'HTTP/1.1 101 Switching Protocols\r\n\r\n',
    '101 and close': b'HTTP/1.1 101 Switching Protocols\r\nConnection: close\r\n\r\n',
    '99': b'HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\n[]',
}


@pytest.mark.parametrize('answer', NOT_FINAL.values(), ids=NOT_FINAL)
@pytest.mark.parametrize('stream_output', [False, True])
@pytest.mark.parametrize('through', ['exchange', 'session'])
async def test_a_status_below_200_that_announces_no_other_is_an_unreadable_response(
    answer: bytes, stream_output: bool, through: str, exchanged: list[str]
) -> None:
    async with answering(answer) as (raw, session):
        request: Any = signed(raw)
        request.stream_output = stream_output
        if through == 'session':
            request = AWSPreparedRequest('POST', raw.url, HeadersDict(HEADERS), b'{}', stream_output)
        for _ in range(2):
            with pytest.raises(UnreadableResponseError, match=r'its status is (101|99)$') as caught:
                await session.send(request)
            assert 'secret' not in repr(caught.value.__cause__)
            assert session.connections_in_use == 0
            await eventually(lambda: session.open_connections == 0)
    assert len(exchanged) == (2 if through == 'exchange' else 0)
    assert session.connections_opened == 2


async def test_a_response_that_is_not_http_is_an_error_without_secrets() -> None:
    async with answering(BROKEN[0]) as (raw, session):
        with pytest.raises(UnreadableResponseError) as caught:
            await session.send(signed(raw))
        assert session.connections_in_use == 0
    error: BaseException | None = caught.value
    while error is not None:
        assert 'secret' not in repr(error)
        error = error.__cause__


async def test_a_connection_that_is_closed_instead_of_an_answer_is_an_error() -> None:
    async with answering(BROKEN[1]) as (raw, session):
        with pytest.raises(ConnectionClosedError):
            await session.send(signed(raw))
        assert session.connections_in_use == 0


@pytest.mark.parametrize('stream_output', [False, True])
async def test_a_connection_to_itself_is_none(stream_output: bool) -> None:
    """A client of a port of its own machine that nothing listens on may be given that port, and hear itself."""
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        address = found.getsockname()

    def make_socket(_: object) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        return sock

    async with HTTPSession(timeout=10, connector_args={'socket_factory': make_socket}) as session:
        request = SignedRequest(f'http://127.0.0.1:{address[1]}/', HEADERS, b'{}', stream_output)
        for _ in range(2):
            with pytest.raises(EndpointConnectionError):
                await session.send(request)
            assert session.connections_in_use == 0
            await eventually(lambda: session.open_connections == 0)
        assert session.connections_opened == 2


async def test_a_body_that_breaks_off_is_an_error() -> None:
    async with answering(BROKEN[2]) as (raw, session):
        with pytest.raises(ConnectionClosedError):
            await session.send(signed(raw))
        assert session.connections_in_use == 0


async def test_silence_ends_with_the_read_timeout() -> None:
    async with answering(b'') as (raw, session):
        with pytest.raises(ReadTimeoutError):
            await session.send(signed(raw), CallOptions(read_timeout=0.05))
        assert session.connections_in_use == 0


@asynccontextmanager
async def streaming(read_timeout: float) -> AsyncIterator[tuple[asyncio.StreamWriter, aiohttp.StreamReader]]:
    """Open a chunked response, and yield the server's end and the client's."""
    async with answering(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n') as (raw, session):
        request = signed(raw)
        request.stream_output = True
        response: Any = await session.send(request, CallOptions(read_timeout=read_timeout))
        assert raw.writer is not None
        try:
            yield raw.writer, response.raw.content
        finally:
            response.raw.close()


async def test_the_read_timeout_begins_again_with_each_piece(clock: Clock) -> None:
    async with streaming(read_timeout=1000) as (server, content):
        for _ in range(4):
            await clock.set_forward(600)
            server.write(b'1\r\nx\r\n')
            assert await content.readany() == b'x'
        await clock.set_forward(1001)
        with pytest.raises(TimeoutError):
            await content.readany()


async def test_a_request_without_a_read_timeout_is_not_ended_by_the_timer_of_the_one_before(clock: Clock) -> None:
    async with answering(ANSWER) as (raw, _), HTTPSession() as session:
        await session.send(signed(raw), CallOptions(read_timeout=1000))
        raw.answer = b''
        sending = asyncio.create_task(session.send(signed(raw)))
        await eventually(lambda: len(raw.requests) == 2)
        await clock.set_forward(2000)
        assert raw.writer is not None
        raw.writer.write(ANSWER)
        assert (await sending).status_code == 200
        assert session.connections_opened == 1


async def test_a_piece_of_a_response_makes_no_timer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer that is cancelled stays with the loop for a while: thousands of them made the garbage collector run."""
    loop: Any = asyncio.get_running_loop()
    timers: list[float] = []
    call_at = loop.call_at
    async with streaming(read_timeout=1000) as (server, content):
        monkeypatch.setattr(
            loop, 'call_at', lambda when, *args, **kwargs: timers.append(when) or call_at(when, *args, **kwargs)
        )
        for _ in range(50):
            server.write(b'1\r\nx\r\n')
            assert await content.readany() == b'x'
    assert timers == []


async def test_a_request_that_is_cancelled_gives_up_its_connection() -> None:
    async with answering(b'') as (raw, session):
        task = asyncio.create_task(session.send(signed(raw)))
        await eventually(lambda: raw.requests != [])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert session.connections_in_use == 0
        assert session.open_connections == 0


async def test_reading_a_body_that_is_closed_meanwhile_fails() -> None:
    async with answering(b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[') as (raw, session):
        request = signed(raw)
        request.stream_output = True
        response: Any = await session.send(request)
        assert await response.raw.content.readany() == b'['
        reading = asyncio.create_task(response.raw.read())
        await asyncio.sleep(0)
        response.raw.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await reading
        assert session.open_connections == 0
