"""The records of batches of embeddings: a text each, in the format of its model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic_ai.exceptions import ModelAPIError

from pydantic_ai_aiobedrock._upstream import seam


def record_body(model: Any, text: str, input_type: str, settings: Mapping[str, Any]) -> str:
    """Return the InvokeModel request that embeds a text, as upstream's model sends it."""
    return json.dumps(seam.embedding_handler(model).prepare_request([text], input_type, settings))


def vector(model: Any, body: str) -> Sequence[float]:
    """Return the embedding in the output of a record.

    Raises:
        ModelAPIError: There is none.
    """
    try:
        vectors, _ = seam.embedding_handler(model).parse_response(json.loads(body))
        return cast('Sequence[float]', vectors[0])
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        message = f'The record has no embedding: {type(error).__name__}: {error}'
        raise ModelAPIError(model_name=model.model_name, message=message) from error
