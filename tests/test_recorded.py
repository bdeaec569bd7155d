"""What Amazon Bedrock has really said, byte for byte, and what an agent makes of it.

Each exchange is replayed on loopback; the streams also in pieces of one to seven bytes. The other way round, the
conversation of each recorded request is handed to the model, which must put that very request on the wire.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
from botocore.eventstream import EventStreamBuffer
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, NativeOutput
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    BinaryContent,
    CachePoint,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.native_tools import CodeExecutionTool
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition
from served_bedrock import make_provider

from local_bedrock import LocalBedrock, RawReply
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider

Exchange = dict[str, Any]

release = tuple(map(int, version('pydantic-ai-slim').split('.')[:2]))

WHOLE: tuple[int, ...] = ()
SIZES = [WHOLE, *((size,) for size in range(1, 8)), (1, 2, 3, 4, 5, 6, 7)]
"""The pieces in which a body arrives."""

dribbled = pytest.mark.parametrize(
    'sizes', SIZES, ids=lambda sizes: f'pieces of {" ".join(map(str, sizes))}' if sizes else 'whole'
)


# The exchanges and their replay


class Conversation(NamedTuple):
    """What a recorded request was made from."""

    messages: list[ModelMessage]
    settings: dict[str, Any]
    parameters: ModelRequestParameters


def exchanges_in(recorded: Path, name: str) -> list[Exchange]:
    return json.loads((recorded / f'{name}.json').read_text())


def model_id_of(exchange: Exchange) -> str:
    return unquote(exchange['request']['path'].split('/')[2])


def body_of(exchange: Exchange) -> bytes:
    response = exchange['response']
    if 'base64' in response:
        return base64.b64decode(response['base64'])
    return json.dumps(response['json'], separators=(',', ':')).encode()


def as_reply(exchange: Exchange, sizes: Sequence[int]) -> RawReply:
    response = exchange['response']
    return RawReply(body_of(exchange), status=response['status'], headers=response['headers'], chunk_sizes=sizes)


@asynccontextmanager
async def replayed(
    exchanges: Sequence[Exchange], sizes: Sequence[int] = WHOLE
) -> AsyncIterator[tuple[LocalBedrock, BedrockProvider]]:
    """Serve the responses of some exchanges, in their order."""
    async with LocalBedrock(models={model_id_of(exchange) for exchange in exchanges}) as bedrock:
        bedrock.reply(*(as_reply(exchange, sizes) for exchange in exchanges))
        async with make_provider(bedrock) as provider:
            yield bedrock, provider


def model_of(exchange: Exchange, provider: BedrockProvider) -> BedrockConverseModel:
    # Newer releases of pydantic-ai set `max_tokens` for Claude models, and stream such requests: not so the recordings.
    profile: Any = {'anthropic_max_output_tokens': None}
    return BedrockConverseModel(model_id_of(exchange), provider=provider, profile=profile)


async def answer_to(exchange: Exchange, sizes: Sequence[int] = WHOLE) -> ModelResponse:
    """Replay one exchange and return what the model makes of it."""
    conversation = conversation_of(exchange)
    async with replayed([exchange], sizes) as (_, provider):
        model = model_of(exchange, provider)
        arguments: dict[str, Any] = {
            'model_settings': conversation.settings,
            'model_request_parameters': conversation.parameters,
        }
        if not exchange['request']['path'].endswith('/converse-stream'):
            return await model_request(model, conversation.messages, **arguments)
        async with model_request_stream(model, conversation.messages, **arguments) as stream:
            async for _ in stream:
                pass
        return stream.get()


def events_of(exchange: Exchange) -> list[tuple[str, dict[str, Any]]]:
    """Decode a stream by botocore's own decoder."""
    buffer = EventStreamBuffer()
    buffer.add_data(body_of(exchange))
    return [(event.headers[':event-type'], json.loads(event.payload)) for event in buffer]


def deltas_of(exchange: Exchange, block: int, *path: str) -> str:
    """Join what the deltas of a content block hold at a path."""
    found: list[str] = []
    for name, event in events_of(exchange):
        if name == 'contentBlockDelta' and event['contentBlockIndex'] == block:
            value: Any = event['delta']
            for key in path:
                value = value.get(key, '') if value else ''
            found.append(value)
    assert any(found)
    return ''.join(found)


