"""A record of a batch inference job, answered as the call of the model would be that it stands for."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, cast
from urllib.parse import quote

from multidict import CIMultiDict, CIMultiDictProxy
from pydantic_core import from_json, to_json

from local_bedrock._batch.files import BatchRecord
from local_bedrock._batch.job import Job
from local_bedrock._bodies.json_access import structure
from local_bedrock._model.render import error_response
from local_bedrock._model.runtime import Runtime
from local_bedrock.errors import RefusedError, validation_error
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response

_PATHS = {'Converse': 'converse', 'InvokeModel': 'invoke'}


async def answer_record(
    job: Job, record: BatchRecord, runtime: Runtime, recorder: Callable[[RecordedRequest], None]
) -> None:
    """Answer a record, and note its outcome."""
    model_id = job.request['modelId']
    request = RecordedRequest(
        operation=job.invocation_type,
        model_id=model_id,
        resource=model_id,
        method='POST',
        path=f'/model/{quote(model_id, safe="")}/{_PATHS[job.invocation_type]}',
        headers=CIMultiDictProxy(CIMultiDict[str]()),
        raw_body=to_json(record.model_input),
        body=record.model_input,
        job_arn=job.arn,
        record_id=record.record_id,
        started=monotonic(),
        request_id=str(uuid.uuid4()),
    )
    recorder(request)
    try:
        if job.invocation_type == 'Converse' and 'toolConfig' in record.model_input:
            # As the user guide has it, in words of our own; with InvokeModel, tools are part of a model's own format.
            raise validation_error('Batch inference of type Converse does not support toolConfig.')
        response = await runtime.answer(request)
    except RefusedError as refused:
        response = error_response(refused.reply, request)
    finally:
        request.ended = monotonic()
    request.status, request.error_code = response.status, response.error_code
    _note(record, response)


def _note(record: BatchRecord, response: Response) -> None:
    body = b''.join(cast('Sequence[bytes]', response.pieces))
    try:
        output = from_json(body)
    except ValueError:
        output = body.decode(errors='replace')
    if response.status >= 400:
        members = cast('dict[str, Any]', output) if isinstance(output, dict) else {'message': output}
        message = members.get('message', members.get('Message'))
        record.outcome = {'error': {'errorCode': response.status, 'errorMessage': message}}
        return
    record.outcome = {'modelOutput': output}
    usage = structure({'output': output}, 'output', 'usage')
    headers = {name.lower(): value for name, value in response.headers.items()}
    for kind in ('input', 'output'):
        said = usage.get(f'{kind}Tokens', headers.get(f'x-amzn-bedrock-{kind}-token-count', 0))
        setattr(record, f'{kind}_tokens', int(said))
