"""A long conversation is encoded onward, to the same bytes and the same digest as if it were encoded whole."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from credential_sources import MODEL, Gate
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from served_bedrock import keys_of

from local_bedrock import SERVICE_UNAVAILABLE, ErrorReply, LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._client.continued import MAX_LENGTH, MIN_LENGTH, encode_onward
from pydantic_ai_aiobedrock._config.conversation import REMEMBERED, Conversation, Conversations, conversations
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime
from pydantic_ai_aiobedrock._wire.converse import LARGE_BLOB_BYTES, encode_request

LONG = 'é"\\ ' * (MIN_LENGTH // 4)
Message = dict[str, Any]

THROTTLED = ErrorReply(429, 'ThrottlingException', 'Too many requests, please wait before trying again.')


def text(role: str, content: object = 'Hello') -> Message:
    return {'role': role, 'content': [{'text': content}]}


def params(*messages: Message, **others: Any) -> dict[str, Any]:
    return {'modelId': MODEL, 'messages': [text('user', LONG), *messages], **others}


def check(request: dict[str, Any], conversation: Conversation, *, onward: bool = True) -> None:
    body = encode_onward(request, conversation)
    assert (body is not None) is onward
    if body is not None:
        assert bytes(body) == encode_request(request)
        assert len(body) == len(bytes(body))
        assert body.digest == sha256(bytes(body)).hexdigest()


def test_a_conversation_that_goes_on_is_encoded_to_the_same_bytes() -> None:
    conversation = Conversation()
    for turns in range(1, 5):
        for _ in range(2):
            check(params(*[text('assistant'), text('user')] * turns, system=[{'text': 'x'}]), conversation)


def test_only_what_was_added_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []

    def counted(part: dict[str, Any]) -> list[bytes]:
        encoded.append(len(part['messages']))
        return [encode_request(part)]

    monkeypatch.setattr('pydantic_ai_aiobedrock._client.continued.encode_in_parts', counted)
    conversation = Conversation()
    turn = [text('assistant'), text('user')]
    check(params(*turn), conversation)
    # All but the last message, the other members, the last message.
    assert encoded == [2, 0, 1]
    encoded.clear()
    check(params(*turn, *turn), conversation)
    check(params(*turn, *turn), conversation)
    assert encoded == [2, 1, 1]


EARLIER = [
    text('assistant'),
    {'role': 'user', 'content': [{'toolResult': {'toolUseId': '1', 'content': [{'json': {'a': [1, {'b': None}]}}]}}]},
    {'role': 'assistant', 'content': [{'toolUse': {'toolUseId': '1', 'name': 'f', 'input': {'a': [1, {'b': 0.0}]}}}]},
    {'role': 'user', 'content': [{'image': {'format': 'png', 'source': {'bytes': b'\0\1'}}}, {'text': 'x'}]},
    {'role': 'assistant', 'content': [{'reasoningContent': {'reasoningText': {'text': 'a', 'signature': 'b'}}}]},
]
CHANGES: dict[str, Callable[[list[Message]], object]] = {
    'text': lambda sent: sent[1]['content'][0].update(text='Hell0'),
    'role': lambda sent: sent[1].update(role='user'),
    'a part more': lambda sent: sent[1]['content'].append({'text': 'x'}),
    'a part less': lambda sent: sent[4]['content'].pop(),
    'a message less': lambda sent: sent.pop(2),
    'a message more, in the middle': lambda sent: sent.insert(2, text('user')),
    'the first message': lambda sent: sent[0]['content'][0].update(text=LONG + ' '),
    'nested in a result': lambda sent: sent[2]['content'][0]['toolResult']['content'][0]['json']['a'].append(2),
    'null to false': lambda sent: sent[2]['content'][0]['toolResult']['content'][0]['json']['a'][1].update(b=False),
    '1 to true': lambda sent: sent[3]['content'][0]['toolUse']['input']['a'].__setitem__(0, True),
    '1 to 1.0': lambda sent: sent[3]['content'][0]['toolUse']['input']['a'].__setitem__(0, 1.0),
    '0.0 to -0.0': lambda sent: sent[3]['content'][0]['toolUse']['input']['a'][1].update(b=-0.0),
    'a key': lambda sent: sent[3]['content'][0]['toolUse']['input'].update(c=1),
    'the order of keys': lambda sent: sent.__setitem__(1, dict(reversed(sent[1].items()))),
    'bytes': lambda sent: sent[4]['content'][0]['image']['source'].update(bytes=b'\0\2'),
    'a signature': lambda sent: sent[5]['content'][0]['reasoningContent']['reasoningText'].update(signature='c'),
}


@pytest.mark.parametrize('change', CHANGES.values(), ids=CHANGES)
def test_a_message_that_was_changed_in_place_is_sent_as_it_is_now(change: Callable[[list[Message]], object]) -> None:
    conversation = Conversation()
    request = params(*deepcopy(EARLIER), text('user', 'go on'))
    check(request, conversation)
    before = encode_request(request)
    change(request['messages'])
    assert encode_request(request) != before
    check(request, conversation)


@pytest.mark.parametrize(
    'change',
    [
        lambda request: request['toolConfig']['tools'][0]['toolSpec']['inputSchema']['json']['properties'].clear(),
        lambda request: request.update(system=[{'text': 'else'}]),
        lambda request: request.pop('system'),
        lambda request: request.update(requestMetadata={'a': 'b'}),
        lambda request: request['inferenceConfig'].update(temperature=1),
    ],
)
def test_another_member_that_was_changed_in_place_is_sent_as_it_is_now(change: Callable[[Any], object]) -> None:
    conversation = Conversation()
    schema = {'type': 'object', 'properties': {'a': {'type': 'string'}}}
    tools = {'tools': [{'toolSpec': {'name': 'f', 'inputSchema': {'json': schema}}}]}
    request = params(
        text('assistant'), text('user'), system=[{'text': 'x'}], inferenceConfig={'temperature': 1.0}, toolConfig=tools
    )
    check(request, conversation)
    before = encode_request(request)
    change(request)
    assert encode_request(request) != before
    check(request, conversation)


@pytest.mark.parametrize(
    'request_',
    [
        {'modelId': MODEL, 'messages': [text('user'), text('assistant'), text('user')]},
        params(text('user', 'x' * MAX_LENGTH), text('user')),
        params(text('user', b'x' * (LARGE_BLOB_BYTES + 1)), text('user')),
        params(text('user', '\ud800'), text('user')),
        params(text('user'), text('user', '\ud800')),
        params(text('user', {1, 2}), text('user')),
        params(text('user', datetime(2026, 1, 1, tzinfo=UTC)), text('user')),
        params(text('user'), text('user', float('nan'))),
        params(text('user', type('Text', (str,), {})('x')), text('user')),
        {'modelId': MODEL, 'system': [{'text': 'x'}], 'messages': params()['messages'] * 3},
        {'modelId': MODEL},
    ],
    ids=[
        'short',
        'too long',
        'large blob',
        'surrogate',
        'last surrogate',
        'set',
        'date',
        'NaN',
        'subclass',
        'order',
        'no',
    ],
)
def test_what_is_not_plain_json_is_left_to_be_encoded_whole(request_: dict[str, Any]) -> None:
    check(request_, Conversation(), onward=False)


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


roles: Any = st.sampled_from(['user', 'assistant'])
texts: Any = st.text(max_size=2)
blocks: Any = (
    st.fixed_dictionaries({'text': texts})
    | st.fixed_dictionaries({'toolUse': st.fixed_dictionaries({'input': json_values})})
    | st.fixed_dictionaries({'text': texts, 'more': texts})
)
any_messages: Any = (
    st.builds(text, roles, texts)
    | st.fixed_dictionaries({'content': st.tuples(st.fixed_dictionaries({'text': texts})).map(list), 'role': roles})
    | st.fixed_dictionaries({'role': roles, 'content': st.lists(blocks, max_size=2)})
    | st.fixed_dictionaries({'role': roles, 'content': texts})
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4), max_size=5),
    st.lists(any_messages, min_size=4, max_size=4),
)
def test_any_conversations_in_any_order_are_encoded_like_whole_ones(
    orders: list[list[int]], messages: list[Message]
) -> None:
    conversation = Conversation()
    for order in orders:
        check(params(*(deepcopy(messages[index]) for index in order), text('user')), conversation)


def test_the_pieces_of_a_conversation_are_not_copied_when_it_goes_on() -> None:
    conversation = Conversation()
    longer = [text('assistant', LONG), text('user')]
    before = encode_onward(params(*longer), conversation)
    after = encode_onward(params(*longer, text('assistant'), text('user')), conversation)
    assert before is not None
    assert after is not None
    assert len(before.pieces) > 2
    assert [id(piece) for piece in after.pieces[:-1]] == [id(piece) for piece in before.pieces[:-1]]


def test_a_conversation_is_forgotten_with_its_first_message() -> None:
    conversations = Conversations()
    first, other = ModelRequest(parts=[]), ModelRequest(parts=[])
    known = conversations.of([first, other, other])
    assert known is not None
    assert conversations.of([first, other, other, other]) is known
    assert conversations.of([other, first, other]) is not known
    assert conversations.of([first, other]) is None
    del first
    gc.collect()
    assert len(conversations) == 1
    kept = [ModelRequest(parts=[]) for _ in range(REMEMBERED + 5)]
    for message in kept:
        conversations.of([message] * 3)
    assert len(conversations) == REMEMBERED


def test_beyond_the_memory_for_all_the_oldest_conversation_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._config.conversation.KEPT_BYTES', 100)
    conversations = Conversations()
    messages = [[ModelRequest(parts=[])] * 3 for _ in range(3)]
    known = [conversations.of(each) for each in messages]
    for conversation, size in zip(known, (60, 40, 50), strict=True):
        assert conversation is not None
        conversations.keep(conversation, 'state', size)
    remembered = [conversations.of(each) is before for each, before in zip(messages, known, strict=True)]
    assert remembered == [False, True, True]


@pytest.mark.parametrize('content', ['x' * 100_000, 'é' * 100_000, '\N{PARTY POPPER}' * 100_000, 'short'])
def test_the_memory_that_a_conversation_takes_is_counted(content: str) -> None:
    conversation = Conversation()
    messages = max(1, 1_000_000 // len(content))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        # The texts are kept though nobody else has them any more.
        request = params(*(text('user', content + str(number)) for number in range(messages)), text('user'))
        assert encode_onward(request, conversation) is not None
        del request
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.9 * taken < conversation.size < 1.5 * taken


def history() -> list[ModelMessage]:
    return [
        ModelRequest(parts=[SystemPromptPart('Be brief.'), UserPromptPart(LONG)]),
        ModelResponse(
            parts=[ThinkingPart('hm', signature='s'), TextPart('Well'), ToolCallPart('f', {'a': {'b': 1}}, '1')]
        ),
        ModelRequest(parts=[ToolReturnPart('f', {'c': [1]}, '1')]),
        ModelResponse(parts=[TextPart('Then')]),
        ModelRequest(parts=[UserPromptPart(['Look', BinaryContent(b'\0', media_type='image/png')])]),
        ModelResponse(parts=[TextPart('Seen')]),
        ModelRequest(parts=[UserPromptPart('Go on')]),
    ]


MUTATIONS: dict[str, Callable[[Any, ToolDefinition], object]] = {
    'nothing': lambda messages, tool: None,
    'system': lambda messages, tool: setattr(messages[0].parts[0], 'content', 'Be long.'),
    'user': lambda messages, tool: setattr(messages[0].parts[1], 'content', LONG + '!'),
    'thinking': lambda messages, tool: setattr(messages[1].parts[0], 'content', 'ah'),
    'answer': lambda messages, tool: setattr(messages[1].parts[1], 'content', 'Hm'),
    'arguments': lambda messages, tool: messages[1].parts[2].args['a'].update(b=2),
    'result': lambda messages, tool: messages[2].parts[0].content['c'].append(2),
    'list of contents': lambda messages, tool: messages[4].parts[0].content.pop(0),
    'binary': lambda messages, tool: setattr(messages[4].parts[0].content[1], 'data', b'\1'),
    'message more': lambda messages, tool: messages.append(ModelRequest(parts=[UserPromptPart('And on')])),
    'part less': lambda messages, tool: messages[1].parts.pop(1),
    'schema': lambda messages, tool: tool.parameters_json_schema['properties']['x'].update(type='integer'),
    'description': lambda messages, tool: setattr(tool, 'description', 'Else'),
}


def model_of(bedrock: LocalBedrock, pool: SessionPool, connect_timeout: float = 60) -> BedrockConverseModel:
    provider = BedrockProvider(
        region_name=bedrock.region_name,
        base_url=bedrock.base_url,
        pool=pool,
        aws_connect_timeout=connect_timeout,
        **keys_of(bedrock),
    )
    return BedrockConverseModel(MODEL, provider=provider)


def tool() -> ToolDefinition:
    schema: dict[str, Any] = {'type': 'object', 'properties': {'x': {'type': 'string'}}}
    return ToolDefinition(name='f', description='Do', parameters_json_schema=schema)


@pytest.mark.parametrize('mutate', MUTATIONS.values(), ids=MUTATIONS)
async def test_a_history_or_a_tool_that_was_mutated_is_sent_as_it_is_now(
    bedrock: LocalBedrock, pool: SessionPool, mutate: Callable[[Any, ToolDefinition], object]
) -> None:
    model, messages, used = model_of(bedrock, pool), history(), tool()
    for _ in range(3):
        await model.request(messages, None, ModelRequestParameters(function_tools=[used]))
    mutate(messages, used)
    await model.request(messages, None, ModelRequestParameters(function_tools=[used]))
    fresh, other = history(), tool()
    mutate(fresh, other)
    # The first request of a client goes through botocore.
    separate = model_of(bedrock, pool, connect_timeout=59)
    await separate.request(fresh, None, ModelRequestParameters(function_tools=[other]))
    *_, before, onward, whole = (request.raw_body for request in bedrock.requests)
    assert onward == whole
    assert (onward == before) is (mutate is MUTATIONS['nothing'])
    # It was encoded onward, or this would show nothing.
    known = conversations.of(messages)
    assert known is not None
    assert onward.startswith(b''.join((*known.encoded.pieces, known.encoded.rest)))


@pytest.mark.parametrize('refusal', [SERVICE_UNAVAILABLE, THROTTLED], ids=['by botocore', 'by the pacer'])
async def test_a_request_that_is_sent_again_has_the_same_body(
    bedrock: LocalBedrock, pool: SessionPool, refusal: ErrorReply
) -> None:
    model, messages = model_of(bedrock, pool), history()
    parameters = ModelRequestParameters(function_tools=[tool()])
    for _ in range(2):
        await model.request(messages, None, parameters)
    bedrock.reply(refusal)
    await model.request(messages, None, parameters)
    bodies = [request.raw_body for request in bedrock.requests]
    assert len(bodies) == 4
    assert len(set(bodies)) == 1


async def test_mapped_messages_are_let_go_of_while_the_model_thinks(
    bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped: list[list[Message]] = []
    call = BedrockRuntime.call

    async def seen(self: BedrockRuntime, operation: Any, params: Any, options: Any) -> dict[str, Any]:
        mapped.append(params['messages'])
        return await call(self, operation, params, options)

    monkeypatch.setattr(BedrockRuntime, 'call', seen)
    model, messages = model_of(bedrock, pool), history()
    # The first goes through botocore.
    await model.request(messages, None, ModelRequestParameters(function_tools=[tool()]))
    gate = Gate(bedrock, 'Done.')
    task = asyncio.create_task(model.request(messages, None, ModelRequestParameters(function_tools=[tool()])))
    await gate.reached_by(1)
    assert len(mapped[0]) == len(messages)
    assert mapped[1] == []
    gate.opened.set()
    assert (await task).parts == [TextPart('Done.')]
