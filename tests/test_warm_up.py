"""`provider.warm_up`: what keeps the first call from coming through is known before it."""

from __future__ import annotations

import asyncio

import pytest
from pydantic_ai.exceptions import ModelAPIError, UserError

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockProvider, SessionPool


async def test_warming_up_without_credentials_fails(bedrock: LocalBedrock, pool: SessionPool) -> None:
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, pool=pool)
    with pytest.raises(UserError, match='No AWS credentials were found'):
        await provider.warm_up()


async def test_warming_up_asks_for_the_api_key(bedrock: LocalBedrock, pool: SessionPool) -> None:
    asked: list[str] = []
    provider = BedrockProvider(
        region_name='us-east-1',
        base_url=bedrock.base_url,
        pool=pool,
        api_key=lambda: asked.append('asked') or bedrock.api_key,
    )
    await provider.warm_up()
    assert asked == ['asked']


async def test_warming_up_at_an_endpoint_that_cannot_be_reached_raises_an_error_of_pydantic_ai(
    pool: SessionPool,
) -> None:
    provider = BedrockProvider(region_name='us-east-1', base_url='http://127.0.0.1:1', pool=pool, api_key='key')
    with pytest.raises(ModelAPIError, match=r'127\.0\.0\.1:1'):
        await provider.warm_up()


async def test_warming_up_ends_if_a_connection_is_dropped(pool: SessionPool) -> None:
    """aiohttp sends the request of an idle connection that was dropped again."""
    dropped = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dropped
        answered = 0
        while await reader.readuntil(b'\r\n\r\n'):
            if answered and not dropped:
                dropped += 1
                break
            answered += 1
            writer.write(b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')
            await writer.drain()
        writer.close()

    async def serve_quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(serve_quietly, '127.0.0.1', 0) as server:
        port = server.sockets[0].getsockname()[1]
        provider = BedrockProvider(
            region_name='us-east-1', base_url=f'http://127.0.0.1:{port}', pool=pool, api_key='key'
        )
        async with asyncio.timeout(15):
            for _ in range(2):
                await provider.warm_up(connections=2)
        assert dropped == 1
        await pool.aclose()
