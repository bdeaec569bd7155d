"""Servers that are in trouble before there is a response: in the connection, in TLS, or in speaking HTTP at all."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from pydantic_core import to_json

from local_bedrock import AccessKey, LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

from .calls import NOVA, call
from .outcomes import RESET, SILENT, Observed, Raised, always, broken, check, undecodable

ProviderOf = Callable[[str], BedrockProvider]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

NOT_ACCEPTED = broken('ConnectTimeoutError', says='Connect timeout on endpoint URL')
NOT_CONNECTED = broken('EndpointConnectionError', says='Could not connect to the endpoint URL')
NO_TLS = broken('SSLError', says='SSL validation failed')

ANSWER = to_json(
    {
        'output': {'message': {'role': 'assistant', 'content': [{'text': 'Hello.'}]}},
        'stopReason': 'end_turn',
        'usage': {'inputTokens': 1, 'outputTokens': 1, 'totalTokens': 2},
        'metrics': {'latencyMs': 1},
    }
)


@pytest.fixture(params=[False, True], ids=['request', 'stream'])
def streaming(request: pytest.FixtureRequest) -> bool:
    """Run the test with a request and with a stream."""
    return request.param


async def comes_to(
    expected: Raised, provider: BedrockProvider, secrets: list[str], *, streaming: bool, attempts: int | None = None
) -> None:
    """Assert what a call comes to; what counts as an attempt is a connection, unless they are given."""
    text, error = await call(BedrockConverseModel(NOVA, provider=provider), streaming=streaming, secrets=secrets)
    stats = provider.client.pool.stats()
    observed = Observed(text, error, stats.connections_opened if attempts is None else attempts)
    check(observed, expected, text='', seen='', streaming=streaming)
    assert stats.leases == 0


@contextlib.asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve each connection by a function, and yield where."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(handle(reader, writer)))

    server = await asyncio.start_server(connected, '127.0.0.1', 0, ssl=tls)
    try:
        yield f'{"https" if tls else "http"}://127.0.0.1:{server.sockets[0].getsockname()[1]}'
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b'\r\n\r\n')
    length = re.search(rb'content-length: (\d+)', head, re.IGNORECASE)
    assert length is not None
    return head + await reader.readexactly(int(length[1]))


def sends(response: bytes, *, then: str = 'close') -> Handler:
    """Answer a request with some bytes, and close the connection or keep it open."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(response)
        await writer.drain()
        if then == 'wait':
            await reader.read()

    return handler


# Servers that do not accept, or do not answer


async def test_nothing_listens(provider_of: ProviderOf, secrets: list[str], streaming: bool) -> None:
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        provider = provider_of(f'http://127.0.0.1:{unused.getsockname()[1]}')
        await comes_to(always(NOT_CONNECTED), provider, secrets, streaming=streaming)


async def test_the_name_does_not_resolve(provider_of: ProviderOf, secrets: list[str], streaming: bool) -> None:
    await comes_to(
        always(NOT_CONNECTED), provider_of('http://bedrock.invalid'), secrets, streaming=streaming, attempts=3
    )


async def test_the_server_has_stopped_accepting(provider_of: ProviderOf, secrets: list[str], streaming: bool) -> None:
    """Its queue is full, so that the system answers no more of those that want to connect."""
    with contextlib.ExitStack() as sockets:
        server = sockets.enter_context(socket.create_server(('127.0.0.1', 0), backlog=0))
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        provider = provider_of(f'http://127.0.0.1:{server.getsockname()[1]}')
        await comes_to(always(NOT_ACCEPTED), provider, secrets, streaming=streaming)


async def test_the_server_never_answers(provider_of: ProviderOf, secrets: list[str], streaming: bool) -> None:
    with socket.create_server(('127.0.0.1', 0)) as server:
        provider = provider_of(f'http://127.0.0.1:{server.getsockname()[1]}')
        await comes_to(always(SILENT), provider, secrets, streaming=streaming)


# Servers that do not speak HTTP


CHUNKED = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
UNREADABLE = undecodable('UnreadableResponseError', 'cannot be read as HTTP, and the request is not sent again')
NOT_HTTP = {
    'closes at once': (sends(b''), always(RESET)),
    'speaks another protocol': (sends(b'SSH-2.0-OpenSSH_9.6\r\n'), UNREADABLE),
    'speaks TLS': (sends(b'\x15\x03\x01\x00\x02\x02\x46'), UNREADABLE),
    'ends within the head': (sends(b'HTTP/1.1 200 OK\r\nContent-Type: appl'), always(RESET)),
    'sends a head without end': (sends(b'HTTP/1.1 200 OK\r\nX: ' + b'x' * 100_000), UNREADABLE),
    'stops within the head': (sends(b'HTTP/1.1 200 OK\r\nContent-Type: appl', then='wait'), always(SILENT)),
    'sends chunks that are none': (sends(CHUNKED + b'zz\r\n{}\r\n0\r\n\r\n', then='wait'), UNREADABLE),
    'sends a length that is no number': (sends(b'HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n'), UNREADABLE),
}


@pytest.mark.parametrize(('handler', 'expected'), NOT_HTTP.values(), ids=NOT_HTTP.keys())
async def test_the_server_does_not_speak_http(
    provider_of: ProviderOf, secrets: list[str], streaming: bool, handler: Handler, expected: Raised
) -> None:
    async with serving(handler) as url:
        await comes_to(expected, provider_of(url), secrets, streaming=streaming)


