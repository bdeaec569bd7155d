"""The table of model families, through a client of botocore: what a model does not support is refused, if it is on."""

from __future__ import annotations

from typing import Any

import pytest
from support.requests import MakeClient, assistant, tool, user

from local_bedrock import LocalBedrock

TOOLS = {'tools': [tool('a')]}
HELLO = [user('Hello')]
CASES: list[tuple[str, dict[str, Any], str]] = [
    ('amazon.titan-text-express-v1', {'toolConfig': TOOLS}, "This model doesn't support tool use."),
    ('amazon.titan-text-express-v1', {'system': [{'text': 'Be kind.'}]}, "This model doesn't support system messages."),
    ('anthropic.claude-sonnet-4-20250514-v1:0', {}, 'with on-demand throughput isn\u2019t supported'),
    (
        'us.amazon.nova-lite-v1:0',
        {'inferenceConfig': {'maxTokens': 20_000}},
        'The maximum tokens you requested exceeds the model limit of 10000.',
    ),
    (
        'us.anthropic.claude-sonnet-4-5-20250929-v1:0',
        {'inferenceConfig': {'temperature': 0.5, 'topP': 0.5}},
        '`temperature` and `top_p` cannot both be specified for this model.',
    ),
    (
        'us.meta.llama4-scout-17b-instruct-v1:0',
        {'toolConfig': {**TOOLS, 'toolChoice': {'any': {}}}},
        "This model doesn't support the toolConfig.toolChoice.any field.",
    ),
    (
        'us.anthropic.claude-opus-4-6-v1',
        {'messages': [*HELLO, assistant('Well,')]},
        'This model does not support assistant message prefill.',
    ),
    ('us.anthropic.claude-3-haiku-20240307-v1:0', {'messages': [user('word ' * 210_000)]}, 'prompt is too long: '),
]  # fmt: skip


@pytest.mark.parametrize(('model', 'members', 'message'), CASES)
def test_the_table_refuses_until_it_is_turned_off(
    make_client: MakeClient, client: Any, model: str, members: dict[str, Any], message: str
) -> None:
    with pytest.raises(client.exceptions.ValidationException) as error:
        client.converse(modelId=model, **{'messages': HELLO, **members})
    assert message in error.value.response['Error']['Message']
    with LocalBedrock(strict_models=False) as lenient:
        answer = make_client(bedrock=lenient).converse(modelId=model, **{'messages': HELLO, **members})
    assert answer['output']['message']['role'] == 'assistant'


def test_streaming_with_tools_is_of_some_models(client: Any) -> None:
    model = 'us.meta.llama4-scout-17b-instruct-v1:0'
    assert client.converse(modelId=model, messages=HELLO, toolConfig=TOOLS)['stopReason'] == 'tool_use'
    with pytest.raises(client.exceptions.ValidationException, match='tool use in streaming mode'):
        client.converse_stream(modelId=model, messages=HELLO, toolConfig=TOOLS)


def test_tokens_are_counted_for_foundation_models(client: Any) -> None:
    counted = {'converse': {'messages': HELLO}}
    with pytest.raises(client.exceptions.ValidationException, match="doesn't support counting tokens"):
        client.count_tokens(modelId='us.anthropic.claude-sonnet-4-20250514-v1:0', input=counted)
    assert client.count_tokens(modelId='anthropic.claude-sonnet-4-20250514-v1:0', input=counted)['inputTokens'] > 0


@pytest.mark.parametrize(
    ('model', 'messages'),
    [
        ('us.anthropic.claude-sonnet-4-20250514-v1:0', [assistant('Hello'), *HELLO]),
        ('qwen.qwen3-32b-v1:0', [assistant('Hello'), *HELLO]),
        (
            'us.amazon.nova-lite-v1:0',
            [user('Read', {'document': {'name': 'my_file', 'format': 'txt', 'source': {'bytes': b'a'}}})],
        ),
    ],
)
def test_nothing_is_refused_that_aws_accepts(client: Any, model: str, messages: list[Any]) -> None:
    assert client.converse(modelId=model, messages=messages)['stopReason'] == 'end_turn'
