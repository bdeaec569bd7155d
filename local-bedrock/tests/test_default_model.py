"""The default model: what it says by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from multidict import CIMultiDict
from support.requests import assistant, encoded, tool, tool_result, tool_use, user

from local_bedrock import RecordedRequest, Reply, respond
from local_bedrock._bodies.tokens import count_tokens, input_tokens, truncate

CITY = {'type': 'object', 'properties': {'city': {'type': 'string'}}, 'required': ['city']}
WEATHER, TIME, FINAL = tool('get_weather', CITY), tool('get_time'), tool('final_result', CITY)
DONE = tool_result('Final result processed.')


def asked(*messages: dict[str, Any], **body: Any) -> RecordedRequest:
    return RecordedRequest(
        operation='Converse',
        model_id='m',
        method='POST',
        path='/',
        headers=CIMultiDict[str](),
        raw_body=b'',
        body={'messages': list(messages), **body},
    )


def said(*messages: dict[str, Any], tools: list[Any] | None = None, choice: Any = None, **body: Any) -> Reply:
    if tools is not None:
        body['toolConfig'] = {'tools': tools, **({} if choice is None else {'toolChoice': choice})}
    reply = respond(asked(*messages, **body))
    return reply


def called(*messages: dict[str, Any], **options: Any) -> list[str]:
    return [call.name for call in said(*messages, **options).tool_calls]


def test_it_refers_to_what_the_user_said_last() -> None:
    reply = said(user('First'), assistant('Yes?'), user('Look at', 'this  and\nthat'), system=[{'text': 'Be a pirate'}])
    assert reply.text is not None
    assert 'You said: "this and that"' in reply.text
    assert 'pirate' not in reply.text


def test_it_does_not_repeat_a_long_prompt() -> None:
    reply = said(user('x' * 5000))
    assert reply.text is not None
    assert len(reply.text) < 500


def test_it_acknowledges_media() -> None:
    image = {'image': {'format': 'png', 'source': {'bytes': encoded('a')}}}
    document = {'document': {'name': 'Report 1', 'format': 'txt', 'source': {'bytes': encoded('a')}}}
    text = said(user(image, image, document, 'What is this?')).text
    assert text is not None
    assert text.startswith('I have looked at 2 of kind image. I have read Report 1. You said: "What is this?"')


# Tools


def test_it_calls_the_first_tool_and_then_tells_what_that_said() -> None:
    question, call = user('Weather in Paris?'), assistant(tool_use('get_weather', city='Paris'))
    reply = said(question, tools=[WEATHER, TIME])
    assert [(call.name, call.input) for call in reply.tool_calls] == [('get_weather', {'city': 'Paris'})]
    told = said(question, call, user(tool_result('Rain')), tools=[WEATHER, TIME])
    assert (told.text, told.tool_calls) == ('Here is what I found. get_weather says: Rain', ())


def test_it_tells_results_of_any_kind() -> None:
    result = {'toolResult': {'toolUseId': 'tooluse_1', 'content': [{'json': {'a': 1}}, {'text': 'and more'}]}}
    nothing = {'toolResult': {'toolUseId': 'b', 'content': []}}
    calls = assistant(tool_use('get_weather'), tool_use('get_time', 'b'))
    reply = said(user('Hi'), calls, user(result, nothing), tools=[WEATHER, TIME])
    assert reply.text == 'Here is what I found. get_weather says: {"a":1} and more get_time says: nothing'


@pytest.mark.parametrize(
    ('choice', 'answered', 'expected'),
    [
        (None, False, ['get_weather']),
        ({'auto': {}}, False, ['get_weather']),
        ({'any': {}}, False, ['get_weather']),
        ({'tool': {'name': 'get_time'}}, False, ['get_time']),
        ({'auto': {}}, True, []),
        ({'any': {}}, True, ['get_weather']),
        ({'tool': {'name': 'get_time'}}, True, ['get_time']),
    ],
)
def test_the_choice_of_tools_is_followed(choice: Any, answered: bool, expected: list[str]) -> None:
    messages = [user('Hi')]
    if answered:
        messages += [assistant(tool_use('get_weather')), user(tool_result('Rain'))]
    assert called(*messages, tools=[WEATHER, TIME], choice=choice) == expected


@pytest.mark.parametrize('choice', [{'any': {}}, {'auto': {}}])
def test_the_output_tool_is_called_last(choice: Any) -> None:
    tools = [FINAL, WEATHER]
    question, call = user('Hi'), assistant(tool_use('get_weather'))
    assert called(question, tools=tools, choice=choice) == ['get_weather']
    assert called(question, call, user(tool_result('Rain')), tools=tools, choice=choice) == ['final_result']
    assert called(question, tools=[FINAL], choice=choice) == ['final_result']


def test_an_output_that_was_not_accepted_is_given_again() -> None:
    history = [user('Hi'), assistant(tool_use('get_weather', 'a')), user(tool_result('Rain', 'a'))]
    history += [assistant(tool_use('final_result')), user(tool_result('Fix the errors', status='error'))]
    assert called(*history, tools=[FINAL, WEATHER], choice={'any': {}}) == ['final_result']


def test_a_prompt_after_a_final_result_begins_another_run() -> None:
    history = [user('Hi'), assistant(tool_use('final_result')), user(DONE, 'And now?')]
    assert called(*history, tools=[FINAL, WEATHER], choice={'any': {}}) == ['get_weather']


def test_text_beside_the_result_of_another_tool_belongs_to_the_result() -> None:
    history = [user('Hi'), assistant(tool_use('get_weather')), user(tool_result('See file'), 'This is the file:')]
    assert called(*history, tools=[FINAL, WEATHER], choice={'any': {}}) == ['final_result']


def test_tools_that_bedrock_runs_are_not_called() -> None:
    assert called(user('Hi'), tools=[{'systemTool': {'name': 'nova_grounding'}}]) == []


# Structured output, thinking, limits


def test_it_fills_the_schema_of_structured_output() -> None:
    schema = json.dumps(
        {'type': 'object', 'properties': {'city': {'type': 'string'}, 'population': {'type': 'integer'}}}
    )
    form = {'type': 'json_schema', 'structure': {'jsonSchema': {'name': 'City', 'schema': schema}}}
    text = said(user('Tell me of Paris, with 2100000 people'), outputConfig={'textFormat': form}).text
    assert json.loads(text or '') == {'city': 'Paris', 'population': 2100000}


@pytest.mark.parametrize(
    'fields',
    [
        {'thinking': {'type': 'enabled', 'budget_tokens': 1024}},
        {'thinking': {'type': 'adaptive'}},
        {'reasoning_config': {'type': 'enabled'}},
        {'reasoningConfig': {'type': 'enabled', 'maxReasoningEffort': 'low'}},
    ],
)
def test_it_thinks_when_asked_to(fields: dict[str, Any]) -> None:
    reply = said(user('Hi'), additionalModelRequestFields=fields)
    assert reply.thinking == 'The user says: Hi'
    call = said(user('Hi'), additionalModelRequestFields=fields, tools=[TIME])
    assert call.thinking == 'I should use the tool get_time.'
    assert said(user('Hi'), additionalModelRequestFields={'thinking': {'type': 'disabled'}}).thinking is None


def test_it_stops_after_so_many_tokens() -> None:
    whole = said(user('Hi')).text or ''
    tokens = count_tokens(whole)
    for most in range(1, tokens):
        reply = said(user('Hi'), inferenceConfig={'maxTokens': most})
        assert reply.stop_reason == 'max_tokens'
        assert whole.startswith(reply.text or 'no')
        assert count_tokens(reply.text or '') <= most or ' ' not in (reply.text or '')
    enough = said(user('Hi'), inferenceConfig={'maxTokens': tokens})
    assert (enough.text, enough.stop_reason) == (whole, None)


def test_it_stops_at_a_stop_sequence() -> None:
    reply = said(user('Hi'), inferenceConfig={'stopSequences': ['answer', 'said', '', 'nowhere']})
    assert (reply.text, reply.stop_reason) == ('You ', 'stop_sequence')


# Tokens


def test_tokens_are_words_and_a_quarter_of_long_ones() -> None:
    assert [count_tokens(text) for text in ('', 'a', 'abcd', 'abcde', 'a b  c\nd')] == [0, 1, 1, 2, 4]


@pytest.mark.parametrize(
    ('text', 'most', 'cut'),
    [
        ('a b c', 2, ('a b', True)),
        ('a b c', 3, ('a b c', False)),
        ('abcdefgh', 1, ('abcdefgh', True)),
        ('', 1, ('', False)),
    ],
)
def test_text_is_cut_between_words(text: str, most: int, cut: tuple[str, bool]) -> None:
    assert truncate(text, most) == cut


def test_everything_in_a_request_costs() -> None:
    base: dict[str, Any] = {'messages': [user('Hi')]}
    tokens = input_tokens(base)
    image = {'image': {'format': 'png', 'source': {'bytes': encoded('a')}}}
    document = {'document': {'name': 'a', 'format': 'txt', 'source': {'bytes': encoded('a')}}}
    for dearer in (
        {**base, 'system': [{'text': 'Be brief'}]},
        {**base, 'toolConfig': {'tools': [TIME]}},
        {'messages': [user('Hi', image)]},
        {'messages': [user('Hi', document)]},
        {'messages': [user('Hi'), assistant(tool_use('a', b='c'))]},
        {'messages': [user('Hi', tool_result('x'))]},
        {'messages': [user('Hi', {'toolResult': {'toolUseId': 'a', 'content': [{'json': {'a': 1}}]}})]},
    ):
        assert input_tokens(dearer) > tokens
    assert input_tokens({'messages': [user('Hi', {'cachePoint': {'type': 'default'}})]}) == tokens


DOCUMENT = {'document': {'name': 'Report 1', 'format': 'txt', 'source': {'bytes': encoded('a')}}}


def test_a_document_after_the_result_of_a_tool_begins_no_new_run() -> None:
    # Claude refuses a document beside a tool result, so clients send it in a turn of its own.
    messages = [
        user('Read it'),
        assistant(tool_use('get_weather', city='Paris')),
        user(tool_result('See file 1.')),
        assistant('.'),
        user('<file>', DOCUMENT, '</file>'),
    ]
    assert called(*messages, tools=[WEATHER, TIME]) == []
    assert said(*messages, tools=[WEATHER]).text == 'Here is what I found. get_weather says: See file 1.'
    assert called(*messages, tools=[WEATHER, FINAL]) == ['final_result']


def test_a_prompt_after_an_answer_of_the_model_begins_a_new_run() -> None:
    messages = [
        user('Read it'),
        assistant(tool_use('get_weather', city='Paris')),
        user(tool_result('Sunny')),
        assistant('It is sunny.'),
        user('And now?'),
    ]
    assert called(*messages, tools=[WEATHER]) == ['get_weather']


def test_a_prompt_in_a_turn_after_the_result_of_an_output_tool_begins_a_new_run() -> None:
    # Llama takes nothing beside a tool result.
    messages = [
        user('Go'),
        assistant(tool_use('final_result', city='Paris')),
        user(DONE),
        assistant('.'),
        user('Again'),
    ]
    assert called(*messages, tools=[WEATHER, FINAL]) == ['get_weather']
