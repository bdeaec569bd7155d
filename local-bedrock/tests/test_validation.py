"""What Bedrock refuses, LocalBedrock refuses, in the same words; what it accepts, LocalBedrock accepts."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from support.requests import CLAUDE, NOVA, Post, assistant, encoded, tool, tool_result, tool_use, user

from local_bedrock import LocalBedrock

HELLO = user('Hello')
TOOLS = {'tools': [tool('get_weather'), tool('get_time')]}
SHAPES: list[tuple[str, dict[str, Any], str]] = [
    (
        'a required member is missing',
        {'messages': [{'role': 'user'}]},
        "1 validation error detected: Value null at 'messages.1.member.content' failed to satisfy constraint: "
        'Member must '
        'not be null',
    ),
    (
        'a null is as good as missing',
        {'messages': [{'role': None, 'content': []}]},
        "1 validation error detected: Value null at 'messages.1.member.role' failed to satisfy constraint: Member "
        'must not '
        'be null',
    ),
    (
        'a value is not of the enum',
        {'messages': [HELLO], 'toolConfig': TOOLS, 'guardrailConfig': {'trace': 'loud'}},
        "Value 'loud' at 'guardrailConfig.trace' failed to satisfy constraint: Member must satisfy enum value set: [",
    ),
    (
        'a number is too great',
        {'messages': [HELLO], 'inferenceConfig': {'temperature': 1.5}},
        "1 validation error detected: Value '1.5' at 'inferenceConfig.temperature' failed to satisfy constraint: "
        'Member '
        'must have value less than or equal to 1',
    ),
    (
        'a number is too small',
        {'messages': [HELLO], 'inferenceConfig': {'maxTokens': 0}},
        "1 validation error detected: Value '0' at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member "
        'must '
        'have value greater than or equal to 1',
    ),
    (
        'a text is too short',
        {'messages': [HELLO], 'system': [{'text': 'Be brief.'}, {'text': ''}]},
        "1 validation error detected: Value '' at 'system.2.member.text' failed to satisfy constraint: Member must "
        'have '
        'length greater than or equal to 1',
    ),
    (
        'a text is too long',
        {'messages': [user(tool_use('x' * 65))]},
        f"Value '{'x' * 65}' at 'messages.1.member.content.1.member.toolUse.name' failed to satisfy constraint: "
        'Member must '
        'have length less than or equal to 64',
    ),
    (
        'a list is too short',
        {'messages': [HELLO], 'toolConfig': {'tools': []}},
        "1 validation error detected: Value at 'toolConfig.tools' failed to satisfy constraint: Member must have "
        'length '
        'greater than or equal to 1',
    ),
    (
        'a text does not match the pattern',
        {'messages': [HELLO], 'toolConfig': {'tools': [tool('get weather')]}},
        "1 validation error detected: Value 'get weather' at 'toolConfig.tools.1.member.toolSpec.name' failed to "
        'satisfy '
        'constraint: Member must satisfy regular expression pattern: ',
    ),
    (
        'several values are wrong',
        {'messages': [HELLO], 'inferenceConfig': {'temperature': 2, 'topP': -1}},
        '2 validation errors detected: ',
    ),
    (
        'a content block is empty',
        {'messages': [{'role': 'user', 'content': [{}]}]},
        'ContentBlock object at messages.0.content.0 must set one of the following keys: text, image, ',
    ),
    (
        'a content block is two',
        {'messages': [{'role': 'user', 'content': [{'text': 'a', 'cachePoint': {'type': 'default'}}]}]},
        'ContentBlock object at messages.0.content.0 must set one of the following keys: ',
    ),
    (
        'an empty blob',
        {'messages': [user('Look', {'image': {'format': 'png', 'source': {'bytes': ''}}})]},
        "Value at 'messages.1.member.content.2.member.image.source.bytes' failed to satisfy constraint: Member must "
        'have '
        'length greater than or equal to 1',
    ),
    (
        'a map with a long value',
        {'messages': [HELLO], 'requestMetadata': {'tenant': 'x' * 300}},
        "at 'requestMetadata.tenant' failed to satisfy constraint: Member must have length less than or equal to 256",
    ),
]
FOUNDATION = 'anthropic.claude-sonnet-4-20250514-v1:0'
CONVERSATIONS: list[tuple[str, dict[str, Any], str]] = [
    (
        'no messages',
        {'messages': []},
        'A conversation must start with a user message. Try again with a conversation that starts with a user message.',
    ),
    (
        'the model speaks first',
        {'messages': [assistant('Hello'), HELLO]},
        'A conversation must start with a user message. Try again with a conversation that starts with a user message.',
    ),
    (
        'an empty message',
        {'messages': [HELLO, assistant(), HELLO]},
        'The content field in the Message object at messages.1 is empty. Add a ContentBlock object to the content '
        'field '
        'and try again.',
    ),
    (
        'an empty text',
        {'messages': [user('Hello', '')]},
        'The text field in the ContentBlock object at messages.0.content.1 is blank. Add text to the text field, '
        'and try '
        'again.',
    ),
    (
        'white space and nothing else',
        {'messages': [user(' \n ')]},
        'The text field in the ContentBlock object at messages.0.content.0 is blank. Add text to the text field, '
        'and try '
        'again.',
    ),
    (
        'tools without their configuration',
        {'messages': [HELLO, assistant(tool_use('get_weather')), user(tool_result('Rain'))]},
        'The toolConfig field must be defined when using toolUse and toolResult content blocks.',
    ),
    (
        'a call that is not answered',
        {
            'messages': [
                HELLO,
                assistant(tool_use('get_weather', 'a'), tool_use('get_time', 'b')),
                user(tool_result('x', 'a')),
            ],
            'toolConfig': TOOLS,
        },
        'Expected toolResult blocks at messages.2.content for the following Ids: b',
    ),
    (
        'a call that is answered under another id',
        {'messages': [HELLO, assistant(tool_use('get_time', 'a')), user(tool_result('x', 'z'))], 'toolConfig': TOOLS},
        'Expected toolResult blocks at messages.2.content for the following Ids: a',
    ),
    (
        'answers in two messages',
        {
            'messages': [
                HELLO,
                assistant(tool_use('get_weather', 'a'), tool_use('get_time', 'b')),
                user(tool_result('x', 'a')),
                user(tool_result('y', 'b')),
            ],
            'toolConfig': TOOLS,
        },
        'Expected toolResult blocks at messages.2.content for the following Ids: b',
    ),
    (
        'an answer to no call',
        {'messages': [HELLO, assistant('Hi'), user(tool_result('x'))], 'toolConfig': TOOLS},
        'The number of toolResult blocks at messages.2.content exceeds the number of toolUse blocks of previous turn.',
    ),
    (
        'an answer given twice',
        {
            'messages': [HELLO, assistant(tool_use('get_time')), user(tool_result('x'), tool_result('y'))],
            'toolConfig': TOOLS,
        },
        'The toolResult blocks at messages.2.content contain duplicate Ids: tooluse_1',
    ),
    (
        'an error that says nothing',
        {
            'messages': [
                HELLO,
                assistant(tool_use('get_time')),
                user({'toolResult': {'toolUseId': 'tooluse_1', 'content': [], 'status': 'error'}}),
            ],
            'toolConfig': TOOLS,
        },
        'The content field at messages.2.content.0.toolResult cannot be empty when status value is error.',
    ),
    (
        'a forced tool that is not offered',
        {'messages': [HELLO], 'toolConfig': {**TOOLS, 'toolChoice': {'tool': {'name': 'other'}}}},
        "The model returned the following errors: tool_choice.name: Tool 'other' not found in provided tools",
    ),
    (
        'two tools of one name',
        {'messages': [HELLO], 'toolConfig': {'tools': [tool('a'), tool('a')]}},
        'The model returned the following errors: tools: Tool names must be unique.',
    ),
    (
        'a document name with dots',
        {
            'messages': [
                user('Read', {'document': {'name': 'a.pdf', 'format': 'pdf', 'source': {'bytes': encoded('a')}}})
            ]
        },
        'The document file name can only contain alphanumeric characters, whitespace characters, hyphens, '
        'parentheses, and '
        "square brackets. The name can't contain more than one consecutive whitespace character.",
    ),
]
ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ('null members', {'messages': [HELLO], 'system': None, 'toolConfig': None, 'inferenceConfig': None}),
    ('members unknown to this service model', {'messages': [HELLO], 'madeUpLater': {'a': [1]}}),
    ('content blocks unknown to this service model', {'messages': [user('Hello', {'madeUpLater': {}})]}),
    ('whole numbers for fractions', {'messages': [HELLO], 'inferenceConfig': {'temperature': 1, 'topP': 0}}),
    ('fractions that are whole', {'messages': [HELLO], 'inferenceConfig': {'maxTokens': 10.0}}),
    ('any JSON in a document', {'messages': [HELLO], 'additionalModelRequestFields': {'a': [None, {'b': 1.5}]}}),
    ('two messages of the user in a row', {'messages': [HELLO, HELLO]}),
    ('white space beside text', {'messages': [user('Hello', '\n')]}),
    ('text beside tool results', {
        'messages': [HELLO, assistant(tool_use('get_time')), user(tool_result('x'), 'And now?')], 'toolConfig': TOOLS,
    }),
    ('tool ids with dots and colons', {
        'messages': [HELLO, assistant(tool_use('get_time', 'call:1.a')), user(tool_result('x', 'call:1.a'))],
        'toolConfig': TOOLS,
    }),
    ('a tool result without content', {
        'messages': [
            HELLO, assistant(tool_use('get_time')), user({'toolResult': {'toolUseId': 'tooluse_1', 'content': []}}),
        ],
        'toolConfig': TOOLS,
    }),
    ('a tool that Bedrock has run', {
        'messages': [
            HELLO,
            assistant(
                {'toolUse': {'toolUseId': 'a', 'name': 'nova_code', 'input': {}, 'type': 'server_tool_use'}},
                tool_result('42', 'a'),
                'It is 42',
            ),
            HELLO,
        ],
        'toolConfig': TOOLS,
    }),
    ('an assistant message to go on from', {'messages': [HELLO, assistant('Well,')]}),
    ('a cache point', {'messages': [user('Hello', {'cachePoint': {'type': 'default'}})]}),
]  # fmt: skip


def of(cases: list[Any]) -> Any:
    return {'argvalues': [case[1:] for case in cases], 'ids': [case[0].replace(' ', '-') for case in cases]}


@pytest.mark.parametrize(('body', 'message'), **of(SHAPES + CONVERSATIONS))
async def test_it_is_refused_in_the_words_of_aws(post: Post, body: dict[str, Any], message: str) -> None:
    for operation in ('converse', 'converse-stream'):
        status, headers, answer = await post(operation, body)
        assert status == 400
        assert headers['x-amzn-errortype'] == 'ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/'
        assert list(json.loads(answer)) == ['message']
        said = json.loads(answer)['message']
        assert message in said


# Anthropic's models, whose tokens alone are counted, may speak first.
@pytest.mark.parametrize(('body', 'message'), **of([case for case in CONVERSATIONS if 'speaks first' not in case[0]]))
async def test_tokens_of_an_invalid_conversation_are_not_counted(
    post: Post, body: dict[str, Any], message: str
) -> None:
    status, _, answer = await post('count-tokens', {'input': {'converse': body}}, model=FOUNDATION)
    assert (status, json.loads(answer)) == (400, {'message': message})


async def test_what_stands_inside_another_request_is_named_by_its_whole_path(post: Post) -> None:
    _, _, answer = await post('count-tokens', {'input': {'converse': {'messages': [{'role': 'user'}]}}})
    assert "Value null at 'input.converse.messages.1.member.content' failed" in json.loads(answer)['message']


@pytest.mark.parametrize('body', **{**of(ACCEPTED), 'argvalues': [case[1] for case in ACCEPTED]})
async def test_it_is_accepted(post: Post, body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    status, _, answer = await post('converse', body)
    assert (status, body) == (200, before), answer


@pytest.mark.parametrize(
    ('body', 'message'),
    [
        (b'{"messages": [', 'EOF while parsing'),
        (b'[]', 'Start of structure or map expected where not found.'),
        ({'messages': 'Hello'}, 'Unexpected value where a list was expected.'),
        ({'messages': {}}, 'Start of structure or map found where not expected.'),
        ({'messages': ['Hello']}, 'Unexpected value where a structure was expected.'),
        ({'messages': [{'role': 1, 'content': []}]}, 'NUMBER_VALUE can not be converted to a String'),
        ({'messages': [user({'text': ['a']})]}, 'Start of list found where not expected.'),
        (
            {'messages': [HELLO], 'inferenceConfig': {'maxTokens': '1'}},
            'STRING_VALUE can not be converted to an Integer',
        ),
        (
            {'messages': [HELLO], 'inferenceConfig': {'maxTokens': 1.5}},
            'NUMBER_VALUE can not be converted to an Integer',
        ),
        (
            {'messages': [HELLO], 'inferenceConfig': {'temperature': True}},
            'BOOLEAN_VALUE can not be converted to a Float',
        ),
        (
            {
                'messages': [
                    user(
                        'Read',
                        {
                            'document': {
                                'name': 'a',
                                'format': 'txt',
                                'source': {'bytes': encoded('a')},
                                'citations': {'enabled': 'yes'},
                            }
                        },
                    )
                ]
            },
            'STRING_VALUE can not be converted to a Boolean',
        ),
    ],
    ids=str,
)
async def test_what_is_of_a_wrong_type_does_not_deserialize(post: Post, body: Any, message: str) -> None:
    status, headers, answer = await post('converse', body)
    assert status == 400
    assert (
        headers['x-amzn-errortype']
        == 'SerializationException:http://internal.amazon.com/coral/com.amazon.coral.service/'
    )
    assert message in json.loads(answer)['message']


async def test_models_that_want_the_user_last_say_so(post: Post) -> None:
    body = {'messages': [HELLO, assistant('Well,')]}
    for model, message in {
        'us.anthropic.claude-opus-4-6-v1': 'This model does not support assistant message prefill. The conversation '
        'must '
        'end with a user message.',
        'meta.llama3-8b-instruct-v1:0': 'The model that you are using requires the last turn in the conversation to '
        'be a '
        'user message. Add a user message to the conversation and try again.',
    }.items():
        status, _, answer = await post('converse', body, model=model)
        assert (status, json.loads(answer)) == (400, {'message': message})
    for model in (NOVA, CLAUDE, 'anthropic.claude-3-haiku-20240307-v1:0'):
        assert (await post('converse', body, model=model))[0] == 200


async def test_another_path_is_no_operation(bedrock: LocalBedrock, post: Post) -> None:
    for operation in ('chat', 'invoke-async'):
        status, headers, answer = await post(operation)
        assert status == 404
        assert headers['x-amzn-errortype'].startswith('UnknownOperationException:')
        assert json.loads(answer)['Version'] == '1.0'
    assert [request.operation for request in bedrock.requests] == [None, None]
