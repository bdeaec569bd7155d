"""Converse requests in the Messages format and responses back, beside LocalBedrock's own reading of both."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_bedrock._model.invoke import claude
from pydantic_ai_aiobedrock._wire.messages import (
    MessagesEncodeError,
    converse_response,
    is_messages_response,
    messages_request,
)

from .frames import property_test

TEXT = st.text(min_size=1, max_size=20)
NAMES = st.text('abc_-1', min_size=1, max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=3)
DATA = st.binary(max_size=12).map(lambda data: b64encode(data).decode())
CACHE_POINT = {'cachePoint': {'type': 'default'}}
HOUR = {'cachePoint': {'type': 'default', 'ttl': '1h'}}

texts = st.fixed_dictionaries({'text': TEXT})
images = st.builds(
    lambda format, data: {'image': {'format': format, 'source': {'bytes': data}}},
    st.sampled_from(['png', 'jpeg', 'gif', 'webp']),
    DATA,
)
documents = st.builds(
    lambda name, format, source: {'document': {'name': name, 'format': format, 'source': source}},
    NAMES,
    st.just('pdf'),
    st.fixed_dictionaries({'bytes': DATA}),
) | st.builds(
    lambda name, text: {'document': {'name': name, 'format': 'txt', 'source': {'text': text}}},
    NAMES,
    TEXT,
)
tool_uses = st.builds(
    lambda tool_use_id, name, arguments: {
        'toolUse': {'toolUseId': tool_use_id, 'name': name, 'input': arguments},
    },
    NAMES,
    NAMES,
    OBJECTS,
)
tool_results = st.builds(
    lambda tool_use_id, content, status: {
        'toolResult': {'toolUseId': tool_use_id, 'content': content, **status},
    },
    NAMES,
    st.lists(texts | images | documents, min_size=1, max_size=3),
    st.sampled_from([{}, {'status': 'error'}]),
)
thinking = st.builds(
    lambda text, signature: {'reasoningContent': {'reasoningText': {'text': text, 'signature': signature}}},
    TEXT,
    TEXT,
)


def content(blocks: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Content blocks, some of them with a cache point after them."""
    marked = st.builds(lambda block, mark: [block, *mark], blocks, st.sampled_from([[], [CACHE_POINT], [HOUR]]))
    return st.lists(marked, min_size=1, max_size=4).map(lambda pairs: [block for pair in pairs for block in pair])


messages = st.lists(
    st.fixed_dictionaries(
        {'role': st.just('user'), 'content': content(texts | images | documents | tool_results)},
    )
    | st.fixed_dictionaries({'role': st.just('assistant'), 'content': content(texts | tool_uses | thinking)}),
    min_size=1,
    max_size=4,
)
SCHEMAS = OBJECTS.map(lambda members: {**members, 'type': 'object'})
tools = content(
    st.fixed_dictionaries(
        {
            'toolSpec': st.fixed_dictionaries(
                {
                    'name': NAMES,
                    'inputSchema': st.fixed_dictionaries({'json': SCHEMAS}),
                },
                optional={'description': TEXT, 'strict': st.booleans()},
            )
        }
    )
)
choices = st.sampled_from([{}, {'toolChoice': {'auto': {}}}, {'toolChoice': {'any': {}}}]) | NAMES.map(
    lambda name: {'toolChoice': {'tool': {'name': name}}}
)
schemas = OBJECTS.map(
    lambda schema: {
        'textFormat': {
            'type': 'json_schema',
            'structure': {'jsonSchema': {'schema': json.dumps(schema, separators=(',', ':'), ensure_ascii=False)}},
        }
    }
)
requests = st.fixed_dictionaries(
    {
        'messages': messages,
        'inferenceConfig': st.fixed_dictionaries(
            {'maxTokens': st.integers(1, 9999)},
            optional={
                'temperature': st.floats(0, 1),
                'topP': st.floats(0, 1),
                'stopSequences': st.lists(TEXT, min_size=1, max_size=2),
            },
        ),
    },
    optional={
        'system': content(texts),
        'toolConfig': st.builds(lambda tools, choice: {'tools': tools, **choice}, tools, choices),
        'outputConfig': schemas,
        'additionalModelRequestFields': st.fixed_dictionaries({'top_k': st.integers(1, 9)}),
    },
)


