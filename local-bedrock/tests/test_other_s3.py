"""Batch inference jobs read and write another S3: moto's, with a real client and a real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from support.batches import prompts, start, status
from support.requests import MakeClient

from local_bedrock import LocalBedrock

moto_server = pytest.importorskip('moto.server', reason='moto is the other S3: nox -s clients -- moto')


@pytest.fixture(scope='module')
def moto() -> Iterator[str]:
    """Yield the URL of moto's server."""
    server = moto_server.ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f'http://{host}:{port}'
    server.stop()


@pytest.fixture
def elsewhere(moto: str) -> Iterator[Any]:
    """Yield a client of moto's S3, in which there is the bucket of the jobs, and no other object."""
    client: Any = botocore.session.Session().create_client(
        's3',
        endpoint_url=moto,
        region_name='us-east-1',
        aws_access_key_id='AKIDOFTHEOTHER',
        aws_secret_access_key='secret-of-the-other',
        config=Config(s3={'addressing_style': 'path'}),
    )
    with closing(client):
        client.create_bucket(Bucket='batches')
        yield client
        for found in client.list_objects_v2(Bucket='batches').get('Contents', ()):
            client.delete_object(Bucket='batches', Key=found['Key'])
        client.delete_bucket(Bucket='batches')


@pytest.fixture
def bedrock(moto: str) -> Iterator[LocalBedrock]:
    with LocalBedrock(s3_endpoint_url=moto, credentials={'AKIDOFTHEOTHER': 'secret-of-the-other'}) as bedrock:
        yield bedrock
    assert bedrock.failures == []


@pytest.fixture
def control_plane(make_client: MakeClient, bedrock: LocalBedrock) -> Any:
    return make_client('bedrock', bedrock=bedrock)


def read(elsewhere: Any, arn: str, name: str) -> list[dict[str, Any]]:
    key = f'out/{arn.rpartition("/")[2]}/{name}'
    return [json.loads(line) for line in elsewhere.get_object(Bucket='batches', Key=key)['Body'].read().splitlines()]


def keys(elsewhere: Any) -> list[str]:
    return [found['Key'] for found in elsewhere.list_objects_v2(Bucket='batches')['Contents']]


def put(elsewhere: Any, *texts: str) -> None:
    elsewhere.put_object(Bucket='batches', Key='in/records.jsonl', Body=prompts(*texts).encode())


def test_a_job_reads_its_input_and_writes_its_output_there(
    elsewhere: Any, converse: Any, bedrock: LocalBedrock
) -> None:
    put(elsewhere, 'one', 'two', 'three')
    arn = start(converse)
    assert status(converse, arn) == 'Completed'
    records = read(elsewhere, arn, 'records.jsonl.out')
    assert sorted(record['recordId'] for record in records) == ['R0', 'R1', 'R2']
    assert all('modelOutput' in record for record in records)
    assert read(elsewhere, arn, 'manifest.json.out')[0]['successRecordCount'] == 3
    assert bedrock.objects.list() == []


def test_a_job_without_input_there_fails(elsewhere: Any, converse: Any, bedrock: LocalBedrock) -> None:
    # The endpoint's own S3 is another.
    bedrock.objects.put('s3://batches/in/records.jsonl', prompts('one'))
    job = converse.get_model_invocation_job(jobIdentifier=start(converse))
    assert (job['status'], 'in/records.jsonl' in job['message']) == ('Failed', True)


def test_a_job_whose_bucket_does_not_exist_there_fails(elsewhere: Any, converse: Any) -> None:
    put(elsewhere, 'one')
    absent = {'s3OutputDataConfig': {'s3Uri': 's3://absent/out/'}}
    job = converse.get_model_invocation_job(jobIdentifier=start(converse, outputDataConfig=absent))
    assert (job['status'], 'absent' in job['message']) == ('Failed', True)


def test_a_job_that_is_stopped_or_out_of_time_writes_there_as_far_as_it_came(
    elsewhere: Any, converse: Any, bedrock: LocalBedrock
) -> None:
    put(elsewhere, 'one', 'two', 'three')
    bedrock.jobs.hold(after=1)
    arns = [start(converse, name) for name in ('first', 'second')]
    assert [status(converse, arn) for arn in arns] == ['InProgress'] * 2
    converse.stop_model_invocation_job(jobIdentifier=arns[0])
    assert status(converse, arns[0]) == 'Stopped'
    bedrock.jobs.time_out()
    assert status(converse, arns[1]) == 'PartiallyCompleted'
    for arn in arns:
        assert len(read(elsewhere, arn, 'records.jsonl.out')) == 1


def test_a_job_that_fails_writes_nothing_there(elsewhere: Any, converse: Any, bedrock: LocalBedrock) -> None:
    put(elsewhere, 'one')
    bedrock.jobs.hold()
    arn = start(converse)
    assert status(converse, arn) == 'InProgress'
    bedrock.jobs.fail('No.')
    assert status(converse, arn) == 'Failed'
    assert keys(elsewhere) == ['in/records.jsonl']


def test_clients_are_pointed_at_the_other_s3(moto: str, bedrock: LocalBedrock) -> None:
    assert bedrock.environment['AWS_ENDPOINT_URL_S3'] == moto
    assert bedrock.environment['AWS_ENDPOINT_URL_BEDROCK'] == bedrock.base_url


def test_an_s3_that_is_not_there_is_a_job_that_says_so(make_client: MakeClient) -> None:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
    with LocalBedrock(s3_endpoint_url=f'http://127.0.0.1:{port}') as bedrock:
        client = make_client('bedrock', bedrock=bedrock)
        job = client.get_model_invocation_job(jobIdentifier=start(client))
        assert job['status'] == 'Failed'
        assert f'The S3 at http://127.0.0.1:{port} could not be used' in job['message']
