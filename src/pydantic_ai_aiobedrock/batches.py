"""Bedrock's batch inference jobs behind pydantic-ai's `batch_*` methods."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractContextManager, aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import check_allow_model_requests

from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._runtime.batch_errors import error_code
from pydantic_ai_aiobedrock._runtime.batch_files import BatchFiles
from pydantic_ai_aiobedrock._runtime.batch_jobs import ModelInvocationJobs
from pydantic_ai_aiobedrock._runtime.batch_output import read_record
from pydantic_ai_aiobedrock._runtime.live_answers import answer_live
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime
from pydantic_ai_aiobedrock._upstream import batch_handles, batch_records, seam
from pydantic_ai_aiobedrock._upstream.batch_inference import BatchInference, InvocationType, output_uris

if TYPE_CHECKING:
    from pydantic_ai.models.batch import Batch, BatchResult, BatchResultStatus, BatchStatus, EncodedBatchRequest

__all__ = ['BatchInference', 'RunsBatches']


class RunsBatches:
    """Mixin of a model: batches of Pydantic AI's are jobs of Bedrock's."""

    _batch_inference: BatchInference | None

    if TYPE_CHECKING:

        @property
        def model_name(self) -> str:
            """The name of the model."""
            ...

        @property
        def system(self) -> str:
            """The name of the provider."""
            ...

    @property
    def batch_max_requests(self) -> int | None:
        """The most requests of one job, or None for a model that was not given a `BatchInference`."""
        return None if self._batch_inference is None else self._batch_inference.max_records

    @property
    def batch_max_bytes(self) -> int | None:
        """The most bytes of one job's input file."""
        return None if self._batch_inference is None else self._batch_inference.max_bytes

    def batch_request_size(self, request: EncodedBatchRequest) -> int:
        """The bytes of a request's line in the input file."""
        return batch_records.line_size(request)

    def batch_split(self, requests: Iterable[EncodedBatchRequest]) -> list[list[EncodedBatchRequest]]:
        """Split encoded requests into as few batches as Bedrock accepts, of sizes as equal as possible.

        `model_request_batch` fills one batch after the other, which can leave too few requests for the last.

        Args:
            requests: The requests, of any number of groups.

        Returns:
            The requests of each batch, for `batch_create`.

        Raises:
            UserError: The model was not given a `BatchInference`.
        """
        inference = self._configured()
        groups: dict[str, list[EncodedBatchRequest]] = {}
        for request in requests:
            groups.setdefault(request.group, []).append(request)
        limits: Any = {'max_records': inference.max_records, 'max_bytes': inference.max_bytes}
        return [batch for group in groups.values() for batch in batch_records.split_evenly(group, **limits)]

    async def batch_create(
        self, requests: Sequence[EncodedBatchRequest], *, idempotency_key: str | None = None
    ) -> Batch:
        """Upload the requests to S3, and start a job on them.

        Requests that are too few for a job are sent live if `BatchInference` says so. Otherwise, those that are
        submitted again since they failed keep the error that they failed with, and others are refused.

        If this is cancelled, the job is stopped. If the answer of AWS is lost, the job is looked up.

        Args:
            requests: The requests, encoded by this model.
            idempotency_key: A key of these requests, 1 to 32 letters, digits, hyphens and dots, that ends the name of
                the job. If a process is killed in here, another calls this again with the same key and requests: it
                returns the job that exists, whatever its state, or removes what the first has left of an upload and
                starts the job. Default: a new job each time.

        Raises:
            ModelAPIError: AWS refused, or the network failed; the message names what may be left in S3 or running.
            UserError: The requests are of several groups or of another provider, two have the same `custom_id`, or
                they are too few or too many for a job; the key is not usable.
        """
        check_allow_model_requests()
        inference = self._configured()
        group = self._checked(requests, inference)
        name = inference.job_name(idempotency_key)
        if len(requests) < inference.min_records:
            return await self._create_without_job(requests, group, inference, name)
        input_uri = inference.input_uri(name)
        job = inference.job_request(group['model'], input_uri, cast(InvocationType, group['type']))
        with self.mapping_errors():
            files = self._files(inference)
            jobs = self._jobs(files)
            job_arn = None if idempotency_key is None else await jobs.find(name)
            if job_arn is None:
                if idempotency_key is not None:
                    await files.abort_uploads(input_uri)
                await files.upload(input_uri, map(batch_records.line, requests))
                job_arn = await jobs.create(name, input_uri, job)
        details = {'status': 'Submitted', 'jobName': name, 'inputUri': input_uri}
        return self._batch(job_arn, requests, 'in_progress', details)

    async def batch_status(self, batch: Batch) -> Batch:
        """Get the state of a job; `provider_details` has it in Bedrock's words, and counts of its records.

        Raises:
            ModelAPIError: AWS refused, or the network failed.
            UserError: The batch is in another region.
        """
        if not batch_handles.is_job(batch):
            return batch
        return self._updated(batch, await self._job(batch))

    async def batch_results(self, batch: Batch) -> list[BatchResult]:
        """Read the results of a job that has ended.

        Raises:
            ModelAPIError: The job failed as a whole, or its results are gone; AWS refused, or the network failed.
            UserError: The batch has not ended, or is in another region.
        """
        return [result async for result in self.batch_iter_results(batch)]

    async def batch_iter_results(self, batch: Batch) -> AsyncGenerator[BatchResult]:
        """Iterate over the results of a job that has ended, of which only a few are in memory at any time.

        They come in no particular order. A line of the output that cannot be read is an error of its own request; if
        it does not show which, its `custom_id` is the place of the line. A broken download is resumed.

        Raises:
            Exception: As `batch_results` does.
        """
        if batch.status != 'ended':
            raise UserError(f'Batch {batch.id!r} has not ended: call `batch_status()` until it has.')
        if batch.id.startswith(batch_handles.REFUSED):
            for custom_id, body in (batch.provider_details or {})['errors'].items():
                yield seam.batch_types().BatchResult(custom_id=custom_id, status='errored', body=body)
            return
        live = batch.id.startswith(batch_handles.LIVE)
        status, uri = 'Completed', batch.id
        if not live:
            job = await self._job(batch)
            status, uri = job['status'], output_uris(job)[0]
            if status == 'Failed':
                message = job.get('message', 'The job failed.')
                raise seam.batch_job_error(self.model_name, {'Code': 'JobFailed', 'Message': message})
        self._check_region(batch)
        with self.mapping_errors():
            try:
                async with aclosing(self._files().lines(uri)) as lines:
                    number = 0
                    async for line in lines:
                        number += 1
                        if (record := read_record(line)) is not None:
                            yield batch_records.result(record, f'Line {number} of {uri}', live=live)
            except ClientError as error:
                if error_code(error) != 'NoSuchKey':
                    raise
                if status not in ('Stopped', 'Expired'):
                    gone = {'Code': 'ResultsNotFound', 'Message': f'The results of {batch.id} are not at {uri}.'}
                    raise seam.batch_job_error(self.model_name, gone, status_code=404) from error

    async def batch_cancel(self, batch: Batch) -> Batch:
        """Stop a job; the records that it has answered by then are billed. A job that has ended is left as it is.

        Raises:
            ModelAPIError: AWS refused, or the network failed.
            UserError: The batch is in another region.
        """
        check_allow_model_requests()
        if not batch_handles.is_job(batch):
            return batch
        self._check_region(batch)
        with self.mapping_errors():
            return self._updated(batch, await self._jobs().stop(batch.id))

    async def batch_list(self, *, submitted_after: datetime | None = None) -> AsyncGenerator[Batch]:
        """Iterate over the jobs in the region whose names have this model's prefix, the newest first.

        Each is a handle for the other methods, also if another process has lost it.

        Args:
            submitted_after: List the jobs that were submitted later than this; default: all that AWS knows.

        Raises:
            ModelAPIError: AWS refused, or the network failed.
            UserError: The model was not given a `BatchInference`.
        """
        check_allow_model_requests()
        prefix = self._configured().job_name_prefix
        query: dict[str, Any] = {'nameContains': prefix}
        if submitted_after is not None:
            query['submitTimeAfter'] = submitted_after
        with self.mapping_errors():
            async with aclosing(self._jobs().list(**query)) as jobs:
                async for job in jobs:
                    if job['jobName'].startswith(prefix):
                        yield self._listed(job)

    async def batch_delete_files(self, batch: Batch) -> None:
        """Delete the files of a batch that has ended: requests, answers and manifest.

        Afterwards its results are gone. Files that do not exist are no error.

        Raises:
            ModelAPIError: AWS refused, or the network failed.
            UserError: The batch has not ended, or is in another region.
        """
        if batch.status != 'ended':
            raise UserError(f'Batch {batch.id!r} has not ended, and its job needs its files.')
        uris: tuple[str, ...] = (batch.id,) if batch.id.startswith(batch_handles.LIVE) else ()
        if batch_handles.is_job(batch):
            job = await self._job(batch)
            uris = (job['inputDataConfig']['s3InputDataConfig']['s3Uri'], *output_uris(job))
        self._check_region(batch)
        with self.mapping_errors():
            for uri in uris:
                await self._files().delete(uri)

    def batch_refusal(self) -> str | None:
        """Return why this model has no batches, if it has none."""
        if self._batch_inference is not None:
            return None
        return (
            f'{self.model_name!r} was not given a place for batch inference: pass '
            f"`batch_inference=BatchInference(role_arn=..., s3_uri='s3://...')` to {type(self).__name__}."
        )

    def batch_group(self, model_id: str, invocation_type: str = 'Converse') -> str:
        """Return what requests must share to be in one job; it holds no secret."""
        inference = self._configured()
        spec = self._spec()
        group = {
            'region': spec.region_name,
            'credential': batch_handles.fingerprint(spec),
            'model': model_id,
            'type': invocation_type,
            's3_uri': inference.s3_uri,
            'role_arn': inference.role_arn,
        }
        return json.dumps(group, sort_keys=True)

    def batch_identity(self) -> str:
        """Return what models share that may look after each other's jobs."""
        spec = self._spec()
        return f'{spec.region_name}:{batch_handles.fingerprint(spec)}'

    def batch_unlisted(self, batch: Batch) -> BatchResultStatus | None:
        """Return the outcome of the requests that an ended job has no output for."""
        return batch_handles.UNLISTED.get((batch.provider_details or {}).get('status', ''))

    def mapping_errors(self) -> AbstractContextManager[None]:
        """Return the context that maps the errors of AWS and the network."""
        raise NotImplementedError

    def _checked(self, requests: Sequence[EncodedBatchRequest], inference: BatchInference) -> dict[str, str]:
        """Return the group of requests that can be in one batch."""
        members = batch_handles.checked_group(requests, inference)
        if requests[0].group != self.batch_group(members['model'], members.get('type', 'Converse')):
            raise UserError(
                'The requests were encoded for another provider or `batch_inference`: encode them with this model.'
            )
        return members

    async def _create_without_job(
        self, requests: Sequence[EncodedBatchRequest], group: dict[str, str], inference: BatchInference, name: str
    ) -> Batch:
        if inference.live_below_minimum:
            with self.mapping_errors():
                bodies = {request.custom_id: request.body.encode() for request in requests}
                outcomes = await answer_live(self._runtime(), group['model'], group['type'], bodies)
                uri = f'{inference.output_folder}/{name}.jsonl.out'
                await self._files(inference).upload(uri, (batch_records.live_line(*each) for each in outcomes.items()))
            failed = sum('error' in outcome for outcome in outcomes.values())
            details = {'status': 'Live', 'successRecordCount': len(outcomes) - failed, 'errorRecordCount': failed}
            return self._batch(uri, requests, 'ended', details)
        refusal = (
            f'These are {len(requests):,} requests, and a job of Bedrock has {inference.min_records:,} at least '
            '(`min_records` of BatchInference). Submit more at once, split them evenly with `batch_split()` or '
            '`max_requests`, or pass `live_below_minimum=True` to send them live, at the full price.'
        )
        earlier: dict[str, BatchResult | None] = {each.custom_id: getattr(each, 'earlier', None) for each in requests}
        if not any(earlier.values()):
            raise UserError(refusal)
        # These failed in a job, whose other requests have their answers: an exception would lose those.
        errors = {
            custom_id: (result or batch_records.failed_result(custom_id, 400, refusal)).body
            for custom_id, result in earlier.items()
        }
        details = {'status': 'NotSubmitted', 'message': refusal, 'errors': errors}
        return self._batch(f'{batch_handles.REFUSED}{uuid.uuid4().hex}', requests, 'ended', details)

    def _batch(
        self, batch_id: str, requests: Sequence[EncodedBatchRequest], status: BatchStatus, details: Any
    ) -> Batch:
        return seam.batch_types().Batch(
            id=batch_id,
            model_name=self.model_name,
            provider_name=self.system,
            group=requests[0].group,
            status=status,
            created_at=datetime.now(UTC),
            request_count=len(requests),
            provider_details=details,
        )

    def _listed(self, job: dict[str, Any]) -> Batch:
        details = batch_handles.shown(job)
        return seam.batch_types().Batch(
            id=job['jobArn'],
            model_name=job['modelId'].rpartition('/')[2],
            provider_name=self.system,
            group=self.batch_group(job['modelId'], job.get('modelInvocationType', 'Converse')),
            status=batch_handles.STATUSES.get(job['status'], 'in_progress'),
            created_at=job['submitTime'],
            request_count=details.get('totalRecordCount', 0),
            provider_details=details,
        )

    async def _job(self, batch: Batch) -> dict[str, Any]:
        check_allow_model_requests()
        self._check_region(batch)
        with self.mapping_errors():
            return await self._jobs().get(batch.id)

    def _updated(self, batch: Batch, job: dict[str, Any]) -> Batch:
        return seam.batch_types().Batch(
            id=batch.id,
            model_name=batch.model_name,
            provider_name=batch.provider_name,
            group=batch.group,
            status=batch_handles.STATUSES.get(job['status'], 'in_progress'),
            created_at=job['submitTime'],
            request_count=batch.request_count,
            provider_details={**(batch.provider_details or {}), **batch_handles.shown(job)},
        )

    def _check_region(self, batch: Batch) -> None:
        # Access to the job is for AWS to decide: credentials may have been rotated since.
        region, ours = json.loads(batch.group)['region'], self._spec().region_name
        if region != ours:
            raise UserError(f'Batch {batch.id!r} is in {region}, and the provider of this model in {ours}.')

    def _configured(self) -> BatchInference:
        if (inference := self._batch_inference) is None:
            raise UserError(self.batch_refusal() or '')
        return inference

    def _files(self, inference: BatchInference | None = None) -> BatchFiles:
        inference = inference or self._configured()
        owner, key = inference.bucket_owner, inference.kms_key_id
        return BatchFiles(self._runtime().pool, self._spec(), bucket_owner=owner, kms_key_id=key)

    def _jobs(self, files: BatchFiles | None = None) -> ModelInvocationJobs:
        return ModelInvocationJobs(self._runtime().pool, self._spec(), files or self._files())

    def _spec(self) -> ClientSpec:
        client = self._runtime()
        if client.spec.api_key is not None:
            raise UserError(
                'Batch inference has its files in S3, which takes no Bedrock API key: pass AWS credentials to the '
                'BedrockProvider, and leave `api_key` and `AWS_BEARER_TOKEN_BEDROCK` out.'
            )
        return client.spec

    def _runtime(self) -> BedrockRuntime:
        client: Any = cast(Any, self).client
        if not isinstance(client, BedrockRuntime):
            raise UserError(
                'Batch inference needs clients of S3 and of Bedrock itself, which a BedrockProvider opens by itself: '
                'leave `bedrock_client` out.'
            )
        return client
