"""What the tests of the wire speak: an encoder of event stream messages, and the recorded exchanges."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from struct import pack
from typing import Any
from zlib import crc32

from hypothesis import HealthCheck, settings

from pydantic_ai_aiobedrock._wire.frames import EventStreamDecoder, Message

# The same examples on every run, and no clock: a slow machine is not a failure.
property_test = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def frame(
    payload: bytes, headers: Mapping[str, bytes | str] | bytes = b'', *, length: int | None = None, prelude_crc: int = 0
) -> bytes:
    """Encode one message; `headers` are strings, or a header block as it stands on the wire."""
    if not isinstance(headers, bytes):
        headers = b''.join(header(name, 7, sized(value)) for name, value in headers.items())
    prelude = pack('>II', 16 + len(headers) + len(payload) if length is None else length, len(headers))
    prelude += pack('>I', crc32(prelude) ^ prelude_crc)
    message = prelude + headers + payload
    return message + pack('>I', crc32(message))


def header(name: bytes | str, kind: int, value: bytes = b'') -> bytes:
    name = name.encode() if isinstance(name, str) else name
    return pack('>B', len(name)) + name + pack('>B', kind) + value


def sized(value: bytes | str) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return pack('>H', len(value)) + value


def event(event_type: str, payload: Any) -> bytes:
    """Encode an event as Bedrock sends it."""
    headers = {':event-type': event_type, ':content-type': 'application/json', ':message-type': 'event'}
    return frame(payload if isinstance(payload, bytes) else json.dumps(payload).encode(), headers)


def exception(exception_type: str, payload: Any) -> bytes:
    """Encode an exception as Bedrock sends it in the middle of a stream."""
    headers = {':exception-type': exception_type, ':content-type': 'application/json', ':message-type': 'exception'}
    return frame(payload if isinstance(payload, bytes) else json.dumps(payload).encode(), headers)


def exchanges(path: Path) -> Iterator[dict[str, Any]]:
    """Read the exchanges of a recording, or of all in a folder."""
    for file in sorted(path.glob('*.json')) if path.is_dir() else [path]:
        yield from json.loads(file.read_bytes())


def streams(path: Path) -> Iterator[bytes]:
    """Read the event streams of a recording, or of all in a folder, byte for byte."""
    for exchange in exchanges(path):
        if 'base64' in exchange['response']:
            yield base64.b64decode(exchange['response']['base64'])


def message(encoded: bytes) -> Message:
    """Decode the only message of these bytes."""
    decoder = EventStreamDecoder()
    decoder.feed(encoded)
    [only] = decoder
    return only


def event_message(event_type: str, payload: Any) -> Message:
    return message(event(event_type, payload))
