"""Requests with large blobs are encoded and hashed off the event loop, to the same bytes."""

from __future__ import annotations

import asyncio
import random
import threading
from hashlib import sha256
from typing import Any

import pytest
from credential_sources import current, hello, runtime

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._client.encoding import OFF_LOOP_BYTES, LargeBody, digest_of, encode
from pydantic_ai_aiobedrock._wire.converse import LARGE_BLOB_BYTES, encode_request
from pydantic_ai_aiobedrock._wire.converse_errors import ConverseEncodeError

SIZES = [
    [LARGE_BLOB_BYTES],
    [LARGE_BLOB_BYTES + 1],
    [OFF_LOOP_BYTES],
    [OFF_LOOP_BYTES + 1],
    [1_000_000, 3, 400_001, LARGE_BLOB_BYTES + 2],
    *([3 * 64 * 1024 * 2 + extra] for extra in (-1, 0, 1, 2)),
]


def with_documents(sizes: list[int]) -> dict[str, Any]:
    generator = random.Random(7)
    params = hello()
    params['messages'][0]['content'] += [
        {'document': {'format': 'pdf', 'name': f'paper {size}', 'source': {'bytes': generator.randbytes(size)}}}
        for size in sizes
    ]
    return params


@pytest.mark.parametrize('sizes', SIZES, ids=str)
async def test_the_bytes_and_the_digest_are_those_of_a_request_that_is_encoded_at_once(sizes: list[int]) -> None:
    params = with_documents(sizes)
    body = await encode(params)
    assert body == encode_request(params)
    assert digest_of(body) == sha256(body).hexdigest()
    assert isinstance(body, LargeBody) is (sum(size for size in sizes if size > LARGE_BLOB_BYTES) > OFF_LOOP_BYTES)


async def test_the_loop_goes_on_while_large_requests_are_encoded() -> None:
    """On the loop, all of it would be a single turn."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await asyncio.gather(*(encode(with_documents([4_000_000])) for _ in range(4)))
    counting.cancel()
    assert turns > 40


async def test_a_single_thread_encodes_at_a_time() -> None:
    """The event loop would wait for each of many until it gets the interpreter again."""
    most = 0
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, sum(thread.name == 'pydantic-ai-aiobedrock' for thread in threading.enumerate()))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(encode(with_documents([2_000_000])) for _ in range(6)))
    done.set()
    await watching
    # A thread that has ended may still be listed when the next begins.
    assert 1 <= most <= 2


async def test_a_request_that_is_cancelled_while_it_is_encoded_holds_nobody_up() -> None:
    first = asyncio.create_task(encode(with_documents([4_000_000])))
    second = asyncio.create_task(encode(with_documents([1_000_000])))
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(30):
        assert isinstance(await second, LargeBody)
    assert first.cancelled()


async def test_a_value_that_json_cannot_carry_is_refused_beside_a_large_blob() -> None:
    params = with_documents([1_000_000])
    params['additionalModelRequestFields'] = {'seed': {1, 2}}
    with pytest.raises(ConverseEncodeError, match='is of type set'):
        await encode(params)


async def test_large_requests_are_signed_alike_on_their_way_through_botocore_and_past_it(
    bedrock: LocalBedrock, pool: SessionPool
) -> None:
    key = current(bedrock)
    client = runtime(bedrock, pool, aws_access_key_id=key.access_key_id, aws_secret_access_key=key.secret_access_key)
    params = with_documents([3_000_000])
    for _ in range(3):
        await client.converse(**params)
    assert {request.raw_body for request in bedrock.requests} == {encode_request(params)}
