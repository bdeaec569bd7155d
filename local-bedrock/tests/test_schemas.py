"""The default model fills JSON schemas with values that fit."""

from __future__ import annotations

import enum
import json
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from time import process_time
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from local_bedrock import fill_schema


class Colour(enum.Enum):
    RED = 'red'
    BLUE = 'blue'


class Cat(BaseModel):
    kind: Literal['cat']
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal['dog']
    good: bool


class Node(BaseModel):
    name: str
    children: list[Node]
    parent: Node | None = None


class Flat(BaseModel):
    text: Annotated[str, Field(min_length=30)]
    short: Annotated[str, Field(max_length=2)]
    code: Annotated[str, Field(pattern=r'^[A-Z]{3}$')]
    iban: Annotated[str, Field(pattern=r'^\d{3}-\d{3}-\d{4}$')]
    number: Annotated[int, Field(gt=10, lt=12)]
    even: Annotated[int, Field(ge=7, multiple_of=4)]
    ratio: Annotated[float, Field(gt=0, lt=1)]
    tiny: Annotated[float, Field(gt=0, lt=1e-9)]
    colour: Colour
    at: datetime
    on: date
    clock: time
    span: timedelta
    id: UUID
    amount: Decimal
    address: IPv4Address
    any: Any
    nothing: None
    maybe: int | None


class Nested(BaseModel):
    pets: Annotated[list[Annotated[Cat | Dog, Field(discriminator='kind')]], Field(min_length=2)]
    pair: tuple[int, str]
    unique: Annotated[set[int], Field(min_length=3)]
    names: Annotated[set[str], Field(min_length=3)]
    flags: set[bool]
    colours: Annotated[set[Colour], Field(min_length=2)]
    few: Annotated[list[str], Field(max_length=0)]
    mapping: dict[str, int]
    crowded: Annotated[dict[str, Cat], Field(min_length=2)]
    flat: Flat


@pytest.mark.parametrize('model', [Flat, Nested, Node, list[Cat], Cat | Dog, int, Literal['a', 1]], ids=str)
def test_a_model_validates_what_fills_its_schema(model: Any) -> None:
    adapter = TypeAdapter[Any](model)
    for text in ('', 'My number is 8, my other 11.5, and my friend lives in Paris, says "Bob" at 10'):
        adapter.validate_python(fill_schema(adapter.json_schema(), text))


def test_a_recursive_schema_ends() -> None:
    schema = {
        '$ref': '#/$defs/a',
        '$defs': {'a': {'type': 'object', 'properties': {'next': {'$ref': '#/$defs/a'}, 'n': {'type': 'integer'}}}},
    }
    filled = fill_schema(schema)
    assert filled['n'] == 1
    assert filled['next'].keys() <= {'next', 'n'}


def test_alternatives_that_grow_without_end_end_in_null() -> None:
    schema = {
        '$ref': '#/$defs/a',
        '$defs': {
            'a': {
                'type': 'object',
                'properties': {'next': {'anyOf': [{'$ref': '#/$defs/a'}, {'type': 'null'}]}},
                'required': ['next'],
            }
        },
    }
    depth, value = 0, fill_schema(schema)
    while value['next'] is not None:
        depth, value = depth + 1, value['next']
    assert 0 < depth < 20


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('What is the weather in Paris for 3 days?', {'city': 'Paris', 'days': 3}),
        ('Fly to New York for 2 days', {'city': 'New York', 'days': 2}),
        ('Weather of "são paulo", 12 days', {'city': 'são paulo', 'days': 1}),
        ('hello', {'city': 'city', 'days': 1}),
    ],
)
def test_values_come_from_the_prompt_where_they_fit(text: str, expected: dict[str, Any]) -> None:
    schema = {
        'type': 'object',
        'properties': {'city': {'type': 'string'}, 'days': {'type': 'integer', 'maximum': 7}},
        'required': ['city', 'days'],
    }
    assert fill_schema(schema, text) == expected