# From a recorded request to the conversation that it was made from


def conversation_of(exchange: Exchange) -> Conversation:
    request: dict[str, Any] = exchange['request']['json']
    request = request.get('input', {}).get('converse', request)
    names: dict[str, str] = {}
    messages: list[ModelMessage] = []
    system = [SystemPromptPart(block['text']) for block in request['system'] if 'text' in block]
    for message in request['messages']:
        if message['role'] == 'assistant':
            messages.append(ModelResponse([part_of(block, names) for block in message['content']]))
        else:
            messages.append(ModelRequest([*system, *parts_of(message['content'], names)]))
            system = []
    return Conversation(messages, settings_of(request), parameters_of(request))


def part_of(block: Mapping[str, Any], names: dict[str, str]) -> TextPart | ToolCallPart:
    if 'text' in block:
        return TextPart(block['text'])
    call = block['toolUse']
    names[call['toolUseId']] = call['name']
    return ToolCallPart(call['name'], call['input'], call['toolUseId'])


def parts_of(content: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[Any]:
    parts: list[Any] = []
    prompt: list[Any] = []
    for block in content:
        if 'toolResult' in block:
            result = block['toolResult']
            (text,) = [piece['text'] for piece in result['content']]
            name, tool_use_id = names[result['toolUseId']], result['toolUseId']
            outcome = 'failed' if result['status'] == 'error' else 'success'
            parts.append(ToolReturnPart(name, text, tool_use_id, outcome=outcome))
        elif 'document' in block:
            data = base64.b64decode(block['document']['source']['bytes'])
            prompt.append(BinaryContent(data, media_type='text/plain'))
        elif 'cachePoint' in block:
            prompt.append(CachePoint())
        else:
            prompt.append(block['text'])
    if prompt:
        parts.append(UserPromptPart(prompt if len(prompt) > 1 else prompt[0]))
    return parts


def settings_of(request: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name, key in (('temperature', 'temperature'), ('topP', 'top_p'), ('maxTokens', 'max_tokens')):
        if name in request.get('inferenceConfig', {}):
            settings[key] = request['inferenceConfig'][name]
    for name, key in (
        ('additionalModelRequestFields', 'bedrock_additional_model_requests_fields'),
        ('guardrailConfig', 'bedrock_guardrail_config'),
        ('serviceTier', 'bedrock_service_tier'),
    ):
        if name in request:
            settings[key] = request[name]
    if any('cachePoint' in block for block in request['system']):
        settings['bedrock_cache_instructions'] = True
    if any('cachePoint' in tool for tool in request.get('toolConfig', {}).get('tools', ())):
        settings['bedrock_cache_tool_definitions'] = True
    return settings


def parameters_of(request: Mapping[str, Any]) -> ModelRequestParameters:
    config = request.get('toolConfig', {})
    specs = [tool['toolSpec'] for tool in config.get('tools', ()) if 'toolSpec' in tool]
    tools = [
        ToolDefinition(
            name=spec['name'],
            description=spec.get('description'),
            parameters_json_schema=spec['inputSchema']['json'],
            kind='output' if spec['name'] == 'final_result' else 'function',
        )
        for spec in specs
    ]
    parameters: dict[str, Any] = {
        'function_tools': [tool for tool in tools if tool.kind == 'function'],
        'output_tools': [tool for tool in tools if tool.kind == 'output'],
        'native_tools': [CodeExecutionTool() for tool in config.get('tools', ()) if 'systemTool' in tool],
    }
    if parameters['output_tools']:
        parameters |= {'output_mode': 'tool', 'allow_text_output': False}
    if (form := request.get('outputConfig', {}).get('textFormat')) is not None:
        asked = form['structure']['jsonSchema']
        definition = OutputObjectDefinition(
            json_schema=json.loads(asked['schema']), name=asked['name'], description=asked['description']
        )
        parameters |= {'output_mode': 'native', 'output_object': definition}
    return ModelRequestParameters(**parameters)


def comparable(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with Bedrock's defaults for what it leaves out, and a schema that is text as what it says."""
    request = copy.deepcopy({'inferenceConfig': {}, **request})
    if 'toolConfig' in request:
        request['toolConfig'].setdefault('toolChoice', {'auto': {}})
    if 'outputConfig' in request:
        schema = request['outputConfig']['textFormat']['structure']['jsonSchema']
        schema['schema'] = json.loads(schema['schema'])
    for message in request.get('messages', ()):
        for block in message['content']:
            if 'cachePoint' in block:
                block['cachePoint'].setdefault('ttl', '5m')
    return request


CONVERSATIONS = [
    ('converse_cache_write_and_read', 0),
    ('converse_cache_write_and_read', 1),
    ('converse_error', 0),
    ('converse_guardrail_trace', 0),
    ('converse_service_tier', 0),
    ('converse_text', 0),
    ('converse_tool_retry', 0),
    ('converse_tool_retry', 1),
    ('native_output_stream', 0),
    ('stream_code_interpreter', 0),
    ('stream_error', 0),
    ('stream_text', 0),
    ('stream_thinking', 0),
    ('stream_thinking_redacted', 0),
    ('stream_tools', 0),
    ('stream_tools', 1),
]


@pytest.mark.parametrize(('name', 'number'), CONVERSATIONS)
async def test_the_request_on_the_wire_is_the_recorded_one(recorded: Path, name: str, number: int) -> None:
    exchange = exchanges_in(recorded, name)[number]
    conversation = conversation_of(exchange)
    async with replayed([exchange]) as (bedrock, provider):
        model = model_of(exchange, provider)
        try:
            if exchange['request']['path'].endswith('/converse-stream'):
                async with model.request_stream(*conversation):
                    pass
            else:
                await model.request(*conversation)
        except ModelHTTPError:
            assert exchange['response']['status'] >= 400
    (request,) = bedrock.requests
    assert (request.method, request.path) == (exchange['request']['method'], exchange['request']['path'])
    assert comparable(request.body) == comparable(exchange['request']['json'])


def test_every_recording_has_its_tests(recorded: Path) -> None:
    others = {'count_tokens_tools', 'embed_cohere_v4', 'embed_titan_v2'}
    assert {path.stem for path in recorded.glob('*.json')} == {name for name, _ in CONVERSATIONS} | others


# What the model makes of the responses


@dribbled
async def test_text(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'converse_text')
    response = await answer_to(exchange, sizes)
    (content,) = exchange['response']['json']['output']['message']['content']
    assert response.parts == [TextPart(content['text'])]
    assert response.finish_reason == 'stop'
    assert response.provider_details == {'finish_reason': 'end_turn'}
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.details) == (7, 30, {})


@pytest.mark.parametrize(('number', 'written', 'read'), [(0, 1322, 0), (1, 0, 1322)], ids=['write', 'read'])
async def test_cached_tokens_are_counted_once(recorded: Path, number: int, written: int, read: int) -> None:
    response = await answer_to(exchanges_in(recorded, 'converse_cache_write_and_read')[number])
    assert response.parts == [TextPart('21')]
    usage = response.usage
    assert (usage.cache_write_tokens, usage.cache_read_tokens) == (written, read)
    # Upstream counts what comes from the cache, and what goes there, among the input.
    assert (usage.input_tokens, usage.output_tokens) == (2 + 1322, 5)
    assert usage.details == {}


@pytest.mark.skipif(release < (2, 40), reason='pydantic-ai 2.33 drops the trace of a response')
async def test_a_guardrail_trace_is_kept_whole(recorded: Path) -> None:
    (exchange,) = exchanges_in(recorded, 'converse_guardrail_trace')
    response = await answer_to(exchange)
    assert response.text is not None
    assert response.text.startswith('The capital of France is Paris.')
    assert response.provider_details == {
        'finish_reason': 'end_turn',
        'trace': exchange['response']['json']['trace'],
    }
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.details) == (13, 69, {})


async def test_a_service_tier_is_asked_for_and_the_answer_to_it_understood(recorded: Path) -> None:
    (exchange,) = exchanges_in(recorded, 'converse_service_tier')
    response = await answer_to(exchange)
    assert response.text is not None
    assert response.text.endswith('among many other historical and architectural treasures.')
    assert response.finish_reason == 'length'
    assert (response.usage.input_tokens, response.usage.output_tokens) == (13, 5)


@pytest.mark.parametrize('name', ['converse_error', 'stream_error'])
@dribbled
async def test_an_error_has_its_status_and_its_message(recorded: Path, name: str, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, name)
    with pytest.raises(ModelHTTPError) as raised:
        await answer_to(exchange, sizes)
    assert raised.value.status_code == 400
    assert raised.value.model_name == 'us.does-not-exist-model-v1:0'
    assert raised.value.body['Error']['Message'] == 'The provided model identifier is invalid.'
    assert 'The provided model identifier is invalid.' in str(raised.value)


@dribbled
async def test_a_stream_of_text(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'stream_text')
    response = await answer_to(exchange, sizes)
    assert response.parts == [TextPart(deltas_of(exchange, 0, 'text'))]
    assert (response.finish_reason, response.state) == ('stop', 'complete')
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.details) == (13, 82, {})


