"""Bedrock's batch inference jobs behind pydantic-ai's `batch_*` methods."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import check_allow_model_requests
from pydantic_core import from_json, to_json

from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._runtime.batch_jobs import ModelInvocationJobs
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime
from pydantic_ai_aiobedrock._upstream import seam
from pydantic_ai_aiobedrock._upstream.error_mapping import map_shape_errors

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.models.batch import Batch, BatchResult, BatchResultStatus, BatchStatus, EncodedBatchRequest

MAX_RECORDS = 50_000
"""The records of a job that an account is allowed unless it has asked AWS for more."""

MAX_BYTES = 1_000_000_000
"""The size of a job's input file, by the same quotas."""

_LINE = b'{"recordId":%b,"modelInput":%b}\n'
_S3_URI = re.compile(r's3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?')
_ROLE_ARN = re.compile(r'arn:aws[a-z-]*:iam::\d{12}:role/.+')

_WHO = ('AWS_ACCESS_KEY_ID', 'AWS_PROFILE', 'AWS_ROLE_ARN')
"""The variables that say who a provider is that was not told."""

_STATUSES: dict[str, BatchStatus] = {
    'Stopping': 'canceling',
    **dict.fromkeys(('Completed', 'PartiallyCompleted', 'Failed', 'Stopped', 'Expired'), 'ended'),
}
"""What the states of a job mean to pydantic-ai; in any other, one that AWS may yet think of, it is in progress."""

_CODES: dict[object, str] = {
    400: 'ValidationException',
    403: 'AccessDeniedException',
    404: 'ResourceNotFoundException',
    408: 'ModelTimeoutException',
    424: 'ModelErrorException',
    429: 'ThrottlingException',
    500: 'InternalServerException',
    503: 'ServiceUnavailableException',
}
"""The errors of Converse by their status, which is all that a record's error has.

See https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.
"""

_UNLISTED: dict[str, BatchResultStatus] = {
    'Stopped': 'canceled',
    'Expired': 'expired',
    'PartiallyCompleted': 'expired',
}
"""What became of the records that a job in this state has no output for."""


@dataclass(frozen=True, kw_only=True)
class BatchInference:
    """Where the batch inference jobs of a model have their files, and who reads and writes them.

    Bedrock's batch inference reads requests from a file in S3 and writes the answers to another, at half the price and
    within 24 hours. With this, a `BedrockConverseModel` works with `BatchModelRequests` and `model_request_batch` of
    Pydantic AI 2.62 or newer; see https://ai.pydantic.dev/batch/.

    Attributes:
        role_arn: The service role as which Bedrock reads and writes the files; see
            https://docs.aws.amazon.com/bedrock/latest/userguide/batch-iam-sr.html.
        s3_uri: The folder of the files, such as `s3://my-bucket/batches/`, in the region of the provider. The
            provider's credentials write to it and read from it, too. Nothing in it is deleted.

    Raises:
        UserError: One of them is not what it should be.
    """

    role_arn: str
    s3_uri: str

    def __post_init__(self) -> None:
        if not _ROLE_ARN.fullmatch(self.role_arn):
            raise UserError(
                f'`role_arn` of BatchInference is not the ARN of a role: {self.role_arn!r}. '
                "Pass one like 'arn:aws:iam::123456789012:role/bedrock-batch'."
            )
        if not _S3_URI.fullmatch(self.s3_uri):
            raise UserError(
                f'`s3_uri` of BatchInference is not a folder in S3: {self.s3_uri!r}. '
                "Pass one like 's3://my-bucket/batches/'."
            )


if TYPE_CHECKING:
    _MixedInto = Model
else:
    _MixedInto = object


