import random
import tracemalloc
import uuid
from collections.abc import Iterable
from pathlib import Path
from struct import pack

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from pydantic_ai_aiobedrock._wire import frames
from pydantic_ai_aiobedrock._wire.frames import EventStreamDecodeError, EventStreamDecoder, Message

from .frames import event, frame, header, property_test, sized, streams

STREAM = event('messageStart', {'role': 'assistant'}) + event('contentBlockDelta', {'delta': {'text': 'Grüße'}})


def decode(pieces: Iterable[bytes], messages: list[Message] | None = None) -> list[Message]:
    """Decode a whole stream, into `messages` for what stood before an error."""
    decoder = EventStreamDecoder()
    messages = [] if messages is None else messages
    for piece in pieces:
        decoder.feed(piece)
        messages.extend(decoder)
    decoder.close()
    return messages


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def header_values() -> st.SearchStrategy[tuple[int, bytes, object]]:
    """A header type, its value on the wire, and the value that it stands for."""
    return st.one_of(
        st.just((0, b'', True)),
        st.just((1, b'', False)),
        st.integers(-(2**7), 2**7 - 1).map(lambda value: (2, pack('>b', value), value)),
        st.integers(-(2**15), 2**15 - 1).map(lambda value: (3, pack('>h', value), value)),
        st.integers(-(2**31), 2**31 - 1).map(lambda value: (4, pack('>i', value), value)),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: (5, pack('>q', value), value)),
        st.binary(max_size=300).map(lambda value: (6, sized(value), value)),
        st.text(max_size=100).map(lambda value: (7, sized(value), value)),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: (8, pack('>q', value), value)),
        st.uuids().map(lambda value: (9, value.bytes, value.bytes)),
    )


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, Message]:
    """A message as bytes, and as what it stands for."""
    names = st.text(min_size=1, max_size=60).filter(lambda name: len(name.encode()) < 256)
    headers = draw(st.dictionaries(names, header_values(), max_size=5))
    block = b''.join(header(name, kind, value) for name, (kind, value, _) in headers.items())
    payload = draw(st.binary(max_size=400))
    return frame(payload, block), Message({name: value for name, (_, _, value) in headers.items()}, payload)


