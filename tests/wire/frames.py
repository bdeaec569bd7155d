"""What the tests of the wire speak: an encoder of event stream messages, and the recorded exchanges."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from struct import pack
from typing import Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, settings

RECORDED = Path(__file__).parents[3] / 'shared' / 'recorded'
EXCHANGES = sorted(RECORDED.glob('*.json'))

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


def recorded(path: Path) -> Iterator[dict[str, Any]]:
    """Read the exchanges of a recording."""
    yield from json.loads(path.read_bytes())


def recorded_streams() -> Iterable[Any]:
    """Name each recorded event stream for `parametrize`, or one test that says why there is none."""
    streams = [
        pytest.param(base64.b64decode(exchange['response']['base64']), id=f'{path.stem}-{number}')
        for path in EXCHANGES
        for number, exchange in enumerate(recorded(path))
        if 'base64' in exchange['response']
    ]
    return streams or [pytest.param(b'', marks=pytest.mark.skip(reason=f'no recorded exchanges in {RECORDED}'))]
