"""Answers the requests that are too few for a batch inference job with live calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
from botocore.exceptions import BotoCoreError, ClientError
from pydantic_core import from_json

from pydantic_ai_aiobedrock._runtime.batch_errors import error_status
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime
from pydantic_ai_aiobedrock._wire.converse import decode_request, encode_request

MAX_IN_FLIGHT = 10
"""The most requests that are sent at the same time."""


async def answer_live(
    runtime: BedrockRuntime, model_id: str, invocation_type: str, bodies: Mapping[str, bytes]
) -> dict[str, dict[str, Any]]:
    """Send requests of Converse or of InvokeModel, and return their outcomes.

    Args:
        runtime: The client.
        model_id: The model of all requests.
        invocation_type: The operation of all requests.
        bodies: The bodies of the requests, by record id.

    Returns:
        The `modelOutput` or the `error` of each record, as a job would write them, by record id.
    """
    outcomes: dict[str, dict[str, Any]] = {}
    limiter = anyio.CapacityLimiter(MAX_IN_FLIGHT)

    async def answer(record_id: str, body: bytes) -> None:
        async with limiter:
            try:
                outcomes[record_id] = {'modelOutput': await _send(runtime, model_id, invocation_type, body)}
            except ClientError as error:
                response: Any = error.response
                outcomes[record_id] = _failed(error_status(error), response.get('Error', {}).get('Message', ''))
            except BotoCoreError as error:
                outcomes[record_id] = _failed(503, str(error))

    async with anyio.create_task_group() as tasks:
        for record_id, body in bodies.items():
            tasks.start_soon(answer, record_id, body)
    return outcomes


async def _send(runtime: BedrockRuntime, model_id: str, invocation_type: str, body: bytes) -> dict[str, Any]:
    if invocation_type == 'InvokeModel':
        invoked = await runtime.invoke_model(modelId=model_id, body=body, contentType='application/json')
        return from_json(invoked['body'].getvalue())
    response = await runtime.converse(modelId=model_id, **decode_request(body))
    response.pop('ResponseMetadata', None)
    return from_json(encode_request(response))


def _failed(status: int, message: str) -> dict[str, Any]:
    return {'error': {'errorCode': status, 'errorMessage': message}}
