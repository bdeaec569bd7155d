"""The parser of responses takes what aiohttp's own parser takes, however the bytes are cut into pieces."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from weakref import ref

import pytest
from aiohttp.client_proto import ResponseHandler
from hypothesis import given
from hypothesis import strategies as st

from pydantic_ai_aiobedrock._wire.http_response import HEAD_BYTES, HttpResponseError, ResponseParser, is_interim

from .frames import property_test

CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'


@dataclass
class Parsed:
    """What has been made of a response at the end of its connection."""

    status: int
    fields: dict[str, str]
    body: bytes | None
    """None if it is not complete."""
    is_reusable: bool
    """True if it was complete before its connection ended, which might have been used again."""


NOTHING = Parsed(0, {}, None, False)


def parsed(pieces: Iterable[bytes]) -> Parsed:
    parser = ResponseParser()
    try:
        for piece in pieces:
            parser.feed(piece)
    except HttpResponseError:
        assert not parser.is_complete
        return Parsed(parser.status, parser.fields, None, False) if parser.status else NOTHING
    is_reusable = parser.is_reusable
    is_complete = parser.end()
    if not parser.status:
        assert not is_complete
        assert parser.body == []
        return NOTHING
    return Parsed(parser.status, parser.fields, b''.join(parser.body) if is_complete else None, is_reusable)


@pytest.fixture(scope='module')
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Return a loop for aiohttp's objects to refer to; nothing runs on it."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def parsed_by_aiohttp(pieces: Iterable[bytes], loop: asyncio.AbstractEventLoop) -> Parsed:
    protocol = ResponseHandler(loop)
    protocol.set_response_params(
        read_until_eof=True, auto_decompress=False, max_line_size=HEAD_BYTES, max_field_size=HEAD_BYTES
    )
    for piece in pieces:
        if protocol.exception() is None:
            protocol.data_received(piece)
    # aiohttp announces interim responses, too.
    received = [each for each, _ in protocol._buffer if not is_interim(each[0].code)]
    protocol._buffer.clear()
    is_reusable = not protocol.should_close
    protocol.connection_lost(None)
    if not received:
        return NOTHING
    message, content = received[0]
    # Older releases leave the white space after a value.
    fields = {
        name.decode('latin-1').lower(): value.decode('latin-1').rstrip(' \t') for name, value in message.raw_headers
    }
    body = content.read_nowait() if content.is_eof() and content.exception() is None else None
    return Parsed(message.code, fields, body, is_reusable)


def cut(data: bytes, positions: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({position for position in positions if 0 < position < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def bytes_of(data: bytes) -> list[bytes]:
    return [data[start : start + 1] for start in range(len(data))]


# Like aiohttp's parser

NAMES = st.text("ABCXYZabcxyz0189!#$%&'*+-.^_`|~", min_size=1, max_size=12).map('x-{}'.format)
# Latin-1, with neither control characters nor white space around it.
VALUES = st.text(st.characters(max_codepoint=255, exclude_categories=['Cc']), max_size=30).map(
    lambda text: text.strip()
)
SPACE = st.text(' \t', max_size=3)


@st.composite
def field_lines(draw: st.DrawFn, most: int = 5) -> bytes:
    lines = draw(st.lists(st.tuples(NAMES, SPACE, VALUES, SPACE), max_size=most))
    return ''.join(f'{name}:{before}{value}{after}\r\n' for name, before, value, after in lines).encode('latin-1')


@st.composite
def chunks(draw: st.DrawFn) -> bytes:
    extension = st.sampled_from([b'', b' ', b';a', b';a=b', b';a="b c";d=1'])
    encoded = b''
    for data in draw(st.lists(st.binary(min_size=1, max_size=300), max_size=5)):
        size = draw(st.sampled_from(['{:x}', '{:X}', '00{:x}'])).format(len(data))
        encoded += size.encode() + draw(extension) + b'\r\n' + data + b'\r\n'
    return encoded + b'0' + draw(extension) + b'\r\n' + draw(field_lines(2)) + b'\r\n'


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A response, with what may come before it, whole."""
    interim = st.sampled_from([b'HTTP/1.1 100 Continue\r\n\r\n', b'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'])
    data = b''.join(draw(st.lists(interim, max_size=2)))
    status = draw(st.sampled_from([200, 201, 204, 205, 304, 400, 403, 429, 500, 503, 599]))
    version, reason = draw(st.sampled_from(['1.0', '1.1'])), draw(st.sampled_from(['', ' ', ' OK', ' Not Found']))
    data += f'HTTP/{version} {status}{reason}\r\n'.encode()
    data += draw(field_lines())
    data += draw(st.sampled_from([b'', b'Connection: close\r\n', b'connection: Keep-Alive\r\n']))
    body = draw(st.binary(max_size=500))
    length = f'Content-Length: {len(body)}{draw(st.sampled_from(["", " "]))}\r\n'.encode()
    framing, body = draw(
        st.sampled_from(
            [
                (length, body),
                (b'Transfer-Encoding: chunked\r\n', draw(chunks())),
                (b'', body),
                (b'Content-Length: 0\r\n', b''),
            ]
        )
    )
    return data + framing + draw(field_lines()) + b'\r\n' + (b'' if status in (204, 304) else body)


