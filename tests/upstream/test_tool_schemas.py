"""Tools' JSON schemas are adapted to the model as upstream adapts them, each of them once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic_ai import ModelRequest
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider
from pydantic_ai_aiobedrock.models import UpstreamConverseModel

SCHEMA: dict[str, Any] = {
    'type': 'object',
    'title': 'Arguments',
    'properties': {
        'city': {'type': 'string', 'title': 'City', 'minLength': 2},
        'days': {'type': 'integer', 'maximum': 7},
        'tags': {'type': 'array', 'items': {'type': 'string'}, 'maxItems': 3},
    },
    'required': ['city'],
}


def tool(name: str, *, strict: bool | None = None, **changes: Any) -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description=f'Does {name}.',
        parameters_json_schema={**copy.deepcopy(SCHEMA), **changes},
        strict=strict,
    )


def model(name: str = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0') -> BedrockConverseModel:
    return BedrockConverseModel(
        name,
        provider=BedrockProvider(region_name='us-east-1', aws_access_key_id='AKID', aws_secret_access_key='secret'),
    )


@pytest.mark.parametrize(
    'name', ['us.anthropic.claude-sonnet-4-5-20250929-v1:0', 'us.amazon.nova-lite-v1:0', 'openai.gpt-oss-120b-1:0']
)
def test_what_is_remembered_is_what_upstream_makes(name: str) -> None:
    ours = model(name)
    parameters = ModelRequestParameters(
        function_tools=[
            tool('one'),
            tool('two', strict=True),
            tool('three', strict=False),
            tool('the_same_schema_as_one'),
            tool('another', description='Other arguments'),
        ],
        output_tools=[tool('final_result')],
    )
    before = copy.deepcopy(parameters)
    upstreams = UpstreamConverseModel.customize_request_parameters(ours, parameters)
    for _ in range(2):
        assert ours.customize_request_parameters(parameters) == upstreams
    assert parameters == before


def test_a_schema_is_adapted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model()
    walks: list[str] = []
    transformer = ours.profile['json_schema_transformer']
    walk = transformer.walk
    monkeypatch.setattr(transformer, 'walk', lambda self: walks.append('walked') or walk(self))
    parameters = ModelRequestParameters(function_tools=[tool('one', description='adapted once')])
    for _ in range(3):
        ours.customize_request_parameters(parameters)
    assert walks == ['walked']


def test_a_schema_that_was_changed_in_place_is_adapted_anew() -> None:
    ours = model()
    changing = tool('one')
    parameters = ModelRequestParameters(function_tools=[changing])
    ours.customize_request_parameters(parameters)
    changing.parameters_json_schema['properties']['days']['type'] = 'number'
    customized = ours.customize_request_parameters(parameters)
    assert customized.function_tools[0].parameters_json_schema['properties']['days']['type'] == 'number'


def test_what_a_tool_has_beside_its_schema_is_what_it_has_now() -> None:
    ours = model()
    changing = tool('one')
    parameters = ModelRequestParameters(function_tools=[changing])
    for description in ('Old.', 'New.', 'Old.'):
        changing.description = description
        for _ in range(2):
            (customized,) = ours.customize_request_parameters(parameters).function_tools
            assert customized.description == description
    other = tool('one')
    other.sequential = True
    (customized,) = ours.customize_request_parameters(ModelRequestParameters(function_tools=[other])).function_tools
    assert (
        customized
        == UpstreamConverseModel.customize_request_parameters(
            ours, ModelRequestParameters(function_tools=[other])
        ).function_tools[0]
    )


def test_parameters_without_a_schema_are_left_as_they_are() -> None:
    ours = model()
    parameters = ModelRequestParameters()
    assert ours.customize_request_parameters(parameters) == UpstreamConverseModel.customize_request_parameters(
        ours, parameters
    )


def test_the_number_of_schemas_that_are_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._upstream.tool_schemas.REMEMBERED', 3)
    ours = model()
    parameters = ModelRequestParameters(function_tools=[tool(f't{n}', description=f'number {n}') for n in range(10)])
    upstreams = UpstreamConverseModel.customize_request_parameters(ours, parameters)
    for _ in range(2):
        assert ours.customize_request_parameters(parameters) == upstreams


async def test_a_schema_with_half_a_surrogate_pair_is_sent_as_upstream_sends_it(
    bedrock: LocalBedrock, provider: BedrockProvider
) -> None:
    """Text that was cut in the middle of an emoji has one; JSON can name it, and whether to take it is AWS's choice."""
    ours = BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider)
    parameters = ModelRequestParameters(function_tools=[tool('one', description='half: \ud83d')])
    upstreams = UpstreamConverseModel.customize_request_parameters(ours, parameters)
    for _ in range(2):
        assert ours.customize_request_parameters(parameters) == upstreams
    with pytest.raises(ModelHTTPError, match='hex escape'):
        await ours.request([ModelRequest.user_text_prompt('Hello.')], None, parameters)
    assert b'half: \\ud83d' in bedrock.requests[-1].raw_body
