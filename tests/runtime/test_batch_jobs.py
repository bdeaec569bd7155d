"""Batch inference jobs, and their files in S3, by leased clients: what is written, read, and left behind."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from credential_sources import current, write_credentials

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._runtime.batch_files import PART_BYTES, BatchFiles
from pydantic_ai_aiobedrock._runtime.batch_jobs import ModelInvocationJobs
from pydantic_ai_aiobedrock._runtime.batch_output import OutputRecord, read_record
from pydantic_ai_aiobedrock._upstream.batch_inference import BatchInference, output_uris

MODEL = 'us.amazon.nova-lite-v1:0'
ROLE = 'arn:aws:iam::123456789012:role/bedrock-batch'
FOLDER = 's3://my-bucket/batches'


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


@pytest.fixture
def redirected(bedrock: LocalBedrock) -> Iterator[None]:
    with bedrock.redirect_clients():
        yield


@dataclass
class Jobs:
    """Jobs and their files, as a model puts them together."""

    files: BatchFiles
    jobs: ModelInvocationJobs

    async def create(self, records: Iterable[bytes], name: str = 'a-job', model_id: str = MODEL) -> str:
        inference = BatchInference(role_arn=ROLE, s3_uri=f'{FOLDER}/')
        uri = inference.input_uri(name)
        await self.files.upload(uri, records)
        return await self.jobs.create(name, uri, inference.job_request(model_id, uri, 'Converse'))

    async def output(self, job_arn: str) -> dict[str | None, OutputRecord]:
        records = [read_record(line) async for line in self.files.lines(output_uris(await self.jobs.get(job_arn))[0])]
        return {each.record_id: each for each in records if each is not None}


@pytest.fixture
def jobs(redirected: None, pool: SessionPool) -> Jobs:
    spec = ClientSpec(region_name='us-east-1')
    files = BatchFiles(pool, spec)
    return Jobs(files, ModelInvocationJobs(pool, spec, files))


def record(name: str, text: str) -> bytes:
    model_input = {'messages': [{'role': 'user', 'content': [{'text': text}]}]}
    return json.dumps({'recordId': name, 'modelInput': model_input}).encode() + b'\n'


async def test_every_record_is_answered_as_a_converse_request(bedrock: LocalBedrock, jobs: Jobs) -> None:
    job_arn = await jobs.create([record('one', 'Say one.'), record('two', 'Say two.')])
    assert (await jobs.jobs.get(job_arn))['status'] == 'Completed'
    assert f'{FOLDER}/a-job.jsonl' in bedrock.objects.list()
    answers = await jobs.output(job_arn)
    assert answers.keys() == {'one', 'two'}
    assert 'Say two.' in answers['two'].output['output']['message']['content'][0]['text']
    assert [request.operation for request in bedrock.requests if request.record_id] == ['Converse', 'Converse']


async def test_a_large_file_goes_up_in_parts(bedrock: LocalBedrock, jobs: Jobs) -> None:
    lines = [record(str(number), 'x' * (PART_BYTES // 4)) for number in range(9)]
    bedrock.jobs.hold('Submitted')
    await jobs.create(lines)
    assert bedrock.objects.get(f'{FOLDER}/a-job.jsonl') == b''.join(lines)
    assert bedrock.objects.uploads == {}


async def test_of_an_upload_that_fails_no_part_is_left(bedrock: LocalBedrock, jobs: Jobs) -> None:
    uploads: list[int] = []

    def lines() -> Iterator[bytes]:
        yield b' ' * PART_BYTES
        yield b' ' * PART_BYTES
        yield b' ' * PART_BYTES
        uploads.append(len(bedrock.objects.uploads))
        raise LookupError('There is no more.')

    with pytest.raises(LookupError, match=r'There is no more\.'):
        await jobs.create(lines())
    assert uploads == [1]
    assert bedrock.objects.uploads == {}
    assert bedrock.objects.list() == []


async def test_of_a_job_that_is_refused_no_file_is_left(bedrock: LocalBedrock, jobs: Jobs) -> None:
    with pytest.raises(ClientError, match='ValidationException'):
        await jobs.create([record('one', 'Hello')], model_id='nobody.no-model-v1:0')
    assert bedrock.objects.list() == []


async def test_stopping_a_job_that_has_ended_changes_nothing(jobs: Jobs) -> None:
    job_arn = await jobs.create([record('one', 'Hello')])
    assert (await jobs.jobs.get(job_arn))['status'] == 'Completed'
    await jobs.jobs.stop(job_arn)
    assert (await jobs.jobs.get(job_arn))['status'] == 'Completed'


async def test_stopping_an_unknown_job_is_an_error(jobs: Jobs) -> None:
    with pytest.raises(ClientError, match='ResourceNotFoundException'):
        await jobs.jobs.stop('arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghijkl')


async def test_a_job_that_is_stopped_before_it_ran_has_no_output(bedrock: LocalBedrock, jobs: Jobs) -> None:
    bedrock.jobs.hold('Scheduled')
    job_arn = await jobs.create([record('one', 'Hello')])
    await jobs.jobs.stop(job_arn)
    assert (await jobs.jobs.get(job_arn))['status'] == 'Stopped'
    with pytest.raises(ClientError, match='NoSuchKey'):
        await jobs.output(job_arn)


async def test_output_is_read_whatever_the_chunks_that_it_comes_in(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._runtime.batch_files.CHUNK_BYTES', 7)
    job_arn = await jobs.create([record(str(number), f'Größe {number}') for number in range(5)])
    assert (await jobs.output(job_arn)).keys() == set('01234')


async def test_a_rotated_key_is_taken_up_by_s3_and_bedrock_alike(
    bedrock: LocalBedrock, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv('AWS_ACCESS_KEY_ID')
    monkeypatch.delenv('AWS_SECRET_ACCESS_KEY')
    credentials = tmp_path / 'credentials'
    monkeypatch.setenv('AWS_SHARED_CREDENTIALS_FILE', str(credentials))
    write_credentials(credentials, current(bedrock))
    await jobs.create([record('one', 'Hello')], name='before')
    bedrock.revoke(bedrock.aws_access_key_id)
    bedrock.rotate_credentials()
    write_credentials(credentials, current(bedrock))
    job_arn = await jobs.create([record('one', 'Hello')], name='after')
    assert (await jobs.output(job_arn)).keys() == {'one'}


@pytest.mark.parametrize('region_name', ['us-east-1', 'eu-central-1'])
@pytest.mark.parametrize(('service_name', 'host'), [('s3', 's3.{}'), ('bedrock', 'bedrock.{}')])
async def test_the_endpoints_are_those_of_the_region(
    pool: SessionPool, service_name: Any, host: str, region_name: str
) -> None:
    spec = ClientSpec(
        service_name=service_name, region_name=region_name, aws_access_key_id='AKIAIOSFODNN7', aws_secret_access_key='x'
    )
    with await pool.lease(spec) as lease:
        assert lease.client.meta.endpoint_url == f'https://{host.format(region_name)}.amazonaws.com'
