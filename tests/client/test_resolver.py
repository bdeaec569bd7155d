"""Name lookups."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import (
    BotoCoreError,
    EndpointConnectionError,
)
from credential_sources import hello, runtime, text_of
from served_bedrock import keys_of

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

ONE_ATTEMPT = AioConfig(retries={'total_max_attempts': 1})


@pytest.fixture
def keys(bedrock: LocalBedrock) -> dict[str, str]:
    return keys_of(bedrock)


async def failure(client: BedrockRuntime) -> BaseException:
    with pytest.raises(BotoCoreError) as caught:
        await client.converse(**hello())
    return caught.value


async def test_names_are_looked_up_while_the_default_executor_is_busy(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    released = threading.Event()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as executor:
        loop.set_default_executor(executor)
        busy = loop.run_in_executor(None, released.wait)
        client = runtime(bedrock, pool, base_url=bedrock.base_url.replace('127.0.0.1', 'localhost'), **keys)
        try:
            async with asyncio.timeout(30):
                assert text_of(await client.converse(**hello()))
            assert not busy.done()
        finally:
            released.set()
            await busy


async def test_a_name_that_has_no_address_is_an_error_of_the_connection(
    bedrock: LocalBedrock, pool: SessionPool, keys: dict[str, str]
) -> None:
    client = runtime(bedrock, pool, base_url='http://bedrock.invalid', config=ONE_ATTEMPT, **keys)
    assert type(await failure(client)) is EndpointConnectionError
