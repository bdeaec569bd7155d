"""Batch inference jobs come to their end: each state, each end, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sessions import client_of
from support.batches import INPUT, TITAN, lines, manifest, output, prompts, request, said, start, status
from support.requests import NOVA, MakeClient, user

from local_bedrock import ErrorReply, LocalBedrock, RecordedRequest, Reply


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


@pytest.fixture
def bedrock(served: LocalBedrock) -> Iterator[LocalBedrock]:
    """Yield a LocalBedrock on a thread, with three records to process."""
    served.objects.put(INPUT, prompts('one', 'two', 'three'))
    yield served
    assert served.failures == []


# Its end


def test_a_job_answers_its_records_like_live_calls(converse: Any, bedrock: LocalBedrock, client: Any) -> None:
    bedrock.reply('I am the second.', when=lambda request: request.last_user_text == 'two', times=None)
    job = converse.get_model_invocation_job(jobIdentifier=start(converse))
    assert job['status'] == 'Completed'
    assert job['submitTime'] <= job['lastModifiedTime'] == job['endTime'] < job['jobExpirationTime']
    assert 'message' not in job
    records = output(bedrock, job['jobArn'])
    assert [list(record) for record in records] == [['modelInput', 'modelOutput', 'recordId']] * 3
    assert [record['recordId'] for record in records] == ['R0', 'R1', 'R2']
    assert records[0]['modelInput'] == {'messages': [user('one')]}
    assert said(records[1]) == 'I am the second.'
    live = client.converse(modelId=NOVA, messages=[user('one')])
    assert records[0]['modelOutput']['output'] == live['output']
    usages = [record['modelOutput']['usage'] for record in records]
    # boto3 hides what its service model does not know.
    assert live['usage'].items() <= usages[0].items()
    assert manifest(bedrock, job['jobArn']) == {
        'totalRecordCount': 3,
        'processedRecordCount': 3,
        'successRecordCount': 3,
        'errorRecordCount': 0,
        'inputTokenCount': sum(usage['inputTokens'] for usage in usages),
        'outputTokenCount': sum(usage['outputTokens'] for usage in usages),
    }


def test_an_embedding_job_invokes_its_model(control_plane: Any, bedrock: LocalBedrock) -> None:
    bedrock.objects.put(INPUT, lines({'inputText': 'one'}, {'inputText': 'one two'}))
    arn = start(control_plane, modelId=TITAN, modelInvocationType='InvokeModel')
    assert status(control_plane, arn) == 'Completed'
    first, second = output(bedrock, arn)
    assert len(first['modelOutput']['embedding']) == 1024
    assert first['modelOutput']['embedding'] != second['modelOutput']['embedding']
    assert manifest(bedrock, arn)['inputTokenCount'] == 3
    assert [request.operation for request in bedrock.requests if request.job_arn] == ['InvokeModel'] * 2


def test_a_record_that_fails_is_a_line_with_an_error(converse: Any, bedrock: LocalBedrock) -> None:
    bedrock.objects.put(INPUT, prompts('one', ' ', 'three', 'four'))
    bedrock.reply(ErrorReply(424, 'ModelErrorException', 'Not today.'), when=lambda r: r.last_user_text == 'three')
    arn = start(converse)
    # As on AWS: that is no reason not to be complete.
    assert status(converse, arn) == 'Completed'
    records = output(bedrock, arn)
    assert ['error' in record for record in records] == [False, True, True, False]
    assert sorted(records[1]) == ['error', 'modelInput', 'recordId']
    assert records[1]['error']['errorCode'] == 400
    assert 'blank' in records[1]['error']['errorMessage']
    assert records[2]['error'] == {'errorCode': 424, 'errorMessage': 'Not today.'}
    counts = manifest(bedrock, arn)
    assert (counts['successRecordCount'], counts['errorRecordCount']) == (2, 2)
    assert counts['processedRecordCount'] == counts['totalRecordCount'] == 4


def test_a_converse_record_with_tools_fails_alone(converse: Any, bedrock: LocalBedrock) -> None:
    tool = {'toolSpec': {'name': 'weather', 'inputSchema': {'json': {'type': 'object'}}}}
    with_tools = {'messages': [user('one')], 'toolConfig': {'tools': [tool]}}
    bedrock.objects.put(INPUT, lines(with_tools, {'messages': [user('two')]}))
    arn = start(converse)
    assert status(converse, arn) == 'Completed'
    first, second = output(bedrock, arn)
    assert (first['error']['errorCode'], 'toolConfig' in first['error']['errorMessage']) == (400, True)
    assert 'modelOutput' in second


def test_records_are_recorded_as_requests_of_their_job(converse: Any, bedrock: LocalBedrock) -> None:
    bedrock.reply(ErrorReply(400, 'ValidationException', 'No.'), when=lambda request: request.record_id == 'R1')
    arn = start(converse)
    status(converse, arn)
    found = [request for request in bedrock.requests if request.job_arn == arn]
    assert [request.record_id for request in found] == ['R0', 'R1', 'R2']
    assert [(request.status, request.error_code) for request in found] == [
        (200, None),
        (400, 'ValidationException'),
        (200, None),
    ]
    assert [request.last_user_text for request in found] == ['one', 'two', 'three']
    assert {(request.operation, request.model_id, request.auth_scheme) for request in found} == {
        ('Converse', NOVA, None)
    }
    # They have not arrived: the two others have.
    assert bedrock.stats().requests == 2


def test_the_order_of_the_output_is_another_and_the_same_for_the_same_seed(
    make_client: MakeClient, tls: ssl.SSLContext | None
) -> None:
    orders: list[list[bytes]] = []
    for seed in (1, 1, 2):
        with LocalBedrock(seed=seed, tls=tls) as bedrock:
            client = make_client('bedrock', bedrock=bedrock)
            bedrock.objects.put(INPUT, lines(*({'inputText': str(number)} for number in range(20))))
            arn = start(client, modelId=TITAN, modelInvocationType='InvokeModel')
            status(client, arn)
            name = f's3://batches/out/{arn.rpartition("/")[2]}/records.jsonl.out'
            orders.append([line.rpartition(b'"recordId":')[2] for line in bedrock.objects.get(name).splitlines()])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(b'"R%d"}' % number for number in range(20))
    assert orders[0] != sorted(orders[0], key=lambda text: int(text[2:-2]))


def test_too_few_records_fail_the_job(converse: Any, bedrock: LocalBedrock) -> None:
    bedrock.jobs.minimum_records = 100
    job = converse.get_model_invocation_job(jobIdentifier=start(converse))
    assert job['status'] == 'Failed'
    assert job['message'] == 'Batch job contains less records (3) than the required minimum of: 100'
    assert job['endTime'] == job['lastModifiedTime']
    assert bedrock.objects.list('s3://batches/out/') == []
    bedrock.jobs.minimum_records = 3
    assert status(converse, start(converse, 'again')) == 'Completed'


def test_the_minimum_of_records_can_be_given(make_client: MakeClient, tls: ssl.SSLContext | None) -> None:
    with LocalBedrock(minimum_batch_records=2, tls=tls) as bedrock:
        client = make_client('bedrock', bedrock=bedrock)
        bedrock.objects.put(INPUT, prompts('one'))
        assert bedrock.jobs.minimum_records == 2
        assert status(client, start(client)) == 'Failed'


# Its states


@pytest.mark.parametrize('state', ['Submitted', 'Validating', 'Scheduled', 'InProgress'])
def test_a_job_rests_where_it_is_held(converse: Any, bedrock: LocalBedrock, state: Any) -> None:
    bedrock.jobs.hold(state)
    arn = start(converse)
    job = converse.get_model_invocation_job(jobIdentifier=arn)
    assert job['status'] == state
    assert 'endTime' not in job
    assert [request for request in bedrock.requests if request.job_arn] == []
    bedrock.jobs.go_on()
    assert status(converse, arn) == 'Completed'


def test_a_job_goes_from_one_state_to_the_next(converse: Any, bedrock: LocalBedrock) -> None:
    bedrock.jobs.hold('Submitted')
    arn = start(converse)
    seen = [status(converse, arn)]
    for state in ('Validating', 'Scheduled', 'InProgress'):
        bedrock.jobs.hold(state)
        seen.append(status(converse, arn))
    for number in (1, 2):
        bedrock.jobs.hold(after=number)
        seen.append(status(converse, arn))
        assert len([request for request in bedrock.requests if request.job_arn]) == number
    bedrock.jobs.go_on()
    assert [*seen, status(converse, arn)] == [
        'Submitted',
        'Validating',
        'Scheduled',
        'InProgress',
        'InProgress',
        'InProgress',
        'Completed',
    ]


def test_a_job_that_has_its_records_behind_it_rests_before_its_end(converse: Any, bedrock: LocalBedrock) -> None:
    bedrock.jobs.hold(after=3)
    arn = start(converse)
    assert status(converse, arn) == 'InProgress'
    assert bedrock.objects.list('s3://batches/out/') == []


def test_only_a_job_in_progress_processes_records(bedrock: LocalBedrock) -> None:
    with pytest.raises(ValueError, match='Scheduled processes no records'):
        bedrock.jobs.hold('Scheduled', after=1)


def test_a_job_that_is_stopped_in_the_middle_keeps_what_it_has(converse: Any, bedrock: LocalBedrock) -> None:
    bedrock.jobs.hold(after=2)
    arn = start(converse)
    assert status(converse, arn) == 'InProgress'
    bedrock.jobs.hold('Stopping')
    # That lets it go on: it has ended, and so cannot be stopped.
    assert status(converse, arn) == 'Completed'

    bedrock.jobs.hold(after=2)
    arn = start(converse, 'second')
    converse.stop_model_invocation_job(jobIdentifier=arn)
    job = converse.get_model_invocation_job(jobIdentifier=arn)
    assert job['status'] == 'Stopped'
    assert job['endTime'] == job['lastModifiedTime']
    assert [record['recordId'] for record in output(bedrock, arn)] == ['R0', 'R1']
    counts = manifest(bedrock, arn)
    assert (counts['totalRecordCount'], counts['processedRecordCount']) == (3, 2)
    bedrock.jobs.go_on()
    assert status(converse, arn) == 'Stopped'


def test_stopping_is_a_state_to_be_seen(converse: Any, bedrock: LocalBedrock) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def think(request: RecordedRequest) -> str:
        arrived.set()
        await go_on.wait()
        return 'never'

    bedrock.reply(think)
    bedrock.jobs.hold('Stopping')
    arn = start(converse)
    # It waits for a reply: that is rest enough to be looked at.
    assert status(converse, arn) == 'InProgress'
    assert arrived.is_set()
    for _ in range(2):  # as often as one likes
        converse.stop_model_invocation_job(jobIdentifier=arn)
        assert status(converse, arn) == 'Stopping'
    bedrock.jobs.go_on()
    assert status(converse, arn) == 'Stopped'
    # Nothing has been processed.
    assert bedrock.objects.list('s3://batches/out/') == []


@pytest.mark.parametrize('state', ['Submitted', 'Scheduled'])
def test_a_job_that_has_not_begun_is_stopped_without_output(converse: Any, bedrock: LocalBedrock, state: Any) -> None:
    bedrock.jobs.hold(state)
    arn = start(converse)
    converse.stop_model_invocation_job(jobIdentifier=arn)
    assert status(converse, arn) == 'Stopped'
    assert bedrock.objects.list('s3://batches/out/') == []


@pytest.mark.parametrize('state', ['Submitted', 'Validating', 'Scheduled'])
def test_a_job_that_does_not_begin_in_time_expires(converse: Any, bedrock: LocalBedrock, state: Any) -> None:
    bedrock.jobs.hold(state)
    arn = start(converse)
    assert status(converse, arn) == state
    bedrock.jobs.time_out()
    assert status(converse, arn) == 'Expired'
    assert bedrock.objects.list('s3://batches/out/') == []
    bedrock.jobs.go_on()
    assert status(converse, arn) == 'Expired'


def test_a_job_that_is_not_done_in_time_is_partially_completed(converse: Any, bedrock: LocalBedrock) -> None:
    bedrock.jobs.hold(after=1)
    arn = start(converse)
    assert status(converse, arn) == 'InProgress'
    bedrock.jobs.time_out()
    assert status(converse, arn) == 'PartiallyCompleted'
    assert [record['recordId'] for record in output(bedrock, arn)] == ['R0']
    assert manifest(bedrock, arn)['processedRecordCount'] == 1


def test_a_job_fails_when_it_is_told_to(converse: Any, bedrock: LocalBedrock) -> None:
    ended = start(converse, 'ended')
    assert status(converse, ended) == 'Completed'
    bedrock.jobs.hold(after=1)
    arn = start(converse)
    assert status(converse, arn) == 'InProgress'
    bedrock.jobs.fail('The model is gone.')
    job = converse.get_model_invocation_job(jobIdentifier=arn)
    assert (job['status'], job['message']) == ('Failed', 'The model is gone.')
    assert status(converse, ended) == 'Completed'


def test_a_rule_that_raises_fails_the_job_and_is_among_the_failures(control_plane: Any, served: LocalBedrock) -> None:
    served.objects.put(INPUT, lines({'inputText': 'one'}))
    served.reply(ErrorReply(400, 'No', 'no'), when=lambda request: 1 / 0 > 1)
    arn = start(control_plane, modelId=TITAN, modelInvocationType='InvokeModel')
    job = control_plane.get_model_invocation_job(jobIdentifier=arn)
    assert (job['status'], [type(error) for error in served.failures]) == ('Failed', [ZeroDivisionError])


def test_starting_over_forgets_jobs_where_they_are(converse: Any, bedrock: LocalBedrock) -> None:
    bedrock.jobs.minimum_records = 2
    bedrock.jobs.hold()
    arn = start(converse)
    assert status(converse, arn) == 'InProgress'
    bedrock.start_over()
    with pytest.raises(converse.exceptions.ResourceNotFoundException):
        status(converse, arn)
    assert bedrock.jobs.minimum_records == 1
    bedrock.objects.put(INPUT, prompts('one'))
    assert status(converse, start(converse)) == 'Completed'


# On the loop of the test


@pytest.fixture
async def on_the_loop(tls: ssl.SSLContext | None) -> AsyncIterator[tuple[LocalBedrock, Any]]:
    async with LocalBedrock(tls=tls) as bedrock:
        bedrock.objects.put(INPUT, lines({'inputText': 'one'}, {'inputText': 'two'}))
        async with client_of(bedrock, 'bedrock') as client:
            yield bedrock, client


async def test_aiobotocore_runs_jobs_too(on_the_loop: tuple[LocalBedrock, Any]) -> None:
    bedrock, client = on_the_loop
    bedrock.jobs.hold('Scheduled')
    members = {key: value for key, value in request(modelId=TITAN).items() if key != 'modelInvocationType'}
    arn = (await client.create_model_invocation_job(**members))['jobArn']
    assert (await client.get_model_invocation_job(jobIdentifier=arn))['status'] == 'Scheduled'
    bedrock.jobs.go_on()
    assert (await client.get_model_invocation_job(jobIdentifier=arn))['status'] == 'Completed'
    assert len(output(bedrock, arn)) == 2


@pytest.mark.parametrize('state', ['Submitted', 'InProgress', 'Reply'])
async def test_nothing_is_left_of_a_job_when_the_server_closes(state: Any) -> None:
    ended: list[str] = []

    async def think(request: RecordedRequest) -> Reply:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append('cancelled')
        raise AssertionError

    before = asyncio.all_tasks()
    async with LocalBedrock() as bedrock:
        bedrock.objects.put(INPUT, prompts('one', 'two'))
        if state == 'Reply':
            bedrock.reply(think)
        else:
            bedrock.jobs.hold(state)
        queue = bedrock._handler.jobs
        job = queue.create(request())
        await job.at_rest.wait()
        assert job.status == (state if state != 'Reply' else 'InProgress')
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before
    assert ended == (['cancelled'] if state == 'Reply' else [])
    assert bedrock.failures == []
    gc.collect()


def test_a_thread_ends_in_the_middle_of_a_job(make_client: MakeClient, tls: ssl.SSLContext | None) -> None:
    with LocalBedrock(tls=tls) as bedrock:
        bedrock.jobs.hold()
        bedrock.objects.put(INPUT, prompts('one'))
        client = make_client('bedrock', bedrock=bedrock)
        assert status(client, start(client)) == 'InProgress'
    assert bedrock.objects.list() == [INPUT]
