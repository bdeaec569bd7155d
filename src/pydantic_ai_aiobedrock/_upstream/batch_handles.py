"""Handles of batches: job states in pydantic-ai's terms, and the owner of each job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import UserError

from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._runtime.batch_jobs import ENDED

if TYPE_CHECKING:
    from pydantic_ai.models.batch import Batch, BatchResultStatus, BatchStatus

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


def check_ids(custom_ids: Iterable[str]) -> None:
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
