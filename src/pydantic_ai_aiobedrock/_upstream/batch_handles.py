"""Handles of batches: job states in pydantic-ai's terms, and the owner of each job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import UserError

from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._runtime.batch_jobs import ENDED
from pydantic_ai_aiobedrock._upstream.batch_inference import BatchInference
from pydantic_ai_aiobedrock._upstream.batch_records import line_size

if TYPE_CHECKING:
    from pydantic_ai.models.batch import Batch, BatchResultStatus, BatchStatus, EncodedBatchRequest

_WHO = ('AWS_ACCESS_KEY_ID', 'AWS_PROFILE', 'AWS_ROLE_ARN')
"""The variables that identify a provider that was given no credentials."""

STATUSES: dict[str, BatchStatus] = {'Stopping': 'canceling', **dict.fromkeys(ENDED, 'ended')}
"""The states of a job in pydantic-ai's terms; in any other, including those that AWS may add, it is in progress."""

UNLISTED: dict[str, BatchResultStatus] = {
    'Stopped': 'canceled',
    'Expired': 'expired',
    'PartiallyCompleted': 'expired',
}
"""The outcome of the records that a job in this state has no output for."""

DETAILS = ('status', 'message', 'totalRecordCount', 'processedRecordCount', 'successRecordCount', 'errorRecordCount')
"""The members of a job that a handle shows."""

LIVE, REFUSED = 's3://', 'refused:'
"""The beginnings of the ids of batches that are no jobs: their answers are in a file, or they have none."""


def is_job(batch: Batch) -> bool:
    """Return whether a batch is a job of Bedrock's."""
    return not batch.id.startswith((LIVE, REFUSED))


def shown(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a job that its handle shows."""
    return {name: job[name] for name in DETAILS if job.get(name) is not None}


def checked_group(requests: Sequence[EncodedBatchRequest], inference: BatchInference) -> dict[str, str]:
    """Return the members of the group that requests share.

    Raises:
        UserError: They are of several groups, two have the same id, or they are too many for a job.
    """
    groups = {request.group for request in requests}
    if len(groups) != 1:
        raise UserError(
            'A batch needs a request, and all of its requests the same `group`: one model, provider and '
            '`batch_inference`.'
        )
    _check_ids(request.custom_id for request in requests)
    if len(requests) > inference.max_records:
        raise UserError(
            f'These are {len(requests):,} requests, and a job of Bedrock has {inference.max_records:,} at most '
            '(`max_records` of BatchInference): split them with `batch_split()`.'
        )
    if (size := sum(map(line_size, requests))) > inference.max_bytes:
        raise UserError(
            f'The requests take {size:,} bytes, and a job of Bedrock {inference.max_bytes:,} at most (`max_bytes` '
            'of BatchInference): split them with `batch_split()`.'
        )
    return json.loads(groups.pop())


def _check_ids(custom_ids: Iterable[str]) -> None:
    """Check that the ids of requests can be those of records.

    Raises:
        UserError: An id is empty, or there twice.
    """
    seen: set[str] = set()
    for custom_id in custom_ids:
        if not custom_id:
            raise UserError('A request of a batch needs a `custom_id` that is not empty.')
        if custom_id in seen:
            raise UserError(f'Two requests of the batch have the same `custom_id`: {custom_id!r}.')
        seen.add(custom_id)


def fingerprint(spec: ClientSpec) -> str:
    """Fingerprint credentials without revealing them."""
    variables = [(name, value) for name, value in spec.environment if name in _WHO]
    told = (spec.profile_name, spec.aws_access_key_id, variables, id(spec.session) if spec.session else None)
    return hashlib.sha256(repr(told).encode()).hexdigest()
