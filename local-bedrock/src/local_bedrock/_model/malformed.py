"""The words in which InvokeModel refuses a body that is not in the format of its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from local_bedrock.errors import RefusedError, validation_error

_NAMES: dict[type, str] = {
    str: 'String',
    int: 'Integer',
    list: 'JSONArray',
    dict: 'JSONObject',
    float: 'Number',
    bool: 'Boolean',
}


def malformed(detail: str) -> RefusedError:
    """Refuse a body that its model's schema does not accept."""
    return validation_error(f'Malformed input request: {detail}, please reformat your input and try again.')


def required(body: Mapping[str, Any], name: str, kind: type) -> None:
    """Check a member that a body must have.

    Raises:
        RefusedError: It is missing, or of another type.
    """
    value = body.get(name)
    if value is None:
        raise malformed(f'#: required key [{name}] not found')
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        found = _NAMES[cast('type', type(value))]
        raise malformed(f'#/{name}: expected type: {_NAMES[kind]}, found: {found}')
