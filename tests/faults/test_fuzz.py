"""Whatever the bytes: the decoder's own errors and no others, in time and memory that grow with the bytes alone."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from fuzz_target import check_input, read_corpus
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.exceptions import AgentRunError
from pydantic_core import to_json
from wire.frames import event, exception, frame, header, property_test, sized

from local_bedrock import EventsReply, RawReply
from pydantic_ai_aiobedrock._wire.converse import decode_event, decode_response
from pydantic_ai_aiobedrock._wire.converse_errors import ConverseDecodeError, ConverseStreamError
from pydantic_ai_aiobedrock._wire.frames import EventStreamDecodeError, EventStreamDecoder

from .calls import Caller, call
from .story import FRAMES

OWN_ERRORS = (ConverseDecodeError, ConverseStreamError, EventStreamDecodeError)
TYPES = ('messageStart', 'contentBlockStart', 'contentBlockDelta', 'contentBlockStop', 'messageStop', 'metadata')


MEMBERS = (
    *('contentBlockIndex', 'delta', 'start', 'text', 'toolUse', 'toolUseId', 'name', 'input', 'reasoningContent'),
    *('redactedContent', 'signature', 'citation', 'toolResult', 'usage', 'stopReason', 'trace', 'inputTokens', 'p'),
)
TEXTS = ('text', 'toolUseId', 'name', 'signature')
# What upstream says of a usage that it can't read, which is no error.
ODD_USAGE = pytest.mark.filterwarnings('ignore:Failed to extract usage')


def decode(pieces: Iterable[bytes]) -> list[dict[str, Any]]:
    """Decode a stream to its end, or to the first error, which must be one of the decoder's own."""
    decoder = EventStreamDecoder()
    events: list[dict[str, Any]] = []
    try:
        for piece in pieces:
            decoder.feed(piece)
            events += (found for message in decoder if (found := decode_event(message)) is not None)
        decoder.close()
    except OWN_ERRORS:
        return events
    return events


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(at % (len(data) + 1) for at in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


# Streams that are nearly right: frames of the story, changed, and frames of anything, with checksums that are right


def changed() -> st.SearchStrategy[bytes]:
    """The story, with bytes changed, left out, doubled and put in."""
    story = b''.join(FRAMES)
    at = st.integers(0, len(story))
    change = st.tuples(at, st.integers(0, 40), st.binary(max_size=8) | at.map(lambda start: story[start : start + 30]))

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        data = story
        for start, length, instead in changes:
            data = data[:start] + instead + data[start + length :]
        return data

    return st.lists(change, min_size=1, max_size=4).map(apply)


def json_values() -> st.SearchStrategy[Any]:
    names = st.sampled_from(MEMBERS)
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=3), inner, max_size=4),
        max_leaves=12,
    )


def worded(value: Any) -> Any:
    """Make text of the members that are text in Converse: upstream hands them on as they are, of whatever type."""
    if isinstance(value, dict):
        return {name: f'{item}' if name in TEXTS else worded(item) for name, item in value.items()}
    return [worded(item) for item in value] if isinstance(value, list) else value


def payloads() -> st.SearchStrategy[bytes]:
    return json_values().map(to_json) | st.binary(max_size=60)


def header_blocks() -> st.SearchStrategy[bytes]:
    names = st.sampled_from([':message-type', ':event-type', ':exception-type', ':error-code', ':error-message'])
    values = st.sampled_from(['event', 'exception', 'error', *TYPES, 'throttlingException', ''])
    one = st.builds(lambda name, value: header(name, 7, sized(value)), names, values)
    return st.lists(one | st.binary(max_size=12), max_size=4).map(b''.join)


def frames() -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.builds(event, st.sampled_from(TYPES), payloads()),
        st.builds(exception, st.sampled_from(['throttlingException', 'new']), payloads()),
        st.builds(frame, payloads(), header_blocks()),
        st.sampled_from(FRAMES),
    )


CUTS = st.lists(st.integers(0, 10_000), max_size=6)


@property_test
@given(changed(), CUTS)
def test_a_stream_that_was_changed_gives_no_other_errors(stream: bytes, cuts: list[int]) -> None:
    assert decode(cut(stream, cuts)) == decode([stream])


@property_test
@given(st.lists(frames(), max_size=8).map(b''.join), CUTS)
def test_frames_of_anything_give_no_other_errors(stream: bytes, cuts: list[int]) -> None:
    assert repr(decode(cut(stream, cuts))) == repr(decode([stream]))


@property_test
@given(payloads())
def test_a_body_of_anything_gives_no_other_errors(body: bytes) -> None:
    try:
        assert isinstance(decode_response(body), dict)
    except ConverseDecodeError:
        return


def test_what_fuzzing_has_reached_gives_no_other_errors() -> None:
    """The inputs that `nox -s fuzz` begins with, without atheris."""
    inputs = read_corpus()
    assert len(inputs) > 50
    for data in inputs:
        check_input(data)