@pytest.mark.parametrize(
    ('schema', 'expected'),
    [
        ({'const': 5}, 5),
        ({'enum': ['a', 'b']}, 'a'),
        ({'type': ['null', 'integer']}, 1),
        ({'type': 'null'}, None),
        ({'properties': {'a': {'type': 'boolean'}}}, {'a': True}),
        ({'items': {'type': 'integer'}}, [1]),
        ({'minimum': 3}, 3),
        ({}, 'value'),
        (True, {}),
        ({'type': 'object', 'required': ['a']}, {'a': 'a'}),
        ({'allOf': [{'type': 'integer', 'minimum': 4}, {'maximum': 4}]}, 4),
        ({'oneOf': [{'type': 'null'}, {'type': 'integer'}], 'minimum': 2}, 2),
        ({'type': 'array', 'items': {'type': 'string'}, 'maxItems': 0}, []),
        ({'type': 'array', 'minItems': 2}, ['value', 'value']),
        ({'type': 'object', 'minProperties': 1, 'additionalProperties': {'type': 'integer'}}, {'key0': 1}),
        ({'type': 'integer', 'exclusiveMinimum': 1, 'exclusiveMaximum': 3}, 2),
        ({'type': 'integer', 'maximum': -5}, -5),
        ({'type': 'string', 'format': 'email'}, 'someone@example.com'),
    ],
    ids=str,
)
def test_each_keyword_is_understood(schema: Any, expected: Any) -> None:
    assert fill_schema(schema) == expected


@given(
    least=st.integers(-50, 50),
    span=st.integers(0, 50),
    step=st.sampled_from([None, 2, 5, 7]),
    text=st.sampled_from(['', '3 and 17 and -4', '12.5']),
)
@settings(deadline=None, derandomize=True, database=None)
def test_an_integer_is_within_its_bounds(least: int, span: int, step: int | None, text: str) -> None:
    schema: dict[str, Any] = {'type': 'integer', 'minimum': least, 'maximum': least + span}
    if step is not None and any(value % step == 0 for value in range(least, least + span + 1)):
        schema['multipleOf'] = step
    value = fill_schema(schema, text)
    assert isinstance(value, int)
    assert least <= value <= least + span
    assert value % schema.get('multipleOf', 1) == 0


@given(least=st.integers(0, 40), span=st.integers(0, 40), name=st.text(max_size=20), text=st.text(max_size=80))
@settings(deadline=None, derandomize=True, database=None)
def test_a_text_is_as_long_as_it_may_be(least: int, span: int, name: str, text: str) -> None:
    schema = {'type': 'object', 'properties': {name: {'type': 'string', 'minLength': least, 'maxLength': least + span}}}
    assert least <= len(fill_schema(schema, text)[name]) <= least + span


@given(least=st.integers(0, 8), span=st.integers(0, 8), unique=st.booleans())
@settings(deadline=None, derandomize=True, database=None)
def test_a_list_is_as_long_as_it_may_be(least: int, span: int, unique: bool) -> None:
    for kind in ('integer', 'string', 'number'):
        schema = {
            'type': 'array',
            'items': {'type': kind},
            'minItems': least,
            'maxItems': least + span,
            'uniqueItems': unique,
        }
        items = fill_schema(schema)
        assert least <= len(items) <= least + span
        assert not unique or len(set(items)) == len(items)


@pytest.mark.parametrize(
    'pattern',
    [r'^(\d+\.?)+-SNAPSHOT$', r'^(a+)+$', r'^(([a-z])+.)+[A-Z]([a-z])+$', r'(x+x+)+y', r'^(?=.*[A-Z])(?!.*\s).+$', '('],
)
def test_no_pattern_hangs(pattern: str) -> None:
    began = process_time()
    assert isinstance(fill_schema({'type': 'string', 'pattern': pattern, 'minLength': 30}), str)
    assert process_time() - began < 1


def test_a_pattern_may_name_unicode_properties() -> None:
    assert re.fullmatch('[a-z]+', fill_schema({'type': 'string', 'pattern': r'^\p{L}+$'}))


@pytest.mark.parametrize(
    'schema',
    [
        {'type': 'array', 'minItems': 3_000_000, 'items': {'type': 'string'}},
        {'type': 'array', 'minItems': 1e300, 'items': {'type': 'array', 'minItems': 9999, 'items': {}}},
        {'type': 'string', 'minLength': 3_000_000_000},
        {'type': 'object', 'minProperties': 3_000_000},
        {'type': 'object', 'properties': {'a': {'$ref': '#'}, 'b': {'$ref': '#'}}, 'required': ['a', 'b']},
    ],
)
def test_no_schema_makes_a_value_too_large_for_a_model(schema: dict[str, Any]) -> None:
    began = process_time()
    assert len(json.dumps(fill_schema(schema))) < 1_000_000
    assert process_time() - began < 2


@pytest.mark.parametrize(
    'schema',
    [
        {'$ref': '#/$defs/absent'},
        {'type': 'array', 'minItems': 'many', 'prefixItems': [{'$ref': '#/prefixItems/9'}]},
        {'type': 'string', 'pattern': 5, 'minLength': None},
        {'type': 'object', 'properties': {'a': {'type': 'string', 'maxLength': 'x'}}},
    ],
)
def test_a_schema_that_is_none_is_filled_all_the_same(schema: dict[str, Any]) -> None:
    fill_schema(schema)
