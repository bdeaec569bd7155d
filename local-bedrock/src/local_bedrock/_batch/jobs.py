"""Batch inference jobs: their creation, their states, and their ends."""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from local_bedrock._batch.files import InputError, check_output, read_input, write_output
from local_bedrock._batch.job import Job, JobStatus, RestingStatus
from local_bedrock._batch.other_s3 import OtherS3
from local_bedrock._batch.run_record import answer_record
from local_bedrock._model.runtime import Runtime
from local_bedrock._s3.objects import ObjectStore
from local_bedrock.errors import ErrorReply, RefusedError, validation_error
from local_bedrock.requests import RecordedRequest

_ACCOUNT = '000000000000'
_CLOSE_SECONDS = 5.0


class Jobs:
    """The jobs of an endpoint, each a task on its loop."""

    def __init__(
        self,
        region_name: str,
        runtime: Runtime,
        objects: ObjectStore,
        clock: Callable[[], datetime],
        minimum_records: int,
        other_s3: OtherS3 | None = None,
    ) -> None:
        self._region_name, self._runtime, self._objects, self._clock = region_name, runtime, objects, clock
        self._minimum_records, self._other_s3 = minimum_records, other_s3
        self._tasks: set[asyncio.Task[None]] = set()
        self.recorder: Callable[[RecordedRequest], None] = lambda _: None
        self.clear()

    def clear(self) -> None:
        """Forget all jobs, wherever they are, and return to the state at the start."""
        for task in self._tasks:
            task.cancel()
        self.known: dict[str, Job] = {}
        self.minimum_records = self._minimum_records
        self._chance = random.Random(self._runtime.manner.seed)
        self._rest: tuple[RestingStatus, int] | None = None
        self._released = asyncio.Event()

    async def close(self) -> None:
        """Forget all jobs, and return when no task is left of them that heeds its cancellation."""
        tasks = list(self._tasks)
        self.clear()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)

    # Operations over HTTP

    def create(self, request: Mapping[str, Any]) -> Job:
        """Start a job, or return the job that was created with the same token.

        Raises:
            RefusedError: There is no such model, a job of this name exists, or the token belongs to another request.
        """
        self._runtime.check_model(request['modelId'])
        token = request.get('clientRequestToken')
        if token is not None:
            for job in self.known.values():
                if job.request.get('clientRequestToken') == token:
                    if job.request != request:
                        raise _conflict('The client request token was used with other parameters before.')
                    return job
        if any(job.request['jobName'] == request['jobName'] for job in self.known.values()):
            raise _conflict(f'The provided job name is already in use: {request["jobName"]}')
        account = request['roleArn'].split(':')[4] or _ACCOUNT
        job_id = ''.join(self._chance.choices(string.ascii_lowercase + string.digits, k=12))
        now = self._clock()
        job = Job(
            f'arn:aws:bedrock:{self._region_name}:{account}:model-invocation-job/{job_id}',
            dict(request),
            now,
            now,
        )
        self.known[job_id] = job
        self._start(job, self._run(job))
        return job

    async def find(self, identifier: str) -> Job:
        """Return the job of an ARN or id, when it is at rest.

        Raises:
            RefusedError: There is none.
        """
        job = self.known.get(identifier.rpartition('/')[2])
        if job is None or identifier not in (job.arn, job.id):
            raise RefusedError(
                ErrorReply(
                    404,
                    'ResourceNotFoundException',
                    f'Could not find the model invocation job with the identifier {identifier}.',
                )
            )
        await job.at_rest.wait()
        return job

    async def all(self) -> list[Job]:
        """Return all jobs in the order in which they were created, when they are at rest."""
        jobs = list(self.known.values())
        for job in jobs:
            await job.at_rest.wait()
        return jobs

    def stop(self, job: Job) -> None:
        """Stop a job.

        Raises:
            RefusedError: It has ended.
        """
        if job.has_ended:
            # Its end is in the words of AWS: https://github.com/apache/airflow/pull/48964 (2025-04-08)
            raise validation_error(f'The model invocation job cannot be stopped. State was: {job.status}')
        self._start(job, self._stop(job))

    # Controls for tests

    def rest_at(self, rest: tuple[RestingStatus, int] | None) -> None:
        """Let jobs rest in a state, or nowhere; those that rest in another go on."""
        self._rest = rest
        self._released.set()
        self._released = asyncio.Event()

    def time_out(self) -> None:
        """End the jobs that have not ended as Bedrock does when their time is over."""
        for job in self._running():
            self._interrupt(job, 'PartiallyCompleted' if job.status == 'InProgress' else 'Expired')

    def fail(self, message: str) -> None:
        """Let the jobs fail that have not ended."""
        for job in self._running():
            self._interrupt(job, 'Failed', message)

    # Ends of jobs

    def _running(self) -> list[Job]:
        return [job for job in self.known.values() if not job.has_ended and job.status != 'Stopping']

    def _start(self, job: Job, course: Any) -> None:
        """Let a job take a course, in place of the one that it is on."""
        if job.task is not None:
            job.task.cancel()
        job.at_rest.clear()
        job.task = asyncio.get_running_loop().create_task(course)
        self._tasks.add(job.task)
        job.task.add_done_callback(self._tasks.discard)

    def _interrupt(self, job: Job, status: JobStatus, message: str | None = None) -> None:
        assert job.task is not None
        if self._other_s3 is not None and _writes(job, status):
            self._start(job, self._finish_elsewhere(self._other_s3, job, status))
            return
        job.task.cancel()
        self._finish_here(job, status, message)

    def _end(self, job: Job, status: JobStatus, message: str | None = None) -> None:
        self._enter(job, status)
        job.message, job.ended = message, job.modified
        job.at_rest.set()

    async def _finish(self, job: Job, status: JobStatus) -> None:
        """End a job with the output that it has so far."""
        if self._other_s3 is not None and _writes(job, status):
            await self._finish_elsewhere(self._other_s3, job, status)
        else:
            self._finish_here(job, status)

    def _finish_here(self, job: Job, status: JobStatus, message: str | None = None) -> None:
        if _writes(job, status):
            write_output(self._objects, job.output_uri, job.id, job.files, self._chance)
        self._end(job, status, message)

    async def _finish_elsewhere(self, other_s3: OtherS3, job: Job, status: JobStatus) -> None:
        written = ObjectStore()
        write_output(written, job.output_uri, job.id, job.files, self._chance)
        try:
            await other_s3.upload(written)
        except InputError as error:
            self._end(job, 'Failed', str(error))
        else:
            self._end(job, status)

    def _enter(self, job: Job, status: JobStatus) -> None:
        job.status, job.modified = status, self._clock()

    async def _resting(self, job: Job) -> None:
        """Return when the job may go on."""
        # Records are counted in InProgress alone: JobControl sees to it.
        while self._rest is not None and self._rest[0] == job.status and self._rest[1] <= job.processed:
            job.at_rest.set()
            await self._released.wait()
        job.at_rest.clear()

    async def _run(self, job: Job) -> None:
        try:
            await self._resting(job)
            self._enter(job, 'Validating')
            await self._resting(job)
            objects = await self._source(job)
            check_output(objects, job.output_uri)
            job.files = read_input(objects, job.input_uri, self.minimum_records, self._chance)
            self._enter(job, 'Scheduled')
            await self._resting(job)
            self._enter(job, 'InProgress')
            await self._process(job)
            await self._finish(job, 'Completed')
        except InputError as error:
            self._end(job, 'Failed', str(error))
        except Exception as error:
            # The condition of a rule has failed, or there is a bug: whatever it is, the test is to know.
            self._runtime.failures.append(error)
            self._end(job, 'Failed', f'Internal server error: {error!r}')

    async def _source(self, job: Job) -> ObjectStore:
        """Return the objects among which the input is."""
        if self._other_s3 is None:
            return self._objects
        return await self._other_s3.download(job.input_uri, job.output_uri)

    async def _process(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        for record in (record for file in job.files for record in file.records):
            await self._resting(job)
            # Never called where the reply is there at once.
            waiting = loop.call_soon(job.at_rest.set)
            try:
                await answer_record(job, record, self._runtime, self.recorder)
            finally:
                waiting.cancel()
            job.processed += 1
            job.at_rest.clear()
            # A large job leaves the loop to others.
            await asyncio.sleep(0)
        await self._resting(job)

    async def _stop(self, job: Job) -> None:
        self._enter(job, 'Stopping')
        await self._resting(job)
        await self._finish(job, 'Stopped')


def _writes(job: Job, status: JobStatus) -> bool:
    """Return whether a job that ends so has output."""
    return status in ('Completed', 'PartiallyCompleted') or (status == 'Stopped' and job.processed > 0)


def _conflict(message: str) -> RefusedError:
    return RefusedError(ErrorReply(400, 'ConflictException', message))
