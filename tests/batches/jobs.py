"""The model and the requests of the tests of batches."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import pytest
from packaging.version import Version
from pydantic_ai import ModelRequest

from local_bedrock import LocalBedrock, RecordedRequest
from pydantic_ai_aiobedrock import BatchInference, BedrockConverseModel
from pydantic_ai_aiobedrock._upstream import seam

HAS_BATCHES = Version(version('pydantic-ai-slim')) >= Version(seam.BATCHES_SINCE)
needs_batches = pytest.mark.skipif(not HAS_BATCHES, reason=f'Pydantic AI has batches from {seam.BATCHES_SINCE} on.')

MODEL = 'us.amazon.nova-lite-v1:0'
INFERENCE = BatchInference(
    role_arn='arn:aws:iam::123456789012:role/bedrock-batch', s3_uri='s3://my-bucket/batches/', min_records=1
)
OFTEN = timedelta(milliseconds=5)


def like(model: Any, **options: Any) -> Any:
    """Return a model of the same provider with other options of batch inference."""
    return BedrockConverseModel(MODEL, provider=model.provider, batch_inference=replace(INFERENCE, **options))


def request(name: str, text: str, **parts: Any) -> Any:
    from pydantic_ai.models.batch import BatchRequest

    return BatchRequest(custom_id=name, messages=[ModelRequest.user_text_prompt(text)], **parts)


async def answers(model: Any, *requests: Any, **options: Any) -> list[Any]:
    from pydantic_ai.direct import model_request_batch

    return await model_request_batch(model, requests, poll_interval=OFTEN, **options)


async def created(model: Any, *names: str) -> Any:
    return await model.batch_create([await model.batch_encode(request(name, f'Say {name}.')) for name in names])


def records(bedrock: LocalBedrock) -> list[RecordedRequest]:
    return [each for each in bedrock.requests if each.record_id is not None]
