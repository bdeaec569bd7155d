"""Forms of JSON input: the members that an object may have, and the sentence that reports the first wrong member."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core.core_schema import (
    any_schema,
    dict_schema,
    list_schema,
    no_info_after_validator_function,
    str_schema,
    typed_dict_field,
    typed_dict_schema,
    union_schema,
)

from local_bedrock._arguments import SECONDS, TEXT, described
from local_bedrock.frames import StreamEvent

OBJECT = dict_schema(TEXT, any_schema(), strict=True)
OBJECTS = list_schema(OBJECT, strict=True)
HEADERS = dict_schema(TEXT, str_schema(strict=True, pattern=r'^[^\r\n]*$'), strict=True)
SECONDS_OF_EACH = described(
    union_schema([SECONDS, list_schema(SECONDS, strict=True)]), 'seconds, as a number or a list of numbers'
)


class InputError(ValueError):
    """Raised for input that cannot be used: the text is a sentence that names the member."""


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f'not base64: {error}') from None


BASE64 = no_info_after_validator_function(_decoded, TEXT)


def _event(value: Mapping[str, Any]) -> StreamEvent | Mapping[str, Any] | bytes:
    if len(value) != 1:
        raise ValueError('an event has one member, its type')
    ((name, payload),) = value.items()
    if name == 'base64' and isinstance(payload, str):
        return _decoded(payload)
    if name == 'base64' or not isinstance(payload, dict):
        raise ValueError('an event is an object by the name of its type, or base64 text')
    if name.endswith('Exception'):
        return StreamEvent(name, cast('dict[str, Any]', payload), 'exception')
    return value


EVENT = no_info_after_validator_function(_event, OBJECT)
"""An event of a stream: its type with its payload, an exception likewise, or the bytes of a frame as `base64`."""


class Form:
    """The members of a JSON object.

    Args:
        members: Schemas of the members, by name.
        required: Names of those that must be there.
    """

    def __init__(self, members: Mapping[str, CoreSchema], required: Sequence[str] = ()) -> None:
        self.names = tuple(members)
        fields = {name: typed_dict_field(schema, required=name in required) for name, schema in members.items()}
        self._validator = SchemaValidator(typed_dict_schema(fields, extra_behavior='forbid', strict=True))

    def read(self, value: object, place: str = '') -> dict[str, Any]:
        """Return the members of an object.

        Args:
            value: Decoded JSON.
            place: Path of the object in the input, for the error.

        Raises:
            InputError: It is no object, or a member is missing, unknown or wrong.
        """
        try:
            return self._validator.validate_python(value)
        except ValidationError as error:
            raise InputError(self._sentence(error, place)) from None

    def _sentence(self, error: ValidationError, place: str) -> str:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = place + ''.join(f'[{part}]' if isinstance(part, int) else f'.{part}' for part in first['loc'])
        path = path.removeprefix('.') or 'body'
        if first['type'] == 'extra_forbidden':
            return f'{path}: there is no such field; the fields are {", ".join(self.names)}.'
        message = first['msg'].removeprefix('Value error, ')
        return f'{path}: {message[:1].lower()}{message[1:]}.'


def items(value: object, name: str) -> list[tuple[str, object]]:
    """Return the items of a list, or the value alone if it is no list, each with its path in the input."""
    if isinstance(value, list):
        return [(f'{name}[{number}]', item) for number, item in enumerate(cast('list[object]', value))]
    return [('', value)]


def members_of(value: object) -> Mapping[str, object]:
    """Return the members of an object, to decide on its form; none of anything else."""
    return cast('dict[str, object]', value) if isinstance(value, dict) else {}


def built(make: Callable[..., Any], members: Mapping[str, Any], place: str) -> Any:
    """Return an object of these members.

    Raises:
        InputError: The object refuses them.
    """
    try:
        return make(**members)
    except ValueError as error:
        raise InputError(f'{place}: {error}' if place else str(error)) from None
