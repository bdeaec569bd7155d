"""Encodes requests: small ones at once, those with large blobs in a thread, so that the event loop goes on."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any, Final

from pydantic_ai_aiobedrock._core.in_thread import start_in_thread
from pydantic_ai_aiobedrock._core.turns import turns
from pydantic_ai_aiobedrock._wire.converse import encode_in_parts, join

OFF_LOOP_BYTES: Final = 256 * 1024
"""Blobs of more than this in all are made base64, and hashed, in a thread."""

_PIECE_BYTES: Final = 3 * 64 * 1024
"""Made base64 at once, in some 0.3 ms in which no other thread runs; base64 comes in units of 3."""


class LargeBody(bytearray):
    """A body that was encoded and hashed in a thread."""

    digest: str
    """Its SHA-256, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class BodyInPieces:
    """A body whose pieces are shared with those of other requests of its conversation.

    Attributes:
        pieces: The bytes.
        digest: Their SHA-256, in hexadecimal.
    """

    pieces: tuple[bytes, ...] = field(repr=False)
    digest: str

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def __bytes__(self) -> bytes:
        return b''.join(self.pieces)


Body = bytes | bytearray | BodyInPieces


def digest_of(body: Body) -> str:
    """Return the SHA-256 of a body, in hexadecimal, which its signature covers."""
    return body.digest if isinstance(body, LargeBody | BodyInPieces) else sha256(body).hexdigest()


async def encode(params: Mapping[str, Any]) -> bytes | LargeBody:
    """Encode the parameters of Converse, ConverseStream or CountTokens as the body of the request.

    Raises:
        ConverseEncodeError: A value is not of JSON.
    """
    parts = encode_in_parts(params)
    if len(parts) == 1:
        return parts[0]
    if sum(map(len, parts[1::2])) <= OFF_LOOP_BYTES:
        return join(parts)
    # Of many threads at once, each would get its turn before the event loop does.
    async with turns().encodings:
        return await start_in_thread(partial(_assemble, parts))


def _assemble(parts: Sequence[bytes]) -> LargeBody:
    # It grows with what is added: to make all of its pages at once would take some 10 ms.
    body, digest = LargeBody(), sha256()
    for index, part in enumerate(parts):
        if index % 2 == 0:
            body += part
            digest.update(part)
            continue
        for start in range(0, len(part), _PIECE_BYTES):
            piece = b64encode(part[start : start + _PIECE_BYTES])
            body += piece
            digest.update(piece)
    body.digest = digest.hexdigest()
    return body
