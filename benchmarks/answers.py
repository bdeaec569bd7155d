"""The constant answers of the lean server, byte for byte as Bedrock frames them."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from functools import lru_cache
from zlib import crc32

TEXT = 'The capital of France is Paris, which has been the seat of nearly every French government since 987.'
PADDING = 'abcdefghijklmnopqrstuvwxyzABCDEF'
STAMP_LENGTH = 18
"""`@` and the server's monotonic clock: the text of every delta is of this length, stamped or not."""


def stamp(now: float) -> str:
    """Give the text of a delta that is sent now."""
    return f'@{now:017.6f}'


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(',', ':')).encode()


def _headers(event_type: str) -> bytes:
    headers = {':event-type': event_type, ':content-type': 'application/json', ':message-type': 'event'}
    return b''.join(
        bytes([len(name)]) + name.encode() + b'\x07' + struct.pack('>H', len(value)) + value.encode()
        for name, value in headers.items()
    )


def _frame(event_type: str, payload: bytes) -> bytes:
    headers = _headers(event_type)
    prelude = struct.pack('>II', 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack('>I', crc32(prelude)) + headers + payload
    return message + struct.pack('>I', crc32(message))


def _chunk(data: bytes) -> bytes:
    return b'%x\r\n%b\r\n' % (len(data), data)


def _json_response(value: object, status: bytes = b'200 OK', *headers: bytes) -> bytes:
    body = _compact(value)
    return (
        b'HTTP/1.1 %b\r\nDate: Mon, 02 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n'
        b'Content-Length: %d\r\nConnection: keep-alive\r\n%b'
        b'x-amzn-RequestId: 5a1f2c9e-6f0b-4d0e-9a55-0d7c3e6b8f11\r\n\r\n%b'
        % (status, len(body), b''.join(header + b'\r\n' for header in headers), body)
    )


_STREAM_HEAD = (
    b'HTTP/1.1 200 OK\r\nDate: Mon, 02 Nov 2026 10:00:00 GMT\r\n'
    b'Content-Type: application/vnd.amazon.eventstream\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n'
    b'x-amzn-RequestId: 5a1f2c9e-6f0b-4d0e-9a55-0d7c3e6b8f11\r\n\r\n'
)

LAST_CHUNK = b'0\r\n\r\n'


class StreamKind:
    """The frames of one kind of stream: its head, its deltas, its tail."""

    def __init__(self, head: list[bytes], delta: tuple[bytes, bytes], tail: list[bytes], wrapped: bool) -> None:
        """Take the frames before and after the deltas, and the JSON around a delta's text.

        Args:
            head: Frames before the first delta.
            delta: JSON before and after a delta's text.
            tail: Frames after the last delta.
            wrapped: Whether the JSON travels as base64 in a `chunk` event, as InvokeModel has it.
        """
        self.head = _STREAM_HEAD + b''.join(_chunk(frame) for frame in head)
        self.tail = b''.join(_chunk(frame) for frame in tail) + LAST_CHUNK
        self._wrapped = wrapped
        self._before, self._after = delta
        sample = self._delta_frame(stamp(0))
        self._prefix = sample[: len(sample) - len(self._payload(stamp(0))) - 4]
        self._prefix_crc = crc32(self._prefix)
        self._chunk_head = b'%x\r\n' % len(sample)

    def delta(self, text: str) -> bytes:
        """Give one delta, as an HTTP chunk."""
        payload = self._payload(text)
        crc = struct.pack('>I', crc32(payload, self._prefix_crc))
        return b''.join((self._chunk_head, self._prefix, payload, crc, b'\r\n'))

    @lru_cache(maxsize=8)  # noqa: B019 - the two kinds of stream live as long as the process
    def whole(self, deltas: int) -> bytes:
        """Give a whole response, no delta of which repeats another."""
        return b''.join((self.head, *(self.delta(stamp(number)) for number in range(deltas)), self.tail))

    def cut(self, deltas: int) -> bytes:
        """Give a response that ends in good order after its deltas, without what would come after them."""
        return self.whole(deltas).removesuffix(self.tail) + LAST_CHUNK

    def _payload(self, text: str) -> bytes:
        event = self._before + text.encode() + self._after
        return _wrap(event) if self._wrapped else event

    def _delta_frame(self, text: str) -> bytes:
        return _frame('chunk' if self._wrapped else 'contentBlockDelta', self._payload(text))


def _wrap(event: bytes) -> bytes:
    return b'{"bytes":"%b","p":"%b"}' % (b64encode(event), PADDING.encode())


def _event(event_type: str, **members: object) -> bytes:
    return _frame(event_type, _compact(dict(sorted({**members, 'p': PADDING}.items()))))


def _anthropic(event_type: str, **members: object) -> bytes:
    return _frame('chunk', _wrap(_compact({'type': event_type, **members})))


_USAGE = {'inputTokens': 18, 'outputTokens': 24, 'serverToolUsage': {}, 'totalTokens': 42}
_ANTHROPIC_USAGE = {'input_tokens': 18, 'output_tokens': 24}
_ANTHROPIC_MESSAGE = {
    'id': 'msg_bdrk_01AbCdEfGhIjKlMnOpQrStUv',
    'type': 'message',
    'role': 'assistant',
    'model': 'claude-sonnet-4-5-20250929',
    'stop_sequence': None,
    'usage': _ANTHROPIC_USAGE,
}

CONVERSE = _json_response(
    {
        'metrics': {'latencyMs': 268},
        'output': {'message': {'content': [{'text': TEXT}], 'role': 'assistant'}},
        'stopReason': 'end_turn',
        'usage': _USAGE,
    }
)
INVOKE = _json_response(
    {**_ANTHROPIC_MESSAGE, 'content': [{'type': 'text', 'text': TEXT}], 'stop_reason': 'end_turn'},
)
REFUSED = _json_response(
    {'message': 'The security token included in the request is invalid.'},
    b'403 Forbidden',
    b'x-amzn-ErrorType: UnrecognizedClientException',
)
THROTTLED = _json_response(
    {'message': 'Too many requests, please wait before trying again.'},
    b'429 Too Many Requests',
    b'x-amzn-ErrorType: ThrottlingException',
)
THROTTLED_BY_TOKENS = _json_response(
    {'message': 'Too many tokens, please wait before trying again.'},
    b'429 Too Many Requests',
    b'x-amzn-ErrorType: ThrottlingException',
)
CONVERSE_STREAM = StreamKind(
    head=[_event('messageStart', role='assistant')],
    delta=(b'{"contentBlockIndex":0,"delta":{"text":"', b'"},"p":"%b"}' % PADDING.encode()),
    tail=[
        _event('contentBlockStop', contentBlockIndex=0),
        _event('messageStop', stopReason='end_turn'),
        _event('metadata', metrics={'latencyMs': 268}, usage=_USAGE),
    ],
    wrapped=False,
)
INVOKE_STREAM = StreamKind(
    head=[
        _anthropic('message_start', message={**_ANTHROPIC_MESSAGE, 'content': [], 'stop_reason': None}),
        _anthropic('content_block_start', index=0, content_block={'type': 'text', 'text': ''}),
    ],
    delta=(b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"', b'"}}'),
    tail=[
        _anthropic('content_block_stop', index=0),
        _anthropic(
            'message_delta', delta={'stop_reason': 'end_turn', 'stop_sequence': None}, usage={'output_tokens': 24}
        ),
        _anthropic(
            'message_stop',
            **{'amazon-bedrock-invocationMetrics': {'inputTokenCount': 18, 'outputTokenCount': 24, 'latencyMs': 268}},
        ),
    ],
    wrapped=True,
)
