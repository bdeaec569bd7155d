"""Incremental decoder of `application/vnd.amazon.eventstream`: bytes in, messages out, no I/O."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple, NoReturn, TypeAlias
from zlib import crc32

__all__ = ['EventStreamDecodeError', 'EventStreamDecoder', 'HeaderValue', 'Message']

HeaderValue: TypeAlias = bool | int | bytes | str
"""A decoded header: timestamps are milliseconds since the epoch, UUIDs their 16 bytes."""

_PRELUDE = struct.Struct('>III')
_CRC = struct.Struct('>I')
_unpack_lengths = struct.Struct('>II').unpack_from
_unpack_crc = _CRC.unpack_from
_PRELUDE_SIZE, _CRC_SIZE = _PRELUDE.size, _CRC.size
_KEPT_BYTES = 512
"""Longer headers would be a burden to keep, and are not."""

_SHORT = struct.Struct('>H')
_LONG = struct.Struct('>q')
_NUMBERS = {2: struct.Struct('>b'), 3: struct.Struct('>h'), 4: struct.Struct('>i'), 5: _LONG, 8: _LONG}
_TRUE, _FALSE, _BYTES, _STRING, _UUID = 0, 1, 6, 7, 9


class EventStreamDecodeError(ValueError):
    """The bytes are not an event stream, or end inside a message."""


class Message(NamedTuple):
    """A message of an event stream."""

    headers: Mapping[str, HeaderValue]
    payload: bytes


# The function that a named tuple's own constructor calls, at half the cost.
_new_tuple: Callable[[type[Message], tuple[Mapping[str, HeaderValue], bytes]], Message] = tuple.__new__  # pyright: ignore


class EventStreamDecoder:
    """Decode an event stream that arrives in pieces of any size.

    `feed` takes bytes as they arrive, and iterating yields each message that is complete:

        decoder.feed(data)
        for message in decoder:
            ...

    The iteration ends where more bytes are needed; feed them and iterate again. An iteration that is given up takes its
    messages with it. Both checksums of a message are checked before any part of it is handed out, and its length is not
    trusted before the checksum over it.
    A damaged message ends the stream: every later call raises the same error.
    """

    def __init__(self) -> None:
        self._buffer: bytes | bytearray = b''
        self._offset = 0
        # Bytes from `_offset` on that are needed to get any further.
        self._needed = _PRELUDE_SIZE
        self._failure: str | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream.

        Raises:
            EventStreamDecodeError: The stream has already failed.
        """
        self._raise_failure()
        if self._offset == len(self._buffer):
            self._buffer = bytes(data)
        else:
            # Gathered in place: a message in a thousand pieces must not be copied a thousand times.
            if not isinstance(self._buffer, bytearray):
                self._buffer = bytearray(memoryview(self._buffer)[self._offset :])
            self._buffer += data
        self._offset = 0

    def __iter__(self) -> Iterator[Message]:
        """Return the messages that are complete.

        Raises:
            EventStreamDecodeError: The next message is damaged.
        """
        self._raise_failure()
        if len(self._buffer) - self._offset < self._needed:
            return iter(())
        # A list: resuming a generator costs a third of decoding a message.
        messages: list[Message] = []
        try:
            self._decode_into(messages)
        except EventStreamDecodeError as error:
            return chain(messages, _raising(error))
        return iter(messages)

    def _decode_into(self, messages: list[Message]) -> None:
        data = self._buffer = bytes(self._buffer)
        position, end = self._offset, len(data)
        self._needed = _PRELUDE_SIZE
        while end - position >= _PRELUDE_SIZE:
            length, headers_length = _unpack_lengths(data, position)
            headers_end = position + _PRELUDE_SIZE + headers_length
            try:
                if headers_end > end:
                    self._needed = _checked_length(data[position : position + _PRELUDE_SIZE])
                    break
                decode_start = _cached_start if headers_length <= _KEPT_BYTES else _decode_start
                headers, checksum = decode_start(data[position:headers_end])
            except EventStreamDecodeError as error:
                self._fail(str(error))
            if end - position < length:
                self._needed = length
                break
            position += length
            payload = data[headers_end : position - _CRC_SIZE]
            if crc32(payload, checksum) != _unpack_crc(data, position - _CRC_SIZE)[0]:
                self._fail('the checksum of a message is wrong')
            if isinstance(headers, EventStreamDecodeError):
                self._fail(str(headers))
            messages.append(_new_tuple(Message, (headers, payload)))
        self._offset = position

    def close(self) -> None:
        """Say that the stream has ended, once every message has been taken.

        Raises:
            EventStreamDecodeError: It ended inside a message, or failed before.
        """
        self._raise_failure()
        if left := len(self._buffer) - self._offset:
            self._fail(f'it ended {left} bytes into a message')

    def _fail(self, reason: str) -> NoReturn:
        self._failure = f'Invalid event stream: {reason}'
        self._buffer, self._offset = b'', 0
        raise EventStreamDecodeError(self._failure) from None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise EventStreamDecodeError(self._failure)


