"""Models with batches and models without, and how batches are put into the model of Pydantic AI."""

from __future__ import annotations

from typing import Any

import pytest
from aiobotocore.session import AioSession
from pydantic_ai import UserError
from pydantic_ai.models.bedrock import BedrockConverseModel as UpstreamConverseModel

from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider
from pydantic_ai_aiobedrock._upstream import seam
from pydantic_ai_aiobedrock.batches import RunsBatches

from .jobs import HAS_BATCHES, INFERENCE, MODEL, answers, needs_batches, request


@needs_batches
async def test_a_model_without_a_place_for_files_has_no_batches(redirected: None) -> None:
    model = BedrockConverseModel(MODEL)
    assert model.batch_max_requests is None
    assert model.batch_max_bytes is None
    with pytest.raises(UserError, match=r'BatchInference\(role_arn'):
        await answers(model, request('q', 'Hello'))


@needs_batches
async def test_an_api_key_opens_no_file_in_s3() -> None:
    provider = BedrockProvider(region_name='us-east-1', api_key='a-key')
    with pytest.raises(UserError, match='takes no Bedrock API key'):
        BedrockConverseModel(MODEL, provider=provider, batch_inference=INFERENCE)


@needs_batches
async def test_a_brought_client_opens_no_file_in_s3(redirected: None) -> None:
    async with AioSession().create_client('bedrock-runtime') as client:
        provider = BedrockProvider(bedrock_client=client)
        with pytest.raises(UserError, match='leave `bedrock_client` out'):
            BedrockConverseModel(MODEL, provider=provider, batch_inference=INFERENCE)


@pytest.mark.skipif(HAS_BATCHES, reason='This Pydantic AI has batches.')
def test_a_release_without_batches_says_which_has_them() -> None:
    with pytest.raises(UserError, match=f'pydantic-ai-slim {seam.BATCHES_SINCE} or newer'):
        BedrockConverseModel(MODEL, provider=BedrockProvider(region_name='us-east-1'), batch_inference=INFERENCE)


def test_the_mixin_overrides_nothing_of_upstreams_but_what_is_about_batches() -> None:
    class Plain:
        attribute: int

    names = set(vars(RunsBatches)) - set(dir(object))
    # Each class has these, on this Python.
    common = names & set(dir(UpstreamConverseModel)) - set(vars(Plain))
    assert {name for name in common if 'batch' not in name} == set()


@needs_batches
async def test_upstreams_mapping_of_responses_waits_for_nothing(model: Any) -> None:
    output = {'message': {'role': 'assistant', 'content': [{'text': 'Hello'}]}}
    usage = {'inputTokens': 1, 'outputTokens': 1, 'totalTokens': 2}
    response = seam.process_response(model, {'output': output, 'usage': usage, 'stopReason': 'end_turn'})
    assert response.text == 'Hello'


@needs_batches
@pytest.mark.parametrize('name', [*seam.BATCH_COLLABORATORS, *seam.BATCH_QUESTIONS])
def test_only_a_model_with_batches_misses_what_they_are_built_on(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from pydantic_ai.models import Model, _batch_codec

    monkeypatch.delattr(_batch_codec if name in seam.BATCH_COLLABORATORS else Model, name)
    seam.check()
    provider = BedrockProvider(region_name='us-east-1')
    BedrockConverseModel(MODEL, provider=provider)
    with pytest.raises(ImportError, match=f'no longer has {name} in '):
        BedrockConverseModel(MODEL, provider=provider, batch_inference=INFERENCE)
