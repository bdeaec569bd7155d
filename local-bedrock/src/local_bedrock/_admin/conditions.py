"""Conditions: the requests that a reply or a fault is for, in the form of JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_bedrock._arguments import TEXT
from local_bedrock.requests import RecordedRequest

COMMON = {'model': TEXT, 'user_text_contains': TEXT}


def taken_from(members: dict[str, Any], *names: str) -> dict[str, Any]:
    """Remove the conditions from the members of a reply or a fault, and return them as arguments of its rule."""
    found = {name: members.pop(name) for name in ('model', 'operation', 'times', *names) if name in members}
    text = members.pop('user_text_contains', None)
    return found if text is None else {**found, 'when': _saying(text)}


def _saying(text: str) -> Callable[[RecordedRequest], bool]:
    return lambda request: text in request.last_user_text
