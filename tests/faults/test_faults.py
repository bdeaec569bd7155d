"""Each fault, where it happens, and what a call comes to if it happens once and if it happens each time.

botocore retries what it retries until the response has begun: three attempts in all, 408 and 424 not among them. From
then on nothing is retried, for what has been read of an answer can't be taken back.
"""
# ruff: noqa: E501 - one line a fault

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

import pytest

from local_bedrock import (
    ACCESS_DENIED,
    EXPIRED_TOKEN,
    INTERNAL_SERVER_ERROR,
    MODEL_ERROR,
    MODEL_NOT_READY,
    MODEL_TIMEOUT,
    SERVICE_UNAVAILABLE,
    THROTTLING,
    TOO_MANY_TOKENS,
    DropConnection,
    ErrorReply,
    Fault,
    FlipBit,
    InsertEvent,
    NoResponse,
    OversizedFrame,
    Response,
    SlowBody,
    SlowHeaders,
    StreamEvent,
    Truncate,
    WrongChecksum,
    encode_frame,
    encode_headers,
    exception_event,
)

from .calls import PATIENCE, Caller
from .outcomes import (
    ANSWERED,
    BAD_MESSAGE,
    BAD_PRELUDE,
    BROKEN_OFF,
    CUT_FRAME,
    INCOMPLETE,
    NOT_AN_ANSWER,
    RESET,
    RETRIED,
    SILENT,
    Outcome,
    Raised,
    always,
    in_stream,
    refused,
    undecodable,
)
from .story import OFFSETS, READ, SEEN

TOO_LONG = 2 * PATIENCE
BAD_GATEWAY = ErrorReply(502, 'BadGateway', 'Bad gateway')
GATEWAY_TIMEOUT = ErrorReply(504, 'GatewayTimeout', 'Gateway timeout')
OVERLOADED = ErrorReply(529, 'OverloadedException', 'Overloaded.')
QUOTA = ErrorReply(400, 'ServiceQuotaExceededException', 'Your account has reached its quota.')


@dataclass(frozen=True)
class Row:
    """A fault of a response."""

    name: str
    fault: Fault
    once: Outcome
    always: Outcome


def row(name: str, fault: Fault, once: Outcome, each_time: Outcome | None = None) -> Row:
    return Row(name, fault, once, once if each_time is None else each_time)


def stopped_for_ever(answer: Response) -> None:
    """Send the head, and then nothing."""
    answer.delays = lambda number, piece: 60.0


def big_frame(size: int) -> bytes:
    """Encode an event of a type that no one knows, beyond what AWS says that it sends."""
    headers = encode_headers(
        [(':event-type', 'ping'), (':message-type', 'event'), *((f'{n}', bytes(60_000)) for n in range(3))]
    )
    return encode_frame(headers, bytes(size))


def bomb(length: int) -> bytes:
    """Encode the prelude of a message that says it has so many bytes."""
    prelude = struct.pack('>II', length, 0)
    return prelude + struct.pack('>I', crc32(prelude))


@dataclass(frozen=True)
class CutAfter:
    """End the HTTP message in good order with some bytes that are put after some events."""

    events: int
    last: bytes

    def __call__(self, answer: Response) -> None:
        InsertEvent(self.last, self.events)(answer)
        Truncate(OFFSETS[self.events] + len(self.last))(answer)


THROTTLED = refused('ModelRateLimitError', 429, 'ThrottlingException')
"""The provider of these tests does not wait."""

