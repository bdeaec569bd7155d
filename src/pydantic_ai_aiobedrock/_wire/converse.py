"""Converse bodies and events: JSON, in which blobs are base64.

Members that Bedrock adds to Converse pass through unchanged, whether or not the installed botocore knows them; members
that it knows come out like those of botocore's own serializer and parser.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from math import isfinite
from secrets import token_hex
from typing import Any, Final, TypeAlias, cast

from pydantic_core import from_json, to_json

from pydantic_ai_aiobedrock._wire.converse_errors import ConverseDecodeError, ConverseEncodeError, ConverseStreamError
from pydantic_ai_aiobedrock._wire.frames import HeaderValue, Message

__all__ = [
    'USAGE_MEMBERS',
    'decode_event',
    'decode_request',
    'decode_response',
    'encode_in_parts',
    'encode_request',
    'join',
]

USAGE_MEMBERS: Final = frozenset(
    {'inputTokens', 'outputTokens', 'totalTokens', 'cacheReadInputTokens', 'cacheWriteInputTokens', 'cacheDetails'}
)
"""The members of Bedrock's `TokenUsage`.

Models send others that no service model has, some of them these under another name (`cacheReadInputTokenCount`), which
a sum of the usage would count them twice. (Claude Sonnet 4.5 and Nova, 2026-11)
"""

_Blobs: TypeAlias = 'Mapping[str, _Blobs]'
"""The places of blobs below an object, or below each object of a list.

