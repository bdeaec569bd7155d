"""Requests and responses of Converse: JSON, encoded and decoded like botocore does."""

import inspect
import json
import sys
from collections import OrderedDict
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given

from pydantic_ai_aiobedrock._wire.converse import USAGE_MEMBERS, decode_event, decode_response, encode_request
from pydantic_ai_aiobedrock._wire.converse_errors import ConverseDecodeError, ConverseEncodeError

from .frames import event_message, property_test
from .shapes import (
    DOCUMENT,
    event_by_botocore,
    events,
    known,
    news_in,
    operation,
    python_leaf,
    python_scalars,
    response_by_botocore,
    serialized_by_botocore,
    single_paths,
    stream_shape,
    values,
    wire_leaf,
    wire_scalars,
)

OPERATIONS = ['Converse', 'ConverseStream', 'CountTokens']


def block(content: dict[str, Any]) -> dict[str, Any]:
    return {'output': {'message': {'role': 'assistant', 'content': [content]}}}


# Requests


@pytest.mark.parametrize('name', OPERATIONS)
def test_each_member_of_a_request_is_encoded_as_botocore_encodes_it(name: str):
    for path, value in single_paths(operation(name).input_shape, python_leaf):
        ours = encode_request({'modelId': 'model', **value})
        assert json.loads(ours) == json.loads(serialized_by_botocore(name, {'modelId': 'model', **value})), path


@pytest.mark.parametrize('name', OPERATIONS)
def test_any_request_is_encoded_as_botocore_encodes_it(name: str):
    @property_test
    @given(values(operation(name).input_shape, python_scalars))
    def check(params: dict[str, Any]) -> None:
        params = {'modelId': 'model', **params}
        assert json.loads(encode_request(params)) == json.loads(serialized_by_botocore(name, params))

    check()


@pytest.mark.parametrize(
    'params',
    [
        pytest.param({}, id='nothing'),
        pytest.param({'messages': [], 'system': [], 'inferenceConfig': {}, 'requestMetadata': {}}, id='empty'),
        pytest.param({'messages': None, 'system': [{'text': 'a'}]}, id='None'),
        pytest.param({'messages': ({'role': 'user', 'content': ({'text': 'a'},)},)}, id='tuples'),
        pytest.param({'system': [OrderedDict(text='a')]}, id='ordered'),
        pytest.param({'system': [{'text': 'Grüße \u2028 𝄞 \x00 \x7f "\\/'}]}, id='unicode'),
        pytest.param({'system': [{'text': 'half a pair: \ud834'}]}, id='surrogate'),
        pytest.param({'inferenceConfig': {'temperature': Decimal('0.1'), 'topP': 1}}, id='decimal'),
        pytest.param({'inferenceConfig': {'temperature': 1e300, 'topP': 5e-324}}, id='floats'),
        pytest.param({'inferenceConfig': {'maxTokens': 2**63}}, id='big integer'),
        pytest.param({'additionalModelRequestFields': DOCUMENT}, id='document'),
        pytest.param({'additionalModelRequestFields': [1, [True, None, 'x'], {}]}, id='document that is a list'),
        pytest.param({'additionalModelRequestFields': {1: 'a', 2.5: 'b', False: 'c', None: 'd'}}, id='keys'),
        pytest.param({'additionalModelRequestFields': {'a': [[[[{'b': [{}]}]]]]}}, id='nested'),
    ],
)
def test_what_python_can_say_is_encoded_as_botocore_encodes_it(params: dict[str, Any]):
    params = {'modelId': 'model', **params}
    assert json.loads(encode_request(params)) == json.loads(serialized_by_botocore('Converse', params))


class Colour(StrEnum):
    RED = 'red'