POSITIONS = st.lists(st.integers(1, 1500), max_size=12)


@property_test
@given(data=responses(), positions=POSITIONS)
def test_a_response_in_any_pieces_is_what_aiohttp_makes_of_it(
    data: bytes, positions: list[int], loop: asyncio.AbstractEventLoop
) -> None:
    result = parsed(cut(data, positions))
    assert result == parsed_by_aiohttp([data], loop)
    assert result.body is not None


@property_test
@given(data=responses(), length=st.integers(0, 1000), positions=POSITIONS)
def test_a_response_that_breaks_off_is_what_aiohttp_makes_of_it(
    data: bytes, length: int, positions: list[int], loop: asyncio.AbstractEventLoop
) -> None:
    assert parsed(cut(data[:length], positions)) == parsed_by_aiohttp([data[:length]], loop)


@property_test
@given(
    data=responses().filter(lambda data: b'\r\nContent-Length' in data or b'\r\nTransfer-Encoding' in data),
    after=st.binary(min_size=1, max_size=20).filter(lambda data: data[0] not in b'\r\n'),
    positions=POSITIONS,
)
def test_a_response_with_bytes_after_it_is_complete_but_its_connection_is_not_to_be_used_again(
    data: bytes, after: bytes, positions: list[int]
) -> None:
    result = parsed([data])
    result.is_reusable = False
    assert parsed(cut(data + after, positions)) == result


@property_test
@given(data=st.data(), original=responses())
def test_damaged_bytes_in_any_pieces_are_an_error_or_the_same_response(data: st.DataObject, original: bytes) -> None:
    damaged = bytearray(original)
    for position in data.draw(st.lists(st.integers(0, len(original) - 1), max_size=3)):
        damaged[position] = data.draw(st.integers(0, 255))
    whole = parsed([bytes(damaged)])
    in_pieces = parsed(cut(bytes(damaged), data.draw(POSITIONS)))
    # Line breaks after a response are passed over if they come with it.
    whole.is_reusable &= in_pieces.is_reusable
    assert in_pieces == whole


COMPLETE = {
    'of a known length': b'HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 12\r\nC: d\r\n\r\n{"a": [1, 2]}'[:-1],
    'in chunks': CHUNKED + b'3;x=y\r\n{"a\r\n00A\r\n": [1, 2]}\r\n0\r\nTrailer: a\r\n\r\n',
    'after interim responses': b'HTTP/1.1 100 Continue\r\n\r\n' * 2 + b'HTTP/1.1 429 \r\nContent-Length: 2\r\n\r\n{}',
    'without a body': b'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n',
    'not modified': b'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n',
    'until the end': b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{"a": [1, 2]}',
    'of HTTP/1.0': b'HTTP/1.0 200 OK\r\n\r\n{"a": [1, 2]}',
    'coded until the end': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n{"a": [1, 2]}',
    'with line feeds only': b'HTTP/1.1 200 OK\nContent-Length: 2\n\n{}',
    'of many fields with one name': b'HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\na: c\r\nA: d\r\n\r\n{}',
    'with a field on two lines': b'HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\n{}',
    'with empty fields': b'HTTP/1.1 200 OK\r\nA:\r\nB: \r\nContent-Length: 2\r\n\r\n{}',
    'after line breaks': b'\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}',
    'before line breaks': b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\r\n\r\n',
    'with an upgrade on offer': b'HTTP/1.1 204 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
}


@pytest.mark.parametrize('data', COMPLETE.values(), ids=COMPLETE)
def test_a_response_that_ends_at_any_byte_is_what_aiohttp_makes_of_it(
    data: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    for end in range(len(data) + 1):
        expected = parsed_by_aiohttp([data[:end]], loop)
        assert parsed([data[:end]]) == expected
        in_bytes = parsed(bytes_of(data[:end]))
        if data.endswith(b'{}\r\n\r\n'):
            expected.is_reusable = in_bytes.is_reusable
        assert in_bytes == expected
    assert parsed([data]).body is not None


MALFORMED = {
    'another protocol': b'SSH-2.0-OpenSSH_9.2\r\n',
    'TLS': b'\x15\x03\x01\x00\x02\x02\x46',
    'HTTP/2': b'\x00\x00\x18\x04\x00\x00\x00\x00\x00',
    'a request': b'POST / HTTP/1.1\r\nHost: a\r\n\r\n',
    'another version': b'HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\n{}',
    'a status of two digits': b'HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}',
    'a field without a name': b'HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\n{}',
    'a name with a space': b'HTTP/1.1 200 OK\r\nA b: c\r\nContent-Length: 2\r\n\r\n{}',
    'no length': b'HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n{}',
    'a length that is no number': b'HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}',
    'a negative length': b'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}',
    'a length beyond 64 bits': b'HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}',
    'two lengths': b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
    'chunks and a length': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}',
    'a response after one that closes': b'HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\nHTTP/1.1 204 OK\r\n\r\n',
}


