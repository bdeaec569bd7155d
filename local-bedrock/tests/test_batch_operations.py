"""Bedrock's control plane says what AWS says of batch inference jobs, whatever botocore is installed."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import yarl
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, ResponseStreamingError
from botocore.exceptions import ConnectionError as BotoConnectionError
from support.batches import INPUT, ROLE, prompts, request, start, status
from support.requests import NOVA, MakeClient

from local_bedrock import (
    EXPIRED_TOKEN,
    INTERNAL_SERVER_ERROR,
    THROTTLING,
    ErrorReply,
    LocalBedrock,
    NoResponse,
    Truncate,
)

S3_URI = {'s3InputDataConfig': {'s3Uri': 's3://batches/in/'}}


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


@pytest.fixture(autouse=True)
def records(served: LocalBedrock) -> None:
    served.objects.put(INPUT, prompts('one'))


def refused(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str, str]:
    response = error.value.response
    return response['ResponseMetadata']['HTTPStatusCode'], response['Error']['Code'], response['Error']['Message']


def names(response: dict[str, Any]) -> list[str]:
    return [job['jobName'] for job in response['invocationJobSummaries']]


async def post(http: Any, bedrock: LocalBedrock, body: Any, path: str = '/model-invocation-job') -> tuple[int, Any]:
    headers = {'Authorization': f'Bearer {bedrock.api_key}', 'Content-Type': 'application/json'}
    data = body if isinstance(body, str) else json.dumps(body)
    async with http.post(yarl.URL(bedrock.base_url + path, encoded=True), data=data, headers=headers) as response:
        return response.status, await response.json()


# Create


def test_a_job_is_told_as_it_was_created(converse: Any) -> None:
    arn = start(
        converse,
        timeoutDurationInHours=48,
        tags=[{'key': 'team', 'value': 'one'}],
        vpcConfig={'subnetIds': ['subnet-1'], 'securityGroupIds': ['sg-1']},
        clientRequestToken='token-1',
    )
    assert arn.startswith('arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/')
    job = converse.get_model_invocation_job(jobIdentifier=arn)
    asked = request()
    for member in ('jobName', 'roleArn', 'modelId', 'inputDataConfig', 'outputDataConfig'):
        assert job[member] == asked[member]
    assert (job['timeoutDurationInHours'], job['clientRequestToken']) == (48, 'token-1')
    assert job['vpcConfig'] == {'subnetIds': ['subnet-1'], 'securityGroupIds': ['sg-1']}
    assert job['jobExpirationTime'] - job['submitTime'] == timedelta(hours=48)
    assert converse.get_model_invocation_job(jobIdentifier=arn.rpartition('/')[2])['jobArn'] == arn


def test_a_second_request_with_the_same_token_is_the_same_job(converse: Any) -> None:
    first = start(converse, clientRequestToken='token-1')
    assert start(converse, clientRequestToken='token-1') == first
    assert start(converse, 'other', clientRequestToken='token-2') != first
    assert len(converse.list_model_invocation_jobs()['invocationJobSummaries']) == 2


def test_a_token_is_for_one_request(converse: Any) -> None:
    start(converse, clientRequestToken='token-1')
    with pytest.raises(converse.exceptions.ConflictException, match='client request token'):
        start(converse, 'other', clientRequestToken='token-1')
    assert names(converse.list_model_invocation_jobs()) == ['job']


def test_options_of_operators_are_returned_as_they_were_set(converse: Any) -> None:
    output = {
        's3OutputDataConfig': {
            's3Uri': 's3://batches/out/',
            's3EncryptionKeyId': 'arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012',
            's3BucketOwner': '123456789012',
        }
    }
    records = {'s3InputDataConfig': {'s3Uri': INPUT, 's3BucketOwner': '210987654321'}}
    arn = start(converse, outputDataConfig=output, inputDataConfig=records, timeoutDurationInHours=168)
    (listed,) = converse.list_model_invocation_jobs()['invocationJobSummaries']
    for job in (converse.get_model_invocation_job(jobIdentifier=arn), listed):
        assert (job['outputDataConfig'], job['inputDataConfig']) == (output, records)
        assert job['timeoutDurationInHours'] == 168


def test_a_name_is_used_once(converse: Any) -> None:
    start(converse, 'mine')
    with pytest.raises(converse.exceptions.ConflictException) as error:
        start(converse, 'mine')
    assert refused(error)[:2] == (400, 'ConflictException')


@pytest.mark.parametrize(
    ('members', 'message'),
    [
        ({'jobName': None}, "Value null at 'jobName' failed to satisfy constraint: Member must not be null"),
        (
            {'jobName': 'my job'},
            "Value 'my job' at 'jobName' failed to satisfy constraint: Member must satisfy regular",
        ),
        (
            {'roleArn': 'arn:aws:iam::1:user/me'},
            "at 'roleArn' failed to satisfy constraint: Member must satisfy regular",
        ),
        ({'modelInvocationType': 'Chat'}, 'Member must satisfy enum value set: [InvokeModel, Converse]'),
        ({'timeoutDurationInHours': 1}, 'Member must have value greater than or equal to 24'),
        ({'inputDataConfig': {'s3InputDataConfig': {}}}, "at 'inputDataConfig.s3InputDataConfig.s3Uri'"),
        ({'inputDataConfig': {'s3InputDataConfig': {'s3Uri': '/tmp/in'}}}, "Value '/tmp/in' at"),
        ({'inputDataConfig': {}}, 'must set one of the following keys: s3InputDataConfig'),
        ({'modelId': 'nobody.model-v1'}, 'The provided model identifier is invalid.'),
    ],
)
async def test_a_request_that_is_not_valid_is_refused(
    http: Any, bedrock: LocalBedrock, members: dict[str, Any], message: str
) -> None:
    status, answer = await post(http, bedrock, {**request(), **members})
    assert status == 400
    assert message in answer['message']


async def test_a_type_of_invocation_is_known_to_the_oldest_botocore(http: Any, bedrock: LocalBedrock) -> None:
    bedrock.objects.put(INPUT, prompts('one'))
    status, answer = await post(http, bedrock, request())
    assert status == 200
    path = f'/model-invocation-job/{answer["jobArn"].replace(":", "%3A").replace("/", "%2F")}'
    async with http.get(
        yarl.URL(bedrock.base_url + path, encoded=True), headers={'Authorization': f'Bearer {bedrock.api_key}'}
    ) as response:
        job = await response.json()
    assert (job['status'], job['modelInvocationType'], job['successRecordCount']) == ('Completed', 'Converse', 1)


async def test_what_is_no_operation_is_unknown(http: Any, bedrock: LocalBedrock) -> None:
    for path in ('/model-invocation-jobs', '/model-invocation-job/abc/start', '/model-invocation-jobless'):
        assert (await post(http, bedrock, {}, path))[0] == 404
    assert (await post(http, bedrock, 'no JSON'))[0] == 400


# Get and stop


@pytest.mark.parametrize('operation', ['get_model_invocation_job', 'stop_model_invocation_job'])
def test_an_unknown_job_is_not_found(control_plane: Any, operation: str) -> None:
    for identifier in ('abcdefghijkl', 'arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghijkl'):
        with pytest.raises(control_plane.exceptions.ResourceNotFoundException) as error:
            getattr(control_plane, operation)(jobIdentifier=identifier)
        assert refused(error)[:2] == (404, 'ResourceNotFoundException')
    with pytest.raises(control_plane.exceptions.ValidationException, match="at 'jobIdentifier'"):
        getattr(control_plane, operation)(jobIdentifier='No job')


def test_a_job_of_another_account_is_not_found(converse: Any) -> None:
    arn = start(converse)
    with pytest.raises(converse.exceptions.ResourceNotFoundException):
        status(converse, arn.replace('123456789012', '210987654321'))


@pytest.mark.parametrize('end', ['Completed', 'Stopped', 'Failed'])
def test_a_job_that_has_ended_cannot_be_stopped(converse: Any, served: LocalBedrock, end: str) -> None:
    if end != 'Completed':
        served.jobs.hold()
    arn = start(converse)
    if end == 'Stopped':
        converse.stop_model_invocation_job(jobIdentifier=arn)
        served.jobs.go_on()
    elif end == 'Failed':
        assert status(converse, arn) == 'InProgress'
        served.jobs.fail('No capacity.')
    assert status(converse, arn) == end
    with pytest.raises(converse.exceptions.ValidationException, match=f'State was: {end}') as error:
        converse.stop_model_invocation_job(jobIdentifier=arn)
    assert refused(error)[:2] == (400, 'ValidationException')


# List


def test_a_list_has_the_latest_first_and_goes_on_where_the_page_ended(converse: Any) -> None:
    for name in ('a1', 'a2', 'b1', 'b2', 'b3'):
        start(converse, name)
    assert names(converse.list_model_invocation_jobs()) == ['b3', 'b2', 'b1', 'a2', 'a1']
    ascending = converse.list_model_invocation_jobs(sortBy='CreationTime', sortOrder='Ascending')
    assert names(ascending) == ['a1', 'a2', 'b1', 'b2', 'b3']
    pages = list(converse.get_paginator('list_model_invocation_jobs').paginate(maxResults=2))
    assert [names(page) for page in pages] == [['b3', 'b2'], ['b1', 'a2'], ['a1']]
    assert ['nextToken' in page for page in pages] == [True, True, False]
    job = pages[0]['invocationJobSummaries'][0]
    assert (job['status'], job['roleArn'], job['modelId']) == ('Completed', ROLE, NOVA)
    with pytest.raises(converse.exceptions.ValidationException, match='pagination token'):
        converse.list_model_invocation_jobs(nextToken='unknown')


def test_a_list_is_of_what_is_asked_for(converse: Any, served: LocalBedrock) -> None:
    start(converse, 'done')
    names(converse.list_model_invocation_jobs())
    served.jobs.hold('Scheduled')
    start(converse, 'waits')
    assert names(converse.list_model_invocation_jobs(statusEquals='Scheduled')) == ['waits']
    assert names(converse.list_model_invocation_jobs(statusEquals='Completed')) == ['done']
    assert names(converse.list_model_invocation_jobs(nameContains='ait')) == ['waits']
    now = datetime.now(UTC)
    assert names(converse.list_model_invocation_jobs(submitTimeAfter=now - timedelta(hours=1))) == ['waits', 'done']
    assert names(converse.list_model_invocation_jobs(submitTimeBefore=now - timedelta(hours=1))) == []
    assert names(converse.list_model_invocation_jobs(submitTimeAfter=now + timedelta(hours=1))) == []


@pytest.mark.parametrize(
    ('asked', 'message'),
    [
        ({'statusEquals': 'Lost'}, "Value 'Lost' at 'statusEquals'"),
        ({'maxResults': 1001}, 'Member must have value less than or equal to 1000'),
    ],
)
def test_a_list_that_is_not_valid_is_refused(control_plane: Any, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(control_plane.exceptions.ValidationException) as error:
        control_plane.list_model_invocation_jobs(**asked)
    assert message in refused(error)[2]


async def test_times_that_are_none_are_refused(http: Any, bedrock: LocalBedrock) -> None:
    bedrock.objects.put(INPUT, prompts('one'))
    await post(http, bedrock, request())
    headers = {'Authorization': f'Bearer {bedrock.api_key}'}
    async with http.get(f'{bedrock.base_url}/model-invocation-jobs?submitTimeAfter=noon', headers=headers) as response:
        assert (response.status, (await response.json())['message']) == (400, 'noon is not a timestamp.')


# Who asks


def test_a_wrong_secret_is_refused(make_client: MakeClient) -> None:
    with pytest.raises(ClientError) as error:
        make_client('bedrock', aws_secret_access_key='wrong').list_model_invocation_jobs()
    assert refused(error)[:2] == (403, 'InvalidSignatureException')


def test_credentials_that_have_expired_are_refused(make_client: MakeClient, served: LocalBedrock) -> None:
    client = make_client('bedrock')
    served.rotate_credentials()
    with pytest.raises(ClientError) as error:
        start(client)
    assert refused(error)[:2] == (403, 'ExpiredTokenException')
    assert make_client('bedrock').list_model_invocation_jobs()['invocationJobSummaries'] == []


def test_faults_can_be_for_one_operation(converse: Any, served: LocalBedrock) -> None:
    served.fault(THROTTLING, operation='GetModelInvocationJob', times=1)
    arn = start(converse)
    with pytest.raises(converse.exceptions.ThrottlingException):
        status(converse, arn)
    assert status(converse, arn) == 'Completed'


CREATED = 'CreateModelInvocationJob'


@pytest.mark.parametrize('operation', [CREATED, 'ListModelInvocationJobs', 'StopModelInvocationJob', 'PutObject'])
@pytest.mark.parametrize(
    ('fault', 'code'),
    [
        (THROTTLING, {'ThrottlingException', 'SlowDown'}),
        (INTERNAL_SERVER_ERROR, {'InternalServerException', 'InternalError'}),
        (EXPIRED_TOKEN, {'ExpiredTokenException', 'ExpiredToken'}),
    ],
)
def test_an_error_can_be_for_each_operation(
    converse: Any, make_client: MakeClient, served: LocalBedrock, operation: str, fault: ErrorReply, code: set[str]
) -> None:
    rule = served.fault(fault, operation=cast('Any', operation), times=1)
    with pytest.raises(ClientError) as error:
        ask(operation, converse, make_client('s3'))
    assert refused(error)[1] in code
    assert rule.used == 1


@pytest.mark.parametrize('operation', [CREATED, 'ListModelInvocationJobs', 'GetObject', 'ListObjectsV2'])
@pytest.mark.parametrize('fault', [NoResponse(), NoResponse('close'), Truncate(-1, 'reset'), Truncate(3, 'reset')])
def test_a_connection_can_break_at_each_operation(
    converse: Any, make_client: MakeClient, served: LocalBedrock, operation: str, fault: Any
) -> None:
    served.fault(fault, operation=cast('Any', operation), times=1)
    s3 = make_client('s3')
    for made in (converse, s3):
        made.meta.events.register('before-parse', check_length)
    with pytest.raises((HTTPClientError, BotoConnectionError, IncompleteReadError, ResponseStreamingError)):
        ask(operation, converse, s3)
    # A request that got no response was not carried out; one whose response was lost was.
    if operation == CREATED:
        created = names(converse.list_model_invocation_jobs())
        assert created == ([] if isinstance(fault, NoResponse) else ['job'])


def check_length(response_dict: dict[str, Any], **_: Any) -> None:
    """Raise where a body is shorter than its `Content-Length`.

    botocore 1.43 leaves this to its streams, and Python before 3.12.3 takes a reset on TLS for the end of a body.
    """
    body, length = response_dict['body'], int(response_dict['headers'].get('content-length', 0))
    if isinstance(body, bytes) and len(body) < length:
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=length)


def ask(operation: str, control_plane: Any, s3: Any) -> None:
    if operation == CREATED:
        start(control_plane)
    elif operation == 'ListModelInvocationJobs':
        control_plane.list_model_invocation_jobs()
    elif operation == 'StopModelInvocationJob':
        control_plane.stop_model_invocation_job(jobIdentifier='abcdefghijkl')
    elif operation == 'PutObject':
        s3.put_object(Bucket='batches', Key='key', Body=b'content')
    elif operation == 'GetObject':
        s3.get_object(Bucket='batches', Key='in/records.jsonl')['Body'].read()
    else:
        s3.list_objects_v2(Bucket='batches')


def test_requests_tell_which_job_they_are_about(converse: Any, served: LocalBedrock) -> None:
    arn = start(converse)
    status(converse, arn)
    created, *_, got = served.requests
    assert (created.service, created.operation, created.body['jobName']) == (
        'bedrock',
        'CreateModelInvocationJob',
        'job',
    )
    assert (got.service, got.operation, got.resource) == ('bedrock', 'GetModelInvocationJob', arn)
    assert (created.model_id, got.model_id) == ('', '')
