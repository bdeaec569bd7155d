"""InvokeModel of the models that generate no text: embeddings and reranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from local_bedrock._model.embeddings import EMBEDDINGS, EMBEDDINGS_BY_MEMBER
from local_bedrock._model.rerank import amazon_rerank, cohere_rerank
from local_bedrock.errors import validation_error

_LATENCY_MS = 90
_MODELS = {**EMBEDDINGS, 'amazon.rerank': amazon_rerank, 'cohere.rerank': cohere_rerank}
_MODELS_BY_MEMBER = {**EMBEDDINGS_BY_MEMBER, 'api_version': cohere_rerank, 'documents': amazon_rerank}


def invoke_without_text(model_id: str, body: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Answer InvokeModel: the body and the headers that count.

    Raises:
        RefusedError: The body is not in the model's format, or LocalBedrock cannot invoke the model.
    """
    invoke = next((invoke for marker, invoke in _MODELS.items() if marker in model_id), None)
    if invoke is None and model_id.startswith('arn:'):
        invoke = next((invoke for member, invoke in _MODELS_BY_MEMBER.items() if member in body), None)
    if invoke is None:
        raise validation_error(f'LocalBedrock does not know the format of {model_id}: script a RawReply.')
    response, tokens = invoke(body)
    headers = {
        'x-amzn-bedrock-invocation-latency': str(_LATENCY_MS),
        'x-amzn-bedrock-input-token-count': str(tokens),
    }
    return to_json(response), headers
