"""The format of a model, by its id or, if the id does not name a family, by the members of the body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from local_bedrock._model.families import bare_id
from local_bedrock._model.invoke import claude, nova
from local_bedrock._model.invoke.generation import ModelFormat
from local_bedrock._model.invoke.plain import Llama, Mistral, TitanText
from local_bedrock.requests import RecordedRequest

_FORMATS: tuple[tuple[re.Pattern[str], str, ModelFormat], ...] = (
    (re.compile(r'anthropic\.'), 'anthropic_version', claude),
    (re.compile(r'amazon\.nova-(?!2-multimodal-embeddings|canvas|reel|sonic|2-sonic)'), 'messages', nova),
    (re.compile(r'amazon\.titan-(?:text|tg1)-'), 'textGenerationConfig', TitanText()),
    (re.compile(r'meta\.llama'), 'max_gen_len', Llama()),
    (re.compile(r'mistral\.(?:mistral-(?:7b|large-2402|small)|mixtral)'), 'prompt', Mistral()),
)


def format_of(model_id: str, body: Mapping[str, Any]) -> ModelFormat | None:
    """Return the format of a model that generates text, `None` for any other.

    Args:
        model_id: The id or ARN; an ARN that names no model is told by the body.
        body: The request.
    """
    bare = bare_id(model_id)
    for pattern, _, model_format in _FORMATS:
        if pattern.match(bare):
            return model_format
    if not bare.startswith('arn:'):
        return None
    return next((model_format for _, member, model_format in _FORMATS if member in body), None)


def invocation_of(request: RecordedRequest) -> dict[str, Any] | None:
    """Return a request of InvokeModel in the terms of Converse, `None` if it is another or its model generates no text.

    Raises:
        RefusedError: It is not in the format of its model.
    """
    if request.operation not in ('InvokeModel', 'InvokeModelWithResponseStream'):
        return None
    model_format = format_of(request.model_id, request.body)
    return None if model_format is None else model_format.converse_request(request.body)