A document (a tool's input, a JSON result) is never part of it: a member that looks like a blob in there is the user's.
"""

_Json: TypeAlias = 'dict[str, _Json] | list[_Json] | str | bytes | int | float | bool | None'
"""JSON, with the blobs in it decoded."""

_BLOB: _Blobs = {}
_NO_BLOBS: _Blobs = {}

_MEDIA: _Blobs = {'source': {'bytes': _BLOB}}
_RESULT: _Blobs = {'image': _MEDIA, 'document': _MEDIA, 'video': _MEDIA, 'audio': _MEDIA}
_BLOCK: _Blobs = {
    **_RESULT,
    'guardContent': {'image': _MEDIA},
    'reasoningContent': {'redactedContent': _BLOB},
    'toolResult': {'content': _RESULT},
}
_MESSAGE: _Blobs = {'content': _BLOCK}
_PROMPT: _Blobs = {'messages': _MESSAGE, 'system': _BLOCK}
_REQUEST: _Blobs = {**_PROMPT, 'input': {'invokeModel': {'body': _BLOB}, 'converse': _PROMPT}}
_RESPONSE: _Blobs = {'output': {'message': {'content': _BLOCK}}}
_EVENTS: Mapping[str, _Blobs] = {
    'messageStart': {},
    'contentBlockStart': {},
    'contentBlockDelta': {'delta': _BLOCK},
    'contentBlockStop': {},
    'messageStop': {},
    'metadata': {},
}
_DOCUMENTS = frozenset({'input', 'json', 'additionalModelResponseFields'})
"""The members of responses and events that hold JSON of the user's or the model's own, in which nulls are values."""


LARGE_BLOB_BYTES: Final = 64 * 1024
"""A larger blob is left to be made base64 off the event loop."""

_LARGE_BLOB: Final = token_hex(16)
"""Stands for a large blob while its request becomes JSON; no text holds it, for nobody can know it."""


def encode_request(params: Mapping[str, Any]) -> bytes:
    """Encode the parameters of Converse, ConverseStream or CountTokens as the body of the request.

    Leaves out `modelId`, which stands in the path, and parameters that are `None`. Bytes become base64 wherever they
    are, and so does text where Converse has a blob.

    Raises:
        ConverseEncodeError: A value is not of JSON: a set, an object, NaN.
    """
    return join(encode_in_parts(params))


def encode_in_parts(params: Mapping[str, Any]) -> list[bytes]:
    """Encode parameters like `encode_request`, but for large blobs: their base64 takes longer than an event loop has.

    Returns:
        Parts of the body, alternately JSON and a blob of more than `LARGE_BLOB_BYTES` that is not base64 yet, beginning
        and ending with JSON.

    Raises:
        ConverseEncodeError: A value is not of JSON: a set, an object, NaN.
    """
    body = {name: value for name, value in params.items() if value is not None and name != 'modelId'}
    large: list[bytes] = []
    try:
        body = _object_as_json(body, _REQUEST, large)
        try:
            encoded = to_json(body)
        except ValueError:
            # Half a surrogate pair has no UTF-8, but JSON can name it.
            encoded = json.dumps(body).encode()
    except RecursionError:
        raise ConverseEncodeError('is nested too deeply, or contains itself') from None
    if not large:
        return [encoded]
    json_parts = encoded.split(_LARGE_BLOB.encode())
    return [part for pair in zip(json_parts, [*large, b''], strict=True) for part in pair][:-1]


def join(parts: Sequence[bytes]) -> bytes:
    """Join the parts of a body, with its large blobs as base64."""
    return b''.join(b64encode(part) if index % 2 else part for index, part in enumerate(parts))


def decode_request(body: bytes) -> dict[str, Any]:
    """Decode the body of a request that `encode_request` has encoded.

    Raises:
        ConverseDecodeError: It is not a JSON object, or a blob in it is not base64.
    """
    request = _json_object(body)
    _settle(request, _REQUEST)
    return request


def decode_response(body: bytes) -> dict[str, Any]:
    """Decode the body of a successful Converse or CountTokens response.

    A body that is empty or not a JSON object yields a response without any field, like botocore.

    Raises:
        ConverseDecodeError: A blob in it is not base64, or it is nested deeper than Python can follow.
    """
    try:
        response = _json_object(body)
    except ConverseDecodeError:
        return {}
    _settle(response, _RESPONSE)
    _keep_known_usage(response)
    return response


_latest: tuple[Mapping[str, HeaderValue], str, _Blobs] = ({}, '', {})
"""Headers of the latest event, and their meaning: mostly those of the next, as the decoder shares equal headers."""


def decode_event(message: Message) -> dict[str, Any] | None:
    """Decode a message of a ConverseStream response into its event, `{event type: members}`.

    Returns `None` for an event of a type that Converse does not have.

    Raises:
        ConverseStreamError: The message is an exception.
        ConverseDecodeError: The payload is not a JSON object, or a blob in it is not base64.
    """
    global _latest
    headers, payload = message
    # Taken once: loops in other threads decode, too.
    latest = _latest
    if headers is not latest[0]:
        if headers.get(':message-type') in ('exception', 'error'):
            raise _stream_error(message)
        event_type = headers.get(':event-type')
        if type(event_type) is not str or (blobs := _EVENTS.get(event_type)) is None:
            return None
        _latest = latest = (headers, event_type, blobs)
    _, event_type, blobs = latest
    event: dict[str, _Json]
    try:
        event = from_json(payload, cache_strings='keys')
    except ValueError:
        # An empty payload is an event without members, like in botocore.
        event = _json_object(payload) if payload else {}
    if type(event) is not dict:
        raise ConverseDecodeError('Not a JSON object')
    # Padding, against guessing the text from the length of the encrypted event.
    event.pop('p', None)
    # Nearly all events are text, in which there is no blob and no null.
    if event_type == 'contentBlockDelta' and len(event) == 2 and type(event.get('contentBlockIndex')) is int:
        delta = event.get('delta')
        if type(delta) is dict and len(delta) == 1 and type(delta.get('text')) is str:
            return {event_type: event}
    _settle(event, blobs)
    if event_type == 'metadata':
        _keep_known_usage(event)
    return {event_type: event}


def _as_json(value: Any, blobs: _Blobs, large: list[bytes]) -> Any:
    """Return a value that JSON can carry instead of `value`: the same object if it can carry all of it."""
    if isinstance(value, dict):
        return _object_as_json(cast(dict[Any, object], value), blobs, large)
    if isinstance(value, (list, tuple)):
        return _array_as_json(cast(Sequence[object], value), blobs, large)
    if isinstance(value, str):
        return value if blobs is not _BLOB else _text_as_blob(value)
    if isinstance(value, (bytes, bytearray)):
        if len(value) > LARGE_BLOB_BYTES:
            large.append(bytes(value))
            return _LARGE_BLOB
        return b64encode(value).decode('ascii')
    if isinstance(value, Decimal) and value.is_finite():
        value = float(value)
    if isinstance(value, float) and isfinite(value):
        return value
    if isinstance(value, int) or value is None:
        return value
    raise ConverseEncodeError(
        f'is {value}' if isinstance(value, (float, Decimal)) else f'is of type {type(value).__name__}'
    )


def _text_as_blob(value: str) -> str:
    try:
        return b64encode(value.encode()).decode('ascii')
    except UnicodeEncodeError:
        raise ConverseEncodeError('has no UTF-8') from None


def _object_as_json(value: dict[Any, object], blobs: _Blobs, large: list[bytes]) -> dict[str, Any]:
    # A long conversation is a thousand objects, nearly all of them JSON as they are: those that their type
    # alone shows to be are passed over here, and nothing is copied.
    replaced: dict[str, object] | None = None
    for key, item in value.items():
        if type(key) is not str:
            return _object_as_json({_as_key(key): item for key, item in value.items()}, blobs, large)
        kind = type(item)
        if kind is str:
            if key not in blobs:
                continue
        elif kind is int or kind is bool or item is None:
            continue
        try:
            new = _BY_TYPE.get(kind, _as_json)(item, blobs.get(key, _NO_BLOBS), large)
        except ConverseEncodeError as error:
            error.path.append(key)
            raise
        if new is not item:
            replaced = replaced or dict(value)
            replaced[key] = new
    return replaced or value


def _is_text(message: dict[object, object]) -> bool:
    """Return True for a message of text alone, which is JSON as it is: most of a long conversation are."""
    for key, value in message.items():
        kind = type(value)
        if type(key) is not str or (kind is not list and (kind is not str or key in _MESSAGE)):
            return False
        if kind is list:
            for block in cast('list[object]', value):
                if type(block) is not dict:
                    return False
                for name, text in cast('dict[object, object]', block).items():
                    if type(text) is not str or type(name) is not str or name in _BLOCK:
                        return False
    return True


def _array_as_json(value: Sequence[object], blobs: _Blobs, large: list[bytes]) -> Sequence[object]:
    replaced: list[object] | None = None
    for index, item in enumerate(value):
        kind = type(item)
        if kind is str:
            continue
        if blobs is _MESSAGE and kind is dict and _is_text(cast('dict[object, object]', item)):
            continue
        try:
            new = _BY_TYPE.get(kind, _as_json)(item, blobs, large)
        except ConverseEncodeError as error:
            error.path.append(index)
            raise
        if new is not item:
            replaced = replaced or list(value)
            replaced[index] = new
    return replaced or value


_BY_TYPE: dict[type, Callable[[Any, _Blobs, list[bytes]], Any]] = {dict: _object_as_json, list: _array_as_json}


def _as_key(key: object) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, (int, float)) or key is None:
        return json.dumps(key)
    raise ConverseEncodeError(f'has a key of type {type(key).__name__}')


def _json_object(body: bytes) -> dict[str, _Json]:
    value: _Json = None
    try:
        # Keys are seldom new, texts are seldom not.
        value = from_json(body, cache_strings='keys')
    except (ValueError, RecursionError):
        # The standard library takes half a surrogate pair, and deeper nesting.
        with suppress(ValueError, RecursionError):
            value = json.loads(body.decode())
    if type(value) is not dict:
        raise ConverseDecodeError('Not a JSON object')
    return value


def _settle(members: dict[str, _Json], blobs: _Blobs) -> None:
    """Decode the blobs, and drop the nulls, which say of a member that it is not there."""
    try:
        _settle_object(members, blobs)
    except RecursionError:
        raise ConverseDecodeError('Nested too deeply') from None


def _settle_object(members: dict[str, _Json], blobs: _Blobs) -> None:
    nulls: list[str] | None = None
    for name, item in members.items():
        if item is None:
            nulls = [*(nulls or ()), name]
        elif (below := blobs.get(name, _NO_BLOBS)) is _BLOB:
            members[name] = _decode_blob(name, item)
        elif type(item) is dict:
            if name not in _DOCUMENTS:
                _settle_object(item, below)
        elif type(item) is list and name not in _DOCUMENTS:
            _settle_array(item, below)
    for name in nulls or ():
        del members[name]


def _settle_array(items: list[_Json], blobs: _Blobs) -> None:
    for item in items:
        if type(item) is dict:
            _settle_object(item, blobs)
        elif type(item) is list:
            _settle_array(item, blobs)


def _decode_blob(name: str, value: _Json) -> bytes:
    try:
        return b64decode(cast(str, value))
    except (ValueError, TypeError):
        raise ConverseDecodeError(f'{name} is not base64') from None


def _keep_known_usage(response: dict[str, _Json]) -> None:
    if isinstance(usage := response.get('usage'), dict):
        response['usage'] = {name: count for name, count in usage.items() if name in USAGE_MEMBERS}


def _stream_error(message: Message) -> ConverseStreamError:
    headers = message.headers
    if (code := headers.get(':exception-type')) is None:
        return ConverseStreamError(str(headers.get(':error-code', '')), str(headers.get(':error-message', '')))
    members: dict[str, Any]
    try:
        members = _json_object(message.payload)
    except ConverseDecodeError:
        members = {'message': message.payload.decode(errors='replace')}
    _settle(members, _NO_BLOBS)
    said = members.get('message', members.get('Message', ''))
    return ConverseStreamError(str(code), str(said), members.get('originalStatusCode'), members.get('originalMessage'))