@dribbled
async def test_a_stream_of_thinking_and_text(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'stream_thinking')
    response = await answer_to(exchange, sizes)
    thinking, text = response.parts
    assert isinstance(thinking, ThinkingPart)
    assert thinking.content == deltas_of(exchange, 0, 'reasoningContent', 'text')
    assert thinking.signature == deltas_of(exchange, 0, 'reasoningContent', 'signature')
    assert thinking.provider_name == 'bedrock'
    assert text == TextPart(deltas_of(exchange, 1, 'text'))
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.details) == (36, 73, {})


@dribbled
async def test_a_stream_of_redacted_thinking(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'stream_thinking_redacted')
    *redacted, text = (await answer_to(exchange, sizes)).parts
    assert len(redacted) == 2
    for block, part in enumerate(redacted):
        assert isinstance(part, ThinkingPart)
        assert (part.id, part.content, part.provider_name) == ('redacted_content', '', 'bedrock')
        blob = deltas_of(exchange, block, 'reasoningContent', 'redactedContent')
        assert part.signature == base64.b64decode(blob).decode()
    assert text == TextPart(deltas_of(exchange, 2, 'text'))


@dribbled
async def test_a_stream_of_the_code_interpreter(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'stream_code_interpreter')
    response = await answer_to(exchange, sizes)
    call, result, final = response.parts
    assert isinstance(call, NativeToolCallPart)
    assert (call.tool_name, call.args_as_dict()) == ('code_execution', {'snippet': '1234 * 5678'})
    assert isinstance(result, NativeToolReturnPart)
    assert result.tool_call_id == call.tool_call_id == 'tooluse_VQNZJRUFMoqZzszVsRd4og'
    assert '7006652' in str(result.content)
    assert isinstance(final, ToolCallPart)
    assert (final.tool_name, final.args_as_dict()) == ('final_result', {'result': 7006652.0})
    assert response.finish_reason == 'tool_call'
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.details) == (1002, 59, {})


