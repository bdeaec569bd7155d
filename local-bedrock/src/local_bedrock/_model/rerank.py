"""InvokeModel of the reranking models: documents by the words that they share with a query."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import to_json

from local_bedrock._bodies.tokens import count_tokens
from local_bedrock._model.malformed import malformed, required

_WORD = re.compile(r'\w+')
_COHERE_API_VERSION = 2
# Scores of models are never the ends of their range.
_LEAST, _MOST = 0.001, 0.999


def amazon_rerank(body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the response of Amazon Rerank, and the tokens of its input.

    Raises:
        RefusedError: The body is not in the model's format.
    """
    required(body, 'query', str)
    required(body, 'documents', list)
    query = cast('str', body['query'])
    texts = [_text(document) for document in cast('list[object]', body['documents'])]
    if not texts:
        raise malformed('#/documents: expected minimum item count: 1, found: 0')
    if 'top_n' in body:
        required(body, 'top_n', int)
    top_n = cast('int', body.get('top_n', len(texts)))
    if top_n < 1:
        raise malformed(f'#/top_n: {top_n} is not greater or equal to 1')
    scores = [_relevance(query, text) for text in texts]
    order = sorted(range(len(texts)), key=lambda index: (-scores[index], index))
    results = [{'index': index, 'relevance_score': scores[index]} for index in order[:top_n]]
    return {'results': results}, count_tokens(query) + sum(map(count_tokens, texts))


def cohere_rerank(body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the response of Cohere Rerank, and the tokens of its input.

    Raises:
        RefusedError: The body is not in the model's format.
    """
    required(body, 'api_version', int)
    version = cast('int', body['api_version'])
    # https://github.com/cohere-ai/cohere-python/issues/613, 2024-12
    if version < _COHERE_API_VERSION:
        raise malformed(f'#/api_version: {version} is not greater or equal to {_COHERE_API_VERSION}')
    return amazon_rerank(body)


def _text(document: object) -> str:
    return document if isinstance(document, str) else to_json(document).decode()


def _relevance(query: str, document: str) -> float:
    """Return the share of the words of a query that a document has."""
    wanted, found = (set(_WORD.findall(text.lower())) for text in (query, document))
    share = len(wanted & found) / len(wanted) if wanted else 0.0
    return round(_LEAST + (_MOST - _LEAST) * share, 6)