# fmt: off
BEFORE_THE_RESPONSE = (
    row('throttled', THROTTLING, THROTTLED, THROTTLED),
    row('throttled by tokens', TOO_MANY_TOKENS, THROTTLED, THROTTLED),
    row('model not ready', MODEL_NOT_READY, RETRIED, refused('ModelUnavailableError', 429, 'ModelNotReadyException', attempts=3)),
    row('internal error', INTERNAL_SERVER_ERROR, RETRIED, refused('ModelServerError', 500, 'InternalServerException', attempts=3)),
    row('bad gateway', BAD_GATEWAY, RETRIED, refused('ModelServerError', 502, 'BadGateway', attempts=3)),
    row('unavailable', SERVICE_UNAVAILABLE, RETRIED, refused('ModelUnavailableError', 503, 'ServiceUnavailableException', attempts=3)),
    row('gateway timeout', GATEWAY_TIMEOUT, RETRIED, refused('ModelServerError', 504, 'GatewayTimeout', attempts=3)),
    row('overloaded', OVERLOADED, refused('ModelOverloadedError', 529, 'OverloadedException')),
    row('model timed out', MODEL_TIMEOUT, refused('ModelHTTPError', 408, 'ModelTimeoutException')),
    row('model failed', MODEL_ERROR, refused('ModelHTTPError', 424, 'ModelErrorException')),
    row('quota exceeded', QUOTA, refused('ModelQuotaExceededError', 400, 'ServiceQuotaExceededException')),
    row('access denied', ACCESS_DENIED, refused('ModelAuthenticationError', 403, 'AccessDeniedException')),
    row('token expired', EXPIRED_TOKEN, refused('ModelAuthenticationError', 403, 'ExpiredTokenException')),
    row('slow headers', SlowHeaders(0.01), ANSWERED),
    row('headers slower than the read timeout', SlowHeaders(TOO_LONG), RETRIED, always(SILENT)),
    row('reset before the headers', NoResponse('reset'), RETRIED, always(RESET)),
    row('closed before the headers', NoResponse('close'), RETRIED, always(RESET)),
    row('silence before the headers', NoResponse('hang'), RETRIED, always(SILENT)),
    row('connection dropped after the answer', DropConnection(), ANSWERED),
)

IN_A_BODY = (
    row('slow body', SlowBody(0.005, 64), ANSWERED),
    row('body slower than the read timeout', SlowBody(TOO_LONG), RETRIED, always(SILENT)),
    row('reset before the body', Truncate(0, 'reset'), RETRIED, always(RESET)),
    row('reset in the body', Truncate(20, 'reset'), RETRIED, always(RESET)),
    row('closed before the body', Truncate(0, 'close'), RETRIED, always(RESET)),
    row('closed in the body', Truncate(20, 'close'), RETRIED, always(RESET)),
    row('silence in the body', Truncate(20, 'hang'), RETRIED, always(SILENT)),
    row('no body, HTTP whole', Truncate(0, 'end'), NOT_AN_ANSWER),
    row('cut body, HTTP whole', Truncate(20, 'end'), NOT_AN_ANSWER),
    row('flipped bit that breaks the JSON', FlipBit(0), NOT_AN_ANSWER),
)

KINDS = (
    ('internalServerException', 'ModelServerError', 500),
    ('modelStreamErrorException', 'ModelServerError', 424),
    ('validationException', 'ModelRequestRejectedError', 400),
    ('throttlingException', 'ModelRateLimitError', 429),
    ('serviceUnavailableException', 'ModelUnavailableError', 503),
)


