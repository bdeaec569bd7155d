"""When a scripted reply comes, and how fast."""

from __future__ import annotations

import asyncio
import time

import aiohttp
from support.requests import user

from local_bedrock import EventsReply, LocalBedrock, RawReply, Reply


async def arrivals(bedrock: LocalBedrock, http: aiohttp.ClientSession, operation: str) -> list[float]:
    """Return when the headers and each piece of a response came, in seconds after the request."""
    url = f'{bedrock.base_url}/model/amazon.nova-lite-v1:0/{operation}'
    headers = {'Authorization': f'Bearer {bedrock.api_key}'}
    began = time.monotonic()
    async with http.post(url, json={'messages': [user('Hello')]}, headers=headers) as response:
        times = [time.monotonic() - began]
        async for _ in response.content.iter_any():
            times.append(time.monotonic() - began)  # noqa: PERF401
    return times


async def test_a_reply_can_be_late_and_slow(bedrock: LocalBedrock, http: aiohttp.ClientSession) -> None:
    bedrock.reply(Reply('a b c', delay_before=0.05))
    assert (await arrivals(bedrock, http, 'converse'))[0] >= 0.05
    bedrock.reply(Reply('a b c', delay_per_event=0.01))
    # messageStart, three words, and the ends of the block, of the message and of the stream: each on its own.
    paced = await arrivals(bedrock, http, 'converse-stream')
    assert paced[-1] >= 0.07
    assert len(paced) > 4
    bedrock.reply(*[Reply('a b c d', tokens_per_second=40)] * 2)
    assert (await arrivals(bedrock, http, 'converse-stream'))[-1] >= 0.1
    assert (await arrivals(bedrock, http, 'converse'))[0] >= 0.1


async def test_an_endpoint_can_be_late_and_slow_by_itself(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock(latency=0.05, tokens_per_second=100) as bedrock:
        bedrock.reply('a b c d')
        times = await arrivals(bedrock, http, 'converse-stream')
        assert times[0] >= 0.05
        assert times[-1] >= 0.09
    async with LocalBedrock(latency=60, tokens_per_second=0.01) as bedrock, asyncio.timeout(10):
        bedrock.reply(Reply('a b c d', delay_before=0.0, tokens_per_second=1_000_000.0))
        await arrivals(bedrock, http, 'converse')


async def test_each_event_can_have_a_delay_of_its_own(bedrock: LocalBedrock, http: aiohttp.ClientSession) -> None:
    delays = (0.0, 0.03, 0.0, 0.06)
    events = [f'{number}'.encode() for number in range(5)]
    bedrock.reply(EventsReply(events, delay_per_event=delays))
    times = await arrivals(bedrock, http, 'converse-stream')
    assert times[0] < 0.03 <= times[-1] - 0.06
    bedrock.reply(Reply('a b c d', delay_per_event=delays, tokens_per_second=100))
    assert (await arrivals(bedrock, http, 'converse-stream'))[-1] >= 0.13
    bedrock.reply(Reply('no events', delay_per_event=delays))
    assert (await arrivals(bedrock, http, 'converse'))[-1] < 30


async def test_pieces_of_a_raw_reply_can_be_slow(bedrock: LocalBedrock, http: aiohttp.ClientSession) -> None:
    headers = {'Transfer-Encoding': 'chunked'}
    bedrock.reply(RawReply(b'abcdef', headers=headers, chunk_sizes=(2,), delay_per_event=0.02))
    assert (await arrivals(bedrock, http, 'converse-stream'))[-1] >= 0.06
