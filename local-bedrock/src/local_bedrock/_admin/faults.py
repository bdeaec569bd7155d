"""Faults in the form of JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic_core import CoreSchema
from pydantic_core.core_schema import float_schema, int_schema

from local_bedrock import faults
from local_bedrock._admin.conditions import ANY_OPERATION, COMMON, taken_from
from local_bedrock._admin.forms import (
    COUNT,
    EVENT,
    FLAG,
    NTH,
    SECONDS,
    TEXT,
    WHOLE,
    Form,
    InputError,
    items,
    members_of,
    one_of,
)
from local_bedrock._admin.replies import ENDING, ERROR, error_reply
from local_bedrock.frames import StreamEvent
from local_bedrock.scripted import Scripted

_INTEGER = int_schema(strict=True)
# The length of a frame has 32 bits; this leaves room for its headers.
_FRAME_SIZE = int_schema(strict=True, ge=64, le=2**32 - 256)
_CONDITIONS: Mapping[str, CoreSchema] = {
    **COMMON,
    'operation': ANY_OPERATION,
    'nth': NTH,
    'probability': float_schema(strict=True, ge=0, le=1, allow_inf_nan=False),
    'seed': _INTEGER,
    'times': COUNT,
}


def _inserted(event: StreamEvent | Mapping[str, Any] | bytes, **members: Any) -> faults.InsertEvent:
    if isinstance(event, Mapping):
        ((name, payload),) = event.items()
        event = StreamEvent(name, payload)
    return faults.InsertEvent(event, **members)


_KINDS: Mapping[str, tuple[Callable[..., faults.Fault], Mapping[str, CoreSchema], tuple[str, ...]]] = {
    'truncate': (faults.Truncate, {'at': int_schema(strict=True, ge=-1), 'then': ENDING}, ('at',)),
    'no_response': (faults.NoResponse, {'then': one_of('reset', 'close', 'hang')}, ()),
    'slow_headers': (faults.SlowHeaders, {'interval': SECONDS}, ('interval',)),
    'slow_body': (faults.SlowBody, {'interval': SECONDS, 'piece_size': COUNT}, ('interval',)),
    'flip_bit': (faults.FlipBit, {'at': _INTEGER, 'piece': WHOLE}, ('at',)),
    'wrong_checksum': (faults.WrongChecksum, {'event': WHOLE, 'of': one_of('message', 'prelude')}, ()),
    'insert_event': (_inserted, {'event': EVENT, 'after': WHOLE, 'end': FLAG}, ('event',)),
    'exception_event': (faults.exception_event, {'name': TEXT, 'message': TEXT, 'after': WHOLE}, ('name',)),
    'drop_connection': (faults.DropConnection, {}, ()),
    'oversized_frame': (faults.OversizedFrame, {'size': _FRAME_SIZE, 'after': WHOLE, 'sent': WHOLE}, ()),
    'fail_connection': (faults.FailConnection, {'then': one_of('reset', 'close', 'hang', 'alert')}, ()),
}


@cache
def forms() -> dict[str, Form]:
    """Return the forms of faults, by kind; an error has the form that it has as a reply."""
    made = {
        kind: Form({'fault': TEXT, **members, **_CONDITIONS}, required=('fault', *required))
        for kind, (_, members, required) in _KINDS.items()
    }
    return {**made, 'error': Form({'fault': TEXT, **ERROR, **_CONDITIONS}, required=['error'])}


@dataclass(frozen=True)
class ScriptedFault:
    """A fault and the requests that it happens to."""

    fault: faults.Fault
    conditions: Mapping[str, Any]
    place: str

    def put(self, bedrock: Scripted) -> None:
        """Script the fault.

        Raises:
            InputError: The failure of a connection is made to depend on a request.
        """
        try:
            bedrock.fault(self.fault, **self.conditions)
        except ValueError as error:
            raise InputError(f'{self.place or "fault"}: {error}') from None


def read_faults(value: object) -> list[ScriptedFault]:
    """Read a fault or a list of them.

    Args:
        value: Decoded JSON.

    Raises:
        InputError: A fault is not of the form.
    """
    return [_read(item, place) for place, item in items(value, 'faults')]


def _read(value: object, place: str) -> ScriptedFault:
    given = members_of(value)
    kind = given.get('fault', 'error' if 'error' in given else None)
    form = forms().get(kind) if isinstance(kind, str) else None
    if form is None:
        raise InputError(f'{place}.fault: must be one of {", ".join(forms())}.'.lstrip('.'))
    members = form.read(value, place)
    members.pop('fault', None)
    conditions = taken_from(members, 'nth', 'probability', 'seed')
    fault = error_reply(members, place) if kind == 'error' else _KINDS[str(kind)][0](**members)
    return ScriptedFault(fault, conditions, place)
