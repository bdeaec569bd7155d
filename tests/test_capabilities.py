"""ResolveBedrock: a name that begins with `bedrock:` is a model of this package, wherever an agent takes one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import UserError
from pydantic_ai.models.fallback import FallbackModel

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, ResolveBedrock

NOVA = 'us.amazon.nova-lite-v1:0'
MICRO = 'us.amazon.nova-micro-v1:0'


@pytest.fixture
def in_environment(bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch) -> LocalBedrock:
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    bedrock.reply('Four.')
    return bedrock


def is_ours(bedrock: LocalBedrock) -> bool:
    # botocore's own client says boto3 or Botocore, and which functions it was reached by.
    return 'aiobotocore' in bedrock.requests[-1].headers['User-Agent']


async def test_the_model_of_an_agent_may_be_a_name(in_environment: LocalBedrock) -> None:
    agent = Agent(f'bedrock:{NOVA}', capabilities=[ResolveBedrock()])
    assert (await agent.run('Two and two?')).output == 'Four.'
    assert in_environment.requests[-1].model_id == NOVA
    assert is_ours(in_environment)


async def test_the_model_of_a_run_and_of_an_override_may_be_a_name(in_environment: LocalBedrock) -> None:
    agent = Agent(capabilities=[ResolveBedrock()])
    await agent.run('Two and two?', model=f'bedrock:{NOVA}')
    with agent.override(model=f'bedrock:{MICRO}'):
        await agent.run('Two and two?')
    assert [request.model_id for request in in_environment.requests] == [NOVA, MICRO]
    assert is_ours(in_environment)


async def test_an_agent_spec_names_the_capability(in_environment: LocalBedrock) -> None:
    spec = {'model': f'bedrock:{NOVA}', 'capabilities': ['ResolveBedrock']}
    agent = Agent.from_spec(spec, custom_capability_types=[ResolveBedrock])
    assert (await agent.run('Two and two?')).output == 'Four.'
    assert is_ours(in_environment)


async def test_the_models_send_through_the_provider_that_was_passed(
    bedrock: LocalBedrock, provider: BedrockProvider
) -> None:
    agent = Agent(f'bedrock:{NOVA}', capabilities=[ResolveBedrock(provider)])
    await agent.run('Hello.')
    assert bedrock.stats().requests == 1


async def test_a_name_resolves_to_the_same_model_each_time(provider: BedrockProvider) -> None:
    resolve = ResolveBedrock(provider)
    context: Any = None
    first = await resolve.resolve_model_id(context, model_id=f'bedrock:{NOVA}')
    assert isinstance(first, BedrockConverseModel)
    assert first is await resolve.resolve_model_id(context, model_id=f'bedrock:{NOVA}')


@pytest.mark.parametrize('name', ['test', 'openai:gpt-5', 'bedrock:', 'bedrock', 'bedrock-mantle:openai.gpt-5'])
async def test_other_names_are_left_to_pydantic_ai(name: str, provider: BedrockProvider) -> None:
    context: Any = None
    assert await ResolveBedrock(provider).resolve_model_id(context, model_id=name) is None


async def test_a_gateway_name_is_resolved_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PYDANTIC_AI_GATEWAY_API_KEY', 'pylf_v1_us_not-a-key')
    context: Any = None
    model = await ResolveBedrock().resolve_model_id(context, model_id=f'gateway/bedrock:{NOVA}')
    assert isinstance(model, BedrockConverseModel)
    assert 'gateway' in model.base_url


async def test_a_missing_region_is_an_error_of_the_run() -> None:
    agent = Agent(f'bedrock:{NOVA}', capabilities=[ResolveBedrock()])
    with pytest.raises(UserError, match='region'):
        await agent.run('Hello.')


async def test_without_the_capability_a_name_in_a_fallback_is_a_model_of_pydantic_ai(
    monkeypatch: pytest.MonkeyPatch, provider: BedrockProvider
) -> None:
    """The README says so: names in a FallbackModel are resolved before any agent has a say."""
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'us-east-1')
    fallback = FallbackModel(BedrockConverseModel(NOVA, provider=provider), f'bedrock:{NOVA}')
    first, second = fallback.models
    assert isinstance(first, BedrockConverseModel)
    assert not isinstance(second, BedrockConverseModel)
