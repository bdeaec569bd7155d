"""InvokeModel of the embedding models."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from support.requests import Post

TITAN_1, TITAN_2 = 'amazon.titan-embed-text-v1', 'amazon.titan-embed-text-v2:0'
COHERE_3, COHERE_4 = 'cohere.embed-english-v3', 'us.cohere.embed-v4:0'
NOVA = 'amazon.nova-2-multimodal-embeddings-v1:0'
ARN = 'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc'


def length(vector: list[float]) -> float:
    return math.sqrt(sum(value * value for value in vector))


async def invoke(post: Post, model: str, **body: Any) -> dict[str, Any]:
    status, headers, answer = await post('invoke', body, model=model)
    assert status == 200, answer
    assert int(headers['x-amzn-bedrock-input-token-count']) > 0
    assert int(headers['x-amzn-bedrock-invocation-latency']) > 0
    return json.loads(answer)


def nova(**parameters: Any) -> dict[str, Any]:
    return {
        'taskType': 'SINGLE_EMBEDDING',
        'singleEmbeddingParams': {
            'embeddingPurpose': 'GENERIC_INDEX',
            'text': {'truncationMode': 'NONE', 'value': 'Hello world'},
            **parameters,
        },
    }


@pytest.mark.parametrize(
    ('options', 'dimensions'), [({}, 1024), ({'dimensions': 256}, 256), ({'dimensions': 512}, 512)]
)
async def test_titan_2_has_the_wanted_dimensions(post: Post, options: dict[str, Any], dimensions: int) -> None:
    answer = await invoke(post, TITAN_2, inputText='Hello world', **options)
    assert len(answer['embedding']) == dimensions
    assert answer['embeddingsByType'] == {'float': answer['embedding']}
    assert answer['inputTextTokenCount'] == 4
    assert length(answer['embedding']) == pytest.approx(1.0, abs=1e-6)


async def test_titan_2_normalizes_and_packs_as_asked(post: Post) -> None:
    long = await invoke(post, TITAN_2, inputText='Hello', normalize=False)
    assert length(long['embedding']) > 2
    binary = await invoke(post, TITAN_2, inputText='Hello', embeddingTypes=['binary'])
    assert 'embedding' not in binary
    assert set(binary['embeddingsByType']['binary']) == {0, 1}


async def test_titan_1_has_one_size(post: Post) -> None:
    answer = await invoke(post, TITAN_1, inputText='Hello')
    assert list(answer) == ['embedding', 'inputTextTokenCount']
    assert len(answer['embedding']) == 1536


async def test_a_text_has_one_vector_and_no_other_text_has_it(post: Post) -> None:
    one, again, other = [
        (await invoke(post, TITAN_2, inputText=text))['embedding'] for text in ('Hello', 'Hello', 'Hello!')
    ]
    assert one == again != other


async def test_cohere_3_embeds_a_batch(post: Post) -> None:
    answer = await invoke(post, COHERE_3, texts=['one', 'two'], input_type='search_document')
    assert list(answer) == ['embeddings', 'id', 'response_type', 'texts']
    assert (answer['response_type'], answer['texts']) == ('embeddings_floats', ['one', 'two'])
    assert [len(vector) for vector in answer['embeddings']] == [1024, 1024]


async def test_cohere_4_embeds_a_batch_in_types_and_dimensions(post: Post) -> None:
    answer = await invoke(
        post,
        COHERE_4,
        texts=['one', 'two'],
        input_type='search_query',
        output_dimension=256,
        embedding_types=['float', 'int8', 'uint8', 'binary', 'ubinary'],
    )
    assert answer['response_type'] == 'embeddings_by_type'
    sizes = {kind: [len(vector) for vector in vectors] for kind, vectors in answer['embeddings'].items()}
    assert sizes == {
        'float': [256] * 2,
        'int8': [256] * 2,
        'uint8': [256] * 2,
        'binary': [32] * 2,
        'ubinary': [32] * 2,
    }
    ranges = {'int8': (-128, 127), 'uint8': (0, 255), 'binary': (-128, 127), 'ubinary': (0, 255)}
    for kind, (least, most) in ranges.items():
        assert all(least <= value <= most for value in answer['embeddings'][kind][0])


async def test_cohere_4_embeds_mixed_inputs(post: Post) -> None:
    inputs = [{'content': [{'type': 'text', 'text': 'one'}]}]
    answer = await invoke(post, COHERE_4, inputs=inputs, input_type='search_query')
    assert len(answer['embeddings']['float'][0]) == 1536


async def test_nova_embeds_text_and_media(post: Post) -> None:
    answer = await invoke(post, NOVA, **nova())
    (embedding,) = answer['embeddings']
    assert (embedding['embeddingType'], len(embedding['embedding'])) == ('TEXT', 3072)
    small = await invoke(post, NOVA, **nova(embeddingDimension=256))
    assert len(small['embeddings'][0]['embedding']) == 256
    image = await invoke(post, NOVA, **nova(text=None, image={'format': 'png', 'source': {'bytes': 'AA=='}}))
    assert image['embeddings'][0]['embeddingType'] == 'IMAGE'


@pytest.mark.parametrize(
    'body',
    [{'inputText': 'a'}, {'texts': ['a'], 'input_type': 'search_query'}, nova()],
    ids=['titan', 'cohere', 'nova'],
)
async def test_behind_an_inference_profile_the_body_tells_the_model(post: Post, body: dict[str, Any]) -> None:
    assert await invoke(post, ARN, **body)


@pytest.mark.parametrize(
    ('model', 'body', 'message'),
    [
        (TITAN_2, {}, 'Malformed input request: #: required key [inputText] not found, please reformat your input and'),
        (TITAN_2, {'inputText': ''}, 'Malformed input request: #/inputText: expected minLength: 1, actual: 0'),
        (TITAN_2, {'inputText': 'a', 'dimensions': 3}, 'Malformed input request: 3 is not a valid enum value'),
        (COHERE_3, {'texts': []}, 'required key [texts] not found'),
        (COHERE_3, {'texts': ['a']}, 'required key [input_type] not found'),
        (COHERE_3, {'texts': ['a'] * 97, 'input_type': 'x'}, '#/texts: expected maximum item count: 96, found: 97'),
        (NOVA, {'taskType': 'OTHER'}, 'required key [singleEmbeddingParams] not found'),
        (
            NOVA,
            {'taskType': 'SINGLE_EMBEDDING', 'singleEmbeddingParams': {}},
            'required key [embeddingPurpose] not found',
        ),
        ('amazon.nova-canvas-v1:0', {}, 'LocalBedrock does not know the format of'),
        (ARN, {}, 'LocalBedrock does not know the format of'),
    ],
    ids=lambda value: '' if isinstance(value, dict) else value[:30],
)
async def test_a_malformed_body_is_refused(post: Post, model: str, body: dict[str, Any], message: str) -> None:
    status, headers, answer = await post('invoke', body, model=model)
    assert status == 400
    assert headers['x-amzn-errortype'].startswith('ValidationException:')
    assert message in json.loads(answer)['message']
