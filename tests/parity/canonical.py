"""What of a run is compared, as JSON: without the time of day, and with ids that nobody chooses told by their order."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

BY_NATURE = frozenset(
    {
        'conversation_id',
        'duration',
        'gen_ai.client.operation.time_to_first_chunk',
        'run_id',
        'timestamp',
    }
)
"""Members that no two runs have in common."""

REQUEST_HEADERS_BY_NATURE = frozenset(
    {
        'accept-encoding',
        'amz-sdk-invocation-id',
        'amz-sdk-request',
        'connection',
        'content-length',
        'user-agent',
        'x-amz-date',
    }
)
"""Request headers that say who sent, when, at which attempt and over which connection, and how long the body is, spaces
included."""

_MADE_UP = re.compile(
    r'pyd_ai_[0-9a-f]{32}|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b|'
    r'tooluse_[\w-]{22}'
)


def plain(value: Any) -> Any:
    """Return a value as JSON has it, without what differs by nature."""
    if isinstance(value, BaseException):
        return error(value)
    if isinstance(value, BaseModel):
        return {'model': type(value).__name__, **value.model_dump(mode='json')}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items() if key not in BY_NATURE}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value), key=repr)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    jsonable = to_jsonable_python(value, bytes_mode='base64', inf_nan_mode='strings', fallback=repr)
    return plain(jsonable)


def error(raised: BaseException) -> dict[str, Any]:
    """Return an exception: its class and what it is a kind of, what it says and each of its attributes."""
    attributes = {name: value for name, value in vars(raised).items() if not name.startswith('_')}
    return {
        'class': type(raised).__name__,
        'kinds': [cls.__name__ for cls in type(raised).__mro__ if cls not in (object, BaseException, Exception)],
        'text': str(raised),
        'attributes': plain(attributes),
        **({'exceptions': [error(one) for one in raised.exceptions]} if isinstance(raised, BaseExceptionGroup) else {}),
    }


def warned(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Return what the caller was warned of, apart from what libraries below say of themselves."""
    return [
        f'{warning.category.__name__}: {warning.message}'
        for warning in caught
        if not issubclass(warning.category, (ResourceWarning, DeprecationWarning, PendingDeprecationWarning))
    ]


def request(recorded: Any) -> dict[str, Any]:
    """Return a request that LocalBedrock has recorded: path, headers and body."""
    headers = {
        name.lower(): value for name, value in recorded.headers.items() if name.lower() not in REQUEST_HEADERS_BY_NATURE
    }
    if headers.get('accept') == '*/*':
        # What no header says either.
        del headers['accept']
    if 'authorization' in headers:
        headers['authorization'] = _authorization(headers['authorization'])
    return {
        'operation': recorded.operation,
        'path': recorded.path,
        'auth': recorded.auth_scheme,
        'headers': dict(sorted(headers.items())),
        'body': json.loads(recorded.raw_body or b'null'),
    }


def _authorization(value: str) -> str:
    """Cut the date out of the scope of a signature, and from the signed headers those that only one side sends."""
    value = re.sub(r'/\d{8}/', '/<date>/', value)
    signed = re.search(r'SignedHeaders=([^,]+)', value)
    if signed is None:
        return value
    names = [name for name in signed[1].split(';') if name not in REQUEST_HEADERS_BY_NATURE]
    return value.replace(signed[1], ';'.join(names))


_TIME = re.compile(r'\b\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)|\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT')


def numbered(value: Any) -> Any:
    """Name the ids that were made up by the order in which they appear: the same id is the same number throughout."""
    numbers: dict[str, int] = {}

    def name(match: re.Match[str]) -> str:
        return f'<id {numbers.setdefault(match[0], len(numbers) + 1)}>'

    return _each_string(value, lambda text: _MADE_UP.sub(name, _TIME.sub('<time>', text)))


def _each_string(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _each_string(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_string(item, change) for item in value]
    return value


def differences(expected: Any, actual: Any, path: str = '') -> list[str]:
    """Say where two values of JSON differ, one line for each place."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return [
            line
            for key in sorted({*expected, *actual})
            for line in differences(expected.get(key, ABSENT), actual.get(key, ABSENT), f'{path}.{key}')
        ]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [
            line
            for index, pair in enumerate(zip(expected, actual, strict=True))
            for line in differences(*pair, f'{path}[{index}]')
        ]
    return [] if expected == actual else [f'{path}: upstream {_short(expected)}, ours {_short(actual)}']


def in_short(outcome: Any) -> str:
    """Say what came of a program: of its last part, where it has several."""
    if isinstance(outcome, dict) and 'warnings' not in outcome:
        outcome = list(outcome.values())[-1]
    result = outcome.get('result')
    failed = outcome.get('error') or (result.get('error') if isinstance(result, dict) else None)
    if failed is None and isinstance(result, dict) and 'messages' in result:
        response = result['messages'][-1]
        return f'{result["output"]!r}, {response.get("state")}, {response["finish_reason"]}'
    if failed is None:
        return repr(result)
    attributes = failed['attributes']
    told = [str(attributes[name]) for name in ('status_code', 'provider_error_code', 'phase') if attributes.get(name)]
    return ' '.join([failed['class'], *told]) + f': {failed["text"]}'


def without_texts(value: Any) -> Any:
    """Return an outcome without what its errors say."""
    if isinstance(value, list):
        return [without_texts(item) for item in value]
    if not isinstance(value, dict):
        return value
    if 'kinds' in value:
        value = {**value, 'text': None, 'attributes': {**value['attributes'], 'message': None}}
    return {key: without_texts(item) for key, item in value.items()}


ABSENT = '(absent)'


def _short(value: Any) -> str:
    text = value if value is ABSENT else json.dumps(value)
    return text if len(text) <= 1500 else f'{text[:1500]}...'
