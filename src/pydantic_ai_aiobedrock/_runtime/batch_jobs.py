"""ModelInvocationJobs: Bedrock's batch inference jobs as coroutines; none is left running unnamed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, NoReturn

import anyio
from botocore.exceptions import ClientError

from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._pool.session_pool import SessionPool
from pydantic_ai_aiobedrock._runtime.auth_retry import send
from pydantic_ai_aiobedrock._runtime.batch_calls import settled
from pydantic_ai_aiobedrock._runtime.batch_errors import error_code, error_status, say_also
from pydantic_ai_aiobedrock._runtime.batch_files import BatchFiles

ENDED = frozenset({'Completed', 'PartiallyCompleted', 'Failed', 'Stopped', 'Expired'})
"""The states of a job that is over."""

GIVE_UP_SECONDS = 10
"""The time allowed, when creating a job is cancelled, for its answer, and again for stopping the job."""


class ModelInvocationJobs:
    """Batch inference jobs of an account and region.

    See https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference.html.
    """

    def __init__(self, pool: SessionPool, spec: ClientSpec, files: BatchFiles) -> None:
        """Take the pool, the spec of the Bedrock Runtime clients, which those for jobs are made like, and the files."""
        self._pool = pool
        # The endpoint of Bedrock Runtime says nothing about that of Bedrock.
        self._spec = replace(spec, service_name='bedrock', endpoint_url=None)
        self._files = files

    async def create(self, name: str, input_uri: str, request: dict[str, Any]) -> str:
        """Start a job on a file that has been uploaded for it, or return the job of this name.

        If the answer is lost, the job is looked up by its name. If the call is cancelled, the job is stopped.

        Args:
            name: The name of the job, which no other job has.
            input_uri: The file, which is deleted if there is no job that reads it.
            request: The other members of a CreateModelInvocationJob request.

        Returns:
            The ARN of the job.

        Raises:
            botocore.exceptions.ClientError: AWS refused the job.
            botocore.exceptions.BotoCoreError: The network failed, and there is no such job, or the error says that it
                may exist, and under which name.
        """
        # With the token, a repeated request starts no second job, whichever process repeats it.
        token = uuid.uuid5(uuid.NAMESPACE_URL, input_uri).hex
        request = {**request, 'jobName': name, 'clientRequestToken': token}
        creating, cancelled = await settled(self._call('create_model_invocation_job', request), GIVE_UP_SECONDS)
        if cancelled is not None:
            with anyio.CancelScope(shield=True):
                await self._withdraw(creating, name, input_uri, cancelled)
            raise cancelled
        try:
            return creating.result()['jobArn']
        except Exception as error:
            if _is_refused(error):
                await self._files.discard(input_uri, error)
                raise
            return await self._confirmed(name, input_uri, error)

    async def get(self, job_arn: str) -> dict[str, Any]:
        """Return a job: the members of a GetModelInvocationJob response.

        Raises:
            botocore.exceptions.ClientError: AWS refused.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        return await self._call('get_model_invocation_job', {'jobIdentifier': job_arn})

    async def stop(self, job_arn: str) -> dict[str, Any]:
        """Stop a job; a job that has ended, or is being stopped, is left as it is.

        Returns:
            The job, as `get` returns it.

        Raises:
            botocore.exceptions.ClientError: AWS refused.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        refused: ClientError | None = None
        try:
            await self._call('stop_model_invocation_job', {'jobIdentifier': job_arn})
        except ClientError as error:
            # AWS answers a job that has ended with the former ("... State was: Completed").
            if error_code(error) not in ('ValidationException', 'ConflictException'):
                raise
            refused = error
        job = await self.get(job_arn)
        if refused is not None and job['status'] not in (*ENDED, 'Stopping'):
            raise refused
        return job

    async def list(self, **query: Any) -> AsyncGenerator[dict[str, Any]]:
        """Iterate over jobs, the newest first: the members of their summaries.

        Args:
            **query: The members of a ListModelInvocationJobs request.

        Raises:
            botocore.exceptions.ClientError: AWS refused.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        query = {'sortBy': 'CreationTime', 'sortOrder': 'Descending', **query}
        while True:
            page = await self._call('list_model_invocation_jobs', query)
            for job in page.get('invocationJobSummaries', []):
                yield {**job, **page.get('recordCounts', {}).get(job['jobArn'], {})}
            if (token := page.get('nextToken')) is None:
                return
            query['nextToken'] = token

    async def find(self, name: str) -> str | None:
        """Return the ARN of the job of a name, or None.

        Raises:
            botocore.exceptions.ClientError: AWS refused.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        async with aclosing(self.list(nameContains=name)) as jobs:
            async for job in jobs:
                if job['jobName'] == name:
                    return job['jobArn']
        return None

    async def _confirmed(self, name: str, input_uri: str, error: Exception) -> str:
        """Return the ARN of a job that was created although the request failed with an error."""
        try:
            job_arn = await self.find(name)
        except Exception as failure:
            _raise_unconfirmed(name, input_uri, error, failure)
        if job_arn is None:
            say_also(error, f'There is no job {name!r}.')
            await self._files.discard(input_uri, error)
            raise error
        return job_arn

    async def _withdraw(
        self, creating: asyncio.Task[dict[str, Any]], name: str, input_uri: str, cancelled: asyncio.CancelledError
    ) -> None:
        """Stop the job that a cancelled request has created, if it has."""
        refused = creating.cancelled() or creating.exception()
        if _is_refused(refused):
            await self._files.discard(input_uri, cancelled)
            return
        job_arn = None
        with anyio.move_on_after(GIVE_UP_SECONDS) as scope:
            try:
                job_arn = await self.find(name) if refused else creating.result()['jobArn']
                if job_arn is not None:
                    await self.stop(job_arn)
            except Exception as error:
                say_also(cancelled, _left(job_arn or name, input_uri, str(error)))
                return
        if scope.cancelled_caught:
            say_also(cancelled, _left(job_arn or name, input_uri, f'it took more than {GIVE_UP_SECONDS} s'))
            return
        await self._files.discard(input_uri, cancelled)

    async def _call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        with await self._pool.lease(self._spec) as lease:
            return await send(lease, operation, parameters)


def _is_refused(error: object) -> bool:
    """Return whether AWS has created no job."""
    # In a conflict, the job of this name is that of an earlier process, and reads the file.
    return isinstance(error, ClientError) and error_status(error) < 500 and error_code(error) != 'ConflictException'


def _left(job: str, input_uri: str, reason: str) -> str:
    return (
        f'The batch inference job {job} may be running, and billed: stopping it failed ({reason}). '
        f'Its input is {input_uri}.'
    )


def _raise_unconfirmed(name: str, input_uri: str, error: Exception, failure: Exception) -> NoReturn:
    say_also(
        error,
        f'The batch inference job {name!r} may be running, and billed: looking it up failed ({failure}). Look for '
        f'it with ListModelInvocationJobs (nameContains={name!r}) before you submit its requests again. Its input is '
        f'{input_uri}.',
    )
    raise error
