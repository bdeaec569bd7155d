"""Encodes long conversations onward: only the messages that were added since the last request become JSON.

An agent sends its whole conversation with every request. Most of it has been encoded, and hashed for the signature, for
the request before.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from sys import getsizeof
from typing import Any, Final

from pydantic_ai_aiobedrock._client.encoding import BodyInPieces
from pydantic_ai_aiobedrock._client.request_body import PIECE_BYTES
from pydantic_ai_aiobedrock._config.conversation import Conversation, conversations
from pydantic_ai_aiobedrock._wire.converse import ConverseEncodeError, encode_in_parts

MIN_LENGTH: Final = 64 * 1024
"""A shorter conversation, in characters, is encoded whole, in some 0.1 ms."""

MAX_LENGTH: Final = 4 * 1024 * 1024
"""A longer conversation is encoded whole, rather than kept in memory once more."""

_OPENING: Final = b'{"messages":['
_CLOSING: Final = b']}'
_MARSHAL_VERSION: Final = 2
"""The last version in which the form of a value does not depend on the references to it."""

_type: Callable[[object], object] = type
"""`type`, by which type checkers narrow nothing: what is told apart is `Any`."""

_Fingerprint = list[str | bytes]
"""The values of messages, in their exact types.

A message of a single text is its role and its text, which compare in no time with themselves; any other is the form
that marshal gives it, in C and for JSON's exact types only, in which equal bytes are equal values.
"""


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A conversation but for its last message.

    Attributes:
        count: The number of messages.
        fingerprint: Their values.
        pieces: The beginning of the body, up to and with the last of them, but for the rest of it.
        rest: That rest, shorter than a piece.
        hashed: The SHA-256 of both.
        members: The fingerprint of the members after the messages: prompts, settings and tools.
        end: The end of the body: those members.
    """

    count: int = 0
    fingerprint: _Fingerprint = field(default_factory=_Fingerprint, repr=False)
    pieces: tuple[bytes, ...] = field(default=(), repr=False)
    rest: bytes = field(default=b'', repr=False)
    hashed: Any = field(default_factory=sha256)
    members: bytes = field(default=b'', repr=False)
    end: bytes = field(default=b'', repr=False)

    @property
    def size(self) -> int:
        """Bytes that are kept: the texts of the fingerprint, too, for the conversation may let go of them."""
        json = PIECE_BYTES * len(self.pieces) + len(self.rest) + len(self.end)
        # A text that is not ASCII takes 2 to 8 bytes for a character: Python keeps its UTF-8, too.
        return json + sum(map(getsizeof, self.fingerprint)) + len(self.members)


def encode_onward(params: Mapping[str, Any], conversation: Conversation | None) -> BodyInPieces | None:
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
        fingerprint, of_members = _fingerprint(settled), marshal.dumps(members, _MARSHAL_VERSION)
    except ValueError:
        return None
    if not MIN_LENGTH <= _length(fingerprint) + len(of_members) <= MAX_LENGTH:
        return None
    known: _Encoded = conversation.encoded or _Encoded()
    if fingerprint[: len(known.fingerprint)] != known.fingerprint:
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
    if known is not conversation.encoded:
        conversations.keep(conversation, known, known.size)
    ending = (b',' if known.count else _OPENING) + last.removesuffix(_CLOSING) + known.end
    hashed = known.hashed.copy()
    hashed.update(ending)
    return BodyInPieces((*known.pieces, known.rest + ending), hashed.hexdigest())


def _fingerprint(messages: Sequence[Any]) -> _Fingerprint:
    """Return the fingerprint of messages.

    Raises:
        ValueError: A value is not of JSON, or nested too deeply.
    """
    fingerprint: _Fingerprint = []
    for message in messages:
        if (
            _type(message) is dict
            and len(message) == 2
            # The order of members is the order in which they are written.
            and next(iter(message)) == 'role'
            and _type(role := message['role']) is str
            and _type(content := message.get('content')) is list
            and len(content) == 1
            and _type(block := content[0]) is dict
            and len(block) == 1
            and _type(text := block.get('text')) is str
        ):
            fingerprint += (role, text)
        else:
            fingerprint.append(marshal.dumps(message, _MARSHAL_VERSION))
    return fingerprint


def _length(fingerprint: _Fingerprint) -> int:
    return sum(map(len, fingerprint))


def _extended(known: _Encoded, count: int, fingerprint: _Fingerprint, added: bytes) -> _Encoded:
    added = (b',' if known.count else _OPENING) + added
    hashed = known.hashed.copy()
    hashed.update(added)
    rest = known.rest + added
    whole = len(rest) - len(rest) % PIECE_BYTES
    return replace(
        known,
        count=count,
        fingerprint=fingerprint,
        pieces=(*known.pieces, *(rest[start : start + PIECE_BYTES] for start in range(0, whole, PIECE_BYTES))),
        rest=rest[whole:],
        hashed=hashed,
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
