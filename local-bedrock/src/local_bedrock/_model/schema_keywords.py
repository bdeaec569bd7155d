"""The keywords of a JSON schema, as far as they are well-formed: schemas come over the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, cast

_MOST = 1e100
"""The greatest number that is understood: the quotient of two is still finite."""


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return whether a value is a number, and not so large that calculations with it overflow."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST <= value <= _MOST


def _is_step(value: Any) -> bool:
    return is_number(value) and value >= 1 / _MOST


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in cast('list[Any]', value))


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(map(_is_mapping, cast('list[Any]', value)))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_type(value: Any) -> bool:
    return isinstance(value, str) or (bool(value) and _are_names(value))


_WELL_FORMED: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(('minItems', 'maxItems', 'minLength', 'maxLength', 'minProperties'), is_number),
    # Booleans are not understood: draft 4 had them as exclusive bounds.
    **dict.fromkeys(('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'), is_number),
    **dict.fromkeys(('properties', '$defs'), _is_mapping),
    **dict.fromkeys(('anyOf', 'oneOf', 'allOf'), _are_schemas),
    **dict.fromkeys(('enum', 'prefixItems'), _is_list),
    **dict.fromkeys(('$ref', 'format', 'pattern'), _is_text),
    'multipleOf': _is_step,
    'required': _are_names,
    'type': _is_type,
}


def well_formed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema without the keywords whose values are of a type that JSON Schema does not allow there."""
    malformed = [
        name for name, value in schema.items() if (check := _WELL_FORMED.get(name)) is not None and not check(value)
    ]
    return {name: value for name, value in schema.items() if name not in malformed} if malformed else schema
