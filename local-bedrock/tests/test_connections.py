"""What may happen to connections before there is a request: they are refused, ignored, spoiled, dropped."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
import trustme
from support.asking import ask
from support.requests import NOVA, MakeClient, user

from local_bedrock import THROTTLING, FailConnection, LocalBedrock, NoResponse
from local_bedrock._http.listener import Refusal


def port_of(bedrock: LocalBedrock) -> int:
    return int(bedrock.base_url.rpartition(':')[2])


async def answer_to(bedrock: LocalBedrock, data: bytes = b'POST') -> bytes:
    """Return what comes back for some bytes on a new connection."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port_of(bedrock))
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def over_tls(authority: trustme.CA) -> AsyncIterator[LocalBedrock]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('127.0.0.1').configure_cert(tls)
    async with LocalBedrock(tls=tls) as bedrock:
        yield bedrock


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


# Accepting and not accepting


async def test_new_connections_are_refused_and_open_ones_stay(
    bedrock: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    assert await ask(http, bedrock) == 200
    bedrock.stop_accepting()
    assert await ask(http, bedrock) == 200
    async with aiohttp.ClientSession() as newcomer:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await ask(newcomer, bedrock)
        assert isinstance(caught.value.os_error, ConnectionRefusedError)
        bedrock.start_accepting()
        assert await ask(newcomer, bedrock) == 200
    assert bedrock.stats().connections == 2


async def test_new_connections_are_ignored_until_the_endpoint_accepts_again(
    bedrock: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    bedrock.stop_accepting('ignore')
    impatient = aiohttp.ClientTimeout(sock_connect=0.1)
    with pytest.raises(aiohttp.ConnectionTimeoutError):
        await ask(http, bedrock, timeout=impatient)
    waiting = asyncio.ensure_future(ask(http, bedrock))
    await asyncio.sleep(0.05)
    bedrock.start_accepting()
    # Its packet is sent again after a second.
    assert await waiting == 200
    assert bedrock.stats().connections == 1


@pytest.mark.parametrize('how', ['refuse', 'ignore'])
async def test_an_endpoint_that_accepts_no_more_keeps_its_port(bedrock: LocalBedrock, how: Refusal) -> None:
    bedrock.stop_accepting(how)
    with pytest.raises(OSError, match=r'(?i)address already in use'):
        async with LocalBedrock(port=port_of(bedrock)):
            pass


async def test_accepting_may_stop_and_start_at_any_time_and_any_number_of_times(
    bedrock: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    bedrock.start_accepting()
    for _ in range(3):
        bedrock.stop_accepting()
        bedrock.stop_accepting('ignore')
        bedrock.stop_accepting()
        bedrock.start_accepting()
        bedrock.start_accepting()
    assert await ask(http, bedrock) == 200


async def test_an_endpoint_that_accepts_no_more_can_be_left(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock() as bedrock:
        bedrock.stop_accepting('ignore')
    async with LocalBedrock() as bedrock:
        bedrock.stop_accepting()
    with pytest.raises(RuntimeError, match='LocalBedrock is not serving: enter it first'):
        bedrock.stop_accepting()


def test_another_thread_may_say_so(make_client: MakeClient, served: LocalBedrock) -> None:
    served.stop_accepting()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('127.0.0.1', port_of(served)))
    served.start_accepting()
    client = make_client()
    assert client.converse(modelId=NOVA, messages=[user('Hi')])
    served.drop_connections()
    assert served.stats().open_connections == 0
    assert client.converse(modelId=NOVA, messages=[user('Hi')])
    assert served.stats().connections == 2


async def test_an_endpoint_out_of_files_accepts_when_there_are_some_again(
    bedrock: LocalBedrock, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, failed = socket.socket.accept, asyncio.Event()

    def out_of_files(listening: socket.socket) -> tuple[socket.socket, object]:
        if not failed.is_set():
            failed.set()
            raise OSError(24, 'Too many open files')
        return accept(listening)

    monkeypatch.setattr(socket.socket, 'accept', out_of_files)
    assert await ask(http, bedrock) == 200
    assert failed.is_set()


@pytest.mark.parametrize('host', ['localhost', '::1'])
async def test_an_endpoint_listens_at_every_address_of_its_host(http: aiohttp.ClientSession, host: str) -> None:
    try:
        socket.create_server(('::1', 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip('this machine has no IPv6')
    async with LocalBedrock(host=host) as bedrock:
        for address in {*(found[4][0] for found in socket.getaddrinfo(host, None))}:
            _, writer = await asyncio.open_connection(address, port_of(bedrock))
            writer.close()
            await writer.wait_closed()
        assert await ask(http, bedrock) == 200


# Connections that are dropped


async def test_dropped_connections_are_closed_whatever_goes_on_in_them(
    bedrock: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    bedrock.fault(NoResponse('hang'), nth=2)
    assert await ask(http, bedrock) == 200
    asking = asyncio.ensure_future(ask(http, bedrock))
    while bedrock.stats().in_flight == 0:
        await asyncio.sleep(0)
    bedrock.drop_connections()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await asking
    assert bedrock.requests[1].disconnected
    assert bedrock.stats().open_connections == 0
    assert await ask(http, bedrock) == 200


async def test_connections_are_dropped_in_the_middle_of_a_handshake(over_tls: LocalBedrock) -> None:
    reader, writer = await asyncio.open_connection('127.0.0.1', port_of(over_tls))
    # The first bytes of a ClientHello, which never goes on.
    writer.write(b'\x16\x03\x01')
    await asyncio.sleep(0.05)
    over_tls.drop_connections()
    assert await reader.read() == b''
    writer.close()


async def test_starting_over_forgets_everything(bedrock: LocalBedrock, http: aiohttp.ClientSession) -> None:
    key = bedrock.aws_access_key_id
    await ask(http, bedrock)
    (rule,) = bedrock.reply('never')
    bedrock.fault(THROTTLING)
    bedrock.fault(FailConnection())
    bedrock.rotate_credentials(temporary=True)
    bedrock.revoke(bedrock.api_key)
    bedrock.stop_accepting()
    bedrock.start_over()
    assert bedrock.requests == bedrock.failures == []
    assert bedrock.aws_access_key_id == key
    assert bedrock.aws_session_token is None
    assert bedrock.stats().connections == bedrock.stats().requests == 0
    async with aiohttp.ClientSession() as newcomer:
        assert await ask(newcomer, bedrock) == 200
    assert rule.used == 0
    assert bedrock.stats().connections == bedrock.stats().requests == 1


# Connections that fail


@pytest.mark.parametrize('then', ['reset', 'close'])
async def test_a_connection_fails_before_its_first_request(bedrock: LocalBedrock, then: str) -> None:
    rule = bedrock.fault(FailConnection(then), times=1)
    if then == 'reset':
        with pytest.raises(ConnectionResetError):
            await answer_to(bedrock)
    else:
        assert await answer_to(bedrock) == b''
    assert rule.spent
    assert bedrock.requests == []


async def test_a_connection_may_be_silent_until_it_is_dropped(bedrock: LocalBedrock) -> None:
    bedrock.fault(FailConnection('hang'))
    asking = asyncio.ensure_future(answer_to(bedrock))
    done, _ = await asyncio.wait([asking], timeout=0.1)
    assert not done
    bedrock.drop_connections()
    assert await asking == b''


async def test_the_nth_connection_fails(bedrock: LocalBedrock) -> None:
    bedrock.fault(FailConnection('close'), nth=2)
    for expected in (200, aiohttp.ServerDisconnectedError, 200):
        async with aiohttp.ClientSession() as http:
            if isinstance(expected, int):
                assert await ask(http, bedrock) == expected
            else:
                with pytest.raises(expected):
                    await ask(http, bedrock)


@pytest.mark.parametrize(
    ('then', 'error'),
    [
        ('alert', 'handshake failure|HANDSHAKE_FAILURE'),
        ('reset', 'reset by peer'),
        ('close', 'EOF|closed|None'),
    ],
)
async def test_a_tls_handshake_fails(
    over_tls: LocalBedrock, http: aiohttp.ClientSession, trusting: ssl.SSLContext, then: str, error: str
) -> None:
    over_tls.fault(FailConnection(then), times=1)
    with pytest.raises(aiohttp.ClientConnectorError, match=f'(?i){error}'):
        await ask(http, over_tls, ssl=trusting)
    assert over_tls.stats().connections == 0
    assert await ask(http, over_tls, ssl=trusting) == 200


async def test_a_tls_handshake_may_never_end(over_tls: LocalBedrock, trusting: ssl.SSLContext) -> None:
    over_tls.fault(FailConnection('hang'))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.open_connection('127.0.0.1', port_of(over_tls), ssl=trusting)


async def test_a_client_that_does_not_trust_the_endpoint_leaves_nothing(
    over_tls: LocalBedrock, trusting: ssl.SSLContext
) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(http, over_tls)
        assert await ask(http, over_tls, ssl=trusting) == 200
        assert over_tls.stats().open_connections == 1


async def test_a_failing_connection_has_no_request_to_depend_on(bedrock: LocalBedrock) -> None:
    for condition in ({'model': NOVA}, {'operation': 'Converse'}, {'when': bool}):
        with pytest.raises(ValueError, match='A connection fails before it has a request'):
            bedrock.fault(FailConnection(), **condition)
