"""The HTTP session of a client: connections that are kept, lost and moved, and errors that name their cause."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiohttp.abc import AbstractResolver, ResolveResult
from botocore.exceptions import (
    BotoCoreError,
    ConnectTimeoutError,
)
from credential_sources import MODEL, hello, runtime
from generation import eventually
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError
from served_bedrock import free_port, keys_of, make_provider

from local_bedrock import LocalBedrock, RawReply
from pydantic_ai_aiobedrock import BedrockConverseModel, SessionPool
from pydantic_ai_aiobedrock._client.transport import HTTPSession
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime
from pydantic_ai_aiobedrock.errors import UnreadableResponseError

ONE_ATTEMPT = AioConfig(retries={'total_max_attempts': 1})


@pytest.fixture
def keys(bedrock: LocalBedrock) -> dict[str, str]:
    return keys_of(bedrock)


def transport_of(client: BedrockRuntime) -> HTTPSession:
    """Return the HTTP session of the one client that is open."""
    (loop_pool,) = client.pool._loops.values()
    (pooled,) = loop_pool._clients.values()
    assert pooled.opened is not None
    assert pooled.opened._transport is not None
    return pooled.opened._transport


# Sockets


async def test_sockets_send_tcp_keep_alive_probes_before_a_nat_gateway_forgets_them(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    """A gateway drops a flow after 350 s of silence; a call that is not streamed may be silent for longer."""
    client = runtime(bedrock, pool, **keys)
    await client.converse(**hello())
    (sock,) = transport_of(client)._alive()
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 350
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) < 350


@pytest.mark.skipif(version('aiobotocore') < '3.1', reason='aiobotocore takes no socket factory before 3.1')
async def test_a_socket_factory_that_is_brought_along_makes_the_sockets(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    made: list[socket.socket] = []

    def factory(address: tuple[Any, ...]) -> socket.socket:
        made.append(socket.socket(*address[:3]))
        return made[-1]

    client = runtime(bedrock, pool, config=AioConfig(connector_args={'socket_factory': factory}), **keys)
    await client.converse(**hello())
    assert transport_of(client)._alive() == made
    assert made[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_connections_are_counted_while_they_are_open(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    client = runtime(bedrock, pool, **keys)
    await asyncio.gather(*(client.converse(**hello()) for _ in range(5)))
    assert transport_of(client).open_connections == bedrock.stats().open_connections
    transport = transport_of(client)
    await pool.aclose()
    assert transport.open_connections == 0
    assert transport.connections_opened == bedrock.stats().connections


# Connections that are lost


async def test_idle_connections_are_closed_before_bedrock_closes_them(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    """Bedrock does so after some 20 s."""
    client = runtime(bedrock, pool, **keys)
    await client.converse(**hello())
    connector = transport_of(client)._open_session().connector
    assert connector is not None
    assert connector._keepalive_timeout == 12


async def test_the_keep_alive_timeout_of_a_config_is_respected(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    client = runtime(bedrock, pool, config=AioConfig(connector_args={'keepalive_timeout': 0.05}), **keys)
    await client.converse(**hello())
    assert bedrock.stats().open_connections == 1
    await eventually(lambda: bedrock.stats().open_connections == 0)


class Resolver(AbstractResolver):
    """A name server with one name."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        return [ResolveResult(hostname=host, host=self.address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        return None


async def test_a_name_whose_address_changes_costs_one_retry(pool: SessionPool) -> None:
    """The address is remembered for 10 s, but not when nobody answers there."""
    port = free_port()
    resolver = Resolver('127.0.0.1')
    config = AioConfig(connector_args={'resolver': resolver})
    async with LocalBedrock(port=port) as bedrock:
        client = runtime(bedrock, pool, base_url=f'http://bedrock.test:{port}', config=config, **keys_of(bedrock))
        await client.converse(**hello())
        await client.converse(**hello())
        assert resolver.asked == 1
        credentials = {bedrock.aws_access_key_id: bedrock.aws_secret_access_key}
    resolver.address = '127.0.0.2'
    async with LocalBedrock(host='127.0.0.2', port=port, credentials=credentials) as bedrock:
        await client.converse(**hello())
        assert [request.attempt for request in bedrock.requests] == [2]
        assert resolver.asked == 2