def in_a_stream(events: int) -> tuple[Row, ...]:
    """The faults of a stream after so many events, none of which is retried."""
    at = OFFSETS[events]
    before = {0: 'before the first event'}.get(events, f'after {events} events')
    rows = (
        row('slow', SlowBody(0.002, 64), ANSWERED),
        row('reset', Truncate(at + 5, 'reset'), BROKEN_OFF),
        row('closed', Truncate(at + 5, 'close'), BROKEN_OFF),
        row('silence', Truncate(at + 5, 'hang'), SILENT),
        row('cut in a frame, HTTP whole', Truncate(at + 5, 'end'), CUT_FRAME),
        row('flipped bit in a prelude', FlipBit(1, events), BAD_PRELUDE),
        row('flipped bit in a header', FlipBit(20, events), BAD_MESSAGE),
        row('flipped bit in a payload', FlipBit(-10, events), BAD_MESSAGE),
        row('wrong checksum', WrongChecksum(events), BAD_MESSAGE),
        row('wrong checksum of a prelude', WrongChecksum(events, 'prelude'), BAD_PRELUDE),
        *(row(code, exception_event(code, after=events), in_stream(kind, status, code)) for code, kind, status in KINDS),
        row('exception that no one knows', exception_event('somethingNewException', after=events), in_stream('ModelAPIError', None, 'somethingNewException')),
        row('error', InsertEvent(StreamEvent.error('SomethingBroke', 'Sorry.'), events, end=True), in_stream('ModelAPIError', None, 'SomethingBroke')),
        row('end, HTTP whole', Truncate(at, 'end'), INCOMPLETE),
        row('bytes that are no frame', InsertEvent(b'<html>Bad gateway</html>', events, end=True), BAD_PRELUDE),
        row('payload that is not JSON', InsertEvent(StreamEvent('contentBlockDelta', b'{"delta'), events), undecodable('ConverseDecodeError', 'Not a JSON object')),
        row('header of an unknown type', InsertEvent(encode_frame(b'\x03odd\x0a', b'{}'), events), undecodable('EventStreamDecodeError', "the header 'odd' is of the unknown type 10")),
        row('event that no one knows', InsertEvent(StreamEvent('somethingNew', {'a': 1}), events), ANSWERED),
        row('message without headers', InsertEvent(encode_frame(b'', b'{}'), events), ANSWERED),
        row('frame beyond the limits of AWS', InsertEvent(big_frame(2**20), events), ANSWERED),
        row('text that is larger than any of AWS', OversizedFrame(after=events), ANSWERED),
        row('frame of 4 GiB that does not come', CutAfter(events, bomb(2**32 - 1)), CUT_FRAME),
        row('connection dropped after the answer', DropConnection(), ANSWERED),
    )
    return tuple(row(f'{each.name}, {before}', each.fault, each.once, each.always) for each in rows)


BEFORE_THE_FIRST_EVENT = (
    row('no event within the read timeout', stopped_for_ever, SILENT),
    *in_a_stream(0),
)
AFTER_SOME_EVENTS = in_a_stream(READ)
# fmt: on


@pytest.fixture
def patience(case: Row) -> float:
    """Let no call run out of time but those that shall: the largest frames take some on a busy machine."""
    silent = any(isinstance(each, Raised) and each.cause == SILENT.cause for each in (case.once, case.always))
    return PATIENCE if silent else 60


async def check_row(caller: Caller, case: Row, *, streaming: bool, seen: str = '') -> None:
    once = caller.bedrock.fault(case.fault, times=1)
    await caller.comes_to(case.once, streaming=streaming, seen=seen)
    once.remove()
    each_time = caller.bedrock.fault(case.fault)
    await caller.comes_to(case.always, streaming=streaming, seen=seen)
    each_time.remove()
    await caller.comes_to(ANSWERED, streaming=not streaming)


@pytest.mark.parametrize('case', BEFORE_THE_RESPONSE, ids=lambda case: case.name)
@pytest.mark.parametrize('streaming', [False, True], ids=['request', 'stream'])
async def test_fault_before_the_response(caller: Caller, case: Row, streaming: bool) -> None:
    await check_row(caller, case, streaming=streaming)


@pytest.mark.parametrize('case', IN_A_BODY, ids=lambda case: case.name)
async def test_fault_in_the_body_of_a_request(caller: Caller, case: Row) -> None:
    await check_row(caller, case, streaming=False)


@pytest.mark.parametrize('case', BEFORE_THE_FIRST_EVENT, ids=lambda case: case.name)
async def test_fault_in_a_stream_before_its_first_event(caller: Caller, case: Row) -> None:
    await check_row(caller, case, streaming=True)


@pytest.mark.parametrize('case', AFTER_SOME_EVENTS, ids=lambda case: case.name)
async def test_fault_in_a_stream_after_some_events(caller: Caller, case: Row) -> None:
    await check_row(caller, case, streaming=True, seen=SEEN)