class RunsBatches(seam.AnswersBatches, _MixedInto):
    """Mixin of a model: batches of Pydantic AI's are jobs of Bedrock's."""

    _batch_inference: BatchInference | None

    @property
    def batch_max_requests(self) -> int | None:
        """The most requests of one job, or None for a model that was not given a `BatchInference`."""
        return None if self._batch_inference is None else MAX_RECORDS

    @property
    def batch_max_bytes(self) -> int | None:
        """The most bytes of one job's input file."""
        return None if self._batch_inference is None else MAX_BYTES

    def batch_request_size(self, request: EncodedBatchRequest) -> int:
        """The bytes of a request's line in the input file."""
        # Without putting the line together: this is asked of each of some ten thousand requests.
        body = request.body
        size = len(body) if body.isascii() else len(body.encode())
        return len(_LINE % (to_json(request.custom_id), b'')) + size

    async def batch_create(self, requests: Sequence[EncodedBatchRequest]) -> Batch:
        """Upload the requests to S3, and start a job on them.

        Bedrock lets a job of fewer than 100 requests fail, once it has looked at the file.

        Raises:
            ModelAPIError: AWS refused, or the network failed.
            UserError: The requests are of several groups or of another provider, are too many, or there are none.
        """
        check_allow_model_requests()
        inference = self._configured()
        groups = {request.group for request in requests}
        if len(groups) != 1:
            raise UserError(
                'A batch needs a request, and all of its requests the same `group`: one model, provider and '
                '`batch_inference`.'
            )
        (group,) = groups
        model_id: str = json.loads(group)['model']
        if group != self.batch_group(model_id):
            raise UserError(
                'The requests were encoded for another provider or `batch_inference`: encode them with this model.'
            )
        if (size := sum(map(self.batch_request_size, requests))) > MAX_BYTES:
            raise UserError(f'The requests take {size:,} bytes, and a job of Bedrock {MAX_BYTES:,} at most.')
        with self.mapping_errors():
            job_arn = await self._jobs().create(
                f'pydantic-ai-{uuid.uuid4().hex}',
                model_id=model_id,
                role_arn=inference.role_arn,
                s3_uri=inference.s3_uri,
                records=map(_line, requests),
            )
        return seam.batch_types().Batch(
            id=job_arn,
            model_name=self.model_name,
            provider_name=self.system,
            group=group,
            status='in_progress',
            created_at=datetime.now(UTC),
            request_count=len(requests),
            provider_details={'status': 'Submitted'},
        )

    async def batch_status(self, batch: Batch) -> Batch:
        """Ask how far a job is.

        Raises:
            ModelAPIError: AWS refused, or the network failed.
            UserError: The batch is in another region.
        """
        return self._updated(batch, await self._job(batch))

    async def batch_results(self, batch: Batch) -> list[BatchResult]:
        """Read what a job that has ended has written.

        Raises:
            ModelAPIError: The job failed as a whole, or wrote no results; AWS refused, or the network failed.
            UserError: The batch has not ended, or is in another region.
        """
        if batch.status != 'ended':
            raise UserError(f'Batch {batch.id!r} has not ended: ask `batch_status()` until it has.')
        job = await self._job(batch)
        if job['status'] == 'Failed':
            message = job.get('message', 'The job failed.')
            raise seam.batch_job_error(self.model_name, {'Code': 'JobFailed', 'Message': message})
        result = seam.batch_types().BatchResult
        with self.mapping_errors(), map_shape_errors(self.model_name):
            return [
                result(
                    custom_id=record['recordId'],
                    status='succeeded' if (output := record.get('modelOutput')) is not None else 'errored',
                    body=to_json(output if output is not None else record.get('error', {})).decode(),
                )
                async for record in self._jobs().output(job)
            ]

    async def batch_cancel(self, batch: Batch) -> Batch:
        """Have a job stopped; what it has answered by then is paid for.

        Raises:
            ModelAPIError: AWS refused, or the network failed.
            UserError: The batch is in another region.
        """
        check_allow_model_requests()
        self._check_region(batch)
        with self.mapping_errors():
            await self._jobs().stop(batch.id)
        return await self.batch_status(batch)

    def batch_refusal(self) -> str | None:
        """Return why this model has no batches, if it has none."""
        if self._batch_inference is not None:
            return None
        return (
            f'{self.model_name!r} was not told where to run batch inference: pass '
            "`batch_inference=BatchInference(role_arn=..., s3_uri='s3://...')` to BedrockConverseModel."
        )

    def batch_group(self, model_id: str) -> str:
        """Return what requests must share to be in one job; it holds no secret."""
        inference = self._configured()
        spec = self._spec()
        group = {
            'region': spec.region_name,
            'credential': _digest(spec),
            'model': model_id,
            's3_uri': inference.s3_uri,
            'role_arn': inference.role_arn,
        }
        return json.dumps(group, sort_keys=True)

    def batch_identity(self) -> str:
        """Return what models share that may look after each other's jobs."""
        spec = self._spec()
        return f'{spec.region_name}:{_digest(spec)}'

    def batch_unlisted(self, batch: Batch) -> BatchResultStatus | None:
        """Return what became of the requests that an ended job has no output for."""
        return _UNLISTED.get((batch.provider_details or {}).get('status', ''))

    def mapping_errors(self) -> AbstractContextManager[None]:
        """Return the context that maps the errors of AWS and the network."""
        raise NotImplementedError

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
            status=_STATUSES.get(job['status'], 'in_progress'),
            created_at=job['submitTime'],
            request_count=batch.request_count,
            provider_details={**(batch.provider_details or {}), 'status': job['status']},
        )

    def _check_region(self, batch: Batch) -> None:
        # Who may see the job is AWS's to say: credentials may have been rotated since.
        region, ours = json.loads(batch.group)['region'], self._spec().region_name
        if region != ours:
            raise UserError(f'Batch {batch.id!r} is in {region}, and the provider of this model in {ours}.')

    def _configured(self) -> BatchInference:
        if (inference := self._batch_inference) is None:
            raise UserError(self.batch_refusal() or '')
        return inference

    def _jobs(self) -> ModelInvocationJobs:
        return ModelInvocationJobs(self._runtime().pool, self._spec())

    def _spec(self) -> ClientSpec:
        client = self._runtime()
        if client.spec.api_key is not None:
            raise UserError(
                'Batch inference has its files in S3, which takes no Bedrock API key: give the BedrockProvider AWS '
                'credentials, and leave `api_key` and `AWS_BEARER_TOKEN_BEDROCK` out.'
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


def record_error(body: bytes) -> ClientError:
    """Return the error that Bedrock would have answered a request with, of what it wrote for a record that failed."""
    error: dict[str, Any] = from_json(body)
    status = error.get('errorCode')
    return ClientError(
        {
            'Error': {'Code': _CODES.get(status, 'UnknownError'), 'Message': error.get('errorMessage', 'It failed.')},
            'ResponseMetadata': {'HTTPStatusCode': status if isinstance(status, int) else 500},  # pyright: ignore
        },
        'Converse',
    )


def _line(request: EncodedBatchRequest) -> bytes:
    return _LINE % (to_json(request.custom_id), request.body.encode())


def _digest(spec: ClientSpec) -> str:
    """Tell credentials apart without telling them."""
    variables = [(name, value) for name, value in spec.environment if name in _WHO]
    told = (spec.profile_name, spec.aws_access_key_id, variables, id(spec.session) if spec.session else None)
    return hashlib.sha256(repr(told).encode()).hexdigest()
