"""Recorded exchanges without secrets, and without account ids where the caller wants that.

A secret may stand in a text that comes in pieces, such as the deltas of a stream: the pieces are searched together.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Collection, Iterator
from typing import Any, cast

from local_bedrock.frames import encode_frame, split_frames

ACCOUNT_ID = '123456789012'
"""The account id that stands for all others: that of AWS's own examples."""

# Nothing shorter is a secret of AWS's, and it could be a word.
_SECRET_LENGTH = 8
_ARN = re.compile(r'(arn(?::|%3A)aws[\w-]*(?:(?::|%3A)[\w-]*){2}(?::|%3A))(\d{12})(?!\d)', re.IGNORECASE)
_SMALLEST_FRAME = 16

_Slot = tuple[int, Any, Any]
"""A text in a stream: the number of its frame, the container that it stands in, and its key there."""


def without_account_ids(text: str) -> str:
    """Return a text with one account id in all ARNs."""
    return _ARN.sub(rf'\g<1>{ACCOUNT_ID}', text)


class Masking:
    """The texts that must not be recorded."""

    def __init__(self, secrets: Collection[str], *, account_ids: bool = False) -> None:
        self._secrets = [secret for secret in secrets if len(secret) >= _SECRET_LENGTH]
        self._account_ids = account_ids
        self._found: set[str] = set()

    def masked(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """Return an exchange as it stands in a file, masked."""
        if self._account_ids:
            # An id is also masked where it stands alone, such as in the name of a bucket.
            self._found.update(found[1] for text in _texts(recorded) for found in _ARN.findall(text))
        # Streams first: they may name more ids.
        packed = {
            name: b64encode(self._bytes(b64decode(recorded[name]['base64']))).decode()
            for name in ('request', 'response')
            if 'base64' in recorded[name]
        }
        masked = _mapped(recorded, self._text)
        for name, body in packed.items():
            masked[name]['base64'] = body
        return masked

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, '***')
        return self._ids(text)

    def _ids(self, text: str) -> str:
        for found in self._found:
            text = text.replace(found, ACCOUNT_ID)
        return text

    def _aligned(self, text: str) -> str:
        """Return a text of the same length, masked."""
        for secret in self._secrets:
            text = text.replace(secret, '*' * len(secret))
        if self._account_ids:
            self._found.update(found[1] for found in _ARN.findall(text))
        return self._ids(text)

    def _bytes(self, data: bytes) -> bytes:
        """Return a body that is not JSON, masked: a stream event by event, anything else byte by byte."""
        frames = split_frames(data)
        try:
            events = [_Event(frame) for frame in frames]
        except ValueError:
            return self._aligned(data.decode('latin-1')).encode('latin-1')
        runs: dict[Any, list[_Slot]] = {}
        for number, event in enumerate(events):
            for path, container, key in event.texts():
                runs.setdefault(path, []).append((number, container, key))
        changed: set[int] = set()
        for slots in runs.values():
            changed.update(self._mask_run(slots))
        return b''.join(event.encoded() if n in changed else frames[n] for n, event in enumerate(events))

    def _mask_run(self, slots: list[_Slot]) -> Iterator[int]:
        """Mask a text that comes in pieces, and yield the numbers of the events that this changes."""
        masked, at = self._aligned(''.join(container[key] for _, container, key in slots)), 0
        for number, container, key in slots:
            piece = masked[at : at + len(container[key])]
            at += len(piece)
            if piece != container[key]:
                container[key] = piece
                yield number


class _Event:
    """An event of a stream, decoded.

    Raises:
        ValueError: It is none.
    """

    def __init__(self, frame: bytes) -> None:
        size, headers_size = (int.from_bytes(frame[at : at + 4], 'big') for at in (0, 4))
        if not _SMALLEST_FRAME <= size == len(frame) or headers_size > size - _SMALLEST_FRAME:
            raise ValueError('not a frame')
        self._headers = frame[12 : 12 + headers_size]
        self._payload: Any = json.loads(frame[12 + headers_size : -4] or b'null')
        self._inner: Any = None
        # InvokeModelWithResponseStream has its events in Base64 within events.
        payload = self._payload
        members = cast('dict[str, Any]', payload) if isinstance(payload, dict) else {}
        packed = members.get('bytes')
        if isinstance(packed, str):
            try:
                self._inner = json.loads(b64decode(packed, validate=True))
            except (Base64Error, ValueError):
                return

    def texts(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield the texts, each with a path that it shares with the pieces that continue it."""
        root = self._payload if self._inner is None else self._inner
        index = None
        if isinstance(root, dict):
            members = cast('dict[str, Any]', root)
            index = members.get('contentBlockIndex', members.get('index'))
        yield from _slots(root, (index,))

    def encoded(self) -> bytes:
        """Return the frame of the event."""
        if self._inner is not None:
            self._payload['bytes'] = b64encode(_compact(self._inner)).decode()
        return encode_frame(self._headers, _compact(self._payload))


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(',', ':')).encode()


def _slots(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, Any, Any]]:
    if isinstance(value, dict | list):
        container = cast('dict[Any, Any] | list[Any]', value)
        for key in container if isinstance(container, dict) else range(len(container)):
            if isinstance(container[key], str):
                yield (*path, key), container, key
            else:
                yield from _slots(container[key], (*path, key))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, member in cast('dict[str, Any]', value).items():
            yield key
            yield from _texts(member)
    elif isinstance(value, list):
        for member in cast('list[Any]', value):
            yield from _texts(member)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _mapped(member, change) for key, member in cast('dict[str, Any]', value).items()}
    if isinstance(value, list):
        return [_mapped(member, change) for member in cast('list[Any]', value)]
    return value
