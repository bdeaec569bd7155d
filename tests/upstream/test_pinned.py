"""The pinned members and collaborators of Pydantic AI that this package builds on."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
from pydantic_ai.embeddings import bedrock as embeddings
from pydantic_ai.models import bedrock as models
from pydantic_ai.providers import bedrock as providers

from pydantic_ai_aiobedrock import (
    BedrockConverseModel,
    BedrockEmbeddingModel,
    BedrockProvider,
    BedrockStreamedResponse,
)
from pydantic_ai_aiobedrock.models import call_bedrock
from pydantic_ai_aiobedrock.streaming import events

UPSTREAM = {
    BedrockConverseModel: models.BedrockConverseModel,
    BedrockStreamedResponse: models.BedrockStreamedResponse,
    BedrockEmbeddingModel: embeddings.BedrockEmbeddingModel,
    BedrockProvider: providers.BedrockProvider,
}


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_pinned_call_bedrock() -> None:
    upstream = models._call_bedrock
    assert parameters(upstream) == ['client', 'method', 'params', 'extra_headers']
    assert inspect.iscoroutinefunction(upstream)
    assert parameters(call_bedrock) == parameters(upstream)


def test_pinned_async_iterator_wrapper() -> None:
    assert parameters(models._AsyncIteratorWrapper.__init__) == ['self', 'sync_iterator']
    assert {'__aiter__', '__anext__'} <= vars(models._AsyncIteratorWrapper).keys()
    assert len(parameters(events)) == 1


def test_pinned_map_api_errors() -> None:
    upstream = inspect.signature(models._map_api_errors).parameters
    assert list(upstream)[:2] == ['model_name', 'model_id_namespace']
    assert upstream['model_id_namespace'].default == 'bedrock'
    added = list(upstream.values())[2:]
    assert all(parameter.default is not inspect.Parameter.empty for parameter in added)
    with models._map_api_errors('a-model'):
        pass


def test_pinned_fields_of_the_streamed_response() -> None:
    fields = {field.name: field for field in dataclasses.fields(models.BedrockStreamedResponse) if field.init}
    needed = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    assert needed == {
        'model_request_parameters',
        '_model_name',
        '_model_profile',
        '_event_stream',
        '_provider_name',
        '_model_id_namespace',
        '_provider_url',
    }
    assert {'_timestamp', '_provider_response_id'} <= fields.keys()
    assert parameters(BedrockStreamedResponse) == parameters(models.BedrockStreamedResponse)


def test_pinned_members_of_the_model() -> None:
    model = models.BedrockConverseModel
    assert parameters(model._messages_create) == [
        'self',
        'messages',
        'stream',
        'model_settings',
        'model_request_parameters',
    ]
    assert parameters(model.request_stream)[:5] == [
        'self',
        'messages',
        'model_settings',
        'model_request_parameters',
        'run_context',
    ]
    assert parameters(BedrockConverseModel.request_stream) == parameters(model.request_stream)
    assert isinstance(model.client, property)
    assert model.client.fset is not None
    for name in ('_botocore_supports_strict_tool_param', '_botocore_supports_output_config'):
        assert isinstance(getattr(model, name, property()), property)


def test_pinned_members_of_the_streamed_response() -> None:
    stream = models.BedrockStreamedResponse
    assert parameters(stream._get_event_iterator) == ['self']
    assert inspect.isasyncgenfunction(inspect.unwrap(stream._get_event_iterator))
    assert parameters(stream.close_stream) == ['self']
    assert inspect.iscoroutinefunction(stream.close_stream)
    assert parameters(stream.get_stream_cancel_errors) == ['self']


@pytest.mark.skipif(
    not hasattr(models.BedrockStreamedResponse, '_map_content_block_delta'),
    reason='this pydantic-ai maps each event in one piece',
)
def test_pinned_mapping_of_deltas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstream, too, does nothing about a delta but to map it by the method that this package calls at once."""
    stream = models.BedrockStreamedResponse
    monkeypatch.setattr(stream, '_map_content_block_delta', lambda self, delta: iter([(self, delta)]))
    for cls in (stream, BedrockStreamedResponse):
        # Neither reads nor writes anything of itself: it has no fields.
        response = object.__new__(cls)
        assert list(response._map_chunk({'contentBlockDelta': {'delta': 1}})) == [(response, {'delta': 1})]
        assert list(response._map_chunk({'messageStart': {'role': 'assistant'}})) == []
        assert vars(response) == {}


def test_pinned_members_of_the_embedding_model() -> None:
    model = embeddings.BedrockEmbeddingModel
    assert parameters(model._invoke_model) == ['self', 'body', 'settings']
    assert inspect.iscoroutinefunction(model._invoke_model)
    assert parameters(model._embed_concurrent) == ['self', 'inputs', 'input_type', 'settings']


@pytest.mark.parametrize('ours', [BedrockConverseModel, BedrockEmbeddingModel], ids=lambda cls: cls.__name__)
def test_the_models_are_made_with_upstreams_arguments(ours: Any) -> None:
    upstream = inspect.signature(UPSTREAM[ours].__init__).parameters
    for name, parameter in inspect.signature(ours.__init__).parameters.items():
        if name == 'batch_inference':
            assert (parameter.kind, parameter.default) == (inspect.Parameter.KEYWORD_ONLY, None)
        else:
            assert (parameter.kind, parameter.default) == (upstream[name].kind, upstream[name].default)


def test_the_provider_takes_every_argument_of_upstreams() -> None:
    upstream = inspect.signature(providers.BedrockProvider.__init__).parameters
    ours = inspect.signature(BedrockProvider.__init__).parameters
    for name, parameter in upstream.items():
        assert (ours[name].kind, ours[name].default) == (parameter.kind, parameter.default), name
    assert ours.keys() - upstream.keys() == {'session', 'config', 'pool', 'max_connections', 'throttling'}
