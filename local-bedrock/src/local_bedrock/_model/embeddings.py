"""InvokeModel of the embedding models: vectors that depend on the text alone."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, cast
from uuid import UUID

from pydantic_core import to_json

from local_bedrock._bodies.tokens import count_tokens
from local_bedrock._model.malformed import malformed

_TITAN_DIMENSIONS = (256, 512, 1024)
_NOVA_DIMENSIONS = (256, 384, 1024, 3072)
_COHERE_V4_DIMENSIONS = (256, 512, 1024, 1536)


def unit_vector(text: str, dimensions: int) -> list[float]:
    """Return the vector of a text: of length one, the same for the same text and no other."""
    source = random.Random(sha256(text.encode()).digest())
    vector = [source.random() - 0.5 for _ in range(dimensions)]
    length = math.sqrt(sum(value * value for value in vector))
    return [_float32(value / length) for value in vector]


def _float32(value: float) -> float:
    return struct.unpack('f', struct.pack('f', value))[0]


def _as_type(vector: Sequence[float], kind: str) -> list[float] | list[int]:
    if kind == 'float':
        return list(vector)
    bits = [int(value > 0) for value in vector]
    if kind == 'int8':
        return [max(-128, min(127, round(value * 1024))) for value in vector]
    if kind == 'uint8':
        return [max(0, min(255, round(value * 1024) + 128)) for value in vector]
    packed = [sum(bit << 7 - place for place, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8)]
    return packed if kind == 'ubinary' else [byte - 128 for byte in packed]


def _dimensions(wanted: Any, allowed: Sequence[int], default: int) -> int:
    if wanted is None:
        return default
    if wanted not in allowed:
        raise malformed(f'{wanted} is not a valid enum value')
    return cast('int', wanted)


def _text(body: Mapping[str, Any], key: str) -> str:
    text = body.get(key)
    if not isinstance(text, str):
        raise malformed(f'#: required key [{key}] not found')
    if not text:
        raise malformed(f'#/{key}: expected minLength: 1, actual: 0')
    return text


def _titan_v1(body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    text = _text(body, 'inputText')
    tokens = count_tokens(text)
    return {'embedding': unit_vector(text, 1536), 'inputTextTokenCount': tokens}, tokens


def _titan_v2(body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    text = _text(body, 'inputText')
    tokens = count_tokens(text)
    vector = unit_vector(text, _dimensions(body.get('dimensions'), _TITAN_DIMENSIONS, 1024))
    if body.get('normalize') is False:
        vector = [_float32(value * 7.5) for value in vector]
    kinds: Sequence[str] = body.get('embeddingTypes') or ('float',)
    by_type = {
        kind: _as_type(vector, 'float') if kind == 'float' else [int(value > 0) for value in vector] for kind in kinds
    }
    response: dict[str, Any] = {'embedding': vector} if 'float' in kinds else {}
    return {**response, 'embeddingsByType': by_type, 'inputTextTokenCount': tokens}, tokens


def _cohere(body: Mapping[str, Any], dimensions: int) -> tuple[dict[str, Any], int]:
    texts = cast('list[str] | None', body.get('texts'))
    if texts is None and body.get('inputs'):
        texts = [to_json(part).decode() for part in body['inputs']]
    if not isinstance(texts, list) or not texts:
        raise malformed('#: required key [texts] not found')
    if len(texts) > 96:
        raise malformed(f'#/texts: expected maximum item count: 96, found: {len(texts)}')
    if not isinstance(body.get('input_type'), str):
        raise malformed('#: required key [input_type] not found')
    vectors = [unit_vector(text, dimensions) for text in texts]
    kinds = cast('list[str] | None', body.get('embedding_types'))
    request_id = str(UUID(bytes=sha256(to_json(texts)).digest()[:16], version=4))
    response: dict[str, Any] = {'id': request_id, 'texts': texts}
    if kinds is None and dimensions == 1024 and 'output_dimension' not in body:
        response |= {'embeddings': vectors, 'response_type': 'embeddings_floats'}
    else:
        by_type = {kind: [_as_type(vector, kind) for vector in vectors] for kind in kinds or ('float',)}
        response |= {'embeddings': by_type, 'response_type': 'embeddings_by_type'}
    return {name: response[name] for name in sorted(response)}, sum(count_tokens(text) for text in texts)


def _cohere_v3(body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    return _cohere(body, 1024)


def _cohere_v4(body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    wanted = _dimensions(body.get('output_dimension'), _COHERE_V4_DIMENSIONS, 1536)
    return _cohere({'output_dimension': wanted, **body}, wanted)


def _nova(body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    parameters = cast('Mapping[str, Any] | None', body.get('singleEmbeddingParams'))
    if body.get('taskType') != 'SINGLE_EMBEDDING' or not isinstance(parameters, Mapping):
        raise malformed('#: required key [singleEmbeddingParams] not found')
    if 'embeddingPurpose' not in parameters:
        raise malformed('#/singleEmbeddingParams: required key [embeddingPurpose] not found')
    dimensions = _dimensions(parameters.get('embeddingDimension'), _NOVA_DIMENSIONS, 3072)
    text = cast('Mapping[str, Any] | None', parameters.get('text'))
    if text is None:
        kind = next((kind for kind in ('image', 'audio', 'video') if kind in parameters), 'text')
        content = to_json(parameters.get(kind)).decode()
    else:
        kind, content = 'TEXT', _text(text, 'value')
    embedding = {'embeddingType': kind.upper(), 'embedding': unit_vector(content, dimensions)}
    return {'embeddings': [embedding]}, count_tokens(content)


Embed = Callable[[Mapping[str, Any]], tuple[dict[str, Any], int]]
"""A function from a body to the response and the tokens of the input."""

EMBEDDINGS: Mapping[str, Embed] = {
    'amazon.titan-embed-text-v2': _titan_v2,
    'amazon.titan-embed': _titan_v1,
    'cohere.embed-v4': _cohere_v4,
    'cohere.embed': _cohere_v3,
    'amazon.nova-2-multimodal-embeddings': _nova,
}
EMBEDDINGS_BY_MEMBER: Mapping[str, Embed] = {
    'inputText': _titan_v2,
    'texts': _cohere_v3,
    'singleEmbeddingParams': _nova,
}
"""The formats by a member of the body: the id of an inference profile does not name its model."""
