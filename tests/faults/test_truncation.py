"""A stream that is cut at any byte is an error, and what was read of it is a beginning of the answer.

The one place where a clean end may stand is after `messageStop`: then the answer is whole, and lacks its usage only, as
upstream has it too.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from botocore.exceptions import ResponseStreamingError
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError
from sessions import client_of

from local_bedrock import EventsReply, LocalBedrock, Reply, ToolCall
from local_bedrock.replies import Ending
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, IncompleteStreamError
from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream
from pydantic_ai_aiobedrock._wire.converse import decode_event
from pydantic_ai_aiobedrock._wire.frames import EventStreamDecodeError, EventStreamDecoder

from .calls import NOVA, Caller, call
from .story import FRAMES, OFFSETS, TEXT

REPLIES = {
    'text': Reply('Four words of text.'),
    'thinking': Reply('So it is.', thinking='Let me see.', signature='c2lnbmF0dXJl'),
    'redacted thinking': Reply('So it is.', redacted_thinking=b'secret'),
    'tools': Reply('Wait.', tool_calls=[ToolCall('a', {'city': 'Rome', 'days': 3}), ToolCall('b')]),
    'citations': Reply(
        'As is said.', citations=[{'title': 'Book', 'location': {'documentChar': {'documentIndex': 0}}}]
    ),
    'nothing': Reply(''),
}
RECORDED = (
    'native_output_stream',
    'stream_code_interpreter',
    'stream_text',
    'stream_thinking',
    'stream_thinking_redacted',
    'stream_tools',
)

STOPPED = OFFSETS[-2]
"""Where the story's `messageStop` ends."""


def frames_of(stream: bytes) -> list[tuple[int, dict[str, Any] | None]]:
    """Return where each frame of a stream ends, and its event."""
    frames: list[tuple[int, dict[str, Any] | None]] = []
    end = 0
    while end < len(stream):
        start, end = end, end + int.from_bytes(stream[end : end + 4], 'big')
        decoder = EventStreamDecoder()
        decoder.feed(stream[start:end])
        [message] = decoder
        frames.append((end, decode_event(message)))
    return frames


async def read(body: bytes, *, broken: bool) -> tuple[list[dict[str, Any]], BaseException | None]:
    """Read the events of a response of which this has arrived, then its end, or the end of its connection."""
    loop = asyncio.get_running_loop()
    connection = BaseProtocol(loop)
    connection.connection_made(asyncio.Transport())
    content = aiohttp.StreamReader(connection, 2**16, loop=loop)
    if body:
        content.feed_data(body)
    if broken:
        # When all that has arrived is read: aiohttp gives nothing more after the connection has broken.
        loop.call_soon(loop.call_soon, content.set_exception, aiohttp.ClientPayloadError('Not completed'))
    else:
        content.feed_eof()
    response = SimpleNamespace(content=content, url='http://local', close=lambda: None)
    stream = ConverseEventStream(cast(aiohttp.ClientResponse, response))
    events: list[dict[str, Any]] = []
    try:
        while event := await anext(stream, None):
            events.append(event)
    except Exception as error:
        return events, error
    return events, None


async def check_every_offset(stream: bytes) -> None:
    """Cut a stream at every byte, in both ways, and compare what is read with what must be."""
    events: list[dict[str, Any]] = []
    complete = False
    ends = dict(frames_of(stream))
    for length in range(len(stream) + 1):
        if (event := ends.get(length)) is not None:
            events.append(event)
            complete = complete or 'messageStop' in event
        at_boundary = length in ends or length == 0
        read_events, error = await read(stream[:length], broken=False)
        assert read_events == events
        if complete and at_boundary:
            assert error is None
        else:
            assert type(error) is (IncompleteStreamError if at_boundary else EventStreamDecodeError), length
        read_events, error = await read(stream[:length], broken=True)
        assert (read_events, type(error)) == (events, ResponseStreamingError), length


def recorded_streams(file: Path) -> Iterator[bytes]:
    for exchange in json.loads(file.read_bytes()):
        if 'base64' in exchange['response']:
            yield base64.b64decode(exchange['response']['base64'])


@pytest.mark.parametrize('name', RECORDED)
async def test_a_recorded_stream_that_is_cut_at_any_byte_is_not_taken_for_whole(recorded: Path, name: str) -> None:
    streams = list(recorded_streams(recorded / f'{name}.json'))
    assert streams
    for stream in streams:
        await check_every_offset(stream)


