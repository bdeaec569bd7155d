from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from support.frames import decoded

from local_bedrock import StreamEvent, encode_event, encode_frame, encode_headers
from local_bedrock.frames import HeaderValue, Padding


def test_an_event_is_framed_with_its_headers_in_the_order_of_bedrock() -> None:
    (message,) = decoded(encode_event(StreamEvent('messageStart', {'role': 'assistant'})))
    assert list(message.headers.items()) == [
        (':event-type', 'messageStart'),
        (':content-type', 'application/json'),
        (':message-type', 'event'),
    ]
    assert message.payload == b'{"role":"assistant"}'


def test_an_exception_has_its_type_and_message() -> None:
    event = StreamEvent.exception('modelStreamErrorException', 'Oh', originalStatusCode=500)
    (message,) = decoded(encode_event(event))
    assert message.headers[':message-type'] == 'exception'
    assert message.headers[':exception-type'] == 'modelStreamErrorException'
    assert message.payload == b'{"message":"Oh","originalStatusCode":500}'


def test_an_error_travels_in_headers() -> None:
    (message,) = decoded(encode_event(StreamEvent.error('InternalError', 'Oh')))
    assert dict(message.headers) == {':message-type': 'error', ':error-code': 'InternalError', ':error-message': 'Oh'}
    assert message.payload == b''


@pytest.mark.parametrize(
    ('value', 'read'),
    [
        (True, True),
        (False, False),
        (-2, -2),
        ('tëxt', 'tëxt'),
        (b'\x00\xff', b'\x00\xff'),
        (datetime(2026, 1, 2, tzinfo=UTC), 1767312000000),
        (UUID('123e4567-e89b-42d3-a456-426614174000'), UUID('123e4567-e89b-42d3-a456-426614174000').bytes),
    ],
)
def test_a_header_has_the_wire_type_of_its_value(value: HeaderValue, read: Any) -> None:
    (message,) = decoded(encode_frame(encode_headers([('name', value)]), b'payload'))
    assert message.headers == {'name': read}
    assert message.payload == b'payload'


def test_frames_follow_one_another() -> None:
    events = [encode_event(StreamEvent('contentBlockStop', {'contentBlockIndex': index})) for index in range(3)]
    assert [message.payload for message in decoded(*events)] == [
        b'{"contentBlockIndex":%d}' % index for index in range(3)
    ]


def test_padding_is_a_prefix_of_the_alphabet_and_the_same_for_the_same_seed() -> None:
    paddings = [[Padding('seed').pad({'role': 'assistant'})['p'] for _ in range(1)] for _ in range(2)]
    assert paddings[0] == paddings[1]
    source = Padding('seed')
    lengths: set[int] = set()
    for _ in range(500):
        padding = source.pad({})['p']
        assert 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'.startswith(padding)
        lengths.add(len(padding))
    assert (min(lengths), max(lengths)) == (2, 61)


def test_members_are_in_alphabetical_order_with_the_padding_among_them() -> None:
    assert list(Padding(0).pad({'stopReason': 'end_turn', 'additionalModelResponseFields': {}})) == [
        'additionalModelResponseFields',
        'p',
        'stopReason',
    ]
