"""Events of ConverseStream, decoded like botocore does; whole exchanges recorded with Amazon Bedrock."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from pydantic_ai_aiobedrock._wire.converse import USAGE_MEMBERS, decode_event, decode_response, encode_request
from pydantic_ai_aiobedrock._wire.converse_errors import ConverseDecodeError, ConverseStreamError
from pydantic_ai_aiobedrock._wire.frames import EventStreamDecoder, Message

from .frames import event_message, exception, exchanges, frame, message, property_test, streams
from .shapes import (
    event_by_botocore,
    events,
    exceptions,
    known,
    operation,
    response_by_botocore,
    single_paths,
    stream_shape,
    values,
    wire_leaf,
    wire_scalars,
)

# Events


@pytest.mark.parametrize('event_type', events())
def test_each_member_of_an_event_is_decoded_as_botocore_decodes_it(event_type: str):
    for path, value in single_paths(events()[event_type], wire_leaf):
        sent = event_message(event_type, {**value, 'p': 'abcdef'})
        assert decode_event(sent) == event_by_botocore(sent.headers, sent.payload), path


@pytest.mark.parametrize('event_type', events())
def test_any_event_is_decoded_as_botocore_decodes_it(event_type: str):
    @property_test
    @given(values(events()[event_type], wire_scalars, nulls=True), st.text(max_size=5))
    def check(members: dict[str, Any], padding: str) -> None:
        sent = event_message(event_type, {**members, 'p': padding})
        assert decode_event(sent) == event_by_botocore(sent.headers, sent.payload)

    check()


def test_padding_is_dropped_where_it_stands_and_nowhere_else():
    sent = event_message('messageStop', {'p': 'abc', 'stopReason': 'x', 'additionalModelResponseFields': {'p': 1}})
    assert decode_event(sent) == {'messageStop': {'stopReason': 'x', 'additionalModelResponseFields': {'p': 1}}}


def test_what_no_service_model_has_of_an_event_is_decoded_too():
    members = {'contentBlockIndex': 0, 'delta': {'newDelta': {'a': 1}}, 'new': 'x'}
    assert decode_event(event_message('contentBlockDelta', members)) == {'contentBlockDelta': members}


@pytest.mark.parametrize('payload', [b'{}', b'not JSON', b''])
@pytest.mark.parametrize('event_type', ['initial-response', 'newEvent', 'modelStreamErrorException', ''])
def test_an_event_of_another_type_is_dropped(event_type: str, payload: bytes):
    assert decode_event(event_message(event_type, payload)) is None


@pytest.mark.parametrize('headers', [{}, {':message-type': 'event'}, {':event-type': 'contentBlockDelta2'}])
def test_a_message_that_is_no_event_is_dropped(headers: dict[str, str]):
    assert decode_event(message(frame(b'{}', headers))) is None


def test_an_event_type_that_is_no_text_is_dropped():
    assert decode_event(Message({':event-type': 5}, b'{}')) is None
    assert decode_event(Message({':event-type': b'messageStop'}, b'{}')) is None


@pytest.mark.parametrize('payload', [b'not JSON', b'[]', b'null', b'\xff', b'{"delta": {"text": "a', b'[' * 100_000])
def test_a_payload_that_is_not_a_json_object_is_an_error(payload: bytes):
    with pytest.raises(ConverseDecodeError, match='Not a JSON object'):
        decode_event(event_message('contentBlockDelta', payload))


@pytest.mark.parametrize('event_type', ['messageStart', 'contentBlockDelta', 'contentBlockStop', 'metadata'])
def test_an_empty_payload_is_an_event_without_members(event_type: str):
    sent = event_message(event_type, b'')
    assert decode_event(sent) == event_by_botocore(sent.headers, sent.payload) == {event_type: {}}


def test_a_payload_that_is_nested_too_deeply_is_an_error():
    payload = b'{"new":' * 5000 + b'1' + b'}' * 5000
    with pytest.raises(ConverseDecodeError):
        decode_event(event_message('contentBlockDelta', payload))


@pytest.mark.parametrize('code', exceptions())
def test_an_exception_in_the_stream_is_raised_with_the_code_and_message_that_botocore_finds(code: str):
    sent = message(exception(code, {'message': 'Too much', 'originalStatusCode': 424, 'originalMessage': 'No'}))
    with pytest.raises(ConverseStreamError, match=f'{code}: Too much') as raised:
        decode_event(sent)
    error = raised.value
    assert {'Error': {'Code': error.code, 'Message': error.message}} == event_by_botocore(sent.headers, sent.payload)
    assert (error.original_status_code, error.original_message) == (424, 'No')


@pytest.mark.parametrize(
    ('payload', 'said'),
    [
        (b'{"message": "Slow down"}', 'Slow down'),
        (b'{"message": null}', ''),
        (b'{}', ''),
        (b'', ''),
        (b'plain text \xe2\x80\xa6', 'plain text …'),
    ],
)
def test_an_exception_says_what_botocore_finds_in_its_payload(payload: bytes, said: str):
    sent = message(exception('throttlingException', payload))
    with pytest.raises(ConverseStreamError) as raised:
        decode_event(sent)
    assert raised.value.message == said == event_by_botocore(sent.headers, sent.payload)['Error']['Message']


@pytest.mark.parametrize(('payload', 'said'), [(b'{"Message": "Gone"}', 'Gone'), (b'\xff', '\ufffd'), (b'[1]', '[1]')])
def test_an_exception_of_an_unknown_type_keeps_its_code_and_message(payload: bytes, said: str):
    """botocore leaves both empty."""
    with pytest.raises(ConverseStreamError) as raised:
        decode_event(message(exception('newException', payload)))
    assert (raised.value.code, raised.value.message) == ('newException', said)
    assert (raised.value.original_status_code, raised.value.original_message) == (None, None)


@pytest.mark.parametrize(
    'headers',
    [
        {':message-type': 'error', ':error-code': 'InternalFailure', ':error-message': 'Oh no'},
        {':message-type': 'error', ':error-code': 'InternalFailure'},
        {':message-type': 'error'},
        {':message-type': 'exception'},
    ],
)
def test_an_error_in_the_stream_is_raised_with_the_code_and_message_of_its_headers(headers: dict[str, str]):
    sent = message(frame(b'', headers))
    with pytest.raises(ConverseStreamError) as raised:
        decode_event(sent)
    expected = event_by_botocore(sent.headers, sent.payload)['Error']
    assert {'Code': raised.value.code, 'Message': raised.value.message} == expected


# Recorded with Amazon Bedrock


def bytes_of_sources(members: dict[str, Any]) -> dict[str, Any]:
    """What a caller gives for an object of a recorded request."""
    return {'bytes': base64.b64decode(members['bytes'])} if members.keys() == {'bytes'} else members


def test_recorded_requests_are_encoded_as_they_were_sent(recorded: Path):
    for exchange in exchanges(recorded):
        sent = exchange['request']['json']
        if exchange['request']['path'].endswith(('converse', 'converse-stream', 'count-tokens')):
            params = json.loads(json.dumps(sent), object_hook=bytes_of_sources)
            assert json.loads(encode_request({'modelId': 'model', **params})) == sent


def test_recorded_responses_are_decoded_as_botocore_decodes_them(recorded: Path):
    for exchange in exchanges(recorded):
        name = {'converse': 'Converse', 'count-tokens': 'CountTokens'}.get(exchange['request']['path'].split('/')[-1])
        if name and exchange['response']['status'] == 200:
            expected = exchange['response']['json']
            body = json.dumps(expected).encode()
            ours = decode_response(body)
            assert known(ours, operation(name).output_shape) == response_by_botocore(name, body)
            if 'usage' in expected:
                expected['usage'] = {name: expected['usage'][name] for name in expected['usage'].keys() & USAGE_MEMBERS}
            assert ours == expected


def test_recorded_streams_are_decoded_as_botocore_decodes_them(recorded: Path):
    for stream in streams(recorded):
        decoder, theirs = EventStreamDecoder(), EventStreamBuffer()
        decoder.feed(stream)
        theirs.add_data(stream)
        ours = [decode_event(sent) for sent in decoder]
        decoder.close()
        expected = [event_by_botocore(sent.headers, sent.payload) for sent in theirs]
        assert [known(decoded, stream_shape()) for decoded in ours] == expected
        assert ours[0] == {'messageStart': {'role': 'assistant'}}


def test_a_recorded_thought_that_is_redacted_is_bytes(recorded: Path):
    [stream] = streams(recorded / 'stream_thinking_redacted.json')
    decoder = EventStreamDecoder()
    decoder.feed(stream)
    _, delta, *_ = [decode_event(sent) for sent in decoder]
    assert delta is not None
    thought = delta['contentBlockDelta']['delta']['reasoningContent']['redactedContent']
    assert thought.startswith(b'EtkECkgIBxABGAIqQJTfqS')
