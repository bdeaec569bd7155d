"""Connections that are opened ahead."""

from __future__ import annotations

import asyncio

import pytest
from botocore.exceptions import (
    EndpointConnectionError,
)
from credential_sources import hello, runtime, text_of
from generation import eventually
from served_bedrock import free_port, keys_of

from local_bedrock import LocalBedrock, Reply
from pydantic_ai_aiobedrock import BedrockProvider, SessionPool


@pytest.fixture
def keys(bedrock: LocalBedrock) -> dict[str, str]:
    return keys_of(bedrock)


async def test_warm_up_opens_the_client_and_so_many_connections(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, pool=pool, **keys)
    await provider.warm_up(connections=20)
    assert pool.stats().opened == 1
    assert pool.stats().leases == 0
    assert pool.stats().connections == bedrock.stats().open_connections == 20
    gate = asyncio.Barrier(20)

    async def together(_: object) -> Reply:
        await gate.wait()
        return Reply('done')

    bedrock.reply(together, times=None)
    client = provider.client
    answers = await asyncio.gather(*(client.converse(**hello()) for _ in range(20)))
    assert [text_of(answer) for answer in answers] == ['done'] * 20
    assert bedrock.stats().connections == 20


async def test_warm_up_counts_the_connections_that_there_are(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    client = runtime(bedrock, pool, **keys)
    await client.warm_up(3)
    await client.warm_up(5)
    assert bedrock.stats().connections == 5


async def test_warm_up_opens_no_more_connections_than_calls_may_be_in_flight(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    client = runtime(bedrock, pool, max_connections=4, **keys)
    await client.warm_up(10)
    assert bedrock.stats().connections == 4


async def test_warm_up_fails_as_a_call_would(bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]) -> None:
    client = runtime(bedrock, pool, base_url=f'http://127.0.0.1:{free_port()}', **keys)
    with pytest.raises(EndpointConnectionError):
        await client.warm_up(5)


async def test_a_cancelled_warm_up_leaves_nothing_in_use(pool: SessionPool, bedrock: LocalBedrock) -> None:
    connected = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, '127.0.0.1', 0)
    port = server.sockets[0].getsockname()[1]
    client = runtime(bedrock, pool, base_url=f'http://127.0.0.1:{port}', **keys_of(bedrock))
    warming = asyncio.create_task(client.warm_up(5))
    await connected.wait()
    warming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await warming
    assert pool.stats().leases == 0
    await eventually(lambda: pool.stats().connections == 0)
    server.close()
    await server.wait_closed()