def _raising(error: EventStreamDecodeError) -> Iterator[NoReturn]:
    raise error
    yield


def _checked_length(prelude: bytes) -> int:
    length, headers_length, checksum = _PRELUDE.unpack(prelude)
    if crc32(prelude[:8]) != checksum:
        raise EventStreamDecodeError('the checksum of a prelude is wrong')
    if length < _PRELUDE_SIZE + headers_length + _CRC_SIZE:
        raise EventStreamDecodeError(f'a message of {length} bytes cannot hold {headers_length} bytes of headers')
    return length


def _decode_start(start: bytes) -> tuple[Mapping[str, HeaderValue] | EventStreamDecodeError, int]:
    """Return the headers of the message that starts so, and the checksum of this start.

    Or the error in the headers, which may be damage that the checksum of the message tells.
    """
    _checked_length(start[:_PRELUDE_SIZE])
    headers: Mapping[str, HeaderValue] | EventStreamDecodeError
    try:
        decode_headers = _cached_headers if len(start) <= _PRELUDE_SIZE + _KEPT_BYTES else _decode_headers
        headers = decode_headers(start[_PRELUDE_SIZE:])
    except EventStreamDecodeError as error:
        headers = EventStreamDecodeError(*error.args)
    return headers, crc32(start)


_cached_start = lru_cache(maxsize=512)(_decode_start)
"""A stream has few lengths and kinds of messages, over and over, and repeats the headers of a kind byte for byte."""


def _decode_headers(block: bytes) -> Mapping[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    position = 0
    try:
        while position < len(block):
            name_end = position + 1 + block[position]
            name, kind = block[position + 1 : name_end].decode(), block[name_end]
            if name in headers:
                raise EventStreamDecodeError(f'the header {name!r} stands twice in a message')
            headers[name], position = _decode_value(name, kind, block, name_end + 1)
    except (IndexError, struct.error):
        raise EventStreamDecodeError('a header is longer than the headers of its message') from None
    except UnicodeDecodeError:
        raise EventStreamDecodeError('a header is not UTF-8') from None
    return MappingProxyType(headers)


_cached_headers = lru_cache(maxsize=128)(_decode_headers)


def _decode_value(name: str, kind: int, block: bytes, position: int) -> tuple[HeaderValue, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, position
    if number := _NUMBERS.get(kind):
        return number.unpack_from(block, position)[0], position + number.size
    if kind == _UUID:
        length = 16
    elif kind in (_BYTES, _STRING):
        (length,) = _SHORT.unpack_from(block, position)
        position += _SHORT.size
    else:
        raise EventStreamDecodeError(f'the header {name!r} is of the unknown type {kind}')
    end = position + length
    if end > len(block):
        raise IndexError
    value = block[position:end]
    return value.decode() if kind == _STRING else value, end