@property_test
@given(requests)
def test_a_request_asks_the_same_in_the_messages_format(request: dict[str, Any]) -> None:
    assert claude.converse_request(messages_request(request)) == request


REQUEST: dict[str, Any] = {
    'messages': [{'role': 'user', 'content': [{'text': 'Hello'}]}],
    'inferenceConfig': {'maxTokens': 10},
}


def asked(*blocks: Any) -> list[Any]:
    request = messages_request({**REQUEST, 'messages': [{'role': 'user', 'content': list(blocks)}]})
    return request['messages'][0]['content']


def test_a_minimal_request_has_the_members_that_bedrock_requires() -> None:
    assert messages_request(REQUEST) == {
        'anthropic_version': 'bedrock-2023-05-31',
        'max_tokens': 10,
        'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 'Hello'}]}],
    }


def test_a_cache_point_is_a_mark_on_what_is_before_it() -> None:
    assert asked({'text': 'a'}, CACHE_POINT, {'text': 'b'}, HOUR) == [
        {'type': 'text', 'text': 'a', 'cache_control': {'type': 'ephemeral'}},
        {'type': 'text', 'text': 'b', 'cache_control': {'type': 'ephemeral', 'ttl': '1h'}},
    ]
    tool = {'toolSpec': {'name': 'a', 'strict': True, 'inputSchema': {'json': {'type': 'object'}}}}
    request = messages_request({**REQUEST, 'toolConfig': {'tools': [tool, CACHE_POINT]}})
    assert request['tools'] == [
        {'name': 'a', 'strict': True, 'input_schema': {'type': 'object'}, 'cache_control': {'type': 'ephemeral'}}
    ]


def test_an_image_is_sent_as_base64() -> None:
    data = b64encode(b'an image').decode()
    assert asked({'image': {'format': 'png', 'source': {'bytes': data}}}) == [
        {'type': 'image', 'source': {'type': 'base64', 'media_type': 'image/png', 'data': data}}
    ]


def test_system_prompts_settings_and_the_choice_of_a_tool_have_the_names_of_messages() -> None:
    settings = {'maxTokens': 10, 'temperature': 0.5, 'topP': 0.9, 'stopSequences': ['a']}
    tools = {'tools': [{'toolSpec': {'name': 'b', 'inputSchema': {'json': {}}}}], 'toolChoice': {'tool': {'name': 'b'}}}
    asked_of_claude = messages_request(
        {**REQUEST, 'system': [{'text': 'c'}], 'inferenceConfig': settings, 'toolConfig': tools}
    )
    assert asked_of_claude == {
        **messages_request(REQUEST),
        'system': [{'type': 'text', 'text': 'c'}],
        'temperature': 0.5,
        'top_p': 0.9,
        'stop_sequences': ['a'],
        'tools': [{'name': 'b', 'input_schema': {}}],
        'tool_choice': {'type': 'tool', 'name': 'b'},
    }


def test_documents_of_text_are_sent_as_text() -> None:
    source = {'bytes': b64encode('Größe'.encode()).decode()}
    for format in ('txt', 'md', 'csv', 'html'):
        [document] = asked({'document': {'name': 'a', 'format': format, 'source': source}})
        assert document['source'] == {'type': 'text', 'media_type': 'text/plain', 'data': 'Größe'}
    cited = {'document': {'name': 'a', 'format': 'txt', 'source': {'text': 'b'}, 'citations': {'enabled': True}}}
    assert asked(cited) == [
        {
            'type': 'document',
            'title': 'a',
            'source': {'type': 'text', 'media_type': 'text/plain', 'data': 'b'},
            'citations': {'enabled': True},
        }
    ]


def test_a_document_of_blocks_is_sent_in_blocks() -> None:
    document = {'name': 'a', 'source': {'content': [{'text': 'b'}]}}
    assert asked({'document': document}) == [
        {'type': 'document', 'source': {'type': 'content', 'content': [{'type': 'text', 'text': 'b'}]}, 'title': 'a'}
    ]


