"""Faults in the form of JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic_core import CoreSchema

from local_bedrock import faults
from local_bedrock._admin.conditions import COMMON, taken_from
from local_bedrock._admin.forms import EVENT, Form, InputError, items, members_of
from local_bedrock._admin.replies import ERROR, error_reply
from local_bedrock._arguments import CHANCE, COUNT, INTEGER, NTH, TEXT, one_of
from local_bedrock.frames import StreamEvent
from local_bedrock.routing import OPERATIONS
from local_bedrock.scripted import Scripted

_CONDITIONS: Mapping[str, CoreSchema] = {
    **COMMON,
    'operation': one_of(*OPERATIONS),
    'nth': NTH,
    'probability': CHANCE,
    'seed': INTEGER,
    'times': COUNT,
}


def _inserted(event: StreamEvent | Mapping[str, Any] | bytes, **members: Any) -> faults.InsertEvent:
    if isinstance(event, Mapping):
        ((name, payload),) = event.items()
        event = StreamEvent(name, payload)
    return faults.InsertEvent(event, **members)


_KINDS: Mapping[str, tuple[Callable[..., faults.Fault], Mapping[str, CoreSchema], tuple[str, ...]]] = {
    'truncate': (faults.Truncate, faults.Truncate.arguments.schemas, ('at',)),
    'no_response': (faults.NoResponse, faults.NoResponse.arguments.schemas, ()),
    'slow_headers': (faults.SlowHeaders, faults.SlowHeaders.arguments.schemas, ('interval',)),
    'slow_body': (faults.SlowBody, faults.SlowBody.arguments.schemas, ('interval',)),
    'flip_bit': (faults.FlipBit, faults.FlipBit.arguments.schemas, ('at',)),
    'wrong_checksum': (faults.WrongChecksum, faults.WrongChecksum.arguments.schemas, ()),
    'insert_event': (_inserted, {**faults.InsertEvent.arguments.schemas, 'event': EVENT}, ('event',)),
    'exception_event': (faults.exception_event, faults.EXCEPTION_EVENT.schemas, ('name',)),
    'drop_connection': (faults.DropConnection, {}, ()),
    'oversized_frame': (faults.OversizedFrame, faults.OversizedFrame.arguments.schemas, ()),
    'fail_connection': (faults.FailConnection, faults.FailConnection.arguments.schemas, ()),
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