async def test_a_response_that_nobody_asked_for_is_not_taken_for_the_next_answer(
    provider_of: ProviderOf, secrets: list[str]
) -> None:
    """Neither one that comes with the answer, nor one that comes while the connection is idle."""
    strays: list[asyncio.Event] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        right, stray = (
            b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body)
            for body in (ANSWER, ANSWER.replace(b'Hello.', b'Stray.'))
        )
        while True:
            await request_of(reader)
            writer.write(right)
            await strays[-1].wait()
            writer.write(stray)
            await writer.drain()

    async with serving(handler) as url:
        model = BedrockConverseModel(NOVA, provider=provider_of(url))
        for at_once in (True, False, False):
            strays.append(asyncio.Event())
            if at_once:
                strays[-1].set()
            assert await call(model, streaming=False, secrets=secrets) == ('Hello.', None)
            strays[-1].set()
            # The stray response arrives.
            await asyncio.sleep(0.05)


# TLS


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """Return the certificate authority that the clients of the test trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / 'authority.pem')
    monkeypatch.setenv('AWS_CA_BUNDLE', str(tmp_path / 'authority.pem'))
    return authority


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def expired(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert('127.0.0.1', not_after=datetime.now(UTC) - timedelta(days=1))


BAD_CERTIFICATES = {
    'of an unknown authority': (lambda authority: trustme.CA().issue_cert('127.0.0.1'), 'unable to get local issuer'),
    'for another host': (lambda authority: authority.issue_cert('example.com'), 'IP address mismatch'),
    'expired': (expired, 'certificate has expired'),
}


@pytest.mark.parametrize(('issue', 'says'), BAD_CERTIFICATES.values(), ids=BAD_CERTIFICATES.keys())
async def test_a_certificate_is_not_trusted(
    provider_of: ProviderOf,
    secrets: list[str],
    authority: trustme.CA,
    streaming: bool,
    issue: Callable[[trustme.CA], trustme.LeafCert],
    says: str,
) -> None:
    async with serving(sends(b''), context_of(issue(authority))) as url:
        await comes_to(replace(always(NO_TLS), says=says), provider_of(url), secrets, streaming=streaming)


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def keeps_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    await reader.read()


async def speaks_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')
    await writer.drain()
    await reader.read()


HANDSHAKES = {
    'closed': (closes, NOT_CONNECTED),
    'silent': (keeps_silent, NOT_ACCEPTED),
    'answered in plain text': (speaks_plainly, NO_TLS),
}


@pytest.mark.parametrize(('handler', 'expected'), HANDSHAKES.values(), ids=HANDSHAKES.keys())
async def test_a_handshake_fails(
    provider_of: ProviderOf,
    secrets: list[str],
    authority: trustme.CA,
    streaming: bool,
    handler: Handler,
    expected: Raised,
) -> None:
    async with serving(handler) as url:
        provider = provider_of(url.replace('http:', 'https:'))
        await comes_to(always(expected), provider, secrets, streaming=streaming)


# Servers that come and go


@contextlib.asynccontextmanager
async def another(bedrock: LocalBedrock, port: int = 0) -> AsyncIterator[LocalBedrock]:
    """Serve another endpoint that accepts the keys of the first."""
    key = AccessKey(bedrock.aws_access_key_id, bedrock.aws_secret_access_key, bedrock.aws_session_token)
    credentials = {key.access_key_id: key}
    async with LocalBedrock(port=port, credentials=credentials, api_keys=[bedrock.api_key]) as endpoint:
        yield endpoint


async def test_a_server_that_restarts_costs_at_most_a_retry(
    bedrock: LocalBedrock, provider_of: ProviderOf, secrets: list[str], streaming: bool
) -> None:
    async with another(bedrock) as endpoint:
        port = int(endpoint.base_url.rpartition(':')[2])
        model = BedrockConverseModel(NOVA, provider=provider_of(endpoint.base_url))
        calls = [call(model, streaming=streaming, secrets=secrets) for _ in range(20)]
        assert {error for _, error in await asyncio.gather(*calls)} == {None}
    for _ in range(2):
        async with another(bedrock, port) as endpoint:
            calls = [call(model, streaming=streaming, secrets=secrets) for _ in range(20)]
            assert {error for _, error in await asyncio.gather(*calls)} == {None}
            assert endpoint.stats().requests == 20


async def test_a_server_that_is_gone_is_an_error_until_it_is_back(
    bedrock: LocalBedrock, provider_of: ProviderOf, secrets: list[str], streaming: bool
) -> None:
    async with another(bedrock) as endpoint:
        port = int(endpoint.base_url.rpartition(':')[2])
        provider = provider_of(endpoint.base_url)
        model = BedrockConverseModel(NOVA, provider=provider)
        assert (await call(model, streaming=streaming, secrets=secrets))[1] is None
    await comes_to(always(NOT_CONNECTED), provider, secrets, streaming=streaming, attempts=3)
    async with another(bedrock, port):
        assert (await call(model, streaming=streaming, secrets=secrets))[1] is None


async def test_a_connection_that_the_server_closes_under_the_next_request_costs_a_retry(
    provider_of: ProviderOf, secrets: list[str]
) -> None:
    """As happens when a request and the end of an idle connection cross on their way."""
    answer = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b'
    requests: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(2):
            await request_of(reader)
            requests.append(number)
            if number == 0:
                writer.write(answer % (len(ANSWER), ANSWER))
                await writer.drain()

    async with serving(handler) as url:
        model = BedrockConverseModel(NOVA, provider=provider_of(url))
        for _ in range(3):
            assert await call(model, streaming=False, secrets=secrets) == ('Hello.', None)
    assert requests == [0, 1, 0, 1, 0]
