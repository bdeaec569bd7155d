"""Faults: the damage that a network or a service in trouble does to a response.

Each refuses arguments that are wrong with a `ValueError` when it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic_core.core_schema import int_schema

from local_bedrock._arguments import (
    COUNT,
    FLAG,
    INTEGER,
    SECONDS,
    TEXT,
    WHOLE,
    Arguments,
    Checked,
    one_of,
    optional,
    satisfying,
)
from local_bedrock.errors import ErrorReply
from local_bedrock.frames import StreamEvent, encode_event, encode_frame, encode_headers
from local_bedrock.replies import Ending
from local_bedrock.response import Response

_EVENT = satisfying(lambda value: isinstance(value, StreamEvent | bytes), 'a StreamEvent, or the bytes of a frame')
# The length of a frame has 32 bits; this leaves room for its headers.
_FRAME_SIZE = int_schema(strict=True, ge=64, le=2**32 - 200)


@dataclass(frozen=True)
class Truncate(Checked, at=int_schema(strict=True, ge=-1), then=one_of(*get_args(Ending))):
    """Cut the body after so many bytes.

    Args:
        at: Bytes of the body that are sent; 0 sends the head alone, -1 nothing: the response is lost as a whole.
        then: How the response ends.
    """

    at: int
    then: Ending = 'end'

    def __call__(self, response: Response) -> None:
        """Do it."""
        response.truncate_at, response.then = self.at, self.then


@dataclass(frozen=True)
class NoResponse(Checked, then=one_of('reset', 'close', 'hang')):
    """Send nothing, not even headers. The reply is kept for the next request, as it is with an error.

    Args:
        then: The end of the connection: a reset, a connection closed in good order, or silence (`hang`).
    """

    then: Literal['reset', 'close', 'hang'] = 'reset'

    def __call__(self, response: Response) -> None:
        """Do it."""
        response.truncate_at, response.then = -1, self.then


@dataclass(frozen=True)
class SlowHeaders(Checked, interval=SECONDS):
    """Send the head of the response line by line.

    Args:
        interval: Seconds before each line.
    """

    interval: float

    def __call__(self, response: Response) -> None:
        """Do it."""
        response.header_interval = self.interval


@dataclass(frozen=True)
class SlowBody(Checked, interval=SECONDS, piece_size=COUNT):
    """Send the body in small pieces.

    Args:
        interval: Seconds before each piece.
        piece_size: Bytes of a piece.
    """

    interval: float
    piece_size: int = 16

    def __call__(self, response: Response) -> None:
        """Do it."""
        response.piece_interval, response.chunk_sizes = self.interval, (self.piece_size,)


@dataclass(frozen=True)
class FlipBit(Checked, at=INTEGER, piece=WHOLE):
    """Flip a bit of the body.

    Args:
        at: Number of the byte, within the piece.
        piece: Number of the event of a stream; 0 for other bodies.
    """

    at: int
    piece: int = 0

    def __call__(self, response: Response) -> None:
        """Do it."""

        def flip(number: int, piece: bytes) -> list[bytes]:
            if number != self.piece or not piece:
                return [piece]
            at = self.at % len(piece)
            return [piece[:at] + bytes((piece[at] ^ 1,)) + piece[at + 1 :]]

        response.edits.append(flip)


@dataclass(frozen=True)
class WrongChecksum(Checked, event=WHOLE, of=one_of('message', 'prelude')):
    """Spoil a checksum of an event of a stream.

    Args:
        event: Number of the event.
        of: The wrong checksum: that of the whole message, or that of its prelude.
    """

    event: int = 0
    of: Literal['message', 'prelude'] = 'message'

    def __call__(self, response: Response) -> None:
        """Do it."""
        FlipBit(-1 if self.of == 'message' else 8, self.event)(response)


@dataclass(frozen=True)
class InsertEvent(Checked, event=_EVENT, after=WHOLE, end=FLAG):
    """Put an event, or any bytes, into a stream.

    Args:
        event: The inserted event or bytes.
        after: Events of the stream that go before it.
        end: End the stream there, as after an exception.
    """

    event: StreamEvent | bytes
    after: int = 1
    end: bool = False

    def __call__(self, response: Response) -> None:
        """Do it."""
        inserted = self.event if isinstance(self.event, bytes) else encode_event(self.event)

        def insert(number: int, piece: bytes) -> list[bytes]:
            if number > self.after and self.end:
                return []
            if number != self.after:
                return [piece]
            return [inserted] if self.end else [inserted, piece]

        if response.chunked:
            response.edits.append(insert)


EXCEPTION_EVENT = Arguments('exception_event', {'name': TEXT, 'message': TEXT, 'after': WHOLE})


def exception_event(name: str, message: str = '', *, after: int = 1) -> InsertEvent:
    """End a stream with an exception event, such as `throttlingException`, after so many events."""
    EXCEPTION_EVENT.check(locals())
    return InsertEvent(StreamEvent.exception(name, message or f'The stream ended with {name}.'), after, end=True)


@dataclass(frozen=True)
class DropConnection:
    """Answer whole, then close the keep-alive connection without having said so."""

    def __call__(self, response: Response) -> None:
        """Do it."""
        response.drop_after = True


# Adds nothing to the text but its padding.
_EMPTY_DELTA = b'{"contentBlockIndex":0,"delta":{"text":""},"p":"'


@dataclass(frozen=True)
class OversizedFrame(Checked, size=_FRAME_SIZE, after=WHOLE, sent=optional(WHOLE)):
    """Put a text delta into a stream that is larger than any event of Bedrock's, which have 24 MiB of payload at most.

    Args:
        size: Bytes of its payload.
        after: Events of the stream that go before it.
        sent: Bytes of the frame that are really sent, at any length that it announces (default: all of them).
    """

    size: int = 25_165_825
    after: int = 1
    sent: int | None = None

    def __call__(self, response: Response) -> None:
        """Do it."""
        headers = encode_headers([(':event-type', 'contentBlockDelta'), (':message-type', 'event')])
        # Only the bytes that are sent are made: the frame may announce 4 GiB.
        sent = self.size if self.sent is None else min(self.sent, self.size)
        payload = _EMPTY_DELTA.ljust(sent - 2, b'a') + b'"}'
        frame = encode_frame(headers, payload, payload_size=self.size)
        InsertEvent(frame if self.sent is None else frame[: self.sent], self.after)(response)


@dataclass(frozen=True)
class FailConnection(Checked, then=one_of('reset', 'close', 'hang', 'alert')):
    """Let a connection fail before its first request; over TLS, in the handshake.

    Args:
        then: The answer to the first bytes of the client: a reset, a connection closed in good order, silence
            (`hang`), or a TLS alert, `handshake_failure` (`alert`).
    """

    then: Literal['reset', 'close', 'hang', 'alert'] = 'reset'


Fault = ErrorReply | FailConnection | Callable[[Response], None]
"""An error that is answered, the failure of a connection, or a change of the answer: any callable that takes a
`Response`."""
