"""Checks of arguments, for Python and for JSON: schemas of values, and the sentence that names a wrong argument."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from typing import Any, ClassVar, cast

from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, ValidationError
from pydantic_core.core_schema import (
    bool_schema,
    custom_error_schema,
    float_schema,
    int_schema,
    list_schema,
    literal_schema,
    no_info_plain_validator_function,
    nullable_schema,
    str_schema,
    typed_dict_field,
    typed_dict_schema,
    union_schema,
)

_SHOWN = reprlib.Repr()
_SHOWN.maxstring, _SHOWN.maxother = 60, 120


def one_of(*values: str) -> CoreSchema:
    """Return the schema of text that has a few values."""
    return literal_schema(list(values))


def optional(schema: CoreSchema) -> CoreSchema:
    """Return the schema of a value that may be `None`, or null."""
    return nullable_schema(schema)


def described(schema: CoreSchema, description: str) -> CoreSchema:
    """Return a schema whose error describes the values that it takes."""
    return custom_error_schema(schema, 'described', custom_error_message=f'Input should be {description}')


def satisfying(is_right: Callable[[Any], bool], description: str) -> CoreSchema:
    """Return the schema of Python objects for which a function returns True."""

    def checked(value: Any) -> Any:
        if not is_right(value):
            raise PydanticCustomError('described', 'Input should be {description}', {'description': description})
        return value

    return no_info_plain_validator_function(checked)


def is_function(value: object) -> bool:
    """Return True for a callable object that returns its result at once."""
    return callable(value) and not inspect.iscoroutinefunction(value)


def is_collection(value: Any, of: type | tuple[type, ...]) -> bool:
    """Return True for a list, tuple, set or the like of such objects; text is none."""
    if isinstance(value, str | bytes) or not isinstance(value, Collection):
        return False
    return all(isinstance(each, of) for each in cast('Collection[object]', value))


def is_sequence(value: Any, of: type | tuple[type, ...]) -> bool:
    """Return True for a list, tuple or the like of such objects, empty or not; text is none."""
    return isinstance(value, Sequence) and is_collection(value, of)


def _are_headers(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    # A line break would end the header, and begin another.
    return all(
        isinstance(part, str) and '\r' not in part and '\n' not in part
        for header in cast('Mapping[object, object]', value).items()
        for part in header
    )


def _are_seconds(value: Any) -> bool:
    return is_sequence(value, (int, float)) and all(0 <= each < inf for each in value)


TEXT = str_schema(strict=True)
FLAG = bool_schema(strict=True)
INTEGER = int_schema(strict=True)
WHOLE = int_schema(strict=True, ge=0)
COUNT = int_schema(strict=True, ge=1)
SIZES = list_schema(COUNT)
POSITIVE = float_schema(strict=True, gt=0, allow_inf_nan=False)
SECONDS = float_schema(strict=True, ge=0, allow_inf_nan=False)
CHANCE = float_schema(strict=True, ge=0, le=1, allow_inf_nan=False)
NTH = described(
    union_schema([COUNT, list_schema(COUNT, strict=True, min_length=1)]), 'a number from 1 up, or a list of them'
)
SECONDS_OF_EACH = described(
    union_schema([SECONDS, satisfying(_are_seconds, 'a list of seconds')]), 'seconds, as a number or a list of numbers'
)
TEXTS = satisfying(lambda value: is_collection(value, str), 'a list of text')
PIECES = satisfying(lambda value: is_sequence(value, str), 'a list of text')
BYTES = satisfying(lambda value: isinstance(value, bytes | bytearray), 'bytes')
MAPPING = satisfying(lambda value: isinstance(value, Mapping), 'a mapping')
MAPPINGS = satisfying(lambda value: is_sequence(value, Mapping), 'a list of mappings')
HEADERS = satisfying(_are_headers, 'a mapping of names to values, both text without line breaks')
FUNCTION = satisfying(is_function, 'a function, and no coroutine function')
MODEL = satisfying(
    lambda value: isinstance(value, str) or is_function(value), 'a model id, or a function of it that returns a bool'
)


class Arguments:
    """The arguments of a function or a class.

    Args:
        owner: Its name, for the error.
        schemas: Schemas of the arguments, by name.
        secret: Names of those whose values are not shown.
    """

    def __init__(self, owner: str, schemas: Mapping[str, CoreSchema], secret: Collection[str] = ()) -> None:
        self.schemas = schemas
        self._owner, self._secret = owner, secret
        fields = {name: typed_dict_field(schema) for name, schema in schemas.items()}
        self._validator = SchemaValidator(typed_dict_schema(fields, extra_behavior='ignore'))

    def check(self, values: Mapping[str, Any]) -> None:
        """Check the values of the arguments.

        Args:
            values: All of them by name, and anything else, which is left alone.

        Raises:
            ValueError: A value is wrong: the text is a sentence that names the argument and the values that it takes.
        """
        try:
            self._validator.validate_python(values)
        except ValidationError as error:
            raise ValueError(self._sentence(error, values)) from None

    def _sentence(self, error: ValidationError, values: Mapping[str, Any]) -> str:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first['loc'][0])
        shown = f'<{type(values[name]).__name__}>' if name in self._secret else _SHOWN.repr(values[name])
        message = first['msg'].replace('Input should be', 'must be', 1)
        return f'{self._owner}({name}={shown}): {message}.'


class Checked:
    """A dataclass that refuses wrong arguments when it is made.

    Each class below it names the schemas of its arguments where it names this class.
    """

    arguments: ClassVar[Arguments]

    def __init_subclass__(cls, **schemas: CoreSchema) -> None:
        super().__init_subclass__()
        if schemas:
            cls.arguments = Arguments(cls.__name__, schemas)

    def __post_init__(self) -> None:
        self.arguments.check(vars(self))