def test_results_of_tools_in_json_are_sent_as_text() -> None:
    [result] = asked({'toolResult': {'toolUseId': 'a', 'content': [{'json': {'b': [1, None]}}], 'status': 'success'}})
    assert result == {
        'type': 'tool_result',
        'tool_use_id': 'a',
        'content': [{'type': 'text', 'text': '{"b":[1,null]}'}],
    }


def test_redacted_thinking_is_the_same_data_in_both_formats() -> None:
    data = b64encode(b'EqoBCkgIARABGAIiQ').decode()
    block = {'reasoningContent': {'redactedContent': data}}
    assert asked(block) == [{'type': 'redacted_thinking', 'data': 'EqoBCkgIARABGAIiQ'}]
    assert response(asked(block))['output']['message']['content'] == [block]


def test_additional_fields_are_handed_to_the_model_as_they_are() -> None:
    schema = {'type': 'json_schema', 'structure': {'jsonSchema': {'name': 'a', 'schema': '{"type": "object"}'}}}
    request = messages_request(
        {
            **REQUEST,
            'outputConfig': {'textFormat': schema},
            'additionalModelRequestFields': {'tool_choice': {'type': 'none'}, 'output_config': {'effort': 'low'}},
        }
    )
    assert request['tool_choice'] == {'type': 'none'}
    schema = {'type': 'json_schema', 'schema': {'type': 'object'}}
    assert request['output_config'] == {'format': schema, 'effort': 'low'}


