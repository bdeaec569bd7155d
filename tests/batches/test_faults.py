"""Faults at each request of a batch, and cancellations: no job, file or answer is lost unnamed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.retries.standard import ExponentialBackoff
from pydantic_ai import ModelRequest
from pydantic_ai.exceptions import ModelAPIError

from local_bedrock import EXPIRED_TOKEN, INTERNAL_SERVER_ERROR, THROTTLING, LocalBedrock, NoResponse, Truncate
from pydantic_ai_aiobedrock import BatchInference, BedrockConverseModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._runtime import batch_files, batch_jobs

pytest.importorskip('pydantic_ai.models.batch', reason='This Pydantic AI has no batches yet.')

MODEL = 'us.amazon.nova-lite-v1:0'
INFERENCE = BatchInference(
    role_arn='arn:aws:iam::123456789012:role/bedrock-batch', s3_uri='s3://my-bucket/batches/', min_records=1
)
PART = 5 * 1024 * 1024
"""The smallest part of an upload that S3 accepts."""

FAULTS: dict[str, Any] = {
    'throttled': THROTTLING,
    'internal error': INTERNAL_SERVER_ERROR,
    'expired credentials': EXPIRED_TOKEN,
    'reset before it is carried out': NoResponse('reset'),
    'answer lost': Truncate(-1, 'reset'),
    'body lost': Truncate(0, 'reset'),
    'body cut': Truncate(20, 'reset'),
    'silent before it is carried out': NoResponse('hang'),
    'silent after it is carried out': Truncate(-1, 'hang'),
}
SMALL = ('PutObject', 'CreateModelInvocationJob')
LARGE = ('CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload')


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the waits that are not what is tested."""
    monkeypatch.setattr(ExponentialBackoff, 'delay_amount', lambda self, context: 0)
    monkeypatch.setattr(batch_files, 'RESUME_SECONDS', 0)
    monkeypatch.setattr(batch_files, 'PART_BYTES', PART)
    monkeypatch.setattr(batch_files, 'CLEANUP_SECONDS', 5)
    monkeypatch.setattr(batch_jobs, 'GIVE_UP_SECONDS', 1)


@pytest.fixture
async def model(bedrock: LocalBedrock) -> AsyncIterator[Any]:
    pool = SessionPool()
    with bedrock.redirect_clients():
        provider = BedrockProvider(pool=pool, aws_read_timeout=0.8)
        yield BedrockConverseModel(MODEL, provider=provider, batch_inference=INFERENCE)
    await pool.aclose()


def requests(size: int = 1) -> list[Any]:
    from pydantic_ai.models.batch import BatchRequest

    return [
        BatchRequest(custom_id=name, messages=[ModelRequest.user_text_prompt(f'Say {name}. {"x" * size}')])
        for name in ('one', 'two', 'three')
    ]


async def create(model: Any, *, large: bool = False) -> Any:
    return await model.batch_create([await model.batch_encode(each) for each in requests(PART if large else 1)])


async def ended(model: Any, batch: Any) -> Any:
    while batch.status != 'ended':
        batch = await model.batch_status(batch)
    return batch


async def answered(model: Any, batch: Any) -> None:
    results = {result.custom_id: result for result in await model.batch_results(batch)}
    for request in requests():
        assert f'Say {request.custom_id}.' in model.batch_decode(results[request.custom_id], request).text


def running(bedrock: LocalBedrock) -> set[str]:
    """Return the names of the jobs that have been created and not stopped."""
    created, stopped = {}, set[str]()
    for job in bedrock.jobs._jobs.known.values():  # pyright: ignore[reportPrivateUsage]
        created[job.request['jobName']] = job
        if job.status in ('Stopping', 'Stopped'):
            stopped.add(job.request['jobName'])
    return created.keys() - stopped


def nothing_is_lost(bedrock: LocalBedrock, message: str) -> None:
    for name in running(bedrock):
        assert name in message
    for uri in bedrock.objects.list():
        assert uri in message
    nothing_is_stored(bedrock)


def nothing_is_stored(bedrock: LocalBedrock) -> None:
    # An upload that a repeated request began is empty: it costs nothing.
    assert not any(upload.parts for upload in bedrock.objects.uploads.values())


# Creating a job


@pytest.mark.parametrize('operation', [*SMALL, *LARGE])
@pytest.mark.parametrize('fault', FAULTS)
async def test_a_fault_that_passes_leaves_one_job_or_none(
    bedrock: LocalBedrock, model: Any, operation: str, fault: str
) -> None:
    bedrock.jobs.hold('Scheduled')
    bedrock.fault(FAULTS[fault], operation=operation, times=1)  # pyright: ignore[reportArgumentType]
    try:
        batch = await create(model, large=operation in LARGE)
    except ModelAPIError as error:
        nothing_is_lost(bedrock, str(error))
        assert fault == 'expired credentials'
        return
    assert len(running(bedrock)) == 1
    nothing_is_stored(bedrock)
    bedrock.jobs.go_on()
    await answered(model, await ended(model, batch))


@pytest.mark.parametrize('operation', [*SMALL, *LARGE])
@pytest.mark.parametrize('fault', FAULTS)
async def test_a_fault_that_lasts_leaves_nothing_that_the_error_does_not_name(
    bedrock: LocalBedrock, model: Any, operation: str, fault: str
) -> None:
    bedrock.jobs.hold('Scheduled')
    bedrock.fault(FAULTS[fault], operation=operation)  # pyright: ignore[reportArgumentType]
    try:
        batch = await create(model, large=operation in LARGE)
    except ModelAPIError as error:
        nothing_is_lost(bedrock, str(error))
    else:
        # The answer was lost each time, and the job was found by its name; or there was no body to lose.
        assert operation == 'CreateModelInvocationJob' or fault in ('body lost', 'body cut')
        assert [job.arn for job in bedrock.jobs._jobs.known.values()] == [batch.id]  # pyright: ignore


