"""A batch inference job: its states, and its description by GetModelInvocationJob."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from local_bedrock._batch.files import BatchFile, RecordCounts
from local_bedrock._bodies.json_access import structure

JobStatus = Literal[
    'Submitted',
    'Validating',
    'Scheduled',
    'InProgress',
    'Stopping',
    'Stopped',
    'Completed',
    'PartiallyCompleted',
    'Failed',
    'Expired',
]
RestingStatus = Literal['Submitted', 'Validating', 'Scheduled', 'InProgress', 'Stopping']

_ENDED = frozenset({'Stopped', 'Completed', 'PartiallyCompleted', 'Failed', 'Expired'})
_DEFAULT_HOURS = 24


@dataclass
class Job:
    """A batch inference job."""

    arn: str
    request: Mapping[str, Any]
    """The body of the request that created it."""
    submitted: datetime
    modified: datetime
    status: JobStatus = 'Submitted'
    message: str | None = None
    ended: datetime | None = None
    files: list[BatchFile] = field(default_factory=list[BatchFile])
    processed: int = 0
    """Records that have been answered."""
    at_rest: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set while it does not move: it is held, it waits for a reply, or it has ended."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The last part of the ARN."""
        return self.arn.rpartition('/')[2]

    @property
    def has_ended(self) -> bool:
        """The job is in a state that it never leaves."""
        return self.status in _ENDED

    @property
    def invocation_type(self) -> Literal['InvokeModel', 'Converse']:
        """The operation by which it invokes its model."""
        return 'Converse' if self.request.get('modelInvocationType') == 'Converse' else 'InvokeModel'

    @property
    def input_uri(self) -> str:
        """The URI of its input."""
        return structure(self.request, 'inputDataConfig', 's3InputDataConfig')['s3Uri']

    @property
    def output_uri(self) -> str:
        """The URI of its output."""
        return structure(self.request, 'outputDataConfig', 's3OutputDataConfig')['s3Uri']

    def describe(self) -> dict[str, Any]:
        """Return the answer of GetModelInvocationJob."""
        hours = self.request.get('timeoutDurationInHours') or _DEFAULT_HOURS
        described = {
            'jobArn': self.arn,
            **{name: value for name, value in self.request.items() if name != 'tags' and value is not None},
            'status': self.status,
            'message': self.message,
            'submitTime': _written(self.submitted),
            'lastModifiedTime': _written(self.modified),
            'endTime': _written(self.ended),
            'jobExpirationTime': _written(self.submitted + timedelta(hours=hours)),
            'timeoutDurationInHours': hours,
            'modelInvocationType': self.invocation_type,
            **RecordCounts.of(self.files).members,
        }
        return {name: value for name, value in described.items() if value is not None}


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else f'{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z'
