"""Makes a client of `bedrock` send and return the members of jobs that its service model is too old for."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import from_json, to_json

INVOCATION_TYPE: Final = 'modelInvocationType'
RECORD_COUNTS: Final = ('totalRecordCount', 'processedRecordCount', 'successRecordCount', 'errorRecordCount')

_CREATE: Final = 'CreateModelInvocationJob'
_WITHHELD: Final = 'pydantic_ai_aiobedrock.invocation_type'


def install(client: Any) -> None:
    """Make this client take `modelInvocationType` for a job, and return the counts of its records.

    GetModelInvocationJob returns the counts as members, ListModelInvocationJobs as `recordCounts`, by ARN. The botocore
    that aioboto3 pins knows neither.

    Args:
        client: An aiobotocore client of `bedrock`.
    """
    events = client.meta.events
    events.register(f'provide-client-params.bedrock.{_CREATE}', _withhold_type)
    events.register(f'before-call.bedrock.{_CREATE}', _put_type)
    events.register('before-parse.bedrock.GetModelInvocationJob', _add_counts)
    events.register('before-parse.bedrock.ListModelInvocationJobs', _add_counts_by_arn)


def _withhold_type(params: dict[str, Any], context: dict[str, Any], **_: Any) -> dict[str, Any]:
    context[_WITHHELD] = params.get(INVOCATION_TYPE)
    return {name: value for name, value in params.items() if name != INVOCATION_TYPE}


def _put_type(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    if (invocation_type := context.pop(_WITHHELD, None)) is not None:
        params['body'] = to_json({**from_json(params['body']), INVOCATION_TYPE: invocation_type})


def _add_counts(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict['status_code'] == 200:
        customized_response_dict.update(_counts(from_json(response_dict['body'])))


def _add_counts_by_arn(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict['status_code'] == 200:
        jobs: list[dict[str, Any]] = from_json(response_dict['body']).get('invocationJobSummaries', [])
        customized_response_dict['recordCounts'] = {job['jobArn']: _counts(job) for job in jobs}


def _counts(job: dict[str, Any]) -> dict[str, int]:
    return {name: count for name in RECORD_COUNTS if isinstance(count := job.get(name), int)}
