"""The remains of a batch whose cleaning up fails, too: every error says where they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served_bedrock import keys_of

from local_bedrock import ErrorReply, LocalBedrock, NoResponse, RecordedRequest, Truncate
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._runtime import batch_files, batch_jobs
from pydantic_ai_aiobedrock._runtime.batch_files import BatchFiles
from pydantic_ai_aiobedrock._runtime.batch_jobs import ModelInvocationJobs
from pydantic_ai_aiobedrock._upstream.batch_inference import BatchInference

MODEL = 'us.amazon.nova-lite-v1:0'
INFERENCE = BatchInference(role_arn='arn:aws:iam::123456789012:role/bedrock-batch', s3_uri='s3://my-bucket/batches/')
RECORD = b'{"recordId": "one", "modelInput": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}}\n'
REFUSED = ErrorReply(403, 'AccessDenied', 'Not allowed.')
URI = INFERENCE.input_uri('a-job')


@pytest.fixture
async def spec(bedrock: LocalBedrock) -> AsyncIterator[ClientSpec]:
    with bedrock.redirect_clients():
        yield ClientSpec(region_name='us-east-1', **keys_of(bedrock))


@pytest.fixture
def files(spec: ClientSpec, pool: SessionPool) -> BatchFiles:
    return BatchFiles(pool, spec)


@pytest.fixture
def jobs(spec: ClientSpec, pool: SessionPool, files: BatchFiles) -> ModelInvocationJobs:
    return ModelInvocationJobs(pool, spec, files)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return lines that are uploaded in two parts."""
    size = 5 * 1024 * 1024
    monkeypatch.setattr(batch_files, 'PART_BYTES', size)
    return [b' ' * size, b' ' * size]


async def create(files: BatchFiles, jobs: ModelInvocationJobs, name: str = 'a-job') -> str:
    uri = INFERENCE.input_uri(name)
    await files.upload(uri, [RECORD])
    return await jobs.create(name, uri, INFERENCE.job_request(MODEL, uri, 'Converse'))


# Files


async def test_a_file_whose_deletion_takes_too_long_is_named(
    bedrock: LocalBedrock, files: BatchFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_files, 'CLEANUP_SECONDS', 0.2)
    bedrock.fault(REFUSED, operation='PutObject')
    bedrock.fault(NoResponse('hang'), operation='DeleteObject')
    with pytest.raises(ClientError) as refused:
        await files.upload(URI, [RECORD])
    assert f'The file {URI} may be left: deleting it took more than 0.2 s.' in str(refused.value)


async def test_a_file_whose_deletion_is_refused_is_named(bedrock: LocalBedrock, files: BatchFiles) -> None:
    bedrock.fault(REFUSED, operation='PutObject')
    bedrock.fault(REFUSED, operation='DeleteObject')
    with pytest.raises(ClientError) as refused:
        await files.upload(URI, [RECORD])
    assert f'The file {URI} may be left: deleting it failed (An error occurred (AccessDenied)' in str(refused.value)


async def test_uploads_that_a_killed_process_began_for_a_file_are_aborted_and_no_others(
    bedrock: LocalBedrock, files: BatchFiles
) -> None:
    bucket, _, key = URI.removeprefix('s3://').partition('/')
    abandoned = {bedrock.objects.begin_upload(bucket, key, {}) for _ in range(2)}
    other = bedrock.objects.begin_upload(bucket, f'{key}.of-another', {})
    assert bedrock.objects.uploads.keys() == {*abandoned, other}
    await files.abort_uploads(URI)
    assert bedrock.objects.uploads.keys() == {other}


async def test_parts_whose_removal_is_refused_are_named(
    bedrock: LocalBedrock, files: BatchFiles, in_parts: list[bytes]
) -> None:
    bedrock.fault(REFUSED, operation='CompleteMultipartUpload')
    bedrock.fault(REFUSED, operation='AbortMultipartUpload')
    with pytest.raises(ClientError) as refused:
        await files.upload(URI, in_parts)
    [upload_id] = bedrock.objects.uploads
    left = f'Parts of the upload {upload_id} of {URI} may be left, and billed: aborting it failed (An error occurred'
    assert left in str(refused.value)


async def test_parts_whose_removal_takes_too_long_are_named(
    bedrock: LocalBedrock, files: BatchFiles, in_parts: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_files, 'CLEANUP_SECONDS', 0.2)
    bedrock.fault(REFUSED, operation='CompleteMultipartUpload')
    bedrock.fault(NoResponse('hang'), operation='AbortMultipartUpload')
    with pytest.raises(ClientError) as refused:
        await files.upload(URI, in_parts)
    [upload_id] = bedrock.objects.uploads
    left = f'Parts of the upload {upload_id} of {URI} may be left, and billed: aborting it took more than 0.2 s.'
    assert left in str(refused.value)


