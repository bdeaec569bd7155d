"""Waits as long as AWS asks, with `Retry-After` or `x-amz-retry-after`, before a call is sent again.

botocore decides whether a call is tried again and waits for a time of its own; the rest of AWS's time is waited for
here, before the next attempt is signed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import partial
from math import isnan
from time import monotonic, time
from typing import Any

from pydantic_ai_aiobedrock._config.call_options import call_options

MAX_SECONDS = 60
"""Calls wait no longer than this, nor than their read timeout, even if AWS asks for more."""

_NOT_BEFORE = 'pydantic_ai_aiobedrock.not_before'


def install(client: Any) -> None:
    """Let this client respect both headers."""
    events = client.meta.events
    note = partial(_note, client.meta.config.read_timeout)
    events.register('response-received.bedrock-runtime', note, unique_id='pydantic-ai-aiobedrock.note-retry-after')
    # First, so that the signature is not old before it is sent.
    events.register_first('request-created.bedrock-runtime', _wait, unique_id='pydantic-ai-aiobedrock.retry-after')


def _note(
    read_timeout: float, response_dict: Mapping[str, Any] | None, context: MutableMapping[str, Any], **_: object
) -> None:
    context.pop(_NOT_BEFORE, None)
    if response_dict is not None and (seconds := asked_for(response_dict['headers'])) > 0:
        limit = call_options.get().read_timeout or read_timeout
        context[_NOT_BEFORE] = monotonic() + min(seconds, limit, MAX_SECONDS)


async def _wait(request: Any, **_: object) -> None:
    not_before: float | None = request.context.pop(_NOT_BEFORE, None)
    if not_before is not None and (left := not_before - monotonic()) > 0:
        await asyncio.sleep(left)


def asked_for(headers: Mapping[str, str]) -> float:
    """Return the seconds that AWS asks to wait: a header has milliseconds, the other seconds or a date."""
    if (milliseconds := _number(headers.get('x-amz-retry-after', ''))) is not None:
        return milliseconds / 1000
    value = headers.get('retry-after', '')
    if (seconds := _number(value)) is not None:
        return seconds
    # A date with a number of many digits overflows.
    with suppress(ValueError, OverflowError):
        return parsedate_to_datetime(value).timestamp() - time()
    return 0


def _number(value: str) -> float | None:
    with suppress(ValueError):
        if not isnan(number := float(value)):
            return number
    return None
