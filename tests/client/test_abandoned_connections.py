"""A connection that is given up is gone at once, over TLS too, whatever its peer does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self

import pytest
from botocore.exceptions import HTTPClientError
from credential_sources import Gate, current, hello, runtime

from local_bedrock import LocalBedrock, Reply
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

GONE_SECONDS = 0.1


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


class Relay:
    """Stands between client and server; mute, it lets nothing through, so that no close_notify is answered."""

    def __init__(self, bedrock: LocalBedrock) -> None:
        self._port = int(bedrock.base_url.rpartition(':')[2])
        self.mute = False
        self.opened = 0
        self.gone = asyncio.Event()
        """The client has closed or reset its connection."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, '127.0.0.1', 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        return self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.opened += 1
        there_reader, there_writer = await asyncio.open_connection('127.0.0.1', self._port)
        back = asyncio.create_task(self._copy(there_reader, writer))
        try:
            # A server of asyncio streams complains of handlers that were cancelled.
            with suppress(asyncio.CancelledError, ConnectionError):
                await self._copy(reader, there_writer)
            self.gone.set()
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            there_writer.close()
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self.mute:
                writer.write(data)


@pytest.fixture
async def relay(bedrock: LocalBedrock) -> AsyncIterator[Relay]:
    async with Relay(bedrock) as relay:
        yield relay


def client_through(relay: Relay, bedrock: LocalBedrock, pool: SessionPool) -> BedrockRuntime:
    key = current(bedrock)
    base_url = f'{bedrock.base_url.rpartition(":")[0]}:{relay.port}'
    return runtime(
        bedrock,
        pool,
        base_url=base_url,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
    )


async def is_gone(relay: Relay) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(GONE_SECONDS):
            await relay.gone.wait()
    return relay.gone.is_set()


async def test_a_cancelled_call_leaves_no_connection(relay: Relay, bedrock: LocalBedrock, pool: SessionPool) -> None:
    client = client_through(relay, bedrock, pool)
    gate = Gate(bedrock)
    call = asyncio.create_task(client.converse(**hello()))
    await gate.reached_by(1)
    relay.mute = True
    call.cancel()
    assert await is_gone(relay)
    with pytest.raises(asyncio.CancelledError):
        await call
    gate.opened.set()


@pytest.mark.parametrize('how', ['closed', 'cancelled', 'with the pool'])
async def test_a_stream_that_is_given_up_leaves_no_connection(
    relay: Relay, bedrock: LocalBedrock, pool: SessionPool, how: str
) -> None:
    client = client_through(relay, bedrock, pool)
    bedrock.reply(Reply('word ' * 2_000, delay_per_event=0.01))
    response = await client.converse_stream(**hello())
    begun = asyncio.Event()

    async def read() -> None:
        async with response['stream'] as events:
            async for _ in events:
                begun.set()
                if how == 'closed':
                    relay.mute = True
                    break

    reading = asyncio.create_task(read())
    await begun.wait()
    relay.mute = True
    if how == 'cancelled':
        reading.cancel()
    elif how == 'with the pool':
        await pool.aclose()
    assert await is_gone(relay)
    async with asyncio.timeout(5):
        [outcome] = await asyncio.gather(reading, return_exceptions=True)
    if how == 'with the pool':
        assert isinstance(outcome, HTTPClientError)


async def test_a_pool_that_is_closed_leaves_no_idle_connection(
    relay: Relay, bedrock: LocalBedrock, pool: SessionPool
) -> None:
    client = client_through(relay, bedrock, pool)
    await client.converse(**hello())
    await client.converse(**hello())
    assert relay.opened == 1
    relay.mute = True
    async with asyncio.timeout(1):
        await pool.aclose()
    assert await is_gone(relay)
