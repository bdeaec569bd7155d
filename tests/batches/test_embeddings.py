"""Embeddings by batch inference: the same vectors as live, from jobs of type InvokeModel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic_ai import UserError
from pydantic_ai.embeddings.bedrock import BedrockEmbeddingSettings
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError

from local_bedrock import ErrorReply, LocalBedrock
from pydantic_ai_aiobedrock import BedrockEmbeddingModel, BedrockProvider, SessionPool

from .jobs import INFERENCE, OFTEN, records

pytest.importorskip('pydantic_ai.models.batch', reason='This Pydantic AI has no batches yet.')

TITAN = 'amazon.titan-embed-text-v2:0'
MODELS = (TITAN, 'cohere.embed-v4:0', 'amazon.nova-2-multimodal-embeddings-v1:0')
TEXTS = ('Paris', 'Größe', '日本', 'Rome')
REFUSED = ErrorReply(400, 'ValidationException', 'Too long.')


@pytest.fixture
async def embedding(redirected: None) -> Any:
    pool = SessionPool()

    def make(name: str = TITAN, **options: Any) -> BedrockEmbeddingModel:
        return BedrockEmbeddingModel(
            name, provider=BedrockProvider(pool=pool), batch_inference=replace(INFERENCE, **options)
        )

    yield make
    await pool.aclose()


Make = Callable[..., BedrockEmbeddingModel]


@pytest.mark.parametrize('name', MODELS)
async def test_the_embeddings_are_those_of_live_calls(bedrock: LocalBedrock, embedding: Make, name: str) -> None:
    model = embedding(name)
    settings = BedrockEmbeddingSettings(dimensions=256)
    batched = await model.embed_batch(TEXTS, input_type='query', settings=settings, poll_interval=OFTEN)
    live = await model.embed(TEXTS, input_type='query', settings=settings)
    for field in ('embeddings', 'inputs', 'input_type', 'model_name', 'provider_name'):
        assert getattr(batched, field) == getattr(live, field)
    assert batched.usage.input_tokens == live.usage.input_tokens > 0
    [create] = [each for each in bedrock.requests if each.operation == 'CreateModelInvocationJob']
    assert create.body['modelInvocationType'] == 'InvokeModel'


async def test_many_inputs_are_several_jobs(bedrock: LocalBedrock, embedding: Make) -> None:
    texts = [f'Text {number}' for number in range(25)]
    model = embedding(max_records=10, min_records=5)
    batched = await model.embed_batch(texts, input_type='document', poll_interval=OFTEN)
    assert batched.embeddings == (await model.embed(texts, input_type='document')).embeddings
    assert len({record.job_arn for record in records(bedrock)}) == 3


async def test_a_text_that_fails_costs_no_other_its_embedding(bedrock: LocalBedrock, embedding: Make) -> None:
    model = embedding()
    bedrock.reply(REFUSED, when=lambda sent: sent.body.get('inputText') == 'Rome', times=None)
    with pytest.raises(ModelHTTPError, match='Too long') as failed:
        await model.embed_batch(TEXTS, input_type='query', poll_interval=OFTEN)
    [batch] = [batch async for batch in model.batch_list()]
    assert failed.value.__notes__ == [f'The other embeddings are in the batches {batch.id}.']
    vectors = {}
    async for result in model.batch_iter_results(batch):
        if result.status == 'succeeded':
            vectors[int(result.custom_id)] = model.batch_decode(result)
    live = await model.embed(TEXTS[:3], input_type='query')
    assert [vectors[number] for number in range(3)] == live.embeddings


async def test_a_batch_is_submitted_here_and_collected_elsewhere(bedrock: LocalBedrock, embedding: Make) -> None:
    model = embedding()
    encoded = await model.batch_encode(TEXTS, input_type='query')
    batch = await model.batch_create(encoded, idempotency_key='embeddings')
    other = embedding()
    batch = await other.batch_status(await other.batch_create(encoded, idempotency_key='embeddings'))
    results = {int(result.custom_id): other.batch_decode(result) for result in await other.batch_results(batch)}
    assert [results[number] for number in range(4)] == (await model.embed(TEXTS, input_type='query')).embeddings
    await other.batch_delete_files(batch)
    assert bedrock.objects.list() == []


async def test_cancelling_stops_the_jobs(bedrock: LocalBedrock, embedding: Make) -> None:
    bedrock.jobs.hold('InProgress')
    model = embedding(max_records=2)
    waiting = asyncio.create_task(model.embed_batch(TEXTS, input_type='query', poll_interval=OFTEN))
    while sum(each.operation == 'GetModelInvocationJob' for each in bedrock.requests) < 2:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    bedrock.jobs.go_on()
    statuses = [batch.provider_details async for batch in model.batch_list()]
    assert [details and details['status'] for details in statuses] == ['Stopped', 'Stopped']


async def test_a_wrong_interval_is_refused_before_anything_is_uploaded(bedrock: LocalBedrock, embedding: Make) -> None:
    seconds: Any = 1
    with pytest.raises(UserError, match='`poll_interval` must be a timedelta, not 1'):
        await embedding().embed_batch(TEXTS, input_type='query', poll_interval=seconds)
    assert (bedrock.requests, bedrock.objects.list()) == ([], [])


async def test_a_job_that_cannot_be_stopped_is_named(
    bedrock: LocalBedrock, embedding: Make, caplog: pytest.LogCaptureFixture
) -> None:
    bedrock.jobs.hold('InProgress')
    model = embedding()
    waiting = asyncio.create_task(model.embed_batch(TEXTS, input_type='query', poll_interval=OFTEN))
    while not any(each.operation == 'GetModelInvocationJob' for each in bedrock.requests):
        await asyncio.sleep(0)
    bedrock.fault(ErrorReply(403, 'AccessDeniedException', 'No.'), operation='StopModelInvocationJob')
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    [batch] = [batch async for batch in model.batch_list()]
    assert f'Stopping {batch.id} failed' in caplog.text


async def test_an_input_without_a_result_is_missed(bedrock: LocalBedrock, embedding: Make) -> None:
    bedrock.jobs.hold('InProgress', after=3)
    model = embedding()
    waiting = asyncio.create_task(model.embed_batch(TEXTS, input_type='query', poll_interval=OFTEN))
    while not any(each.operation == 'GetModelInvocationJob' for each in bedrock.requests):
        await asyncio.sleep(0)
    bedrock.jobs.time_out()
    with pytest.raises(ModelAPIError, match='without the embeddings of 1 inputs'):
        await waiting


async def test_too_few_inputs_are_embedded_live_if_the_caller_allows_it(bedrock: LocalBedrock, embedding: Make) -> None:
    model = embedding(min_records=100, live_below_minimum=True)
    batched = await model.embed_batch(TEXTS, input_type='query', poll_interval=OFTEN)
    assert [each.operation for each in bedrock.requests].count('InvokeModel') == len(TEXTS)
    assert not any(each.operation == 'CreateModelInvocationJob' for each in bedrock.requests)
    assert batched.embeddings == (await model.embed(TEXTS, input_type='query')).embeddings
    with pytest.raises(UserError, match=r'4 requests.*100 at least'):
        await embedding(min_records=100).embed_batch(TEXTS, input_type='query')


async def test_a_model_without_batch_inference_says_what_to_pass(embedding: Make) -> None:
    model = BedrockEmbeddingModel(TITAN, provider=BedrockProvider(region_name='us-east-1'))
    with pytest.raises(UserError, match=r'BatchInference\(role_arn.*to BedrockEmbeddingModel'):
        await model.embed_batch(TEXTS, input_type='query')


@pytest.mark.parametrize('body', ['{}', '[]', '"no"', '{"embedding": 1'])
async def test_a_record_without_an_embedding_is_an_error_of_the_model(embedding: Make, body: str) -> None:
    from pydantic_ai.models.batch import BatchResult

    with pytest.raises(ModelAPIError, match='has no embedding'):
        embedding().batch_decode(BatchResult(custom_id='0', status='succeeded', body=body))
