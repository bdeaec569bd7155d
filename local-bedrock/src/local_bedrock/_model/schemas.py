"""Values that fit a JSON schema, taken from the prompt where that is simple."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from pydantic_core import SchemaError, SchemaValidator

from local_bedrock._model.schema_keywords import is_number, well_formed

_MAX_DEPTH = 12
# Schemas come over the network: a value stays of a size that a model could write.
_MAX_NESTING = 50
_MAX_VALUES = 5_000
_MAX_LENGTH = 10_000
_WORD_VALUES = re.compile(r'"([^"]{1,60})"|(?<=[a-z,;:] )([A-Z][\w-]*(?: [A-Z][\w-]*)*)')
_NUMBERS = re.compile(r'(?<![\w.])-?\d+(?:\.\d+)?(?![\w])')
_FORMATS = {
    'date-time': '2025-01-01T12:00:00Z',
    'date': '2025-01-01',
    'time': '12:00:00Z',
    'duration': 'P1D',
    'email': 'someone@example.com',
    'idn-email': 'someone@example.com',
    'hostname': 'example.com',
    'idn-hostname': 'example.com',
    'ipv4': '192.0.2.1',
    'ipv6': '2001:db8::1',
    'uri': 'https://example.com/',
    'uri-reference': 'https://example.com/',
    'iri': 'https://example.com/',
    'url': 'https://example.com/',
    'uuid': '123e4567-e89b-42d3-a456-426614174000',
    'json-pointer': '/a',
    'regex': '.*',
    'binary': 'AA==',
    'byte': 'AA==',
    'base64': 'AA==',
    'base64url': 'AA==',
    'decimal': '1.0',
}
# Tried in turn for a `pattern`: schemas ask for codes, dates, versions and the like, seldom for more.
_SAMPLES = (
    *_FORMATS.values(),
    'a', 'A', '0', '1', 'abc', 'Abc', 'ABC', 'abc-def', 'abc_def', 'a1', 'A1', 'ab', 'AB', 'EUR', 'en-US',
    '12', '123', '1234', '12345', '123456', '1234567890', '1.0', '-1', '1.2.3', 'v1.2.3', '#aabbcc', '+12025550100',
    'ABC-123', 'AB12', 'A1B2C3', 'abc123', '12:00', '01/01/2025', '2025-01', '2025', '00000', '000-000-0000', 'a@b.co',
    '$1.00', '1,000', 'true', 'a/b', '/a/b', 'a.b', 'a:b', 'Abc Def', '',
)  # fmt: skip


class Hints:
    """Values found in a text, each given out once."""

    def __init__(self, text: str) -> None:
        self._strings: Iterator[str] = (match[1] or match[2] for match in _WORD_VALUES.finditer(text))
        self._numbers: Iterator[str] = (match[0] for match in _NUMBERS.finditer(text))

    def string(self) -> str | None:
        """Return the next quoted text or proper name."""
        return next(self._strings, None)

    def number(self) -> float | None:
        """Return the next number."""
        found = next(self._numbers, None)
        return None if found is None else float(found)


def fill_schema(schema: Any, text: str = '') -> Any:
    """Return a value that fits a JSON schema, as far as the schema can be understood.

    Args:
        schema: The schema.
        text: Where strings and numbers are looked for first.
    """
    return _Filler(schema, Hints(text)).fill(schema, 'value', 0)


class _Filler:
    def __init__(self, root: Any, hints: Hints) -> None:
        self._root = root
        self._hints = hints
        self._values_left = _MAX_VALUES

    def fill(self, schema: Any, name: str, depth: int) -> Any:
        """Return a value for a schema that stands under a name."""
        if not isinstance(schema, Mapping):
            return {}
        self._values_left -= 1
        if depth > _MAX_NESTING or self._values_left < 0:
            return None
        schema = self._resolve(cast('Mapping[str, Any]', schema))
        if 'const' in schema:
            return schema['const']
        if schema.get('enum'):
            return self._of_enum(schema['enum'])
        if schema.get('allOf'):
            return self.fill(self._merged(schema), name, depth)
        for key in ('anyOf', 'oneOf'):
            if schema.get(key):
                rest = {member: value for member, value in schema.items() if member != key}
                choice = self._choice(schema[key], depth)
                return self.fill(_merge(rest, self._resolve(choice)), name, depth + 1)
        return self._of_type(schema, _type_of(schema, depth), name, depth)

    def _of_type(self, schema: Mapping[str, Any], kind: str, name: str, depth: int) -> Any:
        match kind:
            case 'object':
                return self._object(schema, depth)
            case 'array':
                return self._array(schema, name, depth)
            case 'string':
                return self._string(schema, name)
            case 'integer' | 'number':
                return self._number(schema, whole=kind == 'integer')
            case 'boolean':
                return True
            case _:
                return None

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        schema = well_formed(schema)
        for _ in range(_MAX_DEPTH):
            reference = schema.get('$ref')
            if not isinstance(reference, str) or not reference.startswith('#'):
                break
            target: Any = self._root
            for part in reference.removeprefix('#').split('/')[1:]:
                target = _member(target, part.replace('~1', '/').replace('~0', '~'))
            rest = {member: value for member, value in schema.items() if member != '$ref'}
            schema = rest
            if isinstance(target, Mapping):
                schema = _merge(rest, well_formed(cast('Mapping[str, Any]', target)))
        return schema

    def _merged(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        merged: Mapping[str, Any] = {member: value for member, value in schema.items() if member != 'allOf'}
        for part in schema['allOf']:
            resolved = self._resolve(part)
            merged = _merge(merged, self._merged(resolved) if resolved.get('allOf') else resolved)
        return merged

    def _choice(self, choices: Sequence[Mapping[str, Any]], depth: int) -> Mapping[str, Any]:
        """Choose among alternatives: the first that is not null, and null where the value grows too deep."""
        resolved = [self._resolve(choice) for choice in choices]
        nulls = [choice for choice in resolved if choice.get('type') == 'null']
        others = [choice for choice in resolved if choice.get('type') != 'null']
        if depth >= _MAX_DEPTH:
            flat = [choice for choice in others if choice.get('type') not in ('object', 'array')]
            return (nulls or flat or others)[0]
        return (others or nulls)[0]

    def _of_enum(self, values: Sequence[Any]) -> Any:
        return values[0]

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get('properties') or {}
        required: Sequence[str] = schema.get('required') or ()
        wanted = [name for name in properties if name in required or depth < 2]
        wanted += [name for name in required if name not in properties]
        filled = {name: self.fill(properties.get(name, {'type': 'string'}), name, depth + 1) for name in wanted}
        more = schema.get('additionalProperties')
        for number in range(len(filled), min(_count(schema, 'minProperties'), _MAX_VALUES)):
            filled[f'key{number}'] = self.fill(
                more if isinstance(more, Mapping) else {'type': 'string'}, 'value', depth + 1
            )
        return filled

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        prefix: Sequence[Any] = schema.get('prefixItems') or ()
        items: list[Any] = [self.fill(item, name, depth + 1) for item in prefix]
        least = _count(schema, 'minItems')
        count = max(least, 1 if depth < _MAX_DEPTH // 2 else 0)
        if 'maxItems' in schema:
            count = min(count, _count(schema, 'maxItems'))
        item_schema = schema.get('items', {'type': 'string'} if least > len(items) else False)
        if item_schema is False or (prefix and len(items) >= least):
            return items
        one = name.removesuffix('s') or name
        while len(items) < count and self._values_left > 0:
            item = self.fill(item_schema, one, depth + 1)
            if schema.get('uniqueItems') and item in items and isinstance(item_schema, Mapping):
                item = _another(item, self._resolve(cast('Mapping[str, Any]', item_schema)), items)
            items.append(item)
        return items

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        name = name or 'value'
        pattern, least = schema.get('pattern'), min(_count(schema, 'minLength'), _MAX_LENGTH)
        most = _count(schema, 'maxLength') if 'maxLength' in schema else None
        matches = None if pattern is None else _matcher(str(pattern))
        if (form := _FORMATS.get(schema.get('format', ''))) is not None and pattern is None:
            return form

        def fits(text: str) -> bool:
            if len(text) < least or (most is not None and len(text) > most):
                return False
            return matches is None or matches(text)

        if schema.get('format') is None and (hint := self._hints.string()) is not None and fits(hint):
            return hint
        stretched = (name * (least // max(len(name), 1) + 1))[: max(least, len(name))]
        candidates = [name, stretched, stretched[:most]]
        if pattern is not None:
            candidates += [sample * times for times in (1, 2, 3, 4, 8, 16, 32) for sample in _SAMPLES]
        return next((candidate for candidate in candidates if fits(candidate)), name)

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> int | float:
        least, most = _bounds(schema, whole=whole)
        step = schema.get('multipleOf') or (1 if whole else 0)
        hint = self._hints.number()
        for candidate in (hint, 1.0, 0.0, least, most):
            if not is_number(candidate):
                continue
            value = math.ceil(candidate / step - 1e-9) * step if step else candidate
            if least <= value <= most:
                return int(value) if whole else value
        return int(least) if whole else least


def _member(value: Any, key: str) -> Any:
    if isinstance(value, list):
        items = cast('list[Any]', value)
        return items[int(key)] if key.isdecimal() and int(key) < len(items) else None
    return cast('Mapping[str, Any]', value).get(key) if isinstance(value, Mapping) else None


def _count(schema: Mapping[str, Any], key: str) -> int:
    """Return a limit that counts something, 0 if it is absent."""
    return int(schema.get(key, 0))


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> Callable[[str], bool] | None:
    r"""Return a check of texts by a pattern, `None` for a pattern that is not understood.

    The engine is that of Rust: it needs time in proportion to the text, whereas Python's can take years for a pattern
    such as `^(a+)+$`. It knows the `\p{L}` of ECMAScript, and no look-around.
    """
    try:
        return SchemaValidator({'type': 'str', 'pattern': pattern, 'regex_engine': 'rust-regex'}).isinstance_python
    except SchemaError:
        return None


def _bounds(schema: Mapping[str, Any], *, whole: bool) -> tuple[float, float]:
    """Return the least and the greatest value, exclusive bounds moved inside."""
    gap = 1 if whole else 1e-6
    least, most = -math.inf, math.inf
    if (minimum := schema.get('minimum')) is not None:
        least = math.ceil(minimum) if whole else minimum
    if (maximum := schema.get('maximum')) is not None:
        most = math.floor(maximum) if whole else maximum
    if isinstance(above := schema.get('exclusiveMinimum'), int | float):
        least = max(least, math.floor(above) + 1 if whole else above + gap * max(1.0, abs(above)))
    if isinstance(below := schema.get('exclusiveMaximum'), int | float):
        most = min(most, math.ceil(below) - 1 if whole else below - gap * max(1.0, abs(below)))
    if least > most:
        # An open interval narrower than the gap: its middle.
        least = most = (least + most) / 2
    return least, most


def _type_of(schema: Mapping[str, Any], depth: int) -> str:
    kind = schema.get('type')
    if isinstance(kind, list):
        kinds = cast('list[str]', kind)
        return (
            next((one for one in kinds if one != 'null'), 'null')
            if depth < _MAX_DEPTH or 'null' not in kinds
            else 'null'
        )
    if isinstance(kind, str):
        return kind
    if 'properties' in schema or 'additionalProperties' in schema:
        return 'object'
    if 'items' in schema or 'prefixItems' in schema:
        return 'array'
    if 'minimum' in schema or 'maximum' in schema or 'multipleOf' in schema:
        return 'number'
    return 'string'


def _merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that asks for both."""
    merged = {**other, **one}
    for key in ('properties', '$defs'):
        if key in one and key in other:
            merged[key] = {**other[key], **one[key]}
    if 'required' in one and 'required' in other:
        merged['required'] = [*other['required'], *(name for name in one['required'] if name not in other['required'])]
    return merged


def _another(item: Any, schema: Mapping[str, Any], items: Sequence[Any]) -> Any:
    """Return an item that is not among the items, where that is simple."""
    if schema.get('enum'):
        return next((option for option in schema['enum'] if option not in items), item)
    if isinstance(item, bool):
        return not item
    if isinstance(item, str):
        return f'{item}{len(items) + 1}'
    if not isinstance(item, int | float):
        return item
    step: float = schema.get('multipleOf', 1)
    least, most = _bounds(schema, whole=isinstance(item, int))
    numbers = cast('Sequence[float]', items)
    for candidate in (max(numbers) + step, min(numbers) - step, (max(numbers) + most) / 2, (min(numbers) + least) / 2):
        if least <= candidate <= most and candidate not in items:
            return candidate
    return item