@pytest.fixture
def auth() -> str:
    """Authentication makes no difference to where a stream is cut."""
    return 'bearer'


@pytest.mark.parametrize('reply', REPLIES.values(), ids=REPLIES.keys())
async def test_a_generated_stream_that_is_cut_at_any_byte_is_not_taken_for_whole(
    bedrock: LocalBedrock, reply: Reply
) -> None:
    bedrock.reply(reply)
    async with aiohttp.ClientSession(headers={'Authorization': f'Bearer {bedrock.api_key}'}) as http:
        body = {'messages': [{'role': 'user', 'content': [{'text': 'Hello'}]}]}
        async with http.post(f'{bedrock.base_url}/model/{NOVA}/converse-stream', json=body) as response:
            stream = await response.read()
    await check_every_offset(stream)


# The same over HTTP, at some of the bytes


CUTS = sorted({at + by for at in OFFSETS for by in (-1, 0, 1, 6, 14) if 0 <= at + by <= OFFSETS[-1]})


def clean_end(at: int) -> str:
    """Return the name of the cause of the error that a clean end at this byte is, or '' where it is none."""
    if at in OFFSETS:
        return 'IncompleteStreamError' if at < STOPPED else ''
    return 'EventStreamDecodeError'


def broken_end(at: int) -> str:
    """Even when every event has arrived: the response has not, as it says itself."""
    return 'ResponseStreamingError'


def silent_end(at: int) -> str:
    return 'ReadTimeoutError'


ENDINGS = {'end': clean_end, 'close': broken_end, 'reset': broken_end, 'hang': silent_end}


async def cut(bedrock: LocalBedrock, model: BedrockConverseModel, at: int, then: Ending) -> tuple[str, str]:
    """Make a call whose stream is cut, and return the text that was read and the name of the error's cause."""
    prompt = f'Cut at {at}.'
    bedrock.reply(EventsReply(FRAMES, truncate_at=at, then=then), when=lambda request: request.last_user_text == prompt)
    text, error = await call(model, streaming=True, prompt=prompt)
    assert error is None or isinstance(error, ModelAPIError)
    return text, '' if error is None else type(error.__cause__).__name__


@pytest.fixture
def patience(request: pytest.FixtureRequest) -> float:
    """Let no stream run out of time but those that fall silent: some hundred at once take some."""
    return 3 if 'hang' in request.node.name else 60


@pytest.mark.parametrize(('then', 'error'), ENDINGS.items(), ids=ENDINGS.keys())
async def test_a_stream_that_is_cut_over_http_is_not_taken_for_whole(
    caller: Caller, then: Ending, error: Callable[[int], str]
) -> None:
    came = await asyncio.gather(*(cut(caller.bedrock, caller.model, at, then) for at in CUTS))
    for at, (text, cause) in zip(CUTS, came, strict=True):
        assert cause == error(at), at
        assert text == TEXT if not cause else TEXT.startswith(text), at
    assert caller.provider.client.pool.stats().leases == 0


async def test_a_stream_of_a_brought_client_that_is_cut_over_http_is_not_taken_for_whole(caller: Caller) -> None:
    """botocore passes over half a frame at a clean end, so that the missing `messageStop` is all there is to see."""
    bedrock = caller.bedrock
    async with client_of(bedrock, aws_session_token=bedrock.aws_session_token) as client:
        model = BedrockConverseModel(NOVA, provider=BedrockProvider(bedrock_client=client))
        for at in CUTS:
            text, cause = await cut(bedrock, model, at, 'end')
            assert cause == ('IncompleteStreamError' if at < STOPPED else ''), at
            assert TEXT.startswith(text), at


async def test_an_answer_that_ends_before_its_metadata_is_whole_and_has_no_usage(caller: Caller) -> None:
    """Upstream has it so; what the user has paid for and received is not thrown away for its count of tokens."""
    caller.bedrock.reply(EventsReply(FRAMES, truncate_at=STOPPED))
    async with Agent(caller.model).run_stream('Tell me a story.') as result:
        assert await result.get_output() == TEXT
    assert result.response.state == 'complete'
    assert result.response.finish_reason == 'stop'
    assert result.response.usage.total_tokens == 0
