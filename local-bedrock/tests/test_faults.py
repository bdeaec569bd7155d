"""What a network or a service in trouble does, seen from the client's end of the socket."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from zlib import crc32

import aiohttp
import pytest
from botocore.eventstream import ChecksumMismatch, InvalidPayloadLength
from support.frames import decoded
from support.requests import CLAUDE, NOVA, Post, user

from local_bedrock import (
    THROTTLING,
    DropConnection,
    EventsReply,
    Fault,
    FlipBit,
    InsertEvent,
    LocalBedrock,
    NoResponse,
    OversizedFrame,
    RawReply,
    RecordedRequest,
    Reply,
    Response,
    SlowBody,
    SlowHeaders,
    StreamEvent,
    Truncate,
    WrongChecksum,
    exception_event,
)
from local_bedrock.frames import split_frames
from local_bedrock.replies import Ending

# With the end of what comes before it: a request id may end in a 0, too.
LAST_CHUNK = b'\r\n0\r\n\r\n'


class Connection:
    """A connection to the endpoint, for what an HTTP client hides."""

    def __init__(self, bedrock: LocalBedrock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._bedrock, self.reader, self.writer = bedrock, reader, writer

    async def ask(self, operation: str = 'converse-stream') -> None:
        body = json.dumps({'messages': [user('Hello')]}).encode()
        self.writer.write(
            f'POST /model/{NOVA}/{operation} HTTP/1.1\r\nHost: local\r\n'
            f'Authorization: Bearer {self._bedrock.api_key}\r\nContent-Length: {len(body)}\r\n\r\n'.encode()
            + body
        )
        await self.writer.drain()

    async def rest(self, until: Callable[[bytes], bool] = bool) -> tuple[bytes, str]:
        """Return what came before the end, and how it ended. Silence counts as an end when all has come, or nothing."""
        received = b''
        try:
            while piece := await asyncio.wait_for(
                self.reader.read(65_536), 5.0 if received and not until(received) else 0.1
            ):
                received += piece
        except ConnectionResetError:
            return received, 'reset'
        except TimeoutError:
            return received, 'silence'
        return received, 'end'


@asynccontextmanager
async def connected(bedrock: LocalBedrock) -> AsyncIterator[Connection]:
    port = int(bedrock.base_url.rpartition(':')[2])
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    try:
        yield Connection(bedrock, reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def body_of(response: bytes) -> bytes:
    """Return the body of a response of which the HTTP chunks may be cut short."""
    head, _, rest = response.partition(b'\r\n\r\n')
    if b'Transfer-Encoding: chunked' not in head:
        return rest
    body = b''
    while rest:
        size, _, rest = rest.partition(b'\r\n')
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body


@pytest.fixture
async def whole(post: Post) -> bytes:
    """Return the stream as it is without faults."""
    return (await post('converse-stream'))[2]


@pytest.mark.parametrize(
    ('then', 'ended'), [('end', 'silence'), ('close', 'end'), ('reset', 'reset'), ('hang', 'silence')]
)
@pytest.mark.parametrize('at', [0, 1, 200])
async def test_a_stream_is_cut_at_a_byte(
    bedrock: LocalBedrock, whole: bytes, at: int, then: Ending, ended: str
) -> None:
    bedrock.fault(Truncate(at, then))
    async with connected(bedrock) as connection:
        await connection.ask()
        response, end = await connection.rest(
            lambda received: received.endswith(LAST_CHUNK) if then == 'end' else len(body_of(received)) >= at
        )
    if then != 'reset':
        # A reset lets the kernel throw away what the client has not read yet.
        assert body_of(response) == whole[:at]
        assert response.endswith(LAST_CHUNK) == (then == 'end')
    assert end == ended
    assert bedrock.requests[-1].bytes_sent == at


@pytest.mark.parametrize(('then', 'length'), [('end', 10), ('close', None)])
async def test_a_body_with_a_length_is_cut_at_a_byte(
    bedrock: LocalBedrock, post: Post, then: Ending, length: int | None
) -> None:
    _, headers, body = await post('converse')
    bedrock.fault(Truncate(10, then))
    async with connected(bedrock) as connection:
        await connection.ask('converse')
        response, end = await connection.rest(lambda received: len(body_of(received)) >= 10)
    # The latency stands first and is the same each time.
    assert body_of(response) == body[:10]
    said = int(response.partition(b'Content-Length: ')[2].partition(b'\r\n')[0])
    # A clean end says the length of what is sent, any other the length of the whole.
    assert said == (length or int(headers['content-length']))
    assert end == ('silence' if length else 'end')


@pytest.mark.parametrize(('then', 'ended'), [('reset', 'reset'), ('close', 'end'), ('hang', 'silence')])
async def test_there_may_be_no_response(bedrock: LocalBedrock, then: Any, ended: str) -> None:
    bedrock.fault(NoResponse(then))
    async with connected(bedrock) as connection:
        await connection.ask()
        assert await connection.rest() == (b'', ended)
    assert bedrock.requests[0].status is None


async def test_what_hangs_ends_when_the_client_goes_away(bedrock: LocalBedrock) -> None:
    bedrock.fault(NoResponse('hang'))
    async with connected(bedrock) as connection:
        await connection.ask()
        while not bedrock.requests:
            await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while bedrock.requests[0].ended is None:
            await asyncio.sleep(0.001)
    assert bedrock.requests[0].disconnected


async def test_headers_may_come_line_by_line(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.fault(SlowHeaders(0.01))
    began = time.monotonic()
    status, headers, _ = await post('converse')
    assert status == 200
    assert time.monotonic() - began >= 0.01 * len(headers)


async def test_a_body_may_come_in_small_pieces(bedrock: LocalBedrock, whole: bytes) -> None:
    bedrock.fault(SlowBody(0.001, piece_size=100))
    async with connected(bedrock) as connection:
        await connection.ask()
        response, _ = await connection.rest(lambda received: received.endswith(LAST_CHUNK))
    assert body_of(response) == whole
    assert response.count(b'\r\n64\r\n') > 1


@pytest.mark.parametrize('of', ['message', 'prelude'])
async def test_a_checksum_may_be_wrong(bedrock: LocalBedrock, post: Post, whole: bytes, of: Any) -> None:
    bedrock.fault(WrongChecksum(1, of))
    body = (await post('converse-stream'))[2]
    assert len(body) == len(whole)
    with pytest.raises(ChecksumMismatch):
        decoded(body)
    first = int.from_bytes(whole[:4], 'big')
    assert body[:first] == whole[:first]
    assert [message.headers[':event-type'] for message in decoded(body[:first])] == ['messageStart']


async def test_a_bit_may_be_flipped(bedrock: LocalBedrock, post: Post, whole: bytes) -> None:
    bedrock.fault(FlipBit(at=20))
    body = (await post('converse-stream'))[2]
    assert [index for index, (ours, theirs) in enumerate(zip(body, whole, strict=True)) if ours != theirs] == [20]
    assert body[20] ^ whole[20] == 1


@pytest.mark.parametrize(
    'name',
    [
        'internalServerException',
        'modelStreamErrorException',
        'validationException',
        'throttlingException',
        'serviceUnavailableException',
    ],
)
async def test_an_exception_may_end_a_stream_after_some_events(bedrock: LocalBedrock, post: Post, name: str) -> None:
    bedrock.fault(exception_event(name, 'So it ends.', after=3))
    messages = decoded((await post('converse-stream'))[2])
    assert [message.headers[':message-type'] for message in messages] == ['event'] * 3 + ['exception']
    assert messages[-1].headers[':exception-type'] == name
    assert json.loads(messages[-1].payload) == {'message': 'So it ends.'}


async def test_an_event_may_be_put_between_others(bedrock: LocalBedrock, post: Post, whole: bytes) -> None:
    bedrock.fault(InsertEvent(StreamEvent('madeUpLater', {'a': 1}), after=2))
    kinds = [message.headers[':event-type'] for message in decoded((await post('converse-stream'))[2])]
    before = [message.headers[':event-type'] for message in decoded(whole)]
    assert kinds == [*before[:2], 'madeUpLater', *before[2:]]
    assert (await post('converse'))[0] == 200


async def test_a_frame_may_be_larger_than_any_of_bedrock(bedrock: LocalBedrock, post: Post, whole: bytes) -> None:
    bedrock.fault(OversizedFrame(after=2))
    pieces = split_frames((await post('converse-stream'))[2])
    oversized = pieces.pop(2)
    assert b''.join(pieces) == whole
    with pytest.raises(InvalidPayloadLength, match='25165825 exceeded the maximum of 25165824'):
        decoded(oversized)
    assert int.from_bytes(oversized[-4:], 'big') == crc32(oversized[:-4])
    delta = json.loads(oversized[-4 - 25_165_825 : -4])
    assert (delta['contentBlockIndex'], delta['delta'], set(delta['p'])) == (0, {'text': ''}, {'a'})


async def test_a_frame_may_say_that_it_is_larger_than_it_is(bedrock: LocalBedrock, post: Post, whole: bytes) -> None:
    bedrock.fault(OversizedFrame(2**32 - 200, after=1, sent=100))
    body = (await post('converse-stream'))[2]
    first = len(split_frames(whole)[0])
    assert body[:first] + body[first + 100 :] == whole
    said, _, checksum = struct.unpack_from('>III', body, first)
    assert 2**32 - 200 < said < 2**32
    assert checksum == crc32(body[first : first + 8])
    assert (await post('converse'))[0] == 200


async def test_an_idle_connection_may_be_dropped(bedrock: LocalBedrock) -> None:
    bedrock.fault(DropConnection(), nth=2)
    async with connected(bedrock) as connection:
        for ended in ('silence', 'end'):
            await connection.ask('converse')
            response, end = await connection.rest(lambda received: received.endswith(b'}'))
            assert b'Connection: keep-alive' in response
            assert end == ended


async def test_faults_touch_generated_and_raw_replies_too(bedrock: LocalBedrock, post: Post) -> None:
    async def answer(request: RecordedRequest) -> AsyncIterator[StreamEvent | Mapping[str, Any] | bytes]:
        yield b'abc'
        yield b'def'

    bedrock.reply(answer, RawReply(b'abcdef'))
    bedrock.fault(Truncate(4), times=2)
    assert (await post('converse-stream'))[2] == b'abcd'
    assert (await post('converse'))[2] == b'abcd'


async def test_replies_can_be_cut_themselves(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply(EventsReply([b'abc', b'def'], truncate_at=4), RawReply(b'abcdef', truncate_at=2))
    assert (await post('converse-stream'))[2] == b'abcd'
    assert (await post('converse'))[2] == b'ab'


async def test_a_cut_beyond_the_end_cuts_nothing(bedrock: LocalBedrock, post: Post, whole: bytes) -> None:
    bedrock.fault(Truncate(len(whole) + 1, 'reset'))
    assert (await post('converse-stream'))[2] == whole


# When faults happen


async def statuses(post: Post, times: int, **options: Any) -> list[int]:
    return [(await post('converse', **options))[0] for _ in range(times)]


async def test_a_fault_happens_to_the_nth_request(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.fault(THROTTLING, nth=2)
    assert await statuses(post, 3) == [200, 429, 200]
    bedrock.reset()
    bedrock.fault(THROTTLING, nth=(1, 3))
    assert await statuses(post, 3) == [429, 200, 429]


async def test_a_fault_happens_by_chance_and_the_same_for_the_same_seed(bedrock: LocalBedrock, post: Post) -> None:
    seen: list[list[int]] = []
    for seed in (7, 7, 8):
        rule = bedrock.fault(THROTTLING, probability=0.5, seed=seed)
        seen.append(await statuses(post, 20))
        rule.remove()
    assert seen[0] == seen[1] != seen[2]
    assert 3 < seen[0].count(429) < 17


async def test_a_fault_happens_to_some_requests_only(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.fault(THROTTLING, model=CLAUDE, operation='Converse', when=lambda request: 'bad' in request.last_user_text)
    assert await statuses(post, 1, model=CLAUDE, text='bad') == [429]
    assert await statuses(post, 1, model=CLAUDE, text='good') == [200]
    assert await statuses(post, 1, model=NOVA, text='bad') == [200]
    assert (await post('converse-stream', model=CLAUDE, text='bad'))[0] == 200


async def test_a_fault_happens_so_often_and_uses_no_reply_up(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply(Reply('one'))
    rule = bedrock.fault(THROTTLING, times=2)
    assert await statuses(post, 2) == [429, 429]
    _, _, body = await post('converse')
    assert json.loads(body)['output']['message']['content'] == [{'text': 'one'}]
    assert rule.spent


async def test_no_response_uses_no_reply_up(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply(Reply('one'))
    bedrock.fault(NoResponse('close'), times=1)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await post('converse')
    _, _, body = await post('converse')
    assert json.loads(body)['output']['message']['content'] == [{'text': 'one'}]
    assert [request.status for request in bedrock.requests] == [None, 200]


async def test_a_fault_can_be_any_function_of_the_answer(bedrock: LocalBedrock, post: Post) -> None:
    def slow_and_odd(answer: Response) -> None:
        answer.status = 299
        answer.headers['X-Odd'] = 'yes'
        answer.close = True

    odd: Fault = slow_and_odd
    bedrock.fault(odd)
    status, headers, _ = await post('converse')
    assert (status, headers['x-odd'], headers['connection']) == (299, 'yes', 'close')