# Whole conversations of an agent


@dribbled
async def test_an_agent_asks_a_tool_again_that_has_refused(recorded: Path, sizes: Sequence[int]) -> None:
    exchanges = exchanges_in(recorded, 'converse_tool_retry')
    async with replayed(exchanges, sizes) as (bedrock, provider):
        agent = Agent(
            model_of(exchanges[0], provider),
            system_prompt='You are a helpful chatbot.',
            model_settings={'temperature': 0.0},
            retries=2,
        )

        @agent.tool_plain
        async def get_capital(country: str) -> str:
            """Get the capital of a country.

            Args:
                country: The country name.
            """
            raise ModelRetry('The country is not supported.')

        result = await agent.run('What is the capital of France?')
    assert result.output.endswith(
        'The capital of France is Paris. If you need any further information, feel free to ask!'
    )
    usage = result.usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (2, 426 + 531, 66 + 76)
    first, second = bedrock.requests
    assert first.body == exchanges[0]['request']['json']
    assert second.messages[:2] == exchanges[1]['request']['json']['messages'][:2]
    (refusal,) = second.tool_results
    assert refusal['status'] == 'error'
    assert refusal['content'][0]['text'].startswith('The country is not supported.')


@dribbled
async def test_an_agent_streams_through_a_tool_call(recorded: Path, sizes: Sequence[int]) -> None:
    exchanges = exchanges_in(recorded, 'stream_tools')
    async with replayed(exchanges, sizes) as (bedrock, provider):
        agent = Agent(
            model_of(exchanges[0], provider),
            system_prompt='You are a helpful chatbot.',
            model_settings={'top_p': 0.5},
        )

        @agent.tool_plain
        async def get_capital(country: str) -> str:
            """Get the capital of a country.

            Args:
                country: The country name.
            """
            return 'Paris'

        @agent.tool_plain
        async def get_temperature(city: str) -> str:
            """Get the temperature in a city.

            Args:
                city: The city name.
            """
            return '30°C'

        outputs: list[str] = []
        async with agent.iter('What is the temperature of the capital of France?') as run:
            async for node in run:
                if Agent.is_model_request_node(node):
                    async with node.stream(run.ctx) as stream:
                        outputs.append(
                            ''.join([text async for text in stream.stream_text(delta=True, debounce_by=None)])
                        )
    assert outputs == [deltas_of(exchanges[0], 0, 'text'), deltas_of(exchanges[1], 0, 'text')]
    assert run.result is not None
    assert run.result.output == 'The current temperature in Paris, the capital of France, is 30°C.'
    assert [request.messages for request in bedrock.requests] == [
        exchange['request']['json']['messages'] for exchange in exchanges
    ]