@pytest.mark.parametrize(
    ('member', 'reason'),
    [
        ({'guardrailConfig': {'guardrailIdentifier': 'a'}}, 'has no place for guardrailConfig'),
        ({'performanceConfig': {'latency': 'optimized'}}, 'has no place for performanceConfig'),
        ({'inferenceConfig': {}}, 'needs `max_tokens`'),
        ({'inferenceConfig': {'maxTokens': 1, 'new': 2}}, 'has no place for new'),
        ({'toolConfig': {'tools': [{'systemTool': {'name': 'a'}}]}}, 'a tool of the kind systemTool'),
        ({'toolConfig': {'tools': [CACHE_POINT]}}, 'cache point before all content'),
        ({'toolConfig': {'tools': [], 'toolChoice': {'new': {}}}}, 'has no tool choice new'),
        ({'messages': [{'role': 'system', 'content': [{'text': 'a'}]}]}, "has no role 'system'"),
        ({'outputConfig': {'new': {}}}, 'has no place for this outputConfig'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_a_member_that_has_no_counterpart_is_refused(member: dict[str, Any], reason: str) -> None:
    with pytest.raises(MessagesEncodeError, match=reason):
        messages_request({**REQUEST, **member})


LOCATION = {'s3Location': {'uri': 's3://a/b'}}


@pytest.mark.parametrize(
    ('block', 'reason'),
    [
        ({'image': {'format': 'png', 'source': LOCATION}}, 'image from s3Location'),
        ({'video': {'format': 'mp4', 'source': {'bytes': ''}}}, 'video from bytes'),
        ({'document': {'name': 'a', 'format': 'docx', 'source': {'bytes': ''}}}, 'a docx document from bytes'),
        ({'document': {'name': 'a', 'format': 'pdf', 'source': LOCATION}}, 'a pdf document from s3Location'),
        ({'document': {'name': 'a', 'format': 'txt', 'source': {'bytes': '/w=='}}}, 'text in UTF-8 alone'),
        ({'document': {'name': 'a', 'format': 'pdf', 'source': {'bytes': ''}, 'new': 1}}, 'has no place for new'),
        ({'reasoningContent': {'reasoningText': {'text': 'unsigned'}}}, 'reasoningContent'),
        ({'toolUse': {'toolUseId': 'a', 'name': 'b', 'input': {}, 'type': 'server_tool_use'}}, 'toolUse'),
        ({'toolResult': {'toolUseId': 'a', 'content': [], 'type': 'new'}}, 'has no place for type'),
        ({'guardContent': {'text': {'text': 'a'}}}, 'guardContent'),
        (CACHE_POINT, 'cache point before all content'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_content_that_has_no_counterpart_is_refused_with_its_place(block: dict[str, Any], reason: str) -> None:
    with pytest.raises(MessagesEncodeError, match=rf'{reason}.*\(messages\[0\]\)'):
        asked(block)


# Responses


def response(content: list[Any], **members: Any) -> dict[str, Any]:
    answer = {
        'type': 'message',
        'role': 'assistant',
        'content': content,
        'stop_reason': 'end_turn',
        'usage': {'input_tokens': 2, 'output_tokens': 5},
        **members,
    }
    assert is_messages_response(answer)
    return converse_response(answer)


answered = st.lists(texts | tool_uses | thinking, max_size=4)


@property_test
@given(answered)
def test_content_comes_back_as_converse_would_return_it(blocks: list[Any]) -> None:
    assert response([part for block in blocks for part in claude._content(block)])['output'] == {
        'message': {'role': 'assistant', 'content': blocks}
    }


@pytest.mark.parametrize(
    ('block', 'block_of_claude'),
    [
        ({'text': 'a'}, {'type': 'text', 'text': 'a'}),
        (
            {'toolUse': {'toolUseId': 'a', 'name': 'b', 'input': {'c': 1}}},
            {'type': 'tool_use', 'id': 'a', 'name': 'b', 'input': {'c': 1}},
        ),
        (
            {'reasoningContent': {'reasoningText': {'text': 'a', 'signature': 'b'}}},
            {'type': 'thinking', 'thinking': 'a', 'signature': 'b'},
        ),
    ],
    ids=['text', 'a call of a tool', 'thinking'],
)
def test_an_answer_is_the_same_in_both_formats_wherever_it_stands(
    block: dict[str, Any], block_of_claude: dict[str, Any]
) -> None:
    assert asked(block) == [block_of_claude]
    assert response([block_of_claude])['output'] == {'message': {'role': 'assistant', 'content': [block]}}


@pytest.mark.parametrize('reason', ['end_turn', 'tool_use', 'max_tokens', 'stop_sequence', 'a_new_reason'])
def test_stop_reasons_are_those_of_converse(reason: str) -> None:
    assert response([], stop_reason=reason)['stopReason'] == reason
    assert response([], stop_reason='refusal')['stopReason'] == 'content_filtered'


def test_the_total_of_tokens_includes_those_of_the_cache() -> None:
    # Claude Sonnet 4.5, by Converse, 2026-11.
    usage = {'input_tokens': 2, 'output_tokens': 5, 'cache_read_input_tokens': 0, 'cache_creation_input_tokens': 1322}
    assert response([], usage=usage)['usage'] == {
        'inputTokens': 2,
        'outputTokens': 5,
        'totalTokens': 1329,
        'cacheReadInputTokens': 0,
        'cacheWriteInputTokens': 1322,
    }


def test_citations_say_where_they_are_from() -> None:
    cited = {
        'type': 'char_location',
        'cited_text': 'b',
        'document_index': 1,
        'document_title': 'a',
        'start_char_index': 2,
        'end_char_index': 3,
    }
    found = {'type': 'search_result_location', 'cited_text': 'c', 'title': 'd'}
    answer = response([{'type': 'text', 'text': 'e', 'citations': [cited, found]}])
    assert answer['output']['message']['content'] == [
        {
            'citationsContent': {
                'content': [{'text': 'e'}],
                'citations': [
                    {
                        'title': 'a',
                        'sourceContent': [{'text': 'b'}],
                        'location': {'documentChar': {'documentIndex': 1, 'start': 2, 'end': 3}},
                    },
                    {'title': 'd', 'sourceContent': [{'text': 'c'}]},
                ],
            }
        }
    ]


def test_a_citation_may_have_no_title() -> None:
    answer = response([{'type': 'text', 'text': 'a', 'citations': [{'type': 'search_result_location'}]}])
    (content,) = answer['output']['message']['content']
    assert content['citationsContent']['citations'] == [{'sourceContent': [{'text': ''}]}]


def test_content_that_converse_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match='of type server_tool_use'):
        response([{'type': 'server_tool_use'}])
    with pytest.raises(LookupError):
        converse_response({'type': 'message'})


def test_a_response_of_converse_is_not_taken_for_another() -> None:
    assert not is_messages_response({'output': {'message': {}}, 'type': 'message'})
