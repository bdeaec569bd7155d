"""The rules of messages, each with the words of Bedrock, and where they do not hold."""

from __future__ import annotations

from typing import Any

import pytest
from support.requests import assistant, encoded, tool, tool_result, tool_use, user

from local_bedrock._model.message_rules import (
    check_converse,
    check_count_tokens,
    check_on_demand,
    check_prompt_length,
)
from local_bedrock.errors import RefusedError

CLAUDE_3 = 'anthropic.claude-3-haiku-20240307-v1:0'
CLAUDE_4 = 'us.anthropic.claude-sonnet-4-20250514-v1:0'
CLAUDE_4_5 = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'
CLAUDE_5 = 'us.anthropic.claude-opus-5'
NOVA = 'us.amazon.nova-lite-v1:0'
LLAMA_4 = 'us.meta.llama4-scout-17b-instruct-v1:0'
QWEN = 'qwen.qwen3-32b-v1:0'
PALMYRA = 'us.writer.palmyra-x5-v1:0'
GPT = 'us.openai.gpt-6-astra'
UNKNOWN = 'nobody.model-v1:0'
PROMPT = 'arn:aws:bedrock:us-east-1:123456789012:prompt/PROMPT1234:1'

HELLO = user('Hello')
TOOLS = {'tools': [tool('a')]}
POINT = {'cachePoint': {'type': 'default'}}
MODEL = 'The model returned the following errors: '


def document(name: str = 'a', size: int = 1, kind: str = 'txt') -> dict[str, Any]:
    return {'document': {'name': name, 'format': kind, 'source': {'bytes': encoded(b'x' * size)}}}


def image(size: int = 1) -> dict[str, Any]:
    return {'image': {'format': 'png', 'source': {'bytes': encoded(b'x' * size)}}}


def asked(*after: dict[str, Any] | str, model_said: Any = None, **members: Any) -> dict[str, Any]:
    called = tool_use('a') if model_said is None else model_said
    return {'messages': [HELLO, assistant(called), user(tool_result('x'), *after)], 'toolConfig': TOOLS, **members}


def saying(**members: Any) -> dict[str, Any]:
    return {'messages': [HELLO], **members}


def thinking(budget: int, **config: Any) -> dict[str, Any]:
    fields = {'thinking': {'type': 'enabled', 'budget_tokens': budget}}
    return saying(additionalModelRequestFields=fields, inferenceConfig=config)


FIRST_TURN = (
    'A conversation must start with a user message. Try again with a conversation that starts with a user message.'
)
ON_DEMAND = (
    'Invocation of model ID anthropic.claude-sonnet-4-5-20250929-v1:0 with on-demand throughput isn\u2019t supported. '
    'Retry your request with the ID or ARN of an inference profile that contains this model.'
)
SAME_TURN = 'messages.2.content: Conversation blocks and tool result blocks cannot be provided in the same turn.'
NOT_OBJECT = 'is invalid. Provide a json object for the field and try again.'
NO_IMAGE = "This model doesn't support the image field for user messages. Remove image and try again."
LARGE = int(4.6 * 1024 * 1024)
JSON_RESULT = {'toolResult': {'toolUseId': 'tooluse_1', 'content': [{'json': [1]}]}}
IMAGE_RESULT = {'toolResult': {'toolUseId': 'tooluse_1', 'content': [image()]}}

REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ('Nova is spoken to first', NOVA, {'messages': [assistant('Hi'), HELLO]}, FIRST_TURN),
    ('Claude needs a message too', CLAUDE_4, {'messages': []}, FIRST_TURN),
    ('text beside results on Llama', LLAMA_4, asked('And now?'), SAME_TURN),
    ('text beside results on Palmyra', PALMYRA, asked('And now?'), SAME_TURN),
    (
        'a document beside results on Claude',
        CLAUDE_4,
        asked('Read', document()),
        f'{MODEL}messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: tooluse_1. Each '
        '`tool_use` block must have a corresponding `tool_result` block in the next message.',
    ),
    (
        'two documents of a name',
        CLAUDE_4,
        {'messages': [user('Read', document()), assistant('Ok'), user('Read', document())]},
        "Messages can't contain duplicate document names. Rename the document and retry your request.",
    ),
    (
        'a sixth document',
        NOVA,
        {'messages': [user('Read', *(document(str(number)) for number in range(6)))]},
        "You can't include more than 5 documents in a request.",
    ),
    (
        'a document without text',
        CLAUDE_4,
        {'messages': [user(document())]},
        'A text block must be included when using documents.',
    ),
    (
        'a large document',
        CLAUDE_4,
        {'messages': [user('Read', document(size=LARGE, kind='csv'))]},
        'The maximum document size is 4.5 MB. Reduce the size of your document and retry your request.',
    ),
    (
        'a 21st image',
        CLAUDE_3,
        {'messages': [user('Look', *(image() for _ in range(21)))]},
        f'{MODEL}too many images and documents: 21 + 0 > 20',
    ),
    (
        'a large image',
        CLAUDE_4_5,
        {'messages': [user('Look', image(3_932_161))]},
        f'{MODEL}messages.0.content.1.image.source.bytes: image exceeds 5 MB maximum: 5242884 bytes > 5242880 bytes',
    ),
    (
        'an input that is no object',
        CLAUDE_4,
        asked(model_said={'toolUse': {'toolUseId': 'tooluse_1', 'name': 'a', 'input': '{}'}}),
        f'The format of the value at messages.1.content.0.toolUse.input {NOT_OBJECT}',
    ),
    (
        'a result that is no object',
        CLAUDE_4,
        {'messages': [HELLO, assistant(tool_use('a')), user(JSON_RESULT)], 'toolConfig': TOOLS},
        f'The format of the value at messages.2.content.0.toolResult.content.0.json {NOT_OBJECT}',
    ),
    (
        'a schema that is no object',
        CLAUDE_4,
        saying(toolConfig={'tools': [tool('a'), tool('b', {'type': 'array'})]}),
        'The value at toolConfig.tools.1.toolSpec.inputSchema.json.type must be one of the following: object.',
    ),
    (
        'a schema without type',
        NOVA,
        saying(toolConfig={'tools': [tool('a', {'oneOf': []})]}),
        'The value at toolConfig.tools.0.toolSpec.inputSchema.json.type must be one of the following: object.',
    ),
    (
        'temperature with top p',
        CLAUDE_4_5,
        saying(inferenceConfig={'temperature': 0.5, 'topP': 0.9}),
        f'{MODEL}`temperature` and `top_p` cannot both be specified for this model. Please use only one.',
    ),
    (
        'temperature on Claude 5',
        CLAUDE_5,
        saying(inferenceConfig={'temperature': 0.5}),
        f'{MODEL}`temperature` is deprecated for this model.',
    ),
    (
        'a small budget',
        CLAUDE_4,
        thinking(1023, maxTokens=2000),
        f'{MODEL}thinking.enabled.budget_tokens: Input should be greater than or equal to 1024',
    ),
    (
        'a budget of all tokens',
        CLAUDE_4,
        thinking(2000, maxTokens=2000),
        f'{MODEL}`max_tokens` must be greater than `thinking.budget_tokens`. ',
    ),
    (
        'temperature with thinking',
        CLAUDE_4,
        thinking(1024, maxTokens=2000, temperature=0),
        f'{MODEL}`temperature` may only be set to 1 when thinking is enabled. ',
    ),
    (
        'a budget where thinking is adaptive',
        CLAUDE_5,
        thinking(1024, maxTokens=2000),
        f'{MODEL}"thinking.type.enabled" is not supported for this model. ',
    ),
    (
        'more tokens than the model writes',
        NOVA,
        saying(inferenceConfig={'maxTokens': 10_001}),
        'The maximum tokens you requested exceeds the model limit of 10000. Try again with a maximum tokens value that '
        'is lower than 10000.',
    ),
    (
        'a fifth cache point',
        CLAUDE_4,
        {
            'messages': [user('a', POINT, 'b', POINT)],
            'system': [{'text': 'c'}, POINT, {'text': 'd'}, POINT],
            'toolConfig': {'tools': [tool('a'), POINT]},
        },
        f'{MODEL}A maximum of 4 blocks with cache_control may be provided. Found 5.',
    ),
    (
        'a cache point after reasoning',
        CLAUDE_4,
        {'messages': [HELLO, assistant({'reasoningContent': {'reasoningText': {'text': 'a'}}}, POINT), HELLO]},
        'Cache point cannot be inserted after reasoning block. Please remove the invalid cache point and try again.',
    ),
    (
        'a cache point among the tools of Nova',
        NOVA,
        saying(toolConfig={'tools': [tool('a'), POINT]}),
        'Malformed input request: #/toolConfig/tools/1: extraneous key [cachePoint] is not permitted, please reformat '
        'your input and try again.',
    ),
    ('tools on R1', 'us.deepseek.r1-v1:0', saying(toolConfig=TOOLS), "This model doesn't support tool use."),
    (
        'a forced tool on Llama',
        LLAMA_4,
        saying(toolConfig={**TOOLS, 'toolChoice': {'any': {}}}),
        "This model doesn't support the toolConfig.toolChoice.any field. Remove toolConfig.toolChoice.any and try "
        'again.',
    ),
    (
        'a system prompt on Mixtral',
        'mistral.mixtral-8x7b-instruct-v0:1',
        saying(system=[{'text': 'Be brief.'}]),
        "This model doesn't support system messages. Try again without a system message or use a model that supports "
        'system messages.',
    ),
    (
        'an image among the results of GPT',
        GPT,
        {'messages': [HELLO, assistant(tool_use('a')), user(IMAGE_RESULT)], 'toolConfig': TOOLS},
        NO_IMAGE,
    ),
    (
        'a status on Palmyra',
        PALMYRA,
        {
            'messages': [HELLO, assistant(tool_use('a')), user(tool_result('x', status='success'))],
            'toolConfig': TOOLS,
        },
        "This model doesn't support the status field. Remove status and try again.",
    ),
]
ACCEPTED: list[tuple[str, str, dict[str, Any]]] = [
    ('Claude speaks first', CLAUDE_4, {'messages': [assistant('Hi'), HELLO]}),
    ('Qwen speaks first', QWEN, {'messages': [assistant('Hi'), HELLO]}),
    ('an unknown model speaks first', UNKNOWN, {'messages': [assistant('Hi'), HELLO]}),
    ('two messages of a role in a row', CLAUDE_4, {'messages': [HELLO, HELLO]}),
    ('a prompt without messages', PROMPT, {'promptVariables': {}}),
    ('an underscore in the name of a document', CLAUDE_4, {'messages': [user('Read', document('a_b'))]}),
    ('five documents', NOVA, {'messages': [user('Read', *(document(str(number)) for number in range(5)))]}),
    ('a large PDF', CLAUDE_4, {'messages': [user('Read', document(size=LARGE, kind='pdf'))]}),
    ('many images on Claude 5', CLAUDE_5, {'messages': [user('Look', *(image() for _ in range(29)))]}),
    ('the largest image', CLAUDE_4_5, {'messages': [user('Look', image(3_932_160))]}),
    ('text and an image beside results', CLAUDE_4, asked('And now?', image())),
    ('an image among results', CLAUDE_4, {
        'messages': [HELLO, assistant(tool_use('a')), user(IMAGE_RESULT)], 'toolConfig': TOOLS,
    }),
    ('temperature with top p on Claude 4', CLAUDE_4, saying(inferenceConfig={'temperature': 0.5, 'topP': 0.9})),
    ('a temperature of 1', CLAUDE_5, saying(inferenceConfig={'temperature': 1})),
    ('a budget below the most tokens', CLAUDE_4, thinking(1024, maxTokens=1025, temperature=1)),
    ('as many tokens as the model writes', NOVA, saying(inferenceConfig={'maxTokens': 10_000})),
    ('four cache points', CLAUDE_4, {'messages': [user('a', POINT, 'b', POINT, 'c', POINT, 'd', POINT)]}),
    ('a forced tool on an unknown model', UNKNOWN, saying(toolConfig={**TOOLS, 'toolChoice': {'any': {}}})),
]  # fmt: skip


