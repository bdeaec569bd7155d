"""BedrockEmbeddingModel: each family of models, concurrency, failures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from generation import PATIENCE_SECONDS, eventually
from pydantic_ai import Embedder
from pydantic_ai.embeddings.bedrock import BedrockEmbeddingModel as UpstreamEmbeddingModel
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UserError
from pydantic_core import to_json

from local_bedrock import ACCESS_DENIED, LocalBedrock, NoResponse, RawReply, RecordedRequest
from pydantic_ai_aiobedrock import BedrockEmbeddingModel, BedrockProvider, SessionPool

TITAN = 'amazon.titan-embed-text-v2:0'
COHERE = 'cohere.embed-v4:0'
NOVA = 'amazon.nova-2-multimodal-embeddings-v1:0'


@pytest.fixture
def titan(provider: BedrockProvider) -> BedrockEmbeddingModel:
    return BedrockEmbeddingModel(TITAN, provider=provider)


@pytest.fixture
def pool(provider: BedrockProvider) -> SessionPool:
    return provider.client.pool


@pytest.mark.parametrize(
    ('model_name', 'settings', 'dimensions'),
    [
        (TITAN, {}, 1024),
        (TITAN, {'dimensions': 256}, 256),
        ('amazon.titan-embed-text-v1', {}, 1536),
        ('cohere.embed-english-v3', {}, 1024),
        (COHERE, {}, 1536),
        (COHERE, {'dimensions': 512}, 512),
        (NOVA, {}, 3072),
        (NOVA, {'dimensions': 384}, 384),
    ],
)
async def test_each_family_gives_a_vector_for_each_input(
    bedrock: LocalBedrock, provider: BedrockProvider, model_name: str, settings: dict[str, Any], dimensions: int
) -> None:
    model = BedrockEmbeddingModel(model_name, provider=provider)
    assert isinstance(model, UpstreamEmbeddingModel)
    result = await model.embed(['Hello.', 'Goodbye.', 'Hello.'], input_type='document', settings=settings)
    assert [len(vector) for vector in result.embeddings] == [dimensions] * 3
    assert result.embeddings[0] == result.embeddings[2] != result.embeddings[1]
    assert result.inputs == ['Hello.', 'Goodbye.', 'Hello.']
    assert (result.model_name, result.provider_name) == (model_name, 'bedrock')
    assert result.usage.input_tokens > 0
    assert {request.operation for request in bedrock.requests} == {'InvokeModel'}
    assert {request.model_id for request in bedrock.requests} == {model_name}
    assert {request.auth_scheme for request in bedrock.requests} == {'sigv4'}


async def test_the_model_is_behind_an_embedder(bedrock: LocalBedrock, titan: BedrockEmbeddingModel) -> None:
    embedder = Embedder(titan)
    query, documents = await asyncio.gather(embedder.embed_query('Hello.'), embedder.embed_documents(['a', 'b']))
    assert len(query.embeddings) == 1
    assert len(documents.embeddings) == 2


async def test_models_that_take_several_inputs_get_them_in_one_request(
    bedrock: LocalBedrock, provider: BedrockProvider
) -> None:
    await BedrockEmbeddingModel(COHERE, provider=provider).embed(['a', 'b', 'c'], input_type='query')
    (request,) = bedrock.requests
    assert request.body['texts'] == ['a', 'b', 'c']
    assert request.body['input_type'] == 'search_query'


async def test_an_inference_profile_is_invoked_in_place_of_the_model(
    bedrock: LocalBedrock, titan: BedrockEmbeddingModel
) -> None:
    arn = 'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc'
    await titan.embed('Hello.', input_type='query', settings={'bedrock_inference_profile': arn})
    assert bedrock.requests[0].model_id == arn


@pytest.mark.parametrize('limit', [1, 3])
async def test_inputs_that_are_sent_one_by_one_are_in_flight_together_up_to_a_limit(
    bedrock: LocalBedrock, titan: BedrockEmbeddingModel, limit: int
) -> None:
    together = asyncio.Barrier(limit)

    async def vector(request: RecordedRequest) -> RawReply:
        async with asyncio.timeout(5), together:
            return RawReply(to_json({'embedding': [1.0], 'inputTextTokenCount': 1}))

    bedrock.reply(vector, operation='InvokeModel', times=None)
    result = await titan.embed(
        [f'{number}' for number in range(6)], input_type='query', settings={'bedrock_max_concurrency': limit}
    )
    assert len(result.embeddings) == 6
    assert bedrock.stats().max_in_flight == limit


async def test_vectors_come_in_the_order_of_the_inputs(bedrock: LocalBedrock, titan: BedrockEmbeddingModel) -> None:
    """Even if the answers do not."""
    answered: list[str] = []
    last_was_answered = asyncio.Event()

    async def vector(request: RecordedRequest) -> RawReply:
        number = request.body['inputText']
        if number == '2':
            last_was_answered.set()
        else:
            async with asyncio.timeout(5):
                await last_was_answered.wait()
        answered.append(number)
        return RawReply(
            to_json({'embedding': [float(number)], 'inputTextTokenCount': 1}),
            headers={'x-amzn-bedrock-input-token-count': '2'},
        )

    bedrock.reply(vector, operation='InvokeModel', times=None)
    result = await titan.embed(['0', '1', '2'], input_type='query')
    assert [list(found) for found in result.embeddings] == [[0.0], [1.0], [2.0]]
    assert answered[0] == '2'
    assert result.usage.input_tokens == 6


# Failures


async def embed_with_one_failing(
    bedrock: LocalBedrock, titan: BedrockEmbeddingModel, failure: Any
) -> tuple[BaseException, list[asyncio.Event]]:
    """Let the first of four inputs fail as soon as the others hang at the endpoint."""
    all_here = asyncio.Barrier(4)
    cancelled: list[asyncio.Event] = []

    async def vector(request: RecordedRequest) -> Any:
        async with asyncio.timeout(5), all_here:
            pass
        if request.body['inputText'] == 'bad':
            return failure
        ended = asyncio.Event()
        cancelled.append(ended)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    bedrock.reply(vector, operation='InvokeModel', times=None)
    with pytest.raises(ModelAPIError) as raised:
        await titan.embed(['bad', 'a', 'b', 'c'], input_type='query')
    return raised.value, cancelled


async def test_a_failing_input_cancels_its_siblings(
    bedrock: LocalBedrock, titan: BedrockEmbeddingModel, pool: SessionPool
) -> None:
    error, cancelled = await embed_with_one_failing(bedrock, titan, ACCESS_DENIED)
    assert isinstance(error, ModelHTTPError)
    assert error.status_code == 403
    assert "You don't have access to the model with the specified model ID." in str(error)
    assert pool.stats().leases == 0
    for ended in cancelled:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ended.wait()
    await eventually(lambda: bedrock.stats().in_flight == 0)
    assert len(cancelled) == 3
    assert [request.disconnected for request in bedrock.requests if request.body['inputText'] != 'bad'] == [True] * 3


async def test_a_cancelled_call_cancels_all_its_requests(
    bedrock: LocalBedrock, titan: BedrockEmbeddingModel, pool: SessionPool
) -> None:
    bedrock.fault(NoResponse('hang'))
    call = asyncio.create_task(titan.embed(['a', 'b', 'c'], input_type='query'))
    await eventually(lambda: bedrock.stats().in_flight == 3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pool.stats().leases == 0
    await eventually(lambda: bedrock.stats().in_flight == 0)
    assert all(request.disconnected for request in bedrock.requests)


@pytest.mark.parametrize('inputs', ['Hello.', ['Hello.', 'Goodbye.']], ids=['one input', 'two inputs'])
async def test_an_error_of_the_endpoint_is_one_error_whatever_the_number_of_inputs(
    provider: BedrockProvider, bedrock: LocalBedrock, inputs: str | Sequence[str]
) -> None:
    bedrock.fault(ACCESS_DENIED)
    with pytest.raises(ModelHTTPError, match='AccessDeniedException') as raised:
        await BedrockEmbeddingModel(TITAN, provider=provider).embed(inputs, input_type='query')
    assert raised.value.status_code == 403


@pytest.mark.parametrize('inputs', ['Hello.', ['Hello.', 'Goodbye.']], ids=['one input', 'two inputs'])
async def test_a_connection_that_breaks_off_is_a_model_error(
    provider: BedrockProvider, bedrock: LocalBedrock, inputs: str | Sequence[str]
) -> None:
    bedrock.fault(NoResponse('close'))
    with pytest.raises(ModelAPIError, match='Connection was closed before we received a valid response'):
        await BedrockEmbeddingModel(TITAN, provider=provider).embed(inputs, input_type='query')


@pytest.mark.parametrize('inputs', ['Hello.', ['Hello.', 'Goodbye.']], ids=['one input', 'two inputs'])
async def test_missing_credentials_are_one_error_of_the_user(
    bedrock: LocalBedrock, inputs: str | Sequence[str]
) -> None:
    async with BedrockProvider(
        region_name=bedrock.region_name, base_url=bedrock.base_url, pool=SessionPool()
    ) as provider:
        with pytest.raises(UserError, match=r'^No AWS credentials were found\.'):
            await BedrockEmbeddingModel(TITAN, provider=provider).embed(inputs, input_type='query')
    assert bedrock.requests == []


def test_a_model_that_embeds_nothing_is_refused() -> None:
    with pytest.raises(UserError, match='Unsupported Bedrock embedding model'):
        BedrockEmbeddingModel('anthropic.claude-v2', provider=BedrockProvider(region_name='us-east-1'))


async def test_a_model_without_a_provider_takes_everything_from_the_environment(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    model = BedrockEmbeddingModel(TITAN)
    assert model.base_url == bedrock.base_url
    assert len((await model.embed('Hello.', input_type='query')).embeddings) == 1
