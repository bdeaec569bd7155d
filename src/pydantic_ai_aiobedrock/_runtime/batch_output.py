"""The output file of a batch inference job, from bytes to records (sans-I/O); a damaged line is an error of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic_core import from_json

_BOM = b'\xef\xbb\xbf'
_ID = rb'"recordId"\s*:\s*("(?:[^"\\]|\\.)*")'
# Elsewhere in a line that cannot be parsed, the member may be the request's own.
_ID_AT_AN_END = re.compile(rb'\A\s*\{\s*%b|%b\s*\}?\s*\Z' % (_ID, _ID))


@dataclass(frozen=True)
class OutputRecord:
    """A line of the output.

    Exactly one of `output`, `error` and `damage` is not None.
    """

    record_id: str | None
    """The id of the request, or None if the line is too damaged to show it."""
    output: dict[str, Any] | None = field(default=None, repr=False)
    """The response of the model."""
    error: dict[str, Any] | None = None
    """The error instead of a response: `errorCode` and `errorMessage`."""
    damage: str | None = None
    """The reason why the line is neither."""


class LineSplitter:
    """Splits chunks into lines, in time that is linear in their size, for lines of any length."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Iterate over the lines that a chunk ends."""
        first, *others = chunk.split(b'\n')
        self._pieces.append(first)
        if others:
            yield self.rest()
            yield from others[:-1]
            self._pieces = [others[-1]]

    def rest(self) -> bytes:
        """Return the bytes since the last line feed, and forget them."""
        pieces, self._pieces = self._pieces, []
        return b''.join(pieces)


def read_record(line: bytes) -> OutputRecord | None:
    """Return the record in a line, or None for a blank line."""
    line = line.removeprefix(_BOM).strip()
    if not line:
        return None
    try:
        found = _parsed(line)
    except ValueError as error:
        return OutputRecord(_visible_id(line), damage=f'it is not JSON: {error}')
    if not isinstance(found, dict):
        return OutputRecord(None, damage='it is not a JSON object')
    members = cast('dict[str, Any]', found)
    record_id: Any = members.get('recordId')
    if not isinstance(record_id, str):
        return OutputRecord(None, damage='it has no recordId')
    output, error = members.get('modelOutput'), members.get('error')
    if isinstance(output, dict):
        return OutputRecord(record_id, output=cast('dict[str, Any]', output))
    if isinstance(error, dict):
        return OutputRecord(record_id, error=cast('dict[str, Any]', error))
    return OutputRecord(record_id, damage='it has neither a modelOutput nor an error')


def _parsed(line: bytes) -> object:
    try:
        return from_json(line)
    except ValueError:
        # The standard library takes half a surrogate pair, like the decoder of live responses.
        try:
            return json.loads(line.decode())
        except RecursionError:
            raise ValueError('it is nested too deeply') from None


def _visible_id(line: bytes) -> str | None:
    if (match := _ID_AT_AN_END.search(line)) is None:
        return None
    try:
        return json.loads(match[1] or match[2])
    except ValueError:
        return None
