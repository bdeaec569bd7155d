"""InvokeModel of the reranking models."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
from support.requests import MakeClient, Post

AMAZON, COHERE = 'amazon.rerank-v1:0', 'cohere.rerank-v3-5:0'
ARN = f'arn:aws:bedrock:us-west-2::foundation-model/{AMAZON}'
PROFILE = 'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc'
DOCUMENTS = ['Cats sleep.', 'Paris is the capital of France.', 'Lyon is a city of France.']
QUERY = {'query': 'What is the capital of France?', 'documents': DOCUMENTS}


async def invoke(post: Post, model: str, **body: Any) -> list[dict[str, Any]]:
    status, headers, answer = await post('invoke', body, model=model)
    assert status == 200, answer
    assert int(headers['x-amzn-bedrock-input-token-count']) > 0
    return json.loads(answer)['results']


@pytest.mark.parametrize(
    ('model', 'options'),
    [(AMAZON, {}), (ARN, {}), (PROFILE, {}), (COHERE, {'api_version': 2}), (PROFILE, {'api_version': 2})],
)
async def test_documents_are_ordered_by_the_words_that_they_share_with_the_query(
    post: Post, model: str, options: dict[str, Any]
) -> None:
    results = await invoke(post, model, **QUERY, **options)
    assert [result['index'] for result in results] == [1, 2, 0]
    scores = [result['relevance_score'] for result in results]
    assert 1 > scores[0] > scores[1] > scores[2] > 0


async def test_only_the_best_are_returned_if_their_number_is_given(post: Post) -> None:
    results = await invoke(post, COHERE, **QUERY, api_version=2, top_n=1)
    assert [result['index'] for result in results] == [1]


async def test_documents_of_equal_score_keep_their_order(post: Post) -> None:
    results = await invoke(post, AMAZON, query='capital', documents=['one', 'two', 'three'])
    assert [result['index'] for result in results] == [0, 1, 2]


@pytest.mark.parametrize(
    ('model', 'body', 'said'),
    [
        (AMAZON, {'documents': DOCUMENTS}, '#: required key [query] not found'),
        (AMAZON, {'query': 'x'}, '#: required key [documents] not found'),
        (AMAZON, {'query': 'x', 'documents': 'y'}, '#/documents: expected type: JSONArray, found: String'),
        (AMAZON, {'query': 'x', 'documents': []}, '#/documents: expected minimum item count: 1, found: 0'),
        (AMAZON, {**QUERY, 'top_n': 0}, '#/top_n: 0 is not greater or equal to 1'),
        (AMAZON, {**QUERY, 'top_n': 'all'}, '#/top_n: expected type: Integer, found: String'),
        (COHERE, QUERY, '#: required key [api_version] not found'),
        (COHERE, {**QUERY, 'api_version': 1}, '#/api_version: 1 is not greater or equal to 2'),
    ],
)
async def test_a_malformed_body_is_refused(post: Post, model: str, body: dict[str, Any], said: str) -> None:
    status, _, answer = await post('invoke', body, model=model)
    message = json.loads(answer)['message']
    assert (status, message) == (
        400,
        f'Malformed input request: {said}, please reformat your input and try again.',
    )


def test_a_client_of_aws_reranks(make_client: MakeClient) -> None:
    with closing(make_client('bedrock-runtime')) as client:
        body = client.invoke_model(modelId=COHERE, body=json.dumps({**QUERY, 'api_version': 2}))['body']
        assert json.loads(body.read())['results'][0]['index'] == 1


def test_a_reranking_model_is_listed_as_one_that_does_not_stream(make_client: MakeClient) -> None:
    with closing(make_client('bedrock')) as client:
        details = client.get_foundation_model(modelIdentifier=COHERE)['modelDetails']
        assert details['responseStreamingSupported'] is False