class CityInfo(BaseModel):
    """Information about a city."""

    city: str
    country: str
    population: int


@dribbled
async def test_an_agent_streams_native_output(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'native_output_stream')
    async with replayed([exchange], sizes) as (bedrock, provider):
        agent = Agent(model_of(exchange, provider), output_type=NativeOutput(CityInfo))
        prompt = 'What is the capital of France? Give me the city name, country, and population.'
        async with agent.run_stream(prompt) as result:
            partial = [output async for output in result.stream_output(debounce_by=None)]
            assert await result.get_output() == CityInfo(city='Paris', country='France', population=2161000)
    assert partial[-1] == CityInfo(city='Paris', country='France', population=2161000)
    assert comparable(bedrock.requests[0].body) == comparable(exchange['request']['json'])


# Counting tokens, embeddings


async def test_counted_tokens(recorded: Path) -> None:
    (exchange,) = exchanges_in(recorded, 'count_tokens_tools')
    conversation = conversation_of(exchange)
    async with replayed([exchange]) as (bedrock, provider):
        usage = await model_of(exchange, provider).count_tokens(*conversation)
    assert usage.input_tokens == 375
    (request,) = bedrock.requests
    assert request.path == exchange['request']['path']
    assert request.body == exchange['request']['json']


def of_titan(response: Mapping[str, Any]) -> list[float]:
    return response['embedding']


def of_cohere(response: Mapping[str, Any]) -> list[float]:
    return response['embeddings']['float'][0]


@pytest.mark.parametrize(
    ('name', 'vector', 'tokens'), [('embed_titan_v2', of_titan, 5), ('embed_cohere_v4', of_cohere, 4)]
)
@pytest.mark.parametrize('sizes', [WHOLE, (7,)], ids=['whole', 'pieces of 7'])
async def test_embeddings(
    recorded: Path, name: str, vector: Callable[[Mapping[str, Any]], list[float]], tokens: int, sizes: Sequence[int]
) -> None:
    (exchange,) = exchanges_in(recorded, name)
    async with replayed([exchange], sizes) as (bedrock, provider):
        result = await BedrockEmbeddingModel(model_id_of(exchange), provider=provider).embed(
            'Hello, world!', input_type='query'
        )
    assert [list(found) for found in result.embeddings] == [vector(exchange['response']['json'])]
    assert result.usage.input_tokens == tokens
    (request,) = bedrock.requests
    assert request.path == exchange['request']['path']
    assert request.body == exchange['request']['json']