@pytest.mark.parametrize('fault', FAULTS)
async def test_a_job_that_cannot_be_looked_up_is_named_with_its_file(
    bedrock: LocalBedrock, model: Any, fault: str
) -> None:
    bedrock.jobs.hold('Scheduled')
    bedrock.fault(Truncate(-1, 'reset'), operation='CreateModelInvocationJob')
    bedrock.fault(FAULTS[fault], operation='ListModelInvocationJobs')
    with pytest.raises(ModelAPIError) as unknown:
        await create(model)
    assert running(bedrock)
    nothing_is_lost(bedrock, str(unknown.value))
    assert 'may be running, and billed' in str(unknown.value)


@pytest.mark.parametrize('operation', [*SMALL, *LARGE])
@pytest.mark.parametrize('fault', ['silent before it is carried out', 'silent after it is carried out'])
async def test_cancelling_leaves_no_job_and_no_file(
    bedrock: LocalBedrock, model: Any, operation: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    bedrock.jobs.hold('Scheduled')
    bedrock.fault(FAULTS[fault], operation=operation, times=1)  # pyright: ignore[reportArgumentType]
    creating = asyncio.create_task(create(model, large=operation in LARGE))
    while not any(request.operation == operation for request in bedrock.requests):
        await asyncio.sleep(0)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    nothing_is_lost(bedrock, caplog.text)
    assert running(bedrock) == set()
    assert bedrock.objects.list() == []


@pytest.mark.parametrize('step', range(40))
async def test_cancelling_at_any_step_leaves_no_job_and_no_file(bedrock: LocalBedrock, model: Any, step: int) -> None:
    bedrock.jobs.hold('Scheduled')
    # The client opens its connections, so that the steps are those of the requests.
    await model.batch_cancel(await create(model))
    bedrock.objects.clear()
    creating = asyncio.create_task(create(model))
    for _ in range(step * 3):
        await asyncio.sleep(0)
    creating.cancel()
    try:
        batch = await creating
    except asyncio.CancelledError:
        assert running(bedrock) == set()
        assert bedrock.objects.list() == []
    else:
        assert batch.id


async def test_a_job_that_cannot_be_stopped_after_a_cancellation_is_logged(
    bedrock: LocalBedrock, model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bedrock.jobs.hold('Scheduled')
    bedrock.fault(Truncate(-1, 'hang'), operation='CreateModelInvocationJob')
    bedrock.fault(INTERNAL_SERVER_ERROR, operation='StopModelInvocationJob')
    creating = asyncio.create_task(create(model))
    while not any(request.operation == 'CreateModelInvocationJob' for request in bedrock.requests):
        await asyncio.sleep(0)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    [job] = bedrock.jobs._jobs.known.values()  # pyright: ignore[reportPrivateUsage]
    assert job.arn in caplog.text
    [uri] = bedrock.objects.list()
    assert uri in caplog.text


# Looking after a job


@pytest.mark.parametrize('lasting', [False, True], ids=['passing', 'lasting'])
@pytest.mark.parametrize('operation', ['GetModelInvocationJob', 'GetObject'])
@pytest.mark.parametrize('fault', FAULTS)
async def test_results_are_read_whole_or_can_be_read_again(
    bedrock: LocalBedrock, model: Any, operation: str, fault: str, lasting: bool
) -> None:
    batch = await ended(model, await create(model))
    rule = bedrock.fault(FAULTS[fault], operation=operation, times=None if lasting else 1)  # pyright: ignore
    try:
        await answered(model, batch)
    except ModelAPIError:
        assert lasting or fault == 'expired credentials'
        rule.remove()
        await answered(model, batch)
    else:
        assert not lasting or (operation, fault) == ('GetObject', 'body cut')


@pytest.mark.parametrize('fault', FAULTS)
async def test_a_job_is_stopped_whatever_becomes_of_the_first_request(
    bedrock: LocalBedrock, model: Any, fault: str
) -> None:
    bedrock.jobs.hold('InProgress')
    batch = await create(model)
    bedrock.fault(FAULTS[fault], operation='StopModelInvocationJob', times=1)
    try:
        stopped = await model.batch_cancel(batch)
    except ModelAPIError:
        assert fault == 'expired credentials'
        stopped = await model.batch_cancel(batch)
    assert stopped.provider_details['status'] in ('Stopping', 'Stopped')


async def test_a_download_is_resumed_where_it_broke(bedrock: LocalBedrock, model: Any) -> None:
    batch = await ended(model, await create(model))
    [output] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl.out')]
    size = len(bedrock.objects.get(output))
    bedrock.fault(Truncate(size // 3, 'reset'), operation='GetObject', times=2)
    await answered(model, batch)
    ranges = [each.headers.get('Range') for each in bedrock.requests if each.operation == 'GetObject']
    assert ranges == [None, f'bytes={size // 3}-', f'bytes={2 * (size // 3)}-']


async def test_a_file_that_changes_during_a_download_is_not_read_as_one(bedrock: LocalBedrock, model: Any) -> None:
    batch = await ended(model, await create(model))
    [output] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl.out')]
    bedrock.fault(Truncate(100, 'reset'), operation='GetObject', times=1)
    results = model.batch_iter_results(batch)

    def change(request: Any) -> bool:
        if 'Range' in request.headers:
            bedrock.objects.put(output, b'{}\n' * 1000)
        return False

    bedrock.fault(THROTTLING, operation='GetObject', when=change)
    with pytest.raises(ModelAPIError, match='PreconditionFailed'):
        async for _ in results:
            pass
