"""From a reply of the model to the bodies of InvokeModel and InvokeModelWithResponseStream."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from local_bedrock._model.converse_bodies import content_blocks, stop_reason, usage_of
from local_bedrock._model.invoke.formats import format_of
from local_bedrock._model.invoke.generation import Generation, ModelFormat
from local_bedrock.replies import Reply
from local_bedrock.requests import RecordedRequest

_METRICS = 'amazon-bedrock-invocationMetrics'


def invoke_body(reply: Reply, request: RecordedRequest) -> tuple[bytes, dict[str, str], Mapping[str, Any]]:
    """Return the body of a response to InvokeModel, the headers that count tokens, and its usage.

    Raises:
        TypeError: The model generates no text, or the reply has no place in its format.
    """
    model_format, generation = _generated(reply, request)
    headers = {
        'X-Amzn-Bedrock-Invocation-Latency': str(generation.latency_ms),
        'X-Amzn-Bedrock-Input-Token-Count': str(generation.usage['inputTokens']),
        'X-Amzn-Bedrock-Output-Token-Count': str(generation.usage['outputTokens']),
    }
    return to_json(model_format.response(generation)), headers, generation.usage


def invoke_chunks(reply: Reply, request: RecordedRequest) -> tuple[list[dict[str, Any]], Generation]:
    """Return the payloads of the `chunk` events of a stream, before padding, and the reply that they make up.

    Raises:
        TypeError: The model generates no text, or the reply has no place in its format.
    """
    model_format, generation = _generated(reply, request)
    chunks = list(model_format.chunks(generation))
    chunks[-1] = {**chunks[-1], _METRICS: generation.metrics}
    return [{'bytes': b64encode(to_json(chunk)).decode()} for chunk in chunks], generation


def _generated(reply: Reply, request: RecordedRequest) -> tuple[ModelFormat, Generation]:
    model_format = format_of(request.model_id, request.body)
    if model_format is None:
        raise TypeError(f'Reply cannot answer InvokeModel of {request.model_id}: use RawReply or ErrorReply')
    blocks = content_blocks(reply)
    usage = usage_of(reply, request, blocks)
    return model_format, Generation(reply, request, blocks, stop_reason(reply, blocks), usage)
