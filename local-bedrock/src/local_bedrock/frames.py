"""Encoder of application/vnd.amazon.eventstream, as Bedrock writes it.

A frame is a prelude (total length, length of the headers, CRC-32 of those eight bytes), the headers, the payload and a
CRC-32 of all that goes before it; all numbers are big-endian.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID
from zlib import crc32

from pydantic_core import to_json

HeaderValue = str | bytes | bool | int | datetime | UUID

_PRELUDE = struct.Struct('>II')
_CRC = struct.Struct('>I')
_PADDING = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
# 120 recorded events carry 2 to 61 characters of padding, all lengths about as often.
_PADDING_LENGTHS = range(2, 62)


@dataclass(frozen=True)
class StreamEvent:
    """A message of an event stream, before it is framed.

    Args:
        name: The event type (`contentBlockDelta`), the exception type (`throttlingException`) or the error code.
        payload: A mapping, written as JSON, or the bytes themselves.
        message_type: `event`, `exception` or `error`.
        message: The text of an `error`, which travels in a header.
    """

    name: str
    payload: Mapping[str, Any] | bytes = field(default_factory=dict[str, Any])
    message_type: str = 'event'
    message: str = ''

    @classmethod
    def exception(cls, name: str, message: str, **members: Any) -> StreamEvent:
        """Make an exception event, such as `throttlingException`."""
        return cls(name, {'message': message, **members}, 'exception')

    @classmethod
    def error(cls, code: str, message: str) -> StreamEvent:
        """Make an unmodelled error: `:message-type: error` with its code and its message in headers."""
        return cls(code, b'', 'error', message)


def encode_frame(headers: bytes, payload: bytes, *, payload_size: int | None = None) -> bytes:
    """Frame encoded headers and a payload, with both checksums; the size is taken as it is given, true or not."""
    size = len(payload) if payload_size is None else payload_size
    prelude = _PRELUDE.pack(16 + len(headers) + size, len(headers))
    prelude_crc = crc32(prelude)
    body = b''.join((prelude, _CRC.pack(prelude_crc), headers, payload))
    return body + _CRC.pack(crc32(body))


def encode_headers(headers: Iterable[tuple[str, HeaderValue]]) -> bytes:
    """Encode headers, each with the wire type that its Python type stands for."""
    return b''.join(bytes((len(name.encode()),)) + name.encode() + _header_value(value) for name, value in headers)


def _header_value(value: HeaderValue) -> bytes:
    if isinstance(value, bool):
        return b'\x00' if value else b'\x01'
    if isinstance(value, int):
        return b'\x04' + value.to_bytes(4, 'big', signed=True)
    if isinstance(value, bytes):
        return b'\x06' + len(value).to_bytes(2, 'big') + value
    if isinstance(value, str):
        encoded = value.encode()
        return b'\x07' + len(encoded).to_bytes(2, 'big') + encoded
    if isinstance(value, datetime):
        return b'\x08' + int(value.timestamp() * 1000).to_bytes(8, 'big', signed=True)
    return b'\x09' + value.bytes


@lru_cache(maxsize=256)
def _message_headers(message_type: str, name: str) -> bytes:
    if message_type == 'error':
        return encode_headers([(':message-type', 'error'), (':error-code', name)])
    return encode_headers(
        [(f':{message_type}-type', name), (':content-type', 'application/json'), (':message-type', message_type)]
    )


def encode_event(event: StreamEvent) -> bytes:
    """Frame a stream event, headers in the order in which Bedrock sends them."""
    headers = _message_headers(event.message_type, event.name)
    if event.message_type == 'error':
        headers += encode_headers([(':error-message', event.message)])
    payload = event.payload if isinstance(event.payload, bytes) else to_json(event.payload)
    return encode_frame(headers, payload)


class Padding:
    """Source of the `p` member: a prefix of the alphabet, its length pseudo-random and the same for the same seed."""

    def __init__(self, seed: int | str) -> None:
        self._choice = random.Random(seed)

    def pad(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the payload with its padding, members in alphabetical order as on the wire."""
        padded = {**payload, 'p': _PADDING[: self._choice.choice(_PADDING_LENGTHS)]}
        return {name: padded[name] for name in sorted(padded)}


def split_frames(stream: bytes) -> list[bytes]:
    """Cut a stream into its frames, by the lengths that they announce; a rest that is no frame stays whole."""
    pieces: list[bytes] = []
    at = 0
    while at < len(stream):
        length = int.from_bytes(stream[at : at + 4], 'big')
        end = at + length if 16 <= length <= len(stream) - at else len(stream)
        pieces.append(stream[at:end])
        at = end
    return pieces
