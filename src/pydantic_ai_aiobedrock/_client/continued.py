"""Encodes long conversations onward: only the messages that were added since the last request become JSON.

An agent sends its whole conversation with every request. Most of it has been encoded, and hashed for the signature, for
the request before.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

from pydantic_ai_aiobedrock._client.encoding import LargeBody
from pydantic_ai_aiobedrock._config.conversation import Conversation, conversations
from pydantic_ai_aiobedrock._wire.converse import ConverseEncodeError, encode_in_parts

MIN_BYTES: Final = 64 * 1024
"""A shorter conversation is encoded whole, in some 0.1 ms."""

MAX_BYTES: Final = 4 * 1024 * 1024
"""A longer conversation is encoded whole, rather than kept in memory twice more."""

_OPENING: Final = b'{"messages":['
_CLOSING: Final = b']}'
_MARSHAL_HEADER: Final = 5
_MARSHAL_VERSION: Final = 2
"""The last version in which the form of a value does not depend on the references to it."""


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A conversation but for its last message.

    Attributes:
        count: The number of messages.
        fingerprint: Their values and exact types.
        json: The beginning of the body, up to and with the last of them.
        hashed: Its SHA-256.
        members: The fingerprint of the members after the messages: prompts, settings and tools.
        end: The end of the body: those members.
    """

    count: int = 0
    fingerprint: bytes = field(default=b'', repr=False)
    json: bytes = field(default=b'', repr=False)
    hashed: Any = field(default_factory=sha256)
    members: bytes = field(default=b'', repr=False)
    end: bytes = field(default=b'', repr=False)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return len(self.fingerprint) + len(self.json) + len(self.members) + len(self.end)


def encode_onward(params: Mapping[str, Any], conversation: Conversation | None) -> LargeBody | None:
    """Encode parameters to the very bytes that `encode` makes of them, if their conversation is long.

    Returns:
        The body, or None if `encode` is to make it: of a short conversation, of one with large blobs, of values that
        are not JSON.
    """
    if conversation is None:
        return None
    members: dict[str, Any] = {name: value for name, value in params.items() if value is not None and name != 'modelId'}
    if next(iter(members), '') != 'messages' or type(members['messages']) is not list:
        return None
    messages: list[Any] = members.pop('messages')
    # The last message is not kept: a cache point in it moves on.
    settled = messages[:-1]
    try:
        # In C, and of JSON's exact types only. Each value is written in a form that shows where it ends, so that equal
        # bytes are equal values.
        fingerprint, of_members = (marshal.dumps(each, _MARSHAL_VERSION) for each in (settled, members))
    except ValueError:
        return None
    if not MIN_BYTES <= len(fingerprint) + len(of_members) <= MAX_BYTES:
        return None
    known: _Encoded = conversation.encoded or _Encoded()
    if known.count > len(settled) or not fingerprint.startswith(known.fingerprint, _MARSHAL_HEADER):
        known = _Encoded()
    if known.count < len(settled):
        if (added := _after_opening({'messages': settled[known.count :]})) is None:
            return None
        known = _extended(known, len(settled), fingerprint, added.removesuffix(_CLOSING))
    if known.members != of_members:
        if (end := _after_opening({'messages': [], **members})) is None:
            return None
        known = replace(known, members=of_members, end=end)
    if (last := _after_opening({'messages': messages[-1:]})) is None:
        return None
    conversations.keep(conversation, known, known.size)
    rest = (b',' if known.count else _OPENING) + last.removesuffix(_CLOSING) + known.end
    hashed = known.hashed.copy()
    hashed.update(rest)
    body = LargeBody(known.json)
    body += rest
    body.digest = hashed.hexdigest()
    return body


def _extended(known: _Encoded, count: int, fingerprint: bytes, added: bytes) -> _Encoded:
    added = (b',' if known.count else _OPENING) + added
    hashed = known.hashed.copy()
    hashed.update(added)
    return replace(
        known, count=count, fingerprint=fingerprint[_MARSHAL_HEADER:], json=known.json + added, hashed=hashed
    )


def _after_opening(params: Mapping[str, Any]) -> bytes | None:
    """Return the JSON of parameters from their first message on.

    None for JSON that is in parts, that has half a surrogate pair, or that cannot be.
    """
    try:
        parts = encode_in_parts(params)
    except ConverseEncodeError:
        return None
    return parts[0][len(_OPENING) :] if len(parts) == 1 and parts[0].startswith(_OPENING) else None