@pytest.mark.parametrize('found', [None, b'another size'], ids=['no file', 'another file'])
async def test_an_upload_that_is_gone_is_complete_only_if_its_file_is_there(
    bedrock: LocalBedrock, files: BatchFiles, in_parts: list[bytes], found: bytes | None
) -> None:
    if found is not None:
        bedrock.objects.put(URI, found)
    bedrock.fault(ErrorReply(404, 'NoSuchUpload', 'It is gone.'), operation='CompleteMultipartUpload')
    with pytest.raises(ClientError, match='NoSuchUpload'):
        await files.upload(URI, in_parts)
    assert bedrock.objects.list() == []


async def test_a_last_line_without_a_line_feed_is_a_line(bedrock: LocalBedrock, files: BatchFiles) -> None:
    bedrock.objects.put(URI, b'one\ntwo')
    assert [line async for line in files.lines(URI)] == [b'one', b'two']


async def test_a_download_that_breaks_after_its_last_byte_is_whole(bedrock: LocalBedrock, files: BatchFiles) -> None:
    """A proxy may send a body in chunks, the last of which is lost."""

    def lose_the_last_chunk(response: Any) -> None:
        response.chunked = True
        Truncate(len(RECORD), 'reset')(response)

    bedrock.objects.put(URI, RECORD)
    bedrock.fault(lose_the_last_chunk, operation='GetObject', times=1)  # pyright: ignore[reportArgumentType]
    assert [line + b'\n' async for line in files.lines(URI)] == [RECORD]
    assert [(each.headers.get('Range'), each.status) for each in bedrock.requests] == [
        (None, 200),
        (f'bytes={len(RECORD)}-', 416),
    ]


# Jobs


async def test_a_job_that_runs_on_although_it_was_to_be_stopped_is_an_error(
    bedrock: LocalBedrock, files: BatchFiles, jobs: ModelInvocationJobs
) -> None:
    bedrock.jobs.hold('InProgress')
    job_arn = await create(files, jobs)
    bedrock.fault(ErrorReply(409, 'ConflictException', 'Not now.'), operation='StopModelInvocationJob')
    with pytest.raises(ClientError, match=r'Not now\.'):
        await jobs.stop(job_arn)


async def test_jobs_are_listed_over_all_pages(
    bedrock: LocalBedrock, files: BatchFiles, jobs: ModelInvocationJobs
) -> None:
    created = [await create(files, jobs, name) for name in ('one', 'two', 'three')]
    listed = [job['jobArn'] async for job in jobs.list(maxResults=2)]
    assert sorted(listed) == sorted(created)
    assert sum(request.operation == 'ListModelInvocationJobs' for request in bedrock.requests) == 2


async def test_a_job_is_found_by_its_whole_name(files: BatchFiles, jobs: ModelInvocationJobs) -> None:
    job_arn = await create(files, jobs, 'a-job')
    await create(files, jobs, 'a-job-of-another')
    assert await jobs.find('a-job') == job_arn
    assert await jobs.find('job') is None


class Held:
    """A request that is held back on its way to AWS, until the caller has been cancelled."""

    def __init__(self, bedrock: LocalBedrock, fault: Any) -> None:
        self.arrived = asyncio.Event()
        bedrock.fault(fault, operation='CreateModelInvocationJob', times=1, when=self._arrive)

    def _arrive(self, _: RecordedRequest) -> bool:
        self.arrived.set()
        return True


async def cancelled(files: BatchFiles, jobs: ModelInvocationJobs, held: Held) -> None:
    """Cancel the creation of a job while its request is under way."""
    creating = asyncio.create_task(create(files, jobs))
    await held.arrived.wait()
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating


async def test_of_a_job_that_is_refused_while_its_caller_is_cancelled_no_file_is_left(
    bedrock: LocalBedrock, files: BatchFiles, jobs: ModelInvocationJobs
) -> None:
    await cancelled(files, jobs, Held(bedrock, ErrorReply(400, 'ValidationException', 'No.')))
    assert bedrock.objects.list() == []
    assert [request.operation for request in bedrock.requests] == [
        'PutObject',
        'CreateModelInvocationJob',
        'DeleteObject',
    ]


async def test_of_a_job_that_a_cancelled_request_has_not_created_no_file_is_left(
    bedrock: LocalBedrock, files: BatchFiles, jobs: ModelInvocationJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_jobs, 'GIVE_UP_SECONDS', 1)
    await cancelled(files, jobs, Held(bedrock, NoResponse('hang')))
    assert bedrock.objects.list() == []


async def test_a_job_that_takes_too_long_to_stop_after_a_cancellation_is_logged(
    bedrock: LocalBedrock,
    files: BatchFiles,
    jobs: ModelInvocationJobs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, 'pydantic_ai_aiobedrock')
    monkeypatch.setattr(batch_jobs, 'GIVE_UP_SECONDS', 1)
    bedrock.jobs.hold('Scheduled')
    bedrock.fault(NoResponse('hang'), operation='StopModelInvocationJob')
    await cancelled(files, jobs, Held(bedrock, Truncate(-1, 'hang')))
    [job] = bedrock.jobs._jobs.known.values()  # pyright: ignore[reportPrivateUsage]
    assert f'job {job.arn} may be running, and billed: stopping it failed (it took more than 1 s)' in caplog.text
    assert bedrock.objects.list() == [URI]
