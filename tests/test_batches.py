"""Pydantic AI's batches are jobs of Bedrock's: what is sent, what comes of it, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest
from aiobotocore.session import AioSession
from packaging.version import Version
from pydantic import BaseModel, TypeAdapter
from pydantic_ai import Agent, ModelRequest, NativeOutput, Tool, UserError
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.bedrock import BedrockConverseModel as UpstreamConverseModel

from local_bedrock import THROTTLING, ErrorReply, LocalBedrock, RecordedRequest, Reply
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
INFERENCE = BatchInference(
    role_arn='arn:aws:iam::123456789012:role/bedrock-batch', s3_uri='s3://my-bucket/batches/', min_records=1
)
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


def like(model: Any, **options: Any) -> Any:
    """Return a model of the same provider with other options of batch inference."""
    return BedrockConverseModel(MODEL, provider=model.provider, batch_inference=replace(INFERENCE, **options))


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
    assert (batch.status, batch.request_count, batch.provider_details['status']) == ('in_progress', 2, 'InProgress')
    bedrock.jobs.go_on()
    batch = await other.batch_status(batch)
    assert batch.status == 'ended'
    assert {result.custom_id for result in await other.batch_results(batch)} == {'one', 'two'}


@needs_batches
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
    while (await model.batch_status(batch)).provider_details['status'] != 'InProgress':
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
    async with AioSession().create_client('bedrock-runtime') as client:
        provider = BedrockProvider(bedrock_client=client)
        with pytest.raises(UserError, match='leave `bedrock_client` out'):
            BedrockConverseModel(MODEL, provider=provider, batch_inference=INFERENCE)


@pytest.mark.skipif(HAS_BATCHES, reason='This Pydantic AI has batches.')
def test_a_release_without_batches_says_which_has_them() -> None:
    with pytest.raises(UserError, match=f'pydantic-ai-slim {seam.BATCHES_SINCE} or newer'):
        BedrockConverseModel(MODEL, provider=BedrockProvider(region_name='us-east-1'), batch_inference=INFERENCE)


@needs_batches
@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        ('{"recordId": "two", "modelOutput": {"output"', 'it is not JSON'),
        ('"modelOutput": {}, "recordId": "two"}', 'it is not JSON'),
        ('{"recordId": "two"}', 'it has neither a modelOutput nor an error'),
        ('{"recordId": "two", "modelOutput": "no"}', 'it has neither a modelOutput nor an error'),
    ],
    ids=['its end cut', 'its beginning cut', 'empty', 'no object'],
)
async def test_a_damaged_line_costs_its_own_request_alone(
    bedrock: LocalBedrock, model: Any, line: str, reason: str
) -> None:
    batch = await model.batch_status(await created(model, 'one', 'two', 'three'))
    [output] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl.out')]
    lines = [each for each in bedrock.objects.get(output).decode().splitlines() if '"recordId":"two"' not in each]
    bedrock.objects.put(output, '\ufeff' + '\n\n'.join([lines[0], line, lines[1]]))
    results = {result.custom_id: result for result in await model.batch_results(batch)}
    for name in ('one', 'three'):
        assert f'Say {name}.' in model.batch_decode(results[name], request(name, f'Say {name}.')).text
    with pytest.raises(ModelAPIError, match=f'^Line 3 of {output} cannot be read: {reason}'):
        model.batch_decode(results['two'], request('two', 'Say two.'))


@needs_batches
@pytest.mark.parametrize('line', ['[]', '{"modelOutput": {}}', '{"modelInput": {"recordId": "one", "x"'])
async def test_a_line_that_names_no_request_is_a_result_that_names_the_line(
    bedrock: LocalBedrock, model: Any, line: str
) -> None:
    batch = await model.batch_status(await created(model, 'one', 'two'))
    [output] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl.out')]
    bedrock.objects.put(output, line)
    [result] = await model.batch_results(batch)
    assert (result.custom_id, result.status) == (f'Line 1 of {output}', 'errored')


@needs_batches
async def test_half_a_surrogate_pair_is_read_as_in_a_live_response(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.reply(Reply('half'), times=None)
    batch = await model.batch_status(await created(model, 'one'))
    [output] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl.out')]
    bedrock.objects.put(output, bedrock.objects.get(output).replace(b'half', rb'\ud83d'))
    [result] = await model.batch_results(batch)
    assert model.batch_decode(result, request('one', 'Hello')).text == '\ud83d'


@needs_batches
async def test_results_that_are_gone_are_an_error_that_says_where_they_should_be(
    bedrock: LocalBedrock, model: Any
) -> None:
    batch = await model.batch_status(await created(model, 'one'))
    await model.batch_delete_files(batch)
    assert bedrock.objects.list() == []
    with pytest.raises(ModelHTTPError, match=r's3://my-bucket/batches/.*\.jsonl\.out') as gone:
        await model.batch_results(batch)
    assert gone.value.status_code == 404
    await model.batch_delete_files(batch)


@needs_batches
async def test_files_of_a_job_that_runs_are_not_deleted(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.jobs.hold('InProgress')
    batch = await created(model, 'one')
    with pytest.raises(UserError, match='has not ended'):
        await model.batch_delete_files(batch)
    assert len(bedrock.objects.list()) == 1


@needs_batches
async def test_cancelling_a_job_that_has_ended_changes_nothing(bedrock: LocalBedrock, model: Any) -> None:
    batch = await created(model, 'one')
    while batch.status != 'ended':
        batch = await model.batch_status(batch)
    assert (await model.batch_cancel(batch)).provider_details['status'] == 'Completed'


@needs_batches
async def test_a_handle_shows_the_counts_of_records_and_the_message_of_aws(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.reply(ErrorReply(400, 'ValidationException', 'No.'), when=lambda asked: asked.last_user_text == 'Say one.')
    batch = await created(model, 'one', 'two', 'three')
    while batch.status != 'ended':
        batch = await model.batch_status(batch)
    shown = dict(batch.provider_details)
    assert shown.pop('jobName').startswith('pydantic-ai-')
    assert shown.pop('inputUri').startswith('s3://my-bucket/batches/pydantic-ai-')
    assert shown == {
        'status': 'Completed',
        'totalRecordCount': 3,
        'processedRecordCount': 3,
        'successRecordCount': 2,
        'errorRecordCount': 1,
    }
    bedrock.jobs.hold('InProgress')
    batch = await created(model, 'one')
    bedrock.jobs.fail('There is no more room.')
    assert (await model.batch_status(batch)).provider_details['message'] == 'There is no more room.'


@needs_batches
async def test_lost_handles_are_found_by_the_prefix_of_their_jobs(bedrock: LocalBedrock, model: Any) -> None:
    await created(model, 'another')
    mine = like(model, job_name_prefix='mine-')
    first = await created(mine, 'one', 'two')
    second = await created(mine, 'three')
    listed = [batch async for batch in mine.batch_list()]
    assert [batch.id for batch in listed] == [second.id, first.id]
    assert [batch.request_count for batch in listed] == [1, 2]
    assert [batch.status for batch in listed] == ['ended', 'ended']
    assert {result.custom_id for result in await mine.batch_results(listed[1])} == {'one', 'two'}
    later = [batch async for batch in mine.batch_list(submitted_after=datetime.now(UTC) + timedelta(hours=1))]
    assert later == []


@needs_batches
async def test_what_operators_set_is_sent(bedrock: LocalBedrock, model: Any) -> None:
    key = 'arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012'
    operated = like(
        model,
        output_s3_uri='s3://another-bucket/answers',
        kms_key_id=key,
        bucket_owner='123456789012',
        tags={'team': 'search'},
        timeout_hours=72,
        subnet_ids=['subnet-1'],
        security_group_ids=['sg-1'],
        job_name_prefix='evals-',
    )
    batch = await operated.batch_status(await created(operated, 'one'))
    [put] = [each for each in bedrock.requests if each.operation == 'PutObject']
    headers = (
        'x-amz-server-side-encryption',
        'x-amz-server-side-encryption-aws-kms-key-id',
        'x-amz-expected-bucket-owner',
    )
    assert [put.headers[name] for name in headers] == ['aws:kms', key, '123456789012']
    [create] = [each for each in bedrock.requests if each.operation == 'CreateModelInvocationJob']
    name = create.body.pop('jobName')
    assert re.fullmatch(r'evals-[0-9a-f]{32}', name)
    assert re.fullmatch(r'[0-9a-f]{32}', create.body.pop('clientRequestToken'))
    assert create.body == {
        'modelId': MODEL,
        'roleArn': INFERENCE.role_arn,
        'modelInvocationType': 'Converse',
        'inputDataConfig': {
            's3InputDataConfig': {'s3Uri': f's3://my-bucket/batches/{name}.jsonl', 's3BucketOwner': '123456789012'}
        },
        'outputDataConfig': {
            's3OutputDataConfig': {
                's3Uri': 's3://another-bucket/answers/',
                's3BucketOwner': '123456789012',
                's3EncryptionKeyId': key,
            }
        },
        'tags': [{'key': 'team', 'value': 'search'}],
        'timeoutDurationInHours': 72,
        'vpcConfig': {'subnetIds': ['subnet-1'], 'securityGroupIds': ['sg-1']},
    }
    assert [result.custom_id for result in await operated.batch_results(batch)] == ['one']


@needs_batches
@pytest.mark.parametrize('names', [('one', 'one'), ('one', '')], ids=['twice', 'empty'])
async def test_ids_that_do_not_name_one_request_are_refused_before_anything_is_uploaded(
    bedrock: LocalBedrock, model: Any, names: tuple[str, ...]
) -> None:
    with pytest.raises(UserError, match='`custom_id`'):
        await created(model, *names)
    assert bedrock.requests == []


# Too few for a job


@needs_batches
async def test_too_few_requests_are_refused_before_anything_is_uploaded(bedrock: LocalBedrock, model: Any) -> None:
    with pytest.raises(UserError, match=r'2 requests.*100 at least'):
        await created(like(model, min_records=100), 'one', 'two')
    with pytest.raises(UserError, match=r'2 requests.*1 at most'):
        await created(like(model, max_records=1), 'one', 'two')
    assert bedrock.requests == []


@needs_batches
async def test_too_few_requests_are_sent_live_if_the_caller_allows_it(bedrock: LocalBedrock, model: Any) -> None:
    live = like(model, min_records=100, live_below_minimum=True)
    bedrock.reply(ErrorReply(400, 'ValidationException', 'No.'), when=lambda asked: asked.last_user_text == 'No')
    good, bad = await answers(live, request('a', 'Yes'), request('b', 'No'))
    assert 'Yes' in good.text
    assert 'processing' not in good.provider_details
    assert (bad.status_code, bad.body['Error']['Message']) == (400, 'No.')
    assert [each.operation for each in bedrock.requests if each.operation != 'Converse'] == ['PutObject', 'GetObject']


@needs_batches
async def test_live_answers_can_be_collected_elsewhere(bedrock: LocalBedrock, model: Any) -> None:
    from pydantic_ai.models.batch import Batch

    live = like(model, min_records=100, live_below_minimum=True)
    handles = TypeAdapter(Batch)
    kept = handles.dump_json(await created(live, 'one', 'two'))
    batch = await model.batch_status(handles.validate_json(kept))
    assert (batch.status, batch.provider_details['successRecordCount']) == ('ended', 2)
    assert {result.custom_id for result in await model.batch_results(batch)} == {'one', 'two'}
    await model.batch_delete_files(await model.batch_cancel(batch))
    assert bedrock.objects.list() == []


@needs_batches
async def test_failures_that_are_too_few_for_a_job_keep_their_own_error(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.reply(THROTTLING, when=lambda asked: asked.last_user_text == 'No', times=None)
    requests = [request(f'q{number}', 'No' if number == 3 else 'Yes') for number in range(5)]
    results = await answers(like(model, min_records=5), *requests)
    assert [type(each).__name__ for each in results] == [*['ModelResponse'] * 3, 'ModelRateLimitError', 'ModelResponse']
    assert results[3].status_code == 429
    assert sum(each.operation == 'CreateModelInvocationJob' for each in bedrock.requests) == 1


@needs_batches
async def test_failures_that_are_too_few_for_a_job_are_sent_live_if_the_caller_allows_it(
    bedrock: LocalBedrock, model: Any
) -> None:
    bedrock.reply(THROTTLING, when=lambda asked: asked.last_user_text == 'No', times=1)
    requests = [request(f'q{number}', 'No' if number == 3 else 'Yes') for number in range(5)]
    results = await answers(like(model, min_records=5, live_below_minimum=True), *requests)
    assert ['Yes' in each.text for each in results] == [True, True, True, False, True]
    assert ['processing' in each.provider_details for each in results] == [True, True, True, False, True]


@needs_batches
async def test_agents_whose_failures_are_too_few_for_a_job_get_their_own_error(
    bedrock: LocalBedrock, model: Any
) -> None:
    from pydantic_ai.capabilities import BatchModelRequests

    bedrock.reply(THROTTLING, when=lambda asked: asked.last_user_text == 'No', times=None)
    batching = BatchModelRequests(max_requests=5, poll_interval=OFTEN, max_poll_interval=OFTEN, max_wait=OFTEN)
    agent = Agent(like(model, min_records=5), capabilities=[batching])
    texts = ['Yes', 'Yes', 'No', 'Yes', 'Yes']
    results = await asyncio.gather(*(agent.run(text) for text in texts), return_exceptions=True)
    assert [type(each).__name__ for each in results] == [
        *['AgentRunResult'] * 2,
        'ModelRateLimitError',
        *['AgentRunResult'] * 2,
    ]


@needs_batches
@pytest.mark.parametrize(
    ('count', 'sizes'), [(10, [10]), (11, [6, 5]), (20, [10, 10]), (21, [7, 7, 7]), (1, [1]), (0, [])]
)
async def test_a_split_is_even(model: Any, count: int, sizes: list[int]) -> None:
    encoded = [await model.batch_encode(request(f'q{number}', 'Hello')) for number in range(count)]
    batches = like(model, max_records=10).batch_split(encoded)
    assert [len(batch) for batch in batches] == sizes
    assert [each for batch in batches for each in batch] == encoded


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