async def test_a_large_body_is_sent_without_a_warning(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    client = runtime(bedrock, pool, **keys)
    # The second is sent as the first was prepared; of both, aiohttp would warn.
    for text in ('a' * 3_000_000, 'b' * 3_000_000):
        await client.converse(modelId=MODEL, messages=[{'role': 'user', 'content': [{'text': text}]}])
        assert bedrock.requests[-1].last_user_text == text


async def test_a_redirection_is_not_followed(bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]) -> None:
    """What was signed for one URL goes to no other."""
    bedrock.reply(RawReply(b'{}', status=307, headers={'Location': f'{bedrock.base_url}/elsewhere'}))
    client = runtime(bedrock, pool, config=ONE_ATTEMPT, **keys)
    with pytest.raises(Exception, match='307'):
        await client.converse(**hello())
    assert len(bedrock.requests) == 1


# What failures become


async def failure(client: BedrockRuntime) -> BaseException:
    with pytest.raises(BotoCoreError) as caught:
        await client.converse(**hello())
    return caught.value


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve one answer to whatever is asked; yield the port and the requests."""
    asked: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(65536))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, '127.0.0.1', 0)
    yield server.sockets[0].getsockname()[1], asked
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ('answer', 'cause'),
    [
        (b'SSH-2.0-OpenSSH_9.6\r\n\r\n', 'Bad status line|Expected HTTP/'),
        (b'HTTP/1.1 200 OK\r\nX-Long: ' + 70_000 * b'x' + b'\r\n\r\n', 'Got more than 65536 bytes'),
    ],
    ids=['another protocol', 'a header of 70 KB'],
)
async def test_an_answer_that_cannot_be_read_is_not_asked_for_again(
    pool: SessionPool, bedrock: LocalBedrock, answer: bytes, cause: str
) -> None:
    async with answering(answer) as (port, asked):
        client = runtime(bedrock, pool, base_url=f'http://127.0.0.1:{port}', **keys_of(bedrock))
        error = await failure(client)
        assert type(error) is UnreadableResponseError
        assert re.search(cause, str(error))
        assert len(asked) == 1


async def test_an_agent_that_gets_101_raises_an_error_of_the_api_and_keeps_no_connection(
    pool: SessionPool, bedrock: LocalBedrock
) -> None:
    answer = b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'
    async with answering(answer) as (port, asked):
        provider = make_provider(bedrock, pool, base_url=f'http://127.0.0.1:{port}')
        agent = Agent(BedrockConverseModel(MODEL, provider=provider))
        with pytest.raises(ModelAPIError, match='its status is 101'):
            await agent.run('Hi')
        with pytest.raises(ModelAPIError, match='its status is 101'):
            async with agent.run_stream('Hi'):
                pass
        # It was answered, and is not sent again.
        assert len(asked) == 2
        assert (pool.stats().leases, pool.stats().in_flight) == (0, 0)
        await eventually(lambda: pool.stats().connections == 0)


async def test_header_lines_of_up_to_64_kib_are_read(pool: SessionPool, bedrock: LocalBedrock) -> None:
    body = b'{"output":{"message":{"role":"assistant","content":[{"text":"Hello"}]}},"stopReason":"end_turn"}'
    head = b'HTTP/1.1 200 OK\r\nX-Long: %b\r\nContent-Length: %d\r\n\r\n' % (60_000 * b'x', len(body))
    async with answering(head + body) as (port, _):
        client = runtime(bedrock, pool, base_url=f'http://127.0.0.1:{port}', **keys_of(bedrock))
        response = await client.converse(**hello())
    assert response['output']['message']['content'] == [{'text': 'Hello'}]


async def test_a_connection_that_is_not_accepted_in_time_is_a_connect_timeout(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    class SlowName(Resolver):
        async def resolve(self, host: str, *_: Any, **__: Any) -> list[ResolveResult]:
            await asyncio.Event().wait()
            raise AssertionError

    config = AioConfig(retries={'total_max_attempts': 1}, connector_args={'resolver': SlowName('')})
    client = runtime(bedrock, pool, base_url='http://slow.test', aws_connect_timeout=0.1, config=config, **keys)
    assert type(await failure(client)) is ConnectTimeoutError
