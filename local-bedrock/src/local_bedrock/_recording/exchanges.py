"""Recorded exchanges: a request and its response each, in a file of JSON.

The file is a list of `{"request": {"method", "path", "json"}, "response": {"status", "headers", "json"}}`; a body that
is not JSON, such as an event stream, stands in base64 under the key `base64` instead of `json`.
"""

from __future__ import annotations

import json
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any, cast

from local_bedrock._recording.masking import Masking

Body = dict[str, Any]
"""A body as it stands in a file: one member, `json` or `base64`."""

_END = b'\n]\n'
_OWNER_ONLY = 0o600


@dataclass(frozen=True)
class Exchange:
    """A request and its response, without their secrets."""

    method: str
    path: str
    """The path as it came, percent-encoded, with its query."""
    request: Body
    status: int
    headers: Mapping[str, str]
    """Response headers, names in lower case."""
    response: Body

    @classmethod
    def of(cls, recorded: Any) -> Exchange:
        """Make an exchange of the content of a file.

        Raises:
            KeyError, TypeError, ValueError: It is none.
        """
        request, response = recorded['request'], recorded['response']
        return cls(
            method=str(request['method']),
            path=str(request['path']),
            request=_body_of(request),
            status=int(response['status']),
            headers={str(name).lower(): str(value) for name, value in response['headers'].items()},
            response=_body_of(response),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the content of its file."""
        return {
            'request': {'method': self.method, 'path': self.path, **self.request},
            'response': {'status': self.status, 'headers': dict(self.headers), **self.response},
        }


def as_body(data: bytes) -> Body:
    """Return bytes as they stand in a file."""
    try:
        return {'json': json.loads(data)}
    except ValueError:
        return {'base64': b64encode(data).decode()}


def body_bytes(body: Body) -> bytes:
    """Return the bytes of a body that stands in a file; JSON is written like AWS writes it."""
    if 'base64' in body:
        return b64decode(body['base64'], validate=True)
    return json.dumps(body['json'], ensure_ascii=False, separators=(',', ':')).encode()


def _body_of(recorded: Mapping[str, Any]) -> Body:
    key = 'base64' if 'base64' in recorded else 'json'
    body = {key: recorded[key]}
    if key == 'base64':
        body_bytes(body)
    return body


def read_exchanges(path: Path) -> list[Exchange]:
    """Read a file of exchanges.

    Raises:
        OSError: The file cannot be read.
        ValueError: It does not hold exchanges.
    """
    try:
        return [Exchange.of(each) for each in _list_of(json.loads(path.read_bytes()))]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f'{path} does not hold recorded exchanges: {error!r}') from error


def _list_of(recorded: Any) -> list[Any]:
    if not isinstance(recorded, list):
        raise TypeError('it is not a list')
    return cast('list[Any]', recorded)


class ExchangeFile:
    """A file to which exchanges are added, whole at any time, that its owner alone may read.

    Its former content goes with the first exchange.
    """

    def __init__(self, path: str | os.PathLike[str], *, mask_account_ids: bool = False) -> None:
        self.path: Path = Path(path)
        self._mask_account_ids = mask_account_ids
        self._begun = False
        self._lock = threading.Lock()

    def add(self, exchange: Exchange, secrets: Collection[str]) -> None:
        """Write an exchange, with stars instead of secrets.

        Raises:
            OSError: The file cannot be written.
        """
        masking = Masking(secrets, account_ids=self._mask_account_ids)
        text = indent(json.dumps(masking.masked(exchange.as_json()), indent=1, ensure_ascii=False), ' ')
        with self._lock:
            if not self._begun:
                with open(os.open(self.path, os.O_WRONLY | os.O_CREAT, _OWNER_ONLY), 'wb') as file:
                    # A file that was there before keeps its permissions otherwise.
                    os.fchmod(file.fileno(), _OWNER_ONLY)
                    file.truncate()
                    file.write(b'[\n' + text.encode() + _END)
                self._begun = True
                return
            with self.path.open('r+b') as file:
                file.seek(-len(_END), os.SEEK_END)
                file.write(b',\n' + text.encode() + _END)
