"""Batches as jobs of Bedrock: handles, states, cancellation and the options of operators."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic_ai import UserError
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError

from local_bedrock import ErrorReply, LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

from .jobs import INFERENCE, MODEL, answers, created, like, request

pytest.importorskip('pydantic_ai.models.batch', reason='This Pydantic AI has no batches yet.')


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


async def test_a_job_that_fails_says_why_to_each_of_its_requests(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.jobs.minimum_records = 100
    errors = await answers(model, request('a', 'Hello'), request('b', 'Hello'))
    assert [error.status_code for error in errors] == [400, 400]
    assert all('100' in error.body['Error']['Message'] for error in errors)
    assert len(bedrock.objects.list('s3://my-bucket/batches/pydantic-ai-')) == 1


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


async def test_cancelling_the_wait_stops_the_job(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.jobs.hold('InProgress')
    waiting = asyncio.create_task(answers(model, request('a', 'Hello')))
    while not any(each.operation == 'GetModelInvocationJob' for each in bedrock.requests):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [each.operation for each in bedrock.requests][-2:] == ['StopModelInvocationJob', 'GetModelInvocationJob']


async def test_what_aws_refuses_is_told_as_for_a_live_request(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.expire(bedrock.aws_access_key_id)
    with pytest.raises(ModelHTTPError, match='came from env') as refused:
        await created(model, 'one')
    assert refused.value.status_code == 400


async def test_a_batch_of_another_region_is_refused(model: Any) -> None:
    batch = await created(model, 'one')
    batch.group = json.dumps({**json.loads(batch.group), 'region': 'eu-central-1'})
    for method in (model.batch_status, model.batch_cancel):
        with pytest.raises(UserError, match='in eu-central-1'):
            await method(batch)


async def test_files_of_a_job_that_runs_are_not_deleted(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.jobs.hold('InProgress')
    batch = await created(model, 'one')
    with pytest.raises(UserError, match='has not ended'):
        await model.batch_delete_files(batch)
    assert len(bedrock.objects.list()) == 1


async def test_cancelling_a_job_that_has_ended_changes_nothing(bedrock: LocalBedrock, model: Any) -> None:
    batch = await created(model, 'one')
    while batch.status != 'ended':
        batch = await model.batch_status(batch)
    assert (await model.batch_cancel(batch)).provider_details['status'] == 'Completed'


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


async def test_the_same_key_is_the_same_job_in_whichever_process(bedrock: LocalBedrock, model: Any) -> None:
    encoded = [await model.batch_encode(request(name, f'Say {name}.')) for name in ('one', 'two')]
    first = await model.batch_create(encoded, idempotency_key='run-7')
    before = len(bedrock.requests)
    again = await like(model).batch_create(encoded, idempotency_key='run-7')
    assert (again.id, again.provider_details['jobName']) == (first.id, 'pydantic-ai-run-7')
    assert [each.operation for each in bedrock.requests[before:]] == ['ListModelInvocationJobs']
    another = await model.batch_create(encoded, idempotency_key='run-70')
    assert another.id != first.id


@pytest.mark.parametrize('options', [{}, {'timeout_hours': 48}], ids=['same parameters', 'other parameters'])
async def test_a_job_that_is_not_listed_yet_is_neither_doubled_nor_deprived_of_its_file(
    bedrock: LocalBedrock, model: Any, options: Any
) -> None:
    bedrock.jobs.hold('Submitted')
    encoded = [await model.batch_encode(request('one', 'Say one.'))]
    first = await model.batch_create(encoded, idempotency_key='run-7')

    def not_listed(response: Any) -> None:
        response.pieces = (b'{"invocationJobSummaries": []}',)

    bedrock.fault(not_listed, operation='ListModelInvocationJobs', times=1)
    again = await like(model, **options).batch_create(encoded, idempotency_key='run-7')
    assert again.id == first.id
    assert len(bedrock.jobs._jobs.known) == 1
    assert bedrock.objects.list() == ['s3://my-bucket/batches/pydantic-ai-run-7.jsonl']


@pytest.mark.parametrize('key', ['', 'a b', 'a' * 33, 'a-', 'ä', 'a/b'])
async def test_a_key_that_no_name_can_end_with_is_refused(bedrock: LocalBedrock, model: Any, key: str) -> None:
    encoded = [await model.batch_encode(request('one', 'Say one.'))]
    with pytest.raises(UserError, match='`idempotency_key`'):
        await model.batch_create(encoded, idempotency_key=key)
    assert bedrock.requests == []


async def test_only_the_uploads_of_its_own_file_are_removed(bedrock: LocalBedrock, model: Any) -> None:
    folder = 'batches/pydantic-ai-run-7.jsonl'
    left = bedrock.objects.begin_upload('my-bucket', folder, {})
    kept = bedrock.objects.begin_upload('my-bucket', f'{folder}.old', {})
    await model.batch_create([await model.batch_encode(request('one', 'Hello'))], idempotency_key='run-7')
    assert left not in bedrock.objects.uploads
    assert kept in bedrock.objects.uploads


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
