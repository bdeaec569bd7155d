"""Bedrock's control plane, as far as batch inference jobs are concerned: from a request to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from pydantic_core import to_json

from local_bedrock._batch.job import Job
from local_bedrock._batch.jobs import Jobs
from local_bedrock._model.render import json_response
from local_bedrock._model.runtime import decoded
from local_bedrock._model.validation import ServiceModel
from local_bedrock.errors import validation_error
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response

_MOST_RESULTS = 1000


async def answer_job_request(record: RecordedRequest, jobs: Jobs) -> Response:
    """Answer a request about batch inference jobs.

    Raises:
        RefusedError: With Bedrock's error.
    """
    assert record.operation is not None
    # The body is empty if the request came without it.
    record.body = decoded(record.raw_body)
    query: dict[str, Any] = dict(parse_qsl(record.path.partition('?')[2]))
    if query.get('maxResults', '').isdecimal():
        query['maxResults'] = int(query['maxResults'])
    identifier = {'jobIdentifier': record.resource} if record.resource else {}
    # Reads and decodes the service model, the first time.
    model = await asyncio.to_thread(ServiceModel.load_control_plane)
    model.check(record.operation, {**record.body, **query, **identifier})
    match record.operation:
        case 'CreateModelInvocationJob':
            said: dict[str, Any] = {'jobArn': jobs.create(record.body).arn}
        case 'GetModelInvocationJob':
            said = (await jobs.find(record.resource)).describe()
        case 'StopModelInvocationJob':
            jobs.stop(await jobs.find(record.resource))
            said = {}
        case _:
            said = _listed(await jobs.all(), query)
    return json_response(record, to_json(said), {})


def _listed(jobs: list[Job], query: Mapping[str, Any]) -> dict[str, Any]:
    if query.get('sortOrder') != 'Ascending':
        jobs.reverse()
    found = [job for job in jobs if _is_asked_for(job, query)]
    start = 0
    if (token := query.get('nextToken')) is not None:
        start = next((at for at, job in enumerate(found, 1) if job.id == token), -1)
        if start < 0:
            raise validation_error('The provided pagination token is invalid.')
    end = start + (query.get('maxResults') or _MOST_RESULTS)
    said: dict[str, Any] = {'invocationJobSummaries': [job.describe() for job in found[start:end]]}
    return said if end >= len(found) else {**said, 'nextToken': found[end - 1].id}


def _is_asked_for(job: Job, query: Mapping[str, Any]) -> bool:
    after, before = (_moment(query.get(name)) for name in ('submitTimeAfter', 'submitTimeBefore'))
    return (
        job.status == query.get('statusEquals', job.status)
        and query.get('nameContains', '') in job.request['jobName']
        and (after is None or job.submitted > after)
        and (before is None or job.submitted < before)
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise validation_error(f'{text} is not a timestamp.') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
