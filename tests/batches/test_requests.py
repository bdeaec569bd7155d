"""Requests of batches: the records that they become, and the batches that they make."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRequest, NativeOutput, UserError
from pydantic_ai.models import ModelRequestParameters

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import (
    BatchInference,
    BedrockConverseModel,
    BedrockModelSettings,
    BedrockProvider,
    SessionPool,
)

from .jobs import INFERENCE, MODEL, OFTEN, answers, created, like, records, request

pytest.importorskip('pydantic_ai.models.batch', reason='This Pydantic AI has no batches yet.')


async def test_the_answers_come_in_the_order_of_the_requests(model: Any) -> None:
    responses = await answers(model, *(request(f'q{number}', f'Say {number}.') for number in range(12)))
    assert all(f'Say {number}.' in response.text for number, response in enumerate(responses))


async def test_a_record_is_what_the_request_would_be_by_itself(bedrock: LocalBedrock, model: Any) -> None:
    settings = BedrockModelSettings(
        temperature=0.5, max_tokens=50, bedrock_guardrail_config={'guardrailIdentifier': 'g', 'guardrailVersion': '1'}
    )
    messages: list[Any] = [ModelRequest.user_text_prompt('Hello', instructions='Be brief.')]
    await model.request(messages, settings, ModelRequestParameters())
    [alone] = bedrock.requests
    batched = request('q', 'Hello', model_settings=settings)
    batched.messages = messages
    await answers(model, batched)
    [record] = records(bedrock)
    assert record.body == alone.body
    assert record.model_id == alone.model_id


async def test_a_response_is_what_it_would_be_by_itself_but_for_its_price(model: Any) -> None:
    [batched] = await answers(model, request('q', 'Hello'))
    alone = await model.request(request('q', 'Hello').messages, None, ModelRequestParameters())
    assert batched.provider_details == {**alone.provider_details, 'processing': 'batch'}
    for field in ('parts', 'usage', 'model_name', 'provider_name', 'provider_url', 'finish_reason'):
        assert getattr(batched, field) == getattr(alone, field)


async def test_agents_that_batch_share_a_job(bedrock: LocalBedrock, model: Any) -> None:
    from pydantic_ai.capabilities import BatchModelRequests

    batching = BatchModelRequests(max_requests=10, poll_interval=OFTEN, max_poll_interval=OFTEN, max_wait=None)
    agent = Agent(model, capabilities=[batching])
    results = await asyncio.gather(*(agent.run(f'Say {number}.') for number in range(10)))
    assert all(f'Say {number}.' in result.output for number, result in enumerate(results))
    assert len({record.job_arn for record in records(bedrock)}) == 1


async def test_structured_output_comes_without_tools(bedrock: LocalBedrock) -> None:
    from pydantic_ai.capabilities import BatchModelRequests

    class City(BaseModel):
        name: str

    pool = SessionPool()
    with bedrock.redirect_clients():
        provider = BedrockProvider(pool=pool)
        model = BedrockConverseModel(
            'us.anthropic.claude-sonnet-4-5-20250929-v1:0', provider=provider, batch_inference=INFERENCE
        )
        batching = BatchModelRequests(max_requests=1, poll_interval=OFTEN)
        agent = Agent(model, output_type=NativeOutput(City), capabilities=[batching])
        assert isinstance((await agent.run('Name a city.')).output, City)
    await pool.aclose()


@pytest.mark.parametrize('setting', [{'extra_headers': {'X-A': 'b'}}, {'timeout': 5}], ids=['extra_headers', 'timeout'])
async def test_settings_that_a_job_has_no_place_for_are_refused(model: Any, setting: Any) -> None:
    with pytest.raises(UserError, match=f'`{next(iter(setting))}`'):
        await model.batch_encode(request('q', 'Hello', model_settings=setting))


async def test_what_json_cannot_carry_is_refused_as_in_a_live_request(model: Any) -> None:
    settings = BedrockModelSettings(bedrock_additional_model_requests_fields={'stop': {'a', 'b'}})
    with pytest.raises(UserError, match='JSON cannot carry the request') as live:
        await model.request(request('q', 'Hello').messages, settings, ModelRequestParameters())
    with pytest.raises(UserError) as batched:
        await model.batch_encode(request('q', 'Hello', model_settings=settings))
    assert str(batched.value) == str(live.value)


async def test_requests_of_several_models_do_not_make_a_batch(model: Any) -> None:
    encoded = [
        await model.batch_encode(request(profile, 'Hello', model_settings={'bedrock_inference_profile': profile}))
        for profile in ('one', 'two')
    ]
    for requests in ([], encoded):
        with pytest.raises(UserError, match='the same `group`'):
            await model.batch_create(requests)


async def test_requests_that_another_model_encoded_are_refused(model: Any) -> None:
    elsewhere = BedrockConverseModel(
        MODEL,
        provider=model.provider,
        batch_inference=BatchInference(role_arn=INFERENCE.role_arn, s3_uri='s3://another-bucket/'),
    )
    with pytest.raises(UserError, match='another provider or `batch_inference`'):
        await model.batch_create([await elsewhere.batch_encode(request('q', 'Hello'))])


@pytest.mark.parametrize('names', [('one', 'one'), ('one', '')], ids=['twice', 'empty'])
async def test_ids_that_do_not_name_one_request_are_refused_before_anything_is_uploaded(
    bedrock: LocalBedrock, model: Any, names: tuple[str, ...]
) -> None:
    with pytest.raises(UserError, match='`custom_id`'):
        await created(model, *names)
    assert bedrock.requests == []


async def test_a_large_batch_is_cut_by_its_size(model: Any) -> None:
    encoded = [await model.batch_encode(request(name, 'Hello')) for name in ('one', 'two')]
    size = sum(map(model.batch_request_size, encoded))
    enough, too_few = (like(model, max_bytes=max_bytes) for max_bytes in (size, size - 1))
    assert enough.batch_max_bytes == size
    assert enough.batch_split(encoded) == [encoded]
    await enough.batch_create(encoded)
    with pytest.raises(UserError, match=f'take {size:,} bytes'):
        await too_few.batch_create(encoded)
    assert too_few.batch_split(encoded) == [encoded[:1], encoded[1:]]


@pytest.mark.parametrize(
    ('count', 'sizes'), [(10, [10]), (11, [6, 5]), (20, [10, 10]), (21, [7, 7, 7]), (1, [1]), (0, [])]
)
async def test_a_split_is_even(model: Any, count: int, sizes: list[int]) -> None:
    encoded = [await model.batch_encode(request(f'q{number}', 'Hello')) for number in range(count)]
    batches = like(model, max_records=10).batch_split(encoded)
    assert [len(batch) for batch in batches] == sizes
    assert [each for batch in batches for each in batch] == encoded


async def test_the_size_of_a_request_is_that_of_its_line(bedrock: LocalBedrock, model: Any) -> None:
    encoded = [await model.batch_encode(request(name, text)) for name, text in (('a"b', 'Hello'), ('ö', 'Größe'))]
    await model.batch_create(encoded)
    [file] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl')]
    assert [model.batch_request_size(each) for each in encoded] == [
        len(line) for line in bedrock.objects.get(file).splitlines(keepends=True)
    ]
