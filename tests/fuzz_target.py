"""What is fuzzed, by atheris and with the inputs that it has left: the decoder and the codec."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path

from pydantic_ai_aiobedrock._wire.converse import decode_event, decode_response
from pydantic_ai_aiobedrock._wire.converse_errors import ConverseDecodeError, ConverseStreamError
from pydantic_ai_aiobedrock._wire.frames import EventStreamDecodeError, EventStreamDecoder

OWN_ERRORS = (ConverseDecodeError, ConverseStreamError, EventStreamDecodeError)
CORPUS = Path(__file__).parent / 'fuzz_corpus.json'
"""Inputs that together reach all that fuzzing has reached, each in base64."""


def decode(pieces: Iterable[bytes]) -> list[str]:
    """Decode a stream, and say what comes of it, to the end or the first error."""
    decoder = EventStreamDecoder()
    came: list[str] = []
    try:
        for piece in pieces:
            decoder.feed(piece)
            came += (repr((message, decode_event(message))) for message in decoder)
        decoder.close()
    except OWN_ERRORS as error:
        came.append(repr(error))
    return came


def check_input(data: bytes) -> None:
    """Decode a stream at once and in pieces, of the size that its first byte says, and its rest as a body."""
    size, stream = (data[0] % 64 + 1, data[1:]) if data else (1, b'')
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    if decode([stream]) != decode(pieces):
        raise AssertionError(f'pieces of {size} bytes make a difference')
    try:
        decode_response(stream)
    except OWN_ERRORS:
        return


def read_corpus() -> list[bytes]:
    """Return the inputs that are kept."""
    return [b64decode(text) for text in json.loads(CORPUS.read_text())]


def write_corpus(inputs: Iterable[bytes]) -> None:
    """Keep these inputs, the short ones first."""
    texts = [b64encode(data).decode() for data in sorted(inputs, key=lambda data: (len(data), data))]
    CORPUS.write_text(json.dumps(texts, indent=0) + '\n')