def refusal(body: dict[str, Any], model_id: str, *, streaming: bool = False) -> str | None:
    try:
        check_converse(body, model_id, streaming=streaming)
    except RefusedError as error:
        return error.reply.message
    return None


@pytest.mark.parametrize(
    ('model_id', 'body', 'message'), [case[1:] for case in REFUSED], ids=[case[0].replace(' ', '-') for case in REFUSED]
)
def test_it_is_refused_in_the_words_of_aws(model_id: str, body: dict[str, Any], message: str) -> None:
    said = refusal(body, model_id) or ''
    assert said.startswith(message) if message.endswith(' ') else said == message


@pytest.mark.parametrize(
    ('model_id', 'body'), [case[1:] for case in ACCEPTED], ids=[case[0].replace(' ', '-') for case in ACCEPTED]
)
def test_it_is_accepted(model_id: str, body: dict[str, Any]) -> None:
    assert refusal(body, model_id) is None


def test_a_model_that_is_available_by_profile_only_says_so() -> None:
    with pytest.raises(RefusedError) as refused:
        check_on_demand('anthropic.claude-sonnet-4-5-20250929-v1:0')
    assert refused.value.reply.message == ON_DEMAND
    for model_id in (CLAUDE_4_5, CLAUDE_3, UNKNOWN):
        check_on_demand(model_id)