class Level(IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: float
    y: float


class Celsius(float):
    pass


def test_subclasses_of_what_json_has_are_encoded_as_what_they_are():
    fields = {Colour.RED: Colour.RED, 'level': Level.LOW, 'point': Point(1.5, 2.5), 'degrees': Celsius(2.5)}
    assert json.loads(encode_request({'additionalModelRequestFields': fields})) == {
        'additionalModelRequestFields': {'red': 'red', 'level': 1, 'point': [1.5, 2.5], 'degrees': 2.5}
    }


@pytest.mark.parametrize('kind', [bytes, bytearray])
def test_bytes_are_standard_base64_wherever_they_are(kind: type[bytes | bytearray]):
    """`+` and `/`, not the `-` and `_` of the alphabet for URLs."""
    value = kind(b'\xfb\xff\xbf')
    params = {
        'modelId': 'model',
        'messages': [{'content': [{'newMedia': {'source': {'data': value}}}, value]}],
        'new': value,
    }
    assert json.loads(encode_request(params)) == {
        'messages': [{'content': [{'newMedia': {'source': {'data': '+/+/'}}}, '+/+/']}],
        'new': '+/+/',
    }


def test_what_no_service_model_has_is_encoded_too():
    params = {'new': {'a': [1, None]}, 'messages': [{'content': [{'newBlock': {'bytes': 'text'}}]}]}
    assert json.loads(encode_request({'modelId': 'model', **params})) == params


def test_the_parameters_of_the_caller_are_left_as_they_are():
    params = {
        'modelId': 'model',
        'messages': [{'content': [{'image': {'source': {'bytes': b'image'}}}]}],
        'system': None,
        'additionalModelRequestFields': {1: (Decimal('1.5'), b'x')},
    }
    copy = {**params}
    encode_request(params)
    assert params == copy
    assert params['messages'] == [{'content': [{'image': {'source': {'bytes': b'image'}}}]}]
    assert params['additionalModelRequestFields'] == {1: (Decimal('1.5'), b'x')}


@pytest.mark.parametrize(
    ('params', 'error'),
    [
        ({'system': [{'text': {'a'}}]}, 'system[0].text is of type set'),
        ({'a': [[], [{'b': object()}]]}, 'a[1][0].b is of type object'),
        ({'inferenceConfig': {'temperature': float('nan')}}, 'inferenceConfig.temperature is nan'),
        ({'inferenceConfig': {'temperature': float('-inf')}}, 'inferenceConfig.temperature is -inf'),
        ({'inferenceConfig': {'temperature': Decimal('Infinity')}}, 'inferenceConfig.temperature is Infinity'),
        ({'inferenceConfig': {'temperature': Decimal('sNaN')}}, 'inferenceConfig.temperature is sNaN'),
        ({'a': {'b': {('c', 'd'): 1}}}, 'a.b has a key of type tuple'),
        ({'a': {b'c': 1}}, 'a has a key of type bytes'),
        ({'a': {'b': (1, 1j)}}, 'a.b[1] is of type complex'),
        ({'a': iter([])}, 'a is of type list_iterator'),
        ({'input': {'invokeModel': {'body': '\ud834'}}}, 'input.invokeModel.body has no UTF-8'),
        ({'inferenceConfig': {'temperature': Decimal('1e400')}}, 'inferenceConfig.temperature is inf'),
    ],
)
def test_what_json_cannot_carry_is_an_error_that_names_its_place(params: dict[str, Any], error: str):
    with pytest.raises(ConverseEncodeError) as raised:
        encode_request({'modelId': 'model', **params})
    assert str(raised.value) == f'JSON cannot carry the request: {error}'


def test_a_value_that_contains_itself_is_an_error():
    document: dict[str, Any] = {}
    document['self'] = [document]
    with pytest.raises(ConverseEncodeError, match='nested too deeply, or contains itself'):
        encode_request({'additionalModelRequestFields': document})


def test_a_deep_document_is_encoded_as_botocore_encodes_it():
    document: Any = 1
    for _ in range(300):
        document = [document]
    params = {'modelId': 'model', 'additionalModelRequestFields': {'deep': document}}
    assert json.loads(encode_request(params)) == json.loads(serialized_by_botocore('Converse', params))


# Responses


@pytest.mark.parametrize('name', ['Converse', 'CountTokens'])
def test_each_member_of_a_response_is_decoded_as_botocore_decodes_it(name: str):
    for path, value in single_paths(operation(name).output_shape, wire_leaf):
        body = json.dumps(value).encode()
        assert decode_response(body) == response_by_botocore(name, body), path


@pytest.mark.parametrize('name', ['Converse', 'CountTokens'])
def test_any_response_is_decoded_as_botocore_decodes_it(name: str):
    @property_test
    @given(values(operation(name).output_shape, wire_scalars, nulls=True))
    def check(response: dict[str, Any]) -> None:
        body = json.dumps(response).encode()
        assert decode_response(body) == response_by_botocore(name, body)

    check()


@pytest.mark.parametrize(
    'body',
    [
        pytest.param(b'', id='empty'),
        pytest.param(b'<html>', id='HTML'),
        pytest.param(b'{"output": {}', id='cut off'),
        pytest.param(b'\xef\xbb\xbf{}', id='byte order mark'),
    ],
)
def test_a_body_that_is_not_json_is_a_response_without_fields(body: bytes):
    """Upstream tells such a body by the `output` or `inputTokens` that is missing then."""
    assert decode_response(body) == {}
    assert response_by_botocore('Converse', body) == {}


@pytest.mark.parametrize('body', [b'[]', b'null', b'"text"', b'1', b'\xff', b'[' * 100_000, b'{"a":' * 100_000])
def test_a_body_that_no_parser_has_is_a_response_without_fields(body: bytes):
    assert decode_response(body) == {}


@pytest.mark.parametrize(
    'body', [rb'{"stopReason": "\ud834"}', b'{"metrics": {"latencyMs": 1}, "metrics": {"latencyMs": 2}}', b' {}\n']
)
def test_json_is_read_as_botocore_reads_it(body: bytes):
    assert decode_response(body) == response_by_botocore('Converse', body)


def test_a_deep_document_is_decoded_as_botocore_decodes_it():
    body = json.dumps(block({'toolUse': {'input': json.loads('[' * 300 + ']' * 300)}})).encode()
    assert decode_response(body) == response_by_botocore('Converse', body)


def test_what_no_service_model_has_is_decoded_too():
    response = {
        'new': {'a': [1, 'x']},
        'output': {'message': {'role': 'assistant', 'content': [{'newBlock': {'source': {'bytes': 'eA=='}}}]}},
        'trace': {'guardrail': {'new': True}, 'newTrace': {}},
        'stopReason': 'new_reason',
    }
    assert decode_response(json.dumps(response).encode()) == response


@property_test
@given(values(operation('Converse').output_shape, wire_scalars, nulls=True, news=True))
def test_what_is_new_in_any_response_passes_beside_what_is_known(response: dict[str, Any]):
    body = json.dumps(response).encode()
    ours = decode_response(body)
    assert known(ours, operation('Converse').output_shape) == response_by_botocore('Converse', body)
    if response.get('usage'):
        response['usage'].pop('new', None)
    assert news_in(ours) == news_in(response)


@property_test
@given(values(events()['contentBlockDelta'], wire_scalars, nulls=True, news=True))
def test_what_is_new_in_any_event_passes_beside_what_is_known(members: dict[str, Any]):
    sent = event_message('contentBlockDelta', members)
    ours = decode_event(sent)
    assert known(ours, stream_shape()) == event_by_botocore(sent.headers, sent.payload)
    assert news_in(ours) == news_in(members)


def test_documents_are_the_users_own():
    """Nulls stay, and what looks like a blob stays text."""
    response = {
        'output': {
            'message': {
                'content': [
                    {'toolUse': {'input': DOCUMENT, 'name': 'a'}},
                    {'toolResult': {'content': [{'json': DOCUMENT}]}},
                ]
            }
        },
        'additionalModelResponseFields': DOCUMENT,
    }
    assert decode_response(json.dumps(response).encode()) == response


def test_nulls_are_dropped_where_a_service_model_has_members():
    body = json.dumps(
        {
            'output': {'message': {'content': [{'text': 'a', 'toolUse': None}, {'toolUse': {'input': None}}]}},
            'usage': {'inputTokens': None, 'outputTokens': 1},
            'trace': None,
        }
    )
    assert decode_response(body.encode()) == {
        'output': {'message': {'content': [{'text': 'a'}, {'toolUse': {}}]}},
        'usage': {'outputTokens': 1},
    }


def test_a_text_that_says_null_is_text():
    response = block({'text': 'null'})
    assert decode_response(json.dumps(response).encode()) == response


@pytest.mark.parametrize('value', ['x', 'é', 1, {'a': 1}, ['eA==']])
def test_a_blob_that_is_not_base64_is_an_error(value: Any):
    content = {'image': {'format': 'png', 'source': {'bytes': value}}}
    with pytest.raises(ConverseDecodeError, match='bytes is not base64'):
        decode_response(json.dumps(block(content)).encode())
    with pytest.raises(ConverseDecodeError, match='bytes is not base64'):
        decode_event(event_message('contentBlockDelta', {'delta': content}))


@pytest.mark.parametrize('value', [1, 'text', [], [1], [None], {'message': 3}, {'message': {'content': 'text'}}, True])
def test_a_member_of_another_type_passes_through(value: Any):
    response = {'output': value, 'usage': value}
    assert decode_response(json.dumps(response).encode())['output'] == value


def test_usage_has_the_members_of_the_service_model_only():
    """The raw JSON says the same twice, which upstream would count as details."""
    usage = {
        'inputTokens': 1,
        'outputTokens': 2,
        'totalTokens': 3,
        'cacheReadInputTokens': 4,
        'cacheWriteInputTokens': 5,
        'cacheDetails': [{'ttl': '5m', 'inputTokens': 5}],
    }
    raw = {**usage, 'cacheReadInputTokenCount': 4, 'cacheWriteInputTokenCount': 5, 'serverToolUsage': {}, 'cost': 0.1}
    assert decode_response(json.dumps({'usage': raw}).encode()) == {'usage': usage}
    assert decode_event(event_message('metadata', {'usage': raw})) == {'metadata': {'usage': usage}}


def test_usage_has_every_member_of_the_installed_service_model():
    output: Any = operation('Converse').output_shape
    assert output.members['usage'].members.keys() <= USAGE_MEMBERS
    assert events()['metadata'].members['usage'].members.keys() <= USAGE_MEMBERS


def test_a_message_whose_content_is_no_block_is_sent_as_it_is() -> None:
    messages = [{'role': 'user', 'content': ['text']}]
    assert json.loads(encode_request({'messages': messages})) == {'messages': messages}


def test_nulls_are_dropped_in_a_list_of_a_list_too() -> None:
    response = decode_response(b'{"output":{"message":{"content":[[{"text":null}]]}}}')
    assert response['output']['message']['content'] == [[{}]]


def test_a_response_that_is_nested_deeper_than_the_stack_is_an_error() -> None:
    body = b'{"output":{"message":{"content":%b%b}}}' % (150 * b'[', 150 * b']')

    def decode_after(calls: int) -> Any:
        return decode_after(calls - 1) if calls else decode_response(body)

    assert decode_after(0)['output']
    with pytest.raises(ConverseDecodeError, match='Nested too deeply'):
        decode_after(sys.getrecursionlimit() - len(inspect.stack(0)) - 60)
