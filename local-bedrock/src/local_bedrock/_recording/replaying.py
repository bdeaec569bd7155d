"""Recorded exchanges as a source of answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from local_bedrock._model.render import raw_response
from local_bedrock._model.runtime import UnrecordedRequestError
from local_bedrock._recording.exchanges import (
    Body,
    Exchange,
    as_body,
    body_bytes,
    read_exchanges,
)
from local_bedrock._recording.masking import without_account_ids
from local_bedrock.frames import split_frames
from local_bedrock.keys import Keyring
from local_bedrock.replies import RawReply
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response

_SHOWN_DIFFERENCES = 5
_SHOWN_CHARACTERS = 60
_ABSENT = object()


class Replay:
    """Answers a request with the response that is recorded for it.

    A request is known by its method, its path and its body, whatever the order of the members of its JSON. One that was
    recorded several times is answered by each of its responses in turn, and then by the last of them again and again.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._exchanges: list[tuple[str, Exchange]] = []
        self._left: dict[str, list[Exchange]] = {}

    async def open(self, keyring: Keyring) -> None:
        """Read the files.

        Raises:
            OSError: A file cannot be read.
            ValueError: It does not hold exchanges.
        """
        self._exchanges = await asyncio.to_thread(self._read)
        self._left = {}
        for _, exchange in self._exchanges:
            self._left.setdefault(_key(exchange.method, exchange.path, exchange.request), []).append(exchange)

    async def close(self) -> None:
        """Do nothing: the files are closed already."""

    async def answer(self, request: RecordedRequest) -> Response:
        """Return the recorded answer.

        Raises:
            UnrecordedRequestError: There is none; the message says how the nearest exchange differs.
        """
        body = as_body(request.raw_body)
        recorded = self._left.get(_key(request.method, request.path, body))
        if recorded is None:
            raise UnrecordedRequestError(self._complaint(request, body))
        exchange = recorded.pop(0) if len(recorded) > 1 else recorded[0]
        response = body_bytes(exchange.response)
        replayed = raw_response(RawReply(response, status=exchange.status, headers=exchange.headers), request)
        if replayed.chunked:
            # Faults count the events of a stream.
            replayed.pieces = split_frames(response)
        return replayed

    def _read(self) -> list[tuple[str, Exchange]]:
        return [
            (f'number {number} of {path.name}', exchange)
            for path in self._paths
            for number, exchange in enumerate(read_exchanges(path), 1)
        ]

    def _complaint(self, request: RecordedRequest, body: Body) -> str:
        complaint = f'No exchange is recorded for {request.method} {request.path} with this body'
        if not self._exchanges:
            return f'{complaint}, nor any other.'
        compared = [
            (exchange.path != request.path, list(_differences_of_request(request, body, exchange)), where)
            for where, exchange in self._exchanges
        ]
        _, differences, where = min(compared, key=lambda each: (each[0], len(each[1])))
        shown = '; '.join(differences[:_SHOWN_DIFFERENCES])
        more = len(differences) - _SHOWN_DIFFERENCES
        return f'{complaint}. The nearest, {where}, differs: {shown}{f"; and {more} more" if more > 0 else ""}.'


def _key(method: str, path: str, body: Body) -> str:
    # Recordings may be without account ids.
    return without_account_ids(f'{method} {path} {json.dumps(_canonical(body), sort_keys=True)}')


def _canonical(value: Any) -> Any:
    """Return JSON in which 0.0 is 0, as it is to AWS."""
    if isinstance(value, dict):
        return {key: _canonical(member) for key, member in cast('dict[str, Any]', value).items()}
    if isinstance(value, list):
        return [_canonical(member) for member in cast('list[Any]', value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _differences_of_request(request: RecordedRequest, body: Body, exchange: Exchange) -> Iterator[str]:
    yield from _differences(f'{request.method} {request.path}', f'{exchange.method} {exchange.path}', 'the path')
    here, recorded = (each.get('json', each) for each in (body, exchange.request))
    yield from _differences(here, recorded, '')


def _differences(here: Any, recorded: Any, at: str) -> Iterator[str]:
    """Yield where two values of JSON differ."""
    if isinstance(here, dict) and isinstance(recorded, dict):
        ours, theirs = cast('dict[str, Any]', here), cast('dict[str, Any]', recorded)
        for key in dict.fromkeys((*ours, *theirs)):
            where = f'{at}.{key}' if at else key
            yield from _differences(ours.get(key, _ABSENT), theirs.get(key, _ABSENT), where)
    elif isinstance(here, list) and isinstance(recorded, list):
        ours, theirs = cast('list[Any]', here), cast('list[Any]', recorded)
        for index in range(max(len(ours), len(theirs))):
            our, their = (each[index] if index < len(each) else _ABSENT for each in (ours, theirs))
            yield from _differences(our, their, f'{at}[{index}]')
    elif here is _ABSENT:
        yield f'{at} is absent, recorded is {_shown(recorded)}'
    elif recorded is _ABSENT:
        yield f'{at} is {_shown(here)}, which is not recorded'
    elif here != recorded or isinstance(here, bool) is not isinstance(recorded, bool):
        yield f'{at} is {_shown(here, recorded)}, recorded is {_shown(recorded, here)}'


def _shown(value: Any, other: Any = None) -> str:
    """Return a value as JSON, of long ones the part in which they differ."""
    text, theirs = json.dumps(value, ensure_ascii=False), json.dumps(other, ensure_ascii=False)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    first = next(
        (at for at, (a, b) in enumerate(zip(text, theirs, strict=False)) if a != b), min(len(text), len(theirs))
    )
    start = max(0, first - _SHOWN_CHARACTERS // 3)
    end = start + _SHOWN_CHARACTERS
    return f'{"..." if start else ""}{text[start:end]}{"..." if end < len(text) else ""}'