def test_tools_of_llama_cannot_be_streamed() -> None:
    assert refusal(saying(toolConfig=TOOLS), LLAMA_4) is None
    said = refusal(saying(toolConfig=TOOLS), LLAMA_4, streaming=True)
    assert said == "This model doesn't support tool use in streaming mode."


def test_interleaved_thinking_may_have_a_larger_budget_than_tokens() -> None:
    body = thinking(4000, maxTokens=2000)
    body['additionalModelRequestFields']['anthropic_beta'] = ['interleaved-thinking-2025-05-14']
    assert refusal(body, CLAUDE_4) is None


@pytest.mark.parametrize(
    ('model_id', 'refused'),
    [
        ('anthropic.claude-sonnet-4-20250514-v1:0', False),
        (UNKNOWN, False),
        (CLAUDE_4, True),
        ('amazon.nova-lite-v1:0', True),
    ],
)
def test_tokens_are_counted_for_some_foundation_models(model_id: str, refused: bool) -> None:
    if not refused:
        return check_count_tokens(model_id)
    with pytest.raises(RefusedError, match="The provided model doesn't support counting tokens"):
        check_count_tokens(model_id)
    return None


def test_a_prompt_may_be_as_long_as_the_context() -> None:
    check_prompt_length({}, 200_000, CLAUDE_4)
    check_prompt_length(
        {'additionalModelRequestFields': {'anthropic_beta': ['context-1m-2025-08-07']}}, 200_001, CLAUDE_4
    )
    check_prompt_length({}, 10**9, UNKNOWN)
    with pytest.raises(RefusedError, match=r'errors: prompt is too long: 200049 tokens > 200000 maximum$'):
        check_prompt_length({}, 200_049, CLAUDE_4)
    with pytest.raises(RefusedError, match='Input is too long for requested model'):
        check_prompt_length({}, 1_000_001, 'us.amazon.nova-2-lite-v1:0')
