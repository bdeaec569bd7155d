"""Validation of a request against the service model, in AWS's words.

The model may be older than the request: members that it does not know are let through. `scripts/generate_models.py`
writes the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

from pydantic_core import from_json

from local_bedrock.errors import serialization_error, validation_error
from local_bedrock.routing import CATALOGUE_OPERATIONS, JOB_OPERATIONS, RUNTIME_OPERATIONS, Operation

Path = tuple[str | int, ...]
Check = Callable[[Any, Path, list[str]], None]

_WRONG_TYPES = {'str': 'STRING_VALUE', 'int': 'NUMBER_VALUE', 'float': 'NUMBER_VALUE', 'bool': 'BOOLEAN_VALUE'}
_TYPE_NAMES = {
    'string': 'a String',
    'blob': 'a Blob',
    'boolean': 'a Boolean',
    'integer': 'an Integer',
    'long': 'a Long',
    'float': 'a Float',
    'double': 'a Double',
}


class ServiceModel:
    """The shapes of a service, compiled into checks."""

    def __init__(
        self,
        description: Mapping[str, Any],
        operations: Collection[str] = RUNTIME_OPERATIONS,
        *,
        with_uri: bool = False,
    ) -> None:
        """Compile the shapes of operations.

        Args:
            description: The service model.
            operations: The operations.
            with_uri: Checks the members of path and query, too.
        """
        self._shapes: Mapping[str, Mapping[str, Any]] = description['shapes']
        self._with_uri = with_uri
        self._checks: dict[str, Check] = {}
        self._inputs: dict[str, Check] = {
            name: self._check_of(operation['input']['shape'])
            for name, operation in description['operations'].items()
            # A payload, such as the body of InvokeModel, is the model's own.
            if name in operations and 'payload' not in self._shapes[operation['input']['shape']]
        }

    @classmethod
    @cache
    def load(cls) -> ServiceModel:
        """Load the model of Bedrock Runtime. This reads from disk."""
        return cls(_description('bedrock-runtime'))

    @classmethod
    @cache
    def load_control_plane(cls) -> ServiceModel:
        """Load the part of the model of Bedrock that LocalBedrock serves. This reads from disk."""
        return cls(_description('bedrock'), (*JOB_OPERATIONS, *CATALOGUE_OPERATIONS), with_uri=True)

    def check(self, operation: Operation, body: Mapping[str, Any]) -> None:
        """Check a body.

        Raises:
            RefusedError: With a `ValidationException` that names every violation, or a `SerializationException` for
                the first value of a wrong type.
        """
        violations: list[str] = []
        self._inputs[operation](body, (), violations)
        if violations:
            errors = 'error' if len(violations) == 1 else 'errors'
            raise validation_error(f'{len(violations)} validation {errors} detected: {"; ".join(violations)}')

    def _check_of(self, name: str) -> Check:
        if name not in self._checks:
            # Shapes may hold themselves: the name stands for the check until that is made.
            self._checks[name] = lambda value, path, violations: self._checks[name](value, path, violations)
            self._checks[name] = self._compile(name, self._shapes[name])
        return self._checks[name]

    def _compile(self, name: str, shape: Mapping[str, Any]) -> Check:
        kind = shape['type']
        if shape.get('document'):
            return _anything
        if kind == 'structure':
            return self._structure(name, shape)
        if kind == 'list':
            return self._list(shape)
        if kind == 'map':
            return self._map(shape)
        if kind in ('string', 'blob'):
            return _string(shape)
        if kind == 'timestamp':
            return _anything
        return _boolean if kind == 'boolean' else _number(shape)

    def _structure(self, name: str, shape: Mapping[str, Any]) -> Check:
        members = {
            member.get('locationName', key): self._check_of(member['shape'])
            for key, member in shape['members'].items()
            if self._with_uri or member.get('location') is None
        }
        required = [key for key in shape.get('required', ()) if key in members]
        union = bool(shape.get('union'))

        def check(value: Any, path: Path, violations: list[str]) -> None:
            if not isinstance(value, dict):
                raise _wrong_type(value, 'structure')
            structure = cast('dict[str, Any]', value)
            violations.extend(
                f"Value null at '{_dotted((*path, key))}' {_FAILED}: Member must not be null"
                for key in required
                if structure.get(key) is None
            )
            present = 0
            for key, member in structure.items():
                if member is None:
                    continue
                present += 1
                if (check_member := members.get(key)) is not None:
                    check_member(member, (*path, key), violations)
            if union and present != 1:
                keys = ', '.join(members)
                raise validation_error(f'{name} object at {_indexed(path)} must set one of the following keys: {keys}.')

        return check

    def _list(self, shape: Mapping[str, Any]) -> Check:
        check_member = self._check_of(shape['member']['shape'])
        minimum, maximum = shape.get('min', 0), shape.get('max')

        def check(value: Any, path: Path, violations: list[str]) -> None:
            if not isinstance(value, list):
                raise _wrong_type(value, 'list')
            items = cast('list[Any]', value)
            _check_length(len(items), minimum, maximum, f"Value at '{_dotted(path)}'", violations)
            for index, item in enumerate(items):
                check_member(item, (*path, index), violations)

        return check

    def _map(self, shape: Mapping[str, Any]) -> Check:
        check_key, check_value = self._check_of(shape['key']['shape']), self._check_of(shape['value']['shape'])
        minimum, maximum = shape.get('min', 0), shape.get('max')

        def check(value: Any, path: Path, violations: list[str]) -> None:
            if not isinstance(value, dict):
                raise _wrong_type(value, 'map')
            mapping = cast('dict[str, Any]', value)
            _check_length(len(mapping), minimum, maximum, f"Value at '{_dotted(path)}'", violations)
            for key, member in mapping.items():
                check_key(key, (*path, key), violations)
                check_value(member, (*path, key), violations)

        return check


_FAILED = 'failed to satisfy constraint'


def _description(service: str) -> Mapping[str, Any]:
    return cast(
        'Mapping[str, Any]', from_json((files('local_bedrock._model') / 'service' / f'{service}.json').read_bytes())
    )


def _anything(value: Any, path: Path, violations: list[str]) -> None:
    """Accept a document: any JSON."""


def _boolean(value: Any, path: Path, violations: list[str]) -> None:
    if not isinstance(value, bool):
        raise _wrong_type(value, 'boolean')


def _string(shape: Mapping[str, Any]) -> Check:
    minimum, maximum = shape.get('min', 0), shape.get('max')
    values = cast('list[str] | None', shape.get('enum'))
    pattern = cast('str | None', shape.get('pattern'))
    compiled = re.compile(pattern) if pattern not in (None, r'[\s\S]*') else None
    sensitive, kind = bool(shape.get('sensitive')), shape['type']

    def check(value: Any, path: Path, violations: list[str]) -> None:
        if not isinstance(value, str):
            raise _wrong_type(value, kind)
        if minimum <= len(value) and (maximum is None or len(value) <= maximum) and not (values or compiled):
            return
        shown = 'Value' if sensitive or kind == 'blob' else f"Value '{value}'"
        at = f"{shown} at '{_dotted(path)}'"
        _check_length(len(value), minimum, maximum, at, violations)
        if values and value not in values:
            violations.append(f'{at} {_FAILED}: Member must satisfy enum value set: [{", ".join(values)}]')
        if compiled is not None and compiled.fullmatch(value) is None:
            violations.append(f'{at} {_FAILED}: Member must satisfy regular expression pattern: {compiled.pattern}')

    return check


def _number(shape: Mapping[str, Any]) -> Check:
    minimum, maximum, kind = shape.get('min'), shape.get('max'), shape['type']
    whole = kind in ('integer', 'long')

    def check(value: Any, path: Path, violations: list[str]) -> None:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (whole and isinstance(value, float) and not value.is_integer())
        ):
            raise _wrong_type(value, kind)
        at = f"Value '{value}' at '{_dotted(path)}' {_FAILED}"
        if minimum is not None and value < minimum:
            violations.append(f'{at}: Member must have value greater than or equal to {minimum}')
        if maximum is not None and value > maximum:
            violations.append(f'{at}: Member must have value less than or equal to {maximum}')

    return check


def _check_length(length: int, minimum: int, maximum: int | None, at: str, violations: list[str]) -> None:
    if length < minimum:
        violations.append(f'{at} {_FAILED}: Member must have length greater than or equal to {minimum}')
    if maximum is not None and length > maximum:
        violations.append(f'{at} {_FAILED}: Member must have length less than or equal to {maximum}')


def _dotted(path: Path) -> str:
    return '.'.join(f'{part + 1}.member' if isinstance(part, int) else part for part in path)


def _indexed(path: Path) -> str:
    return '.'.join(map(str, path))


def _wrong_type(value: Any, kind: str) -> Exception:
    if isinstance(value, dict):
        return serialization_error('Start of structure or map found where not expected.')
    if isinstance(value, list):
        return serialization_error('Start of list found where not expected.')
    if kind in _TYPE_NAMES:
        found = _WRONG_TYPES.get(type(value).__name__, 'NULL_VALUE')
        return serialization_error(f'{found} can not be converted to {_TYPE_NAMES[kind]}')
    return serialization_error(f'Unexpected value where a {kind} was expected.')
