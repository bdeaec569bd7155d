"""Replies in the form of JSON, as the admin API and files of replies give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic_core import CoreSchema
from pydantic_core.core_schema import (
    int_schema,
    list_schema,
    no_info_after_validator_function,
    typed_dict_field,
    typed_dict_schema,
    union_schema,
)

from local_bedrock import errors
from local_bedrock._admin.conditions import COMMON, taken_from
from local_bedrock._admin.forms import (
    BASE64,
    EVENT,
    HEADERS,
    OBJECT,
    OBJECTS,
    SECONDS_OF_EACH,
    Form,
    InputError,
    built,
    items,
    members_of,
)
from local_bedrock._arguments import COUNT, POSITIVE, SECONDS, SIZES, TEXT, WHOLE, described, one_of, optional
from local_bedrock.replies import AnyReply, Ending, EventsReply, RawReply, Reply, ToolCall
from local_bedrock.routing import RUNTIME_OPERATIONS
from local_bedrock.scripted import Scripted

_STATUS = int_schema(strict=True, ge=200, le=599)
_INPUT = described(union_schema([OBJECT, TEXT]), 'an object, or text')
ENDING = one_of(*get_args(Ending))
ERROR: Mapping[str, CoreSchema] = {
    'error': TEXT,
    'status': int_schema(strict=True, ge=400, le=599),
    'message': TEXT,
    'headers': HEADERS,
    'delay_before': SECONDS,
}
_CONDITIONS: Mapping[str, CoreSchema] = {**COMMON, 'operation': one_of(*RUNTIME_OPERATIONS), 'times': optional(COUNT)}
_KNOWN_ERRORS = {
    reply.code: reply
    for reply in (
        errors.TOO_MANY_TOKENS,
        errors.THROTTLING,
        errors.INTERNAL_SERVER_ERROR,
        errors.SERVICE_UNAVAILABLE,
        errors.MODEL_TIMEOUT,
        errors.MODEL_ERROR,
        errors.MODEL_NOT_READY,
        errors.ACCESS_DENIED,
        errors.EXPIRED_TOKEN,
    )
}


def _tool_call(members: dict[str, Any]) -> ToolCall:
    return ToolCall(**members)


def _tool_calls() -> CoreSchema:
    fields = {'name': TEXT, 'input': _INPUT, 'id': TEXT, 'type': TEXT}
    members = {name: typed_dict_field(schema, required=name == 'name') for name, schema in fields.items()}
    call = no_info_after_validator_function(_tool_call, typed_dict_schema(members, extra_behavior='forbid'))
    return list_schema(call, strict=True)


@cache
def forms() -> dict[str, Form]:
    """Return the forms of replies: generated text, an error, a stream by its events, and a body byte for byte."""
    text: Mapping[str, CoreSchema] = {
        'text': TEXT,
        'thinking': TEXT,
        'signature': TEXT,
        'redacted_thinking': BASE64,
        'citations': OBJECTS,
        'tool_calls': _tool_calls(),
        'content': OBJECTS,
        'stop_reason': TEXT,
        'usage': OBJECT,
        'trace': OBJECT,
        'service_tier': TEXT,
        'performance_latency': TEXT,
        'additional_fields': OBJECT,
        'latency_ms': WHOLE,
        'chunks': list_schema(TEXT, strict=True, min_length=1),
        'headers': HEADERS,
        'delay_before': SECONDS,
        'delay_per_event': SECONDS_OF_EACH,
        'tokens_per_second': POSITIVE,
    }
    cut: Mapping[str, CoreSchema] = {
        'headers': HEADERS,
        'delay_before': SECONDS,
        'truncate_at': WHOLE,
        'then': ENDING,
    }
    events = {'events': list_schema(EVENT, strict=True), 'delay_per_event': SECONDS_OF_EACH, **cut}
    raw = {'status': _STATUS, 'chunk_sizes': SIZES, 'delay_per_event': SECONDS, **cut}
    return {
        'text': Form({**text, **_CONDITIONS}),
        'error': Form({**ERROR, **_CONDITIONS}, required=['error']),
        'events': Form({**events, **_CONDITIONS}, required=['events']),
        'body': Form({'body': TEXT, **raw, **_CONDITIONS}, required=['body']),
        'body_base64': Form({'body_base64': BASE64, **raw, **_CONDITIONS}, required=['body_base64']),
    }


def error_reply(members: dict[str, Any], place: str) -> errors.ErrorReply:
    """Return the error that members name; status and message of a common error are known.

    Raises:
        InputError: The status of an error that is not common is missing.
    """
    code = members.pop('error')
    known = _KNOWN_ERRORS.get(code)
    if known is None and 'status' not in members:
        raise InputError(
            f'{place}.status: needed, for the error {code} is none of {", ".join(_KNOWN_ERRORS)}.'.lstrip('.')
        )
    status = members.pop('status', None) or (known.status if known else 500)
    message = members.pop('message', known.message if known else '')
    return errors.ErrorReply(status, code, message, origin=known.origin if known else 'bedrock', **members)


def _raw_reply(members: dict[str, Any], place: str) -> RawReply:
    body = members.pop('body_base64', None)
    return RawReply(members.pop('body').encode() if body is None else body, **members)


def _text_reply(members: dict[str, Any], place: str) -> Reply:
    if not members:
        raise InputError(f'{place or "body"}: an empty reply; give text, tool_calls, content, error, events or body.')
    return built(Reply, members, place)


def _events_reply(members: dict[str, Any], place: str) -> EventsReply:
    return built(EventsReply, members, place)


_MAKERS: Mapping[str, Callable[[dict[str, Any], str], AnyReply]] = {
    'text': _text_reply,
    'error': error_reply,
    'events': _events_reply,
    'body': _raw_reply,
    'body_base64': _raw_reply,
}


@dataclass(frozen=True)
class ScriptedReply:
    """A reply and the requests that it is for."""

    reply: AnyReply
    conditions: Mapping[str, Any]

    def put(self, bedrock: Scripted) -> None:
        """Script the reply."""
        bedrock.reply(self.reply, **self.conditions)


def read_replies(value: object) -> list[ScriptedReply]:
    """Read a reply or a list of them; text stands for a reply with that text.

    Args:
        value: Decoded JSON.

    Raises:
        InputError: A reply is not of the form.
    """
    return [_read(item, place) for place, item in items(value, 'replies')]


def _read(value: object, place: str) -> ScriptedReply:
    if isinstance(value, str):
        value = {'text': value}
    given = members_of(value)
    kind = next((kind for kind in ('error', 'events', 'body', 'body_base64') if kind in given), 'text')
    members = forms()[kind].read(value, place)
    conditions = taken_from(members)
    return ScriptedReply(_MAKERS[kind](members, place), conditions)
