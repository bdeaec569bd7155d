"""Descriptions, profiles, equality and clients of models, beside upstream's."""

from __future__ import annotations

import copy
from typing import Any, cast

import boto3
import pytest
from pydantic_ai import (
    Agent,
)
from pydantic_ai.models.bedrock import BedrockConverseModel as UpstreamConverseModel
from pydantic_ai.providers.bedrock import BedrockProvider as UpstreamProvider
from served_bedrock import make_provider

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

NOVA = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'


@pytest.fixture
def pair() -> tuple[BedrockConverseModel, UpstreamConverseModel]:
    """The same model of this package and of pydantic-ai."""
    client = boto3.client('bedrock-runtime', region_name='eu-west-1', aws_access_key_id='a', aws_secret_access_key='b')
    return (
        BedrockConverseModel(CLAUDE, provider=BedrockProvider(region_name='eu-west-1')),
        UpstreamConverseModel(CLAUDE, provider=UpstreamProvider(bedrock_client=client)),
    )


def test_a_model_describes_itself_as_upstreams_does(
    pair: tuple[BedrockConverseModel, UpstreamConverseModel],
) -> None:
    ours, theirs = pair
    for name in ('model_name', 'system', 'base_url', 'model_id', 'label', 'settings'):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert repr(ours) == repr(theirs)
    assert ours.base_url == 'https://bedrock-runtime.eu-west-1.amazonaws.com'
    assert isinstance(ours, UpstreamConverseModel)


@pytest.mark.parametrize(
    'model_name', [NOVA, CLAUDE, 'us.meta.llama4-scout-17b-instruct-v1:0', 'openai.gpt-oss-120b-1:0', 'unknown.model']
)
def test_the_profile_is_upstreams(
    model_name: str, provider_without_server: BedrockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstream's, with a botocore that can send whatever the profile allows: ours always can."""
    for name in ('_botocore_supports_output_config', '_botocore_supports_strict_tool_param'):
        monkeypatch.setattr(UpstreamConverseModel, name, True, raising=False)
    upstream = UpstreamConverseModel(
        model_name, provider=UpstreamProvider(bedrock_client=cast(Any, provider_without_server.client))
    )
    assert BedrockConverseModel(model_name, provider=provider_without_server).profile == upstream.profile


def test_a_profile_can_be_given(provider_without_server: BedrockProvider) -> None:
    model = BedrockConverseModel(
        'unknown.model', provider=provider_without_server, profile={'supports_json_schema_output': True}
    )
    assert model.profile.get('supports_json_schema_output') is True


@pytest.fixture
def provider_without_server() -> BedrockProvider:
    return BedrockProvider(region_name='us-east-1', pool=SessionPool())


@pytest.mark.parametrize(
    'changes',
    [{}, {'model_name': CLAUDE}, {'settings': {'temperature': 1.0}}, {'profile': {'supports_tools': False}}],
    ids=lambda changes: ''.join(changes) or 'nothing',
)
def test_models_are_equal_when_upstreams_are(
    pair: tuple[BedrockConverseModel, UpstreamConverseModel], changes: dict[str, Any]
) -> None:
    ours, theirs = (
        (
            type(model)(model_name=NOVA, provider=model.provider),
            type(model)(**{'model_name': NOVA, 'provider': model.provider, **changes}),
        )
        for model in pair
    )
    assert (ours[0] == ours[1]) is (theirs[0] == theirs[1])
    assert (ours[0] == ours[1]) is True or changes


def test_models_of_different_providers_or_packages_are_not_equal(
    pair: tuple[BedrockConverseModel, UpstreamConverseModel], provider_without_server: BedrockProvider
) -> None:
    ours, theirs = pair
    assert ours != BedrockConverseModel(CLAUDE, provider=provider_without_server)
    assert ours != theirs


async def test_a_copy_of_a_model_works_like_the_model(bedrock: LocalBedrock, model: BedrockConverseModel) -> None:
    twin = copy.copy(model)
    assert twin == model
    assert (twin.model_name, twin.base_url, repr(twin)) == (model.model_name, model.base_url, repr(model))
    bedrock.reply('Hello.')
    assert (await Agent(twin).run('Hi.')).output == 'Hello.'


def test_the_client_of_a_model_is_its_providers_until_another_is_assigned(
    provider_without_server: BedrockProvider,
) -> None:
    model = BedrockConverseModel(NOVA, provider=provider_without_server)
    assert model.client is provider_without_server.client
    other = BedrockProvider(region_name='us-west-2').client
    provider_without_server.client = other
    assert model.client is other
    third = BedrockProvider(region_name='eu-west-1').client
    model.client = third
    assert model.client is third
    assert model.base_url == 'https://bedrock-runtime.eu-west-1.amazonaws.com'
    assert provider_without_server.client is other


async def test_a_request_goes_to_the_client_that_was_assigned_last(
    bedrock: LocalBedrock, model: BedrockConverseModel, provider: BedrockProvider
) -> None:
    async with LocalBedrock() as other:
        other.reply('From the other.')
        async with make_provider(other, SessionPool()) as other_provider:
            model.client = other_provider.client
            assert (await Agent(model).run('Hi.')).output == 'From the other.'
    assert bedrock.requests == []
