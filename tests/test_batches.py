"""Pydantic AI's batches are jobs of Bedrock's: what is sent, what comes of it, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import aioboto3
import pytest
from packaging.version import Version
from pydantic import BaseModel, TypeAdapter
from pydantic_ai import Agent, ModelRequest, NativeOutput, Tool, UserError
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.bedrock import BedrockConverseModel as UpstreamConverseModel

from local_bedrock import THROTTLING, ErrorReply, LocalBedrock, RecordedRequest
from pydantic_ai_aiobedrock import (
    BatchInference,
    BedrockConverseModel,
    BedrockModelSettings,
    BedrockProvider,
    SessionPool,
)
from pydantic_ai_aiobedrock._upstream import seam
from pydantic_ai_aiobedrock.batches import RunsBatches

HAS_BATCHES = Version(version('pydantic-ai-slim')) >= Version(seam.BATCHES_SINCE)
needs_batches = pytest.mark.skipif(not HAS_BATCHES, reason=f'Pydantic AI has batches from {seam.BATCHES_SINCE} on.')

MODEL = 'us.amazon.nova-lite-v1:0'
INFERENCE = BatchInference(role_arn='arn:aws:iam::123456789012:role/bedrock-batch', s3_uri='s3://my-bucket/batches/')
OFTEN = timedelta(milliseconds=5)


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


@pytest.fixture
def redirected(bedrock: LocalBedrock) -> Iterator[None]:
    with bedrock.redirect_clients():
        yield


@pytest.fixture
async def model(redirected: None) -> Any:
    pool = SessionPool()
    yield BedrockConverseModel(MODEL, provider=BedrockProvider(pool=pool), batch_inference=INFERENCE)
    await pool.aclose()


def request(name: str, text: str, **parts: Any) -> Any:
    from pydantic_ai.models.batch import BatchRequest

    return BatchRequest(custom_id=name, messages=[ModelRequest.user_text_prompt(text)], **parts)


async def answers(model: Any, *requests: Any, **options: Any) -> list[Any]:
    from pydantic_ai.direct import model_request_batch

    return await model_request_batch(model, requests, poll_interval=OFTEN, **options)


async def created(model: Any, *names: str) -> Any:
    return await model.batch_create([await model.batch_encode(request(name, f'Say {name}.')) for name in names])


def records(bedrock: LocalBedrock) -> list[RecordedRequest]:
    return [each for each in bedrock.requests if each.record_id is not None]


# What is sent, and what comes of it


@needs_batches
async def test_the_answers_come_in_the_order_of_the_requests(model: Any) -> None:
    responses = await answers(model, *(request(f'q{number}', f'Say {number}.') for number in range(12)))
    assert all(f'Say {number}.' in response.text for number, response in enumerate(responses))


@needs_batches
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


@needs_batches
async def test_a_response_is_what_it_would_be_by_itself_but_for_its_price(model: Any) -> None:
    [batched] = await answers(model, request('q', 'Hello'))
    alone = await model.request(request('q', 'Hello').messages, None, ModelRequestParameters())
    assert batched.provider_details == {**alone.provider_details, 'processing': 'batch'}
    for field in ('parts', 'usage', 'model_name', 'provider_name', 'provider_url', 'finish_reason'):
        assert getattr(batched, field) == getattr(alone, field)


@needs_batches
async def test_agents_that_batch_share_a_job(bedrock: LocalBedrock, model: Any) -> None:
    from pydantic_ai.capabilities import BatchModelRequests

    batching = BatchModelRequests(max_requests=10, poll_interval=OFTEN, max_poll_interval=OFTEN, max_wait=None)
    agent = Agent(model, capabilities=[batching])
    results = await asyncio.gather(*(agent.run(f'Say {number}.') for number in range(10)))
    assert all(f'Say {number}.' in result.output for number, result in enumerate(results))
    assert len({record.job_arn for record in records(bedrock)}) == 1


@needs_batches
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


@needs_batches
async def test_a_handle_can_be_kept_and_used_elsewhere(bedrock: LocalBedrock, model: Any) -> None:
    from pydantic_ai.models.batch import Batch

    handles = TypeAdapter(Batch)
    bedrock.jobs.hold('InProgress')
    kept = handles.dump_json(await created(model, 'one', 'two'))
    assert bedrock.aws_secret_access_key.encode() not in kept
    other = BedrockConverseModel(MODEL, provider=BedrockProvider(pool=SessionPool()), batch_inference=INFERENCE)
    batch = await other.batch_status(handles.validate_json(kept))
    assert (batch.status, batch.request_count, batch.provider_details) == ('in_progress', 2, {'status': 'InProgress'})
    bedrock.jobs.go_on()
    batch = await other.batch_status(batch)
    assert batch.status == 'ended'
    assert {result.custom_id for result in await other.batch_results(batch)} == {'one', 'two'}


@needs_batches
async def test_a_large_batch_is_cut_by_its_size(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = [await model.batch_encode(request(name, 'Hello')) for name in ('one', 'two')]
    size = sum(map(model.batch_request_size, encoded))
    monkeypatch.setattr('pydantic_ai_aiobedrock.batches.MAX_BYTES', size)
    assert model.batch_max_bytes == size
    await model.batch_create(encoded)
    monkeypatch.setattr('pydantic_ai_aiobedrock.batches.MAX_BYTES', size - 1)
    with pytest.raises(UserError, match=f'take {size:,} bytes'):
        await model.batch_create(encoded)


# What goes wrong


@needs_batches
async def test_a_record_that_fails_fails_as_the_request_would(bedrock: LocalBedrock, model: Any) -> None:
    refused = ErrorReply(400, 'ValidationException', 'Too long.')
    bedrock.reply(refused, when=lambda asked: asked.last_user_text == 'No', times=2)
    good, bad = await answers(model, request('a', 'Yes'), request('b', 'No'))
    assert 'Yes' in good.text
    with pytest.raises(ModelHTTPError) as alone:
        await model.request(request('b', 'No').messages, None, ModelRequestParameters())
    assert type(bad) is type(alone.value)
    assert (bad.status_code, bad.body['Error']) == (400, alone.value.body['Error'])


@needs_batches
async def test_a_record_that_was_throttled_is_submitted_again(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.reply(THROTTLING, times=1)
    [response] = await answers(model, request('a', 'Hello'))
    assert 'Hello' in response.text
    bedrock.reply(THROTTLING, times=1)
    [error] = await answers(model, request('a', 'Hello'), max_resubmissions=0)
    assert (type(error).__name__, error.status_code) == ('ModelRateLimitError', 429)


@needs_batches
async def test_a_job_that_fails_says_why_to_each_of_its_requests(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.jobs.minimum_records = 100
    errors = await answers(model, request('a', 'Hello'), request('b', 'Hello'))
    assert [error.status_code for error in errors] == [400, 400]
    assert all('100' in error.body['Error']['Message'] for error in errors)
    assert len(bedrock.objects.list('s3://my-bucket/batches/pydantic-ai-')) == 1


@needs_batches
@pytest.mark.parametrize(
    ('end', 'reason'),
    [('stop', 'canceled'), ('time_out', 'expired')],
)
async def test_requests_that_a_job_ended_without_are_told_so(
    bedrock: LocalBedrock, model: Any, end: str, reason: str
) -> None:
    bedrock.jobs.hold('InProgress', after=1)
    batch = await created(model, 'one', 'two')
    while (await model.batch_status(batch)).provider_details != {'status': 'InProgress'}:
        await asyncio.sleep(0)
    if end == 'stop':
        batch = await model.batch_cancel(batch)
    else:
        bedrock.jobs.time_out()
    bedrock.jobs.go_on()
    while batch.status != 'ended':
        batch = await model.batch_status(batch)
    results = await model.batch_results(batch)
    assert len(results) == 1
    assert model._batch_unlisted_status(batch) == reason
    missing = type(results[0])(custom_id='two', status=reason)
    with pytest.raises(ModelAPIError, match=reason):
        model.batch_decode(missing, request('two', 'Say two.'))


@needs_batches
async def test_cancelling_the_wait_stops_the_job(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.jobs.hold('InProgress')
    waiting = asyncio.create_task(answers(model, request('a', 'Hello')))
    while not any(each.operation == 'GetModelInvocationJob' for each in bedrock.requests):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [each.operation for each in bedrock.requests][-2:] == ['StopModelInvocationJob', 'GetModelInvocationJob']


@needs_batches
async def test_what_aws_refuses_is_told_as_for_a_live_request(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.expire(bedrock.aws_access_key_id)
    with pytest.raises(ModelHTTPError, match='came from env') as refused:
        await created(model, 'one')
    assert refused.value.status_code == 400


@needs_batches
async def test_results_before_the_end_are_refused(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.jobs.hold('Scheduled')
    with pytest.raises(UserError, match='has not ended'):
        await model.batch_results(await created(model, 'one'))


@needs_batches
async def test_tools_are_refused_before_anything_is_sent(bedrock: LocalBedrock, model: Any) -> None:
    from pydantic_ai.capabilities import BatchModelRequests

    async def weather() -> str:
        raise AssertionError

    agent = Agent(model, tools=[Tool(weather)], capabilities=[BatchModelRequests(max_requests=1)])
    with pytest.raises(UserError, match='does not take tools'):
        await agent.run('Hello')
    assert bedrock.requests == []


@needs_batches
@pytest.mark.parametrize('setting', [{'extra_headers': {'X-A': 'b'}}, {'timeout': 5}], ids=['extra_headers', 'timeout'])
async def test_settings_that_a_job_has_no_place_for_are_refused(model: Any, setting: Any) -> None:
    with pytest.raises(UserError, match=f'`{next(iter(setting))}`'):
        await model.batch_encode(request('q', 'Hello', model_settings=setting))


@needs_batches
async def test_what_json_cannot_carry_is_refused_as_in_a_live_request(model: Any) -> None:
    settings = BedrockModelSettings(bedrock_additional_model_requests_fields={'stop': {'a', 'b'}})
    with pytest.raises(UserError, match='JSON cannot carry the request') as live:
        await model.request(request('q', 'Hello').messages, settings, ModelRequestParameters())
    with pytest.raises(UserError) as batched:
        await model.batch_encode(request('q', 'Hello', model_settings=settings))
    assert str(batched.value) == str(live.value)


@needs_batches
async def test_requests_of_several_models_do_not_make_a_batch(model: Any) -> None:
    encoded = [
        await model.batch_encode(request(profile, 'Hello', model_settings={'bedrock_inference_profile': profile}))
        for profile in ('one', 'two')
    ]
    for requests in ([], encoded):
        with pytest.raises(UserError, match='the same `group`'):
            await model.batch_create(requests)


@needs_batches
async def test_requests_that_another_model_encoded_are_refused(model: Any) -> None:
    elsewhere = BedrockConverseModel(
        MODEL,
        provider=model.provider,
        batch_inference=BatchInference(role_arn=INFERENCE.role_arn, s3_uri='s3://another-bucket/'),
    )
    with pytest.raises(UserError, match='another provider or `batch_inference`'):
        await model.batch_create([await elsewhere.batch_encode(request('q', 'Hello'))])


@needs_batches
async def test_a_batch_of_another_region_is_refused(model: Any) -> None:
    batch = await created(model, 'one')
    batch.group = json.dumps({**json.loads(batch.group), 'region': 'eu-central-1'})
    for method in (model.batch_status, model.batch_cancel):
        with pytest.raises(UserError, match='in eu-central-1'):
            await method(batch)


@needs_batches
async def test_a_model_without_a_place_for_files_has_no_batches(redirected: None) -> None:
    model = BedrockConverseModel(MODEL)
    assert model.batch_max_requests is None
    assert model.batch_max_bytes is None
    with pytest.raises(UserError, match=r'BatchInference\(role_arn'):
        await answers(model, request('q', 'Hello'))


@needs_batches
async def test_an_api_key_opens_no_file_in_s3() -> None:
    provider = BedrockProvider(region_name='us-east-1', api_key='a-key')
    with pytest.raises(UserError, match='takes no Bedrock API key'):
        BedrockConverseModel(MODEL, provider=provider, batch_inference=INFERENCE)


@needs_batches
async def test_a_brought_client_opens_no_file_in_s3(redirected: None) -> None:
    async with aioboto3.Session().client('bedrock-runtime') as client:
        provider = BedrockProvider(bedrock_client=client)
        with pytest.raises(UserError, match='leave `bedrock_client` out'):
            BedrockConverseModel(MODEL, provider=provider, batch_inference=INFERENCE)


@pytest.mark.parametrize('s3_uri', ['', 'my-bucket', 's3://', 'https://my-bucket.s3.amazonaws.com', 's3://My_Bucket/'])
def test_a_folder_that_is_none_is_named(s3_uri: str) -> None:
    with pytest.raises(UserError, match='`s3_uri` of BatchInference'):
        BatchInference(role_arn=INFERENCE.role_arn, s3_uri=s3_uri)


@pytest.mark.parametrize(
    'role_arn', ['', 'bedrock-batch', 'arn:aws:iam::123456789012:user/me', 'arn:aws:iam::1:role/a']
)
def test_a_role_that_is_none_is_named(role_arn: str) -> None:
    with pytest.raises(UserError, match='`role_arn` of BatchInference'):
        BatchInference(role_arn=role_arn, s3_uri=INFERENCE.s3_uri)


@pytest.mark.skipif(HAS_BATCHES, reason='This Pydantic AI has batches.')
def test_a_release_without_batches_says_which_has_them() -> None:
    with pytest.raises(UserError, match=f'pydantic-ai-slim {seam.BATCHES_SINCE} or newer'):
        BedrockConverseModel(MODEL, provider=BedrockProvider(region_name='us-east-1'), batch_inference=INFERENCE)


@needs_batches
@pytest.mark.parametrize('line', ['{"recordId": "one"', '[]', '{"modelOutput": {}}'], ids=['cut', 'a list', 'nameless'])
async def test_output_that_is_none_is_an_error_of_the_model(bedrock: LocalBedrock, model: Any, line: str) -> None:
    batch = await model.batch_status(await created(model, 'one'))
    [output] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl.out')]
    bedrock.objects.put(output, line)
    with pytest.raises(ModelAPIError, match='not one of Converse'):
        await model.batch_results(batch)


@needs_batches
@pytest.mark.parametrize('status', ['succeeded', 'errored'])
@pytest.mark.parametrize('body', ['{}', '[]', '"no"'])
async def test_a_result_that_is_none_is_an_error_of_the_model(model: Any, status: Any, body: str) -> None:
    from pydantic_ai.models.batch import BatchResult

    with pytest.raises(ModelAPIError):
        model.batch_decode(BatchResult(custom_id='q', status=status, body=body), request('q', 'Hello'))


@needs_batches
async def test_the_size_of_a_request_is_that_of_its_line(bedrock: LocalBedrock, model: Any) -> None:
    encoded = [await model.batch_encode(request(name, text)) for name, text in (('a"b', 'Hello'), ('ö', 'Größe'))]
    await model.batch_create(encoded)
    [file] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl')]
    assert [model.batch_request_size(each) for each in encoded] == [
        len(line) for line in bedrock.objects.get(file).splitlines(keepends=True)
    ]


# How it is put into upstream's model


def test_the_mixin_overrides_nothing_of_upstreams_but_what_is_about_batches() -> None:
    names = {name for base in (RunsBatches, seam.AnswersBatches) for name in vars(base)} - set(dir(object))
    common = names & set(dir(UpstreamConverseModel))
    assert {name for name in common if 'batch' not in name} <= {
        '__module__',
        '__dict__',
        '__weakref__',
        '__annotations__',
    }


@needs_batches
async def test_upstreams_mapping_of_responses_waits_for_nothing(model: Any) -> None:
    output = {'message': {'role': 'assistant', 'content': [{'text': 'Hello'}]}}
    usage = {'inputTokens': 1, 'outputTokens': 1, 'totalTokens': 2}
    response = seam.process_response(model, {'output': output, 'usage': usage, 'stopReason': 'end_turn'})
    assert response.text == 'Hello'


@needs_batches
@pytest.mark.parametrize('name', [*seam.BATCH_COLLABORATORS, *seam.BATCH_QUESTIONS])
def test_only_a_model_with_batches_misses_what_they_are_built_on(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from pydantic_ai.models import Model, _batch_codec

    monkeypatch.delattr(_batch_codec if name in seam.BATCH_COLLABORATORS else Model, name)
    seam.check()
    provider = BedrockProvider(region_name='us-east-1')
    BedrockConverseModel(MODEL, provider=provider)
    with pytest.raises(ImportError, match=f'no longer has {name} in '):
        BedrockConverseModel(MODEL, provider=provider, batch_inference=INFERENCE)
