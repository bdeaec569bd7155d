"""Exchanges recorded with Amazon Bedrock: their replay, and the conversations that their requests were made from."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from botocore.eventstream import EventStreamBuffer
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import (
    BinaryContent,
    CachePoint,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
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
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

Exchange = dict[str, Any]

WHOLE: tuple[int, ...] = ()


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