@pytest.mark.parametrize('data', MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_head_is_an_error_for_aiohttp_too(data: bytes, loop: asyncio.AbstractEventLoop) -> None:
    for pieces in ([data], bytes_of(data)):
        assert parsed(pieces) == NOTHING
        assert parsed_by_aiohttp(pieces, loop) == NOTHING
        with pytest.raises(HttpResponseError, match=r'\w'):
            feed(pieces)


MALFORMED_CHUNKS = {
    'no size': b'\r\n{}\r\n',
    'a negative size': b'-2\r\n{}\r\n',
    'a size that is no number': b'x\r\n{}\r\n',
    'a size beyond 64 bits': b'fffffffffffffffff\r\n{}\r\n',
    'data longer than its size': b'2\r\n{} \r\n0\r\n\r\n',
    'a trailer that is a length': b'2\r\n{}\r\n0\r\nContent-Length: 2\r\n\r\n',
    'a trailer that is none': b'2\r\n{}\r\n0\r\n\x00\r\n\r\n',
}


@pytest.mark.parametrize('data', MALFORMED_CHUNKS.values(), ids=MALFORMED_CHUNKS)
def test_a_malformed_chunk_is_an_error_for_aiohttp_too(data: bytes, loop: asyncio.AbstractEventLoop) -> None:
    for pieces in (bytes_of(CHUNKED + data), [CHUNKED, data], [CHUNKED + data]):
        assert (parsed(pieces).status, parsed(pieces).body) == (200, None)
        assert parsed_by_aiohttp(pieces, loop).body is None
        with pytest.raises(HttpResponseError, match=r'\w'):
            feed(pieces)


def feed(pieces: Iterable[bytes]) -> ResponseParser:
    parser = ResponseParser()
    for piece in pieces:
        parser.feed(piece)
    return parser


def feed_endlessly(parser: ResponseParser, piece: bytes) -> None:
    for _ in range(HEAD_BYTES):
        parser.feed(piece)


# Beyond aiohttp's parser


def test_fields_are_lower_case_and_without_white_space_around_them() -> None:
    parser = feed([b'HTTP/1.1 200 OK\r\nX-Amzn-ErrorType: \t ThrottlingException \t \r\nContent-Length: 0 \r\n\r\n'])
    assert parser.fields == {'x-amzn-errortype': 'ThrottlingException', 'content-length': '0'}


def test_a_name_that_comes_again_has_its_last_value() -> None:
    assert feed([b'HTTP/1.1 200 OK\r\nA: b\r\na: c\r\n\r\n']).fields == {'a': 'c'}


def test_fields_of_interim_responses_and_trailers_are_left_out() -> None:
    parser = feed([b'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n' + CHUNKED + b'2\r\n{}\r\n0\r\nTrailer: a\r\n\r\n'])
    assert (parser.fields, parser.body, parser.is_complete) == ({'transfer-encoding': 'chunked'}, [b'{}'], True)


def test_chunks_that_break_off_are_not_complete_however_the_coding_is_written() -> None:
    for coding in (b'chunked', b'Chunked ', b'chunked \t', b'gzip, chunked'):
        parser = feed([b'HTTP/1.1 200 OK\r\nTransfer-Encoding: ' + coding + b'\r\n\r\n2\r\n{'])
        assert not parser.end()


@pytest.mark.parametrize('status', ['000', '001', '099', '101'])
@pytest.mark.parametrize('headers', [b'', b'Connection: Upgrade\r\nUpgrade: h2c\r\n', b'Content-Length: 2\r\n'])
def test_a_status_that_is_neither_final_nor_announces_another_is_an_error_that_names_it(
    status: str, headers: bytes
) -> None:
    data = f'HTTP/1.1 {status} Odd\r\n'.encode() + headers + b'\r\n{}'
    for pieces in ([data], bytes_of(data)):
        with pytest.raises(HttpResponseError, match=rf'^its status is {int(status)}$'):
            feed(pieces)


@pytest.mark.parametrize(
    'line',
    [
        b'A: ' + b'b' * 1000 + b'\r\n',
        b'HTTP/1.1 100 Continue\r\n\r\n',
        b'HTTP/1.1 102 Processing\r\nA: b\r\n\r\n',
        b'\r\n',
    ],
)
def test_a_response_that_has_no_end_of_headers_is_given_up(line: bytes) -> None:
    start = b'' if line.startswith((b'HTTP', b'\r')) else b'HTTP/1.1 200 OK\r\n'
    parser = feed([start + line * ((HEAD_BYTES - 100) // len(line))])
    with pytest.raises(HttpResponseError, match='its headers are longer than 262144 bytes'):
        feed_endlessly(parser, line)


def test_a_field_that_has_no_end_is_given_up() -> None:
    parser = feed([b'HTTP/1.1 200 OK\r\nA: '])
    with pytest.raises(HttpResponseError, match='its headers are longer than 262144 bytes'):
        feed_endlessly(parser, b'b' * 4096)


@pytest.mark.parametrize('start', [b'0\r\nA: ', b'2;a=', b'2\r\n{}\r\n0;a='])
def test_trailers_and_extensions_that_have_no_end_are_given_up(start: bytes) -> None:
    parser = feed([CHUNKED, start])
    parser.body.clear()
    with pytest.raises(HttpResponseError, match='its trailers are longer than 262144 bytes'):
        feed_endlessly(parser, b'b' * 4096)


def test_long_headers_and_a_long_body_are_taken() -> None:
    long = b'A: ' + b'b' * (HEAD_BYTES - 1000) + b'\r\n'
    parser = feed([b'HTTP/1.1 200 OK\r\n' + long, b'Content-Length: 40960000\r\n\r\n'])
    for _ in range(10_000):
        parser.feed(b'c' * 4096)
        parser.body.clear()
    assert parser.is_complete
    assert parser.is_reusable


def test_events_with_long_extensions_are_taken() -> None:
    parser = feed([CHUNKED])
    for _ in range(1000):
        for piece in (b'2;a="' + b'b' * 1000, b'"\r\n{}\r\n'):
            parser.feed(piece)
        assert parser.body == [b'{}']
        parser.body.clear()
    parser.feed(b'0\r\n\r\n')
    assert parser.is_complete


def test_bytes_after_the_end_are_no_error() -> None:
    parser = feed([b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'])
    assert parser.is_reusable
    parser.feed(b'HTTP/1.1 200 OK\r\n')
    assert (parser.is_complete, parser.is_reusable, parser.body) == (True, False, [b'{}'])


def test_a_parser_that_has_failed_takes_no_more() -> None:
    parser = feed([CHUNKED])
    with pytest.raises(HttpResponseError):
        parser.feed(b'x')
    parser.feed(b'2\r\n{}\r\n0\r\n\r\n')
    assert (parser.body, parser.is_complete, parser.end()) == ([], False, False)


ENDS: dict[str, list[bytes]] = {
    'complete': [b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'],
    'malformed head': [b'SSH-2.0-OpenSSH_9.2\r\n'],
    'not final': [b'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    'malformed chunk': [CHUNKED, b'x'],
    'bytes after it': [b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n'],
    'endless': [b'HTTP/1.1 200 OK\r\nA: ', b'b' * (HEAD_BYTES + 1)],
}


class Parser(ResponseParser):
    """A parser that a weak reference can refer to."""


@pytest.mark.parametrize('pieces', ENDS.values(), ids=ENDS)
def test_a_parser_that_has_come_to_its_end_is_no_cycle(pieces: list[bytes]) -> None:
    gc.collect()
    gc.disable()
    try:
        parser = Parser()
        try:
            for piece in pieces:
                parser.feed(piece)
        except HttpResponseError:
            pass
        else:
            assert parser.is_complete
        freed = ref(parser)
        del parser
        assert freed() is None
    finally:
        gc.enable()


def test_an_error_is_no_cycle() -> None:
    def errors() -> list[Any]:
        return [each for each in gc.get_objects() if isinstance(each, HttpResponseError)]

    gc.collect()
    gc.disable()
    try:
        for pieces in ENDS.values():
            with suppress(HttpResponseError):
                feed(pieces)
        assert errors() == []
    finally:
        gc.enable()


def test_names_of_fields_are_remembered_only_so_far() -> None:
    """A proxy may put anything into the names of fields."""
    tracemalloc.start()
    try:
        for number in range(2000):
            feed([f'HTTP/1.1 200 OK\r\nX-{number}: a\r\nContent-Length: 0\r\n\r\n'.encode()])
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2000, 4000):
            feed([f'HTTP/1.1 200 OK\r\nX-{number}: a\r\nContent-Length: 0\r\n\r\n'.encode()])
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
