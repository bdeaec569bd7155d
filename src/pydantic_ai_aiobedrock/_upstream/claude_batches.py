"""Records for Claude in jobs of type InvokeModel, which take the tools that jobs of type Converse refuse.

The mapping is this package's own, not `AnthropicModel`'s: that model needs the `anthropic` client, is reachable by
private methods alone, has other settings (no `bedrock_...`), and stamps responses with another provider, so that their
thinking could not be sent back by a live call.
"""

from __future__ import annotations

import json
from typing import Any, cast

from pydantic_ai.exceptions import UserError
from pydantic_core import from_json

from pydantic_ai_aiobedrock._upstream.batch_records import LIVE, as_json
from pydantic_ai_aiobedrock._wire.messages import (
    MessagesEncodeError,
    converse_response,
    is_messages_response,
    messages_request,
)

_CLAUDE = 'anthropic.claude'


def invoke_model_body(model_name: str, body: bytes) -> bytes:
    """Return the body of the InvokeModel request that asks the same as a Converse request.

    Args:
        model_name: The model.
        body: The body of the Converse request.

    Raises:
        UserError: The model is not Claude, or the request has a member that InvokeModel has no place for.
    """
    if _CLAUDE not in model_name:
        raise UserError(
            f"Bedrock's batch inference takes tools for Claude alone, not for {model_name!r}. Send the request live, "
            'use a Claude model, or for structured output without tools `NativeOutput` or `PromptedOutput` as the '
            '`output_type`.'
        )
    try:
        return as_json(messages_request(_parsed(body)))
    except MessagesEncodeError as error:
        raise UserError(
            f'Batch inference with tools sends an InvokeModel request to Claude, which {error}. Leave that out, send '
            'the request live, or without tools.'
        ) from error


def converse_body(body: bytes) -> bytes:
    """Return the output of a record as Converse would have returned it; that of a Converse record stays as it is.

    Raises:
        LookupError: The output lacks a member.
        ValueError: It has content that Converse has no place for.
    """
    if b'"type"' not in body:
        return body
    found: Any = _parsed(body)
    if not isinstance(found, dict):
        return body
    response = cast('dict[str, Any]', found)
    if not is_messages_response(response):
        return body
    live = {LIVE: True} if LIVE in response else {}
    return as_json({**converse_response(response), **live})


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:
        # Half a surrogate pair, which only the standard library reads.
        return json.loads(body)
