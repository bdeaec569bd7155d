"""InvokeModel and InvokeModelWithResponseStream: the replies of Converse in the formats of the models themselves."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError
from support.requests import CLAUDE, NOVA

from local_bedrock import THROTTLING, LocalBedrock, Quota, RecordedRequest, Reply, ToolCall, exception_event

TITAN = 'amazon.titan-text-express-v1'
LLAMA = 'us.meta.llama3-3-70b-instruct-v1:0'
MISTRAL = 'mistral.mistral-7b-instruct-v0:2'
PROFILE = 'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl'

HELLO = {'role': 'user', 'content': 'Hello'}
WEATHER = {'name': 'get_weather', 'input_schema': {'type': 'object', 'properties': {'city': {'type': 'string'}}}}


def messages(*extra: dict[str, Any], **members: Any) -> dict[str, Any]:
    body = {'anthropic_version': 'bedrock-2023-05-31', 'max_tokens': 100, 'messages': [HELLO, *extra], **members}
    return {name: value for name, value in body.items() if value is not None}


BODIES = {
    CLAUDE: messages(),
    NOVA: {'messages': [{'role': 'user', 'content': [{'text': 'Hello'}]}], 'inferenceConfig': {'max_new_tokens': 9}},
    TITAN: {'inputText': 'Hello', 'textGenerationConfig': {'maxTokenCount': 50}},
    LLAMA: {'prompt': 'Hello', 'max_gen_len': 50},
    MISTRAL: {'prompt': '<s>[INST] Hello [/INST]', 'max_tokens': 50},
    PROFILE: messages(),
}


def invoke(client: Any, model: str, body: dict[str, Any]) -> Any:
    return json.loads(client.invoke_model(modelId=model, body=json.dumps(body))['body'].read())


def streamed(client: Any, model: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    with closing(client.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))['body']) as events:
        return [json.loads(event['chunk']['bytes']) for event in events]


def text_of(model: str, said: Any) -> str:
    """Return the text of a response or of a chunk."""
    if model in (CLAUDE, PROFILE):
        return ''.join(block.get('text', '') for block in said.get('content', [said.get('delta', {})]))
    if model == NOVA:
        delta = said.get('contentBlockDelta', {}).get('delta', {'text': ''})
        return ''.join(
            block['text'] for block in said.get('output', {}).get('message', {'content': [delta]})['content']
        )
    if model == TITAN:
        return ''.join(result['outputText'] for result in said.get('results', [said]))
    return said['generation'] if model == LLAMA else said['outputs'][0]['text']


@pytest.mark.parametrize('model', BODIES)
def test_the_reply_is_that_of_converse(client: Any, served: LocalBedrock, model: str) -> None:
    served.reply('The answer is 42.', times=2)
    assert text_of(model, invoke(client, model, BODIES[model])) == 'The answer is 42.'
    chunks = streamed(client, model, BODIES[model])
    assert ''.join(text_of(model, chunk) for chunk in chunks) == 'The answer is 42.'
    assert len(chunks) > 3


@pytest.mark.parametrize('model', BODIES)
def test_the_last_chunk_alone_has_the_metrics(client: Any, model: str) -> None:
    *others, last = streamed(client, model, BODIES[model])
    metrics = last['amazon-bedrock-invocationMetrics']
    assert metrics['inputTokenCount'] > 0
    assert metrics['outputTokenCount'] > 0
    assert not any('amazon-bedrock-invocationMetrics' in chunk for chunk in others)


@pytest.mark.parametrize('model', BODIES)
def test_tokens_are_in_the_headers(client: Any, served: LocalBedrock, model: str) -> None:
    served.reply(Reply('Hello', usage={'inputTokens': 7, 'outputTokens': 3}))
    answer = client.invoke_model(modelId=model, body=json.dumps(BODIES[model]))
    headers = answer['ResponseMetadata']['HTTPHeaders']
    assert headers['x-amzn-bedrock-input-token-count'] == '7'
    assert headers['x-amzn-bedrock-output-token-count'] == '3'
    assert answer['contentType'] == 'application/json'


@pytest.mark.parametrize('model', BODIES)
def test_a_reply_function_reads_the_request_in_the_terms_of_converse(
    client: Any, served: LocalBedrock, model: str
) -> None:
    def echo(request: RecordedRequest) -> str:
        return f'{request.operation}: {request.last_user_text}'

    served.reply(echo)
    said = text_of(model, invoke(client, model, BODIES[model]))
    assert said.startswith('InvokeModel: ')
    assert 'Hello' in said


def test_a_message_of_claude_is_whole(client: Any, served: LocalBedrock) -> None:
    call = ToolCall('get_weather', {'city': 'Paris'}, id='toolu_1')
    served.reply(Reply('Let me see.', thinking='Hm.', signature='c2ln', tool_calls=[call]))
    said = invoke(client, CLAUDE, messages(tools=[WEATHER]))
    assert said.pop('id').startswith('msg_bdrk_')
    assert said.pop('usage').keys() >= {'input_tokens', 'output_tokens'}
    assert said == {
        'type': 'message',
        'role': 'assistant',
        'model': 'claude-sonnet-4-20250514-v1:0',
        'content': [
            {'type': 'thinking', 'thinking': 'Hm.', 'signature': 'c2ln'},
            {'type': 'text', 'text': 'Let me see.'},
            {'type': 'tool_use', 'id': 'toolu_1', 'name': 'get_weather', 'input': {'city': 'Paris'}},
        ],
        'stop_reason': 'tool_use',
        'stop_sequence': None,
    }


def test_a_stream_of_claude_has_the_events_of_messages(client: Any, served: LocalBedrock) -> None:
    call = ToolCall('get_weather', {'city': 'Paris'}, id='toolu_1')
    served.reply(Reply('Well.', thinking='Hm.', signature='c2ln', tool_calls=[call]))
    chunks = streamed(client, CLAUDE, messages(tools=[WEATHER]))
    kinds = [chunk['type'] for chunk in chunks]
    assert kinds[0] == 'message_start'
    assert kinds[-2:] == ['message_delta', 'message_stop']
    starts = [chunk['content_block'] for chunk in chunks if chunk['type'] == 'content_block_start']
    assert starts == [
        {'type': 'thinking', 'thinking': '', 'signature': ''},
        {'type': 'text', 'text': ''},
        {'type': 'tool_use', 'id': 'toolu_1', 'name': 'get_weather', 'input': {}},
    ]
    deltas = [chunk['delta'] for chunk in chunks if chunk['type'] == 'content_block_delta']
    assert json.loads(''.join(delta.get('partial_json', '') for delta in deltas)) == {'city': 'Paris'}
    assert [delta['signature'] for delta in deltas if delta['type'] == 'signature_delta'] == ['c2ln']
    assert chunks[-2]['delta'] == {'stop_reason': 'tool_use', 'stop_sequence': None}


def test_the_default_model_calls_tools_in_the_messages_format(client: Any) -> None:
    said = invoke(client, CLAUDE, messages(tools=[WEATHER]))
    (call,) = said['content']
    assert (call['type'], call['name']) == ('tool_use', 'get_weather')
    result = {'type': 'tool_result', 'tool_use_id': call['id'], 'content': 'Rain'}
    turns = ({'role': 'assistant', 'content': said['content']}, {'role': 'user', 'content': [result]})
    assert 'get_weather says: Rain' in invoke(client, CLAUDE, messages(*turns, tools=[WEATHER]))['content'][0]['text']
    forced = messages(tools=[WEATHER, {**WEATHER, 'name': 'other'}], tool_choice={'type': 'tool', 'name': 'other'})
    assert invoke(client, CLAUDE, forced)['content'][0]['name'] == 'other'


def test_the_default_model_calls_tools_in_the_format_of_nova(client: Any) -> None:
    schema = {'json': {'type': 'object', 'properties': {'city': {'type': 'string'}}}}
    tools = {'tools': [{'toolSpec': {'name': 'get_weather', 'inputSchema': schema}}]}
    said = invoke(client, NOVA, {**BODIES[NOVA], 'toolConfig': tools})
    assert said['output']['message']['content'][0]['toolUse']['name'] == 'get_weather'
    assert said['stopReason'] == 'tool_use'


@pytest.mark.parametrize('place', ['output_config', 'output_format'])
def test_the_default_model_fills_a_schema(client: Any, place: str) -> None:
    schema = {'type': 'object', 'properties': {'age': {'type': 'integer'}}, 'required': ['age']}
    form = {'type': 'json_schema', 'schema': schema}
    body = messages(**{place: {'format': form} if place == 'output_config' else form})
    assert isinstance(json.loads(invoke(client, CLAUDE, body)['content'][0]['text'])['age'], int)


def test_images_documents_and_thinking_are_read(client: Any, served: LocalBedrock) -> None:
    source = {'type': 'base64', 'media_type': 'image/png', 'data': 'aGk='}
    content = [
        {'type': 'text', 'text': 'Look', 'cache_control': {'type': 'ephemeral'}},
        {'type': 'image', 'source': source},
        {'type': 'document', 'title': 'a', 'source': {'type': 'text', 'media_type': 'text/plain', 'data': 'b'}},
    ]
    thinking = {'type': 'enabled', 'budget_tokens': 1024}
    body = messages({'role': 'user', 'content': content}, system='Be kind.', thinking=thinking, max_tokens=2000)
    said = invoke(client, CLAUDE, body)
    assert said['content'][0]['type'] == 'thinking'
    (request,) = served.requests
    assert request.converse['system'] == [{'text': 'Be kind.'}]
    assert [next(iter(block)) for block in request.last_content] == ['text', 'cachePoint', 'image', 'document']


USED = {'role': 'assistant', 'content': [{'type': 'tool_use', 'id': 'a', 'name': 'get_weather', 'input': {}}]}
ANSWERED = {'role': 'user', 'content': [{'type': 'tool_result', 'tool_use_id': 'z', 'content': 'x'}]}
MALFORMED = 'Malformed input request: {}, please reformat your input and try again.'


@pytest.mark.parametrize(
    ('model', 'body', 'message'),
    [
        (CLAUDE, messages(max_tokens=None), MALFORMED.format('#: required key [max_tokens] not found')),
        (CLAUDE, messages(messages=None), MALFORMED.format('#: required key [messages] not found')),
        (CLAUDE, messages(max_tokens='9'), MALFORMED.format('#/max_tokens: expected type: Integer, found: String')),
        (CLAUDE, messages(max_tokens=999_999), 'max_tokens: 999999 > 64000, which is the maximum'),
        (
            CLAUDE,
            messages({'role': 'user', 'content': [{'type': 'text', 'text': ''}]}),
            'messages: text content blocks must be non-empty',
        ),
        (CLAUDE, messages({'role': 'user', 'content': [{'text': 'Hi'}]}), 'messages.1.content.0.type: Field required'),
        (CLAUDE, messages(USED, tools=[WEATHER]), 'messages.1: `tool_use` ids were found without `tool_result` blocks'),
        (CLAUDE, messages(USED, HELLO, tools=[WEATHER]), 'messages.2: `tool_use` ids were found without'),
        (CLAUDE, messages(ANSWERED, tools=[WEATHER]), 'messages.1.content.0: unexpected `tool_use_id` found'),
        ('us.anthropic.claude-opus-5', messages(temperature=0.5), '`temperature` is deprecated for this model.'),
        (
            'anthropic.claude-sonnet-4-20250514-v1:0',
            messages(),
            'Invocation of model ID anthropic.claude-sonnet-4-20250514-v1:0 with on-demand throughput',
        ),
        (TITAN, {'inputText': 'a', 'prompt': 'a'}, MALFORMED.format('#: extraneous key [prompt] is not permitted')),
        (TITAN, {}, MALFORMED.format('#: required key [inputText] not found')),
        (NOVA, {'messages': [], 'max_tokens': 1}, MALFORMED.format('#: extraneous key [max_tokens] is not permitted')),
        (LLAMA, {'prompt': ['a']}, MALFORMED.format('#/prompt: expected type: String, found: JSONArray')),
    ],
)
def test_a_body_that_is_not_valid_is_refused_in_the_words_of_the_model(
    client: Any, model: str, body: dict[str, Any], message: str
) -> None:
    for operation in (client.invoke_model, client.invoke_model_with_response_stream):
        with pytest.raises(ClientError) as error:
            operation(modelId=model, body=json.dumps(body))
        assert error.value.response['Error']['Code'] == 'ValidationException'
        assert error.value.response['Error']['Message'].startswith(message)


def test_embeddings_cannot_be_streamed_and_take_no_reply(client: Any, served: LocalBedrock) -> None:
    (rule,) = served.reply('Hello')
    titan = 'amazon.titan-embed-text-v2:0'
    assert len(invoke(client, titan, {'inputText': 'a'})['embedding']) == 1024
    with pytest.raises(client.exceptions.ValidationException, match='The model is unsupported for streaming'):
        streamed(client, titan, {'inputText': 'a'})
    assert rule.used == 0


def test_faults_and_quotas_are_for_streams_of_invocations_too(client: Any, served: LocalBedrock) -> None:
    served.fault(THROTTLING, operation='InvokeModelWithResponseStream', times=1)
    with pytest.raises(client.exceptions.ThrottlingException):
        streamed(client, CLAUDE, messages())
    served.fault(exception_event('throttlingException'), times=1)
    with pytest.raises(EventStreamError, match='throttlingException'):
        streamed(client, CLAUDE, messages())
    served.set_quotas(Quota(requests_per_minute=1))
    invoke(client, CLAUDE, messages())
    with pytest.raises(client.exceptions.ThrottlingException):
        invoke(client, CLAUDE, messages())


@pytest.mark.parametrize('model', [CLAUDE, NOVA])
def test_the_condition_of_a_fault_reads_the_request_too(client: Any, served: LocalBedrock, model: str) -> None:
    served.fault(THROTTLING, when=lambda request: request.last_user_text == 'Hello')
    with pytest.raises(client.exceptions.ThrottlingException):
        invoke(client, model, BODIES[model])