@pytest.fixture
def auth() -> str:
    """Authentication makes no difference to what is in a response."""
    return 'bearer'


# What a user's code sees of it


def samples(strategy: st.SearchStrategy[Any], number: int) -> list[Any]:
    """Draw examples, the same on every run."""
    drawn: list[Any] = []

    @property_test
    @given(strategy)
    def draw(value: Any) -> None:
        drawn.append(value)

    draw()
    return drawn[:number]


@ODD_USAGE
async def test_a_stream_of_anything_gives_the_user_no_other_errors(caller: Caller) -> None:
    some = st.builds(
        event, st.sampled_from(TYPES), st.dictionaries(st.text(max_size=5), json_values()).map(worded).map(to_json)
    )
    streams = samples(st.lists(some | json_values().flatmap(_of_an_event) | st.sampled_from(FRAMES), max_size=8), 100)
    for stream in streams:
        caller.bedrock.reply(EventsReply(stream))
        _, error = await call(caller.model, streaming=True)
        assert error is None or isinstance(error, AgentRunError), stream
    assert caller.provider.client.pool.stats().leases == 0


def _of_an_event(value: Any) -> st.SearchStrategy[bytes]:
    members = st.fixed_dictionaries(
        {'contentBlockIndex': st.integers(0, 1) | st.just(value)},
        optional={'delta': st.just({'text': 'a'}) | st.just(value), 'start': st.just(value), 'usage': st.just(value)},
    )
    return st.builds(event, st.sampled_from(TYPES), members.map(worded).map(to_json))


@ODD_USAGE
async def test_a_body_of_anything_gives_the_user_no_other_errors(caller: Caller) -> None:
    for value in samples(_bodies().map(worded), 100):
        caller.bedrock.reply(RawReply(to_json(value), headers={'Content-Type': 'application/json'}))
        _, error = await call(caller.model, streaming=False)
        assert error is None or isinstance(error, AgentRunError), value


def _bodies() -> st.SearchStrategy[Any]:
    block = st.dictionaries(st.sampled_from(['text', 'toolUse', 'reasoningContent', 'citationsContent']), json_values())
    content = st.lists(block | json_values(), max_size=3) | json_values()
    message = st.fixed_dictionaries({'content': content}) | json_values()
    return st.fixed_dictionaries(
        {'output': st.fixed_dictionaries({'message': message}) | json_values(), 'usage': st.just({}) | json_values()},
        optional={'stopReason': st.just('end_turn') | json_values()},
    )


# Time and memory


STREAMS: dict[str, Callable[[int], bytes]] = {
    'empty messages': lambda size: frame(b'') * (size // 16),
    'small events': lambda size: FRAMES[1] * (size // len(FRAMES[1])),
    'one event': lambda size: event('contentBlockDelta', {'delta': {'text': 'x' * size}}),
    'one message of no type': lambda size: frame(bytes(size)),
    'many headers': lambda size: frame(b'', b''.join(header(f'{number:07}', 0) for number in range(size // 9))),
    'many members': lambda size: event('metadata', {f'{number:06}': 1 for number in range(size // 11)}),
    'many blocks': lambda size: event('metadata', {'list': [{'a': None}] * (size // 12)}),
    'a number without end': lambda size: event('metadata', b'{"a":' + b'1' * size + b'}'),
    'nesting without end': lambda size: event('metadata', b'{"a":' * (size // 5)),
    'half surrogates': lambda size: event('metadata', b'{"a":"' + rb'\ud834' * (size // 6) + b'"}'),
    'a length that does not come': lambda size: frame(b'', length=2**32 - 1) + bytes(size),
}


def seconds(stream: bytes, piece: int) -> float:
    """Return the CPU time that it takes to decode a stream, at best."""
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    best = float('inf')
    for _ in range(3):
        began = time.process_time()
        decode(pieces)
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize('piece', [64, 64 * 1024])
@pytest.mark.parametrize('make', STREAMS.values(), ids=STREAMS.keys())
def test_time_grows_with_the_bytes_alone(make: Callable[[int], bytes], piece: int) -> None:
    """Eight times the bytes take some eight times as long: 32 is allowed for on busy machines, a square is 64."""
    small, large = seconds(make(2**15), piece), seconds(make(2**18), piece)
    assert large < 32 * max(small, 0.0005)


@pytest.mark.parametrize('make', STREAMS.values(), ids=STREAMS.keys())
def test_memory_grows_with_the_bytes_alone(make: Callable[[int], bytes]) -> None:
    """A message is gathered and taken out, and JSON becomes objects: in the worst case some ten times its bytes."""
    stream = make(2**18)
    pieces = [stream[start : start + 4096] for start in range(0, len(stream), 4096)]
    tracemalloc.start()
    try:
        decoder = EventStreamDecoder()
        for piece in pieces:
            decoder.feed(piece)
            for message in decoder:
                decode_quietly(message)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 * 2**18


def decode_quietly(message: Any) -> None:
    try:
        decode_event(message)
    except OWN_ERRORS:
        return