@property_test
@given(st.lists(messages(), max_size=6), st.data())
def test_any_messages_in_any_pieces_are_decoded_as_they_were_encoded(
    sent: list[tuple[bytes, Message]], data: st.DataObject
):
    stream = b''.join(encoded for encoded, _ in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(pieces) == [message for _, message in sent]


@property_test
@given(st.lists(messages(), max_size=4))
def test_botocore_decodes_the_same_messages(sent: list[tuple[bytes, Message]]):
    stream = b''.join(encoded for encoded, _ in sent)
    theirs = EventStreamBuffer()
    theirs.add_data(stream)
    assert [(message.headers, message.payload) for message in decode([stream])] == [
        (message.headers, message.payload) for message in theirs
    ]


def test_recorded_streams_give_the_same_messages_in_pieces_of_every_size(recorded: Path):
    for stream in streams(recorded):
        theirs = EventStreamBuffer()
        theirs.add_data(stream)
        expected = [(message.headers, message.payload) for message in theirs]
        for size in (1, 2, 3, 5, 7, 12, 13, 100, 1000, len(stream)):
            assert decode(pieces_of(stream, size)) == expected


def test_every_header_type_has_its_value():
    """The ten types of the specification; a timestamp stays in milliseconds, a UUID is its bytes."""
    value = uuid.UUID('0123456789abcdef0123456789abcdef').bytes
    block = b''.join(
        [
            header('yes', 0),
            header('no', 1),
            header('byte', 2, b'\xff'),
            header('short', 3, b'\xff\xfe'),
            header('integer', 4, b'\xff\xff\xff\xfd'),
            header('long', 5, b'\xff' * 7 + b'\xfc'),
            header('bytes', 6, sized(b'\x00\xff')),
            header('string', 7, sized('ü')),
            header('timestamp', 8, pack('>q', 1_700_000_000_000)),
            header('uuid', 9, value),
        ]
    )
    [message] = decode([frame(b'', block)])
    assert message.headers == {
        'yes': True,
        'no': False,
        'byte': -1,
        'short': -2,
        'integer': -3,
        'long': -4,
        'bytes': b'\x00\xff',
        'string': 'ü',
        'timestamp': 1_700_000_000_000,
        'uuid': value,
    }


@pytest.mark.parametrize(
    ('block', 'reason'),
    [
        pytest.param(header('odd', 10), "the header 'odd' is of the unknown type 10", id='an eleventh type'),
        pytest.param(header('odd', 255), "the header 'odd' is of the unknown type 255", id='type 255'),
        pytest.param(header('a', 0) * 2, "the header 'a' stands twice", id='twice'),
        pytest.param(b'\x05abc', 'longer than the headers', id='name cut off'),
        pytest.param(b'\x03abc', 'longer than the headers', id='no type'),
        pytest.param(header('a', 5, b'\x00'), 'longer than the headers', id='number cut off'),
        pytest.param(header('a', 9, b'\x00' * 15), 'longer than the headers', id='uuid cut off'),
        pytest.param(header('a', 7, b'\x00'), 'longer than the headers', id='length cut off'),
        pytest.param(header('a', 7, b'\x00\x02x'), 'longer than the headers', id='string cut off'),
        pytest.param(header('a', 6, b'\xff\xffx'), 'longer than the headers', id='bytes cut off'),
        pytest.param(header('a', 7, sized(b'\xff')), 'not UTF-8', id='value not UTF-8'),
        pytest.param(header(b'\xff', 0), 'not UTF-8', id='name not UTF-8'),
    ],
)
def test_damaged_headers_are_the_decoders_own_error(block: bytes, reason: str):
    with pytest.raises(EventStreamDecodeError, match=reason):
        decode([frame(b'', block)])


@property_test
@given(st.binary(max_size=64))
def test_random_headers_are_decoded_or_the_decoders_own_error(block: bytes):
    try:
        decode([frame(b'', block)])
    except EventStreamDecodeError:
        return
    theirs = EventStreamBuffer()
    theirs.add_data(frame(b'', block))
    assert [message.headers for message in theirs] == [message.headers for message in decode([frame(b'', block)])]


@property_test
@given(st.lists(st.binary(max_size=64), max_size=8))
def test_random_bytes_are_never_another_error(pieces: list[bytes]):
    decoder = EventStreamDecoder()
    try:
        for piece in pieces:
            decoder.feed(piece)
            assert list(decoder) == []
        decoder.close()
    except EventStreamDecodeError:
        return
    assert not any(pieces)


def test_every_truncation_is_an_error_at_the_end():
    [first, _] = decode([STREAM])
    boundary = len(event('messageStart', {'role': 'assistant'}))
    for length in range(len(STREAM)):
        decoder = EventStreamDecoder()
        decoder.feed(STREAM[:length])
        assert list(decoder) == [first][: length // boundary]
        if length in (0, boundary):
            decoder.close()
        else:
            with pytest.raises(EventStreamDecodeError, match='into a message'):
                decoder.close()


def test_every_flipped_bit_is_noticed():
    for bit in range(len(STREAM) * 8):
        damaged = bytearray(STREAM)
        damaged[bit // 8] ^= 1 << bit % 8
        for pieces in ([bytes(damaged)], pieces_of(damaged, 11)):
            with pytest.raises(EventStreamDecodeError):
                decode(pieces)


def test_messages_before_a_damaged_one_are_handed_out_whatever_the_pieces():
    damaged = STREAM + frame(b'', prelude_crc=1)
    for size in (1, 10, 16, 100, len(damaged)):
        seen: list[Message] = []
        with pytest.raises(EventStreamDecodeError, match='checksum of a prelude'):
            decode(pieces_of(damaged, size), seen)
        assert seen == decode([STREAM])


def test_a_wrong_message_checksum_is_an_error():
    with pytest.raises(EventStreamDecodeError, match='checksum of a message'):
        decode([STREAM[:-1] + bytes([STREAM[-1] ^ 1])])


@pytest.mark.parametrize('length', [0, 1, 12, 15, 16, 23])
def test_a_length_that_cannot_hold_its_headers_is_an_error(length: int):
    with pytest.raises(EventStreamDecodeError, match='cannot hold 8 bytes of headers'):
        decode([frame(b'', header('a', 8, b'\x00' * 5), length=length)])


def test_a_failed_decoder_takes_no_more():
    decoder = EventStreamDecoder()
    decoder.feed(frame(b'', prelude_crc=1))
    for _ in range(2):
        with pytest.raises(EventStreamDecodeError, match='checksum of a prelude'):
            list(decoder)
    with pytest.raises(EventStreamDecodeError, match='checksum of a prelude'):
        decoder.feed(STREAM)
    with pytest.raises(EventStreamDecodeError, match='checksum of a prelude'):
        decoder.close()


def test_an_empty_message_is_a_message():
    assert decode([frame(b'')]) == [Message({}, b'')]


def test_an_iteration_that_is_given_up_takes_its_messages_with_it():
    """And nothing else: the bytes that it left for the next one are decoded."""
    decoder = EventStreamDecoder()
    cut = len(STREAM) - 5
    decoder.feed(STREAM + STREAM[:cut])
    next(iter(decoder))
    decoder.feed(STREAM[cut:])
    assert list(decoder) == decode([STREAM])[-1:]
    decoder.close()


def test_sizes_beyond_the_limits_of_aws_are_decoded():
    """The specification forbids clients to check them: 24 MiB of payload, 128 KiB of headers."""
    block = b''.join(header(f'{number}', 6, sized(bytes(60_000))) for number in range(3))
    [message] = decode([frame(bytes(25 * 2**20), block)])
    assert len(message.payload) == 25 * 2**20
    assert sorted(message.headers) == ['0', '1', '2']


def test_a_length_allocates_nothing_before_its_checksum_is_checked():
    bomb = frame(b'', length=2**32 - 1, prelude_crc=1)
    tracemalloc.start()
    try:
        with pytest.raises(EventStreamDecodeError, match='checksum of a prelude'):
            decode([bomb])
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()


def test_a_length_allocates_nothing_before_its_bytes_arrive():
    bomb = frame(b'', length=2**32 - 1)
    decoder = EventStreamDecoder()
    tracemalloc.start()
    try:
        for byte in bomb + bytes(1000):
            decoder.feed(bytes([byte]))
            assert list(decoder) == []
        assert tracemalloc.get_traced_memory()[1] < 50_000
        with pytest.raises(EventStreamDecodeError, match='into a message'):
            decoder.close()
    finally:
        tracemalloc.stop()


def test_headers_are_kept_between_messages_within_bounds():
    """Blocks repeat, so they are decoded once, but no server decides how much is kept."""
    caches = frames._cached_headers, frames._cached_start  # pyright: ignore[reportPrivateUsage]
    for number in range(2000):
        decode([frame(b'', header(f'{number}', 0))])
    infos = [cache.cache_info() for cache in caches]
    assert [(info.currsize, info.maxsize) for info in infos] == [(128, 128), (512, 512)]
    long = header('a', 6, sized(bytes(600)))
    decode([frame(b'', long), frame(b'', long)])
    assert [cache.cache_info() for cache in caches] == infos


def test_headers_cannot_be_changed_for_the_next_message():
    [message] = decode([STREAM])[:1]
    with pytest.raises(TypeError):
        message.headers[':event-type'] = 'other'  # type: ignore[index]


class CountingBuffer(bytearray):
    """Counts the bytes that are moved into it and out of it, and stops when they are too many."""

    moved = 0
    allowed = 0

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.note(len(self))

    def __iadd__(self, data: bytes) -> 'CountingBuffer':  # type: ignore[override]
        self.note(len(data))
        super().__iadd__(data)
        return self

    def __bytes__(self) -> bytes:
        self.note(len(self))
        return bytes(memoryview(self))

    @classmethod
    def note(cls, moved: int) -> None:
        cls.moved += moved
        assert cls.moved < cls.allowed, 'bytes are moved again and again'


@pytest.mark.parametrize('size', [1024, 64 * 1024, 3 * 2**20])
def test_a_message_of_20_mib_is_not_copied_per_piece(size: int, monkeypatch: pytest.MonkeyPatch):
    """Gathered once and taken out once: what is moved does not grow with the number of pieces."""
    stream = STREAM + frame(random.Random(0).randbytes(20 * 2**20)) + STREAM
    monkeypatch.setattr(frames, 'bytearray', CountingBuffer, raising=False)
    monkeypatch.setattr(CountingBuffer, 'moved', 0)
    monkeypatch.setattr(CountingBuffer, 'allowed', int(2.2 * len(stream)) + 4 * size)
    received = decode(pieces_of(stream, size))
    assert len(received[2].payload) == 20 * 2**20
    assert CountingBuffer.moved > 2 * 20 * 2**20
