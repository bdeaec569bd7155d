"""The Messages format of Anthropic: requests to the terms of Converse, replies to responses and events.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from local_bedrock._bodies.json_access import structure, structures
from local_bedrock._model.converse_bodies import stream_events
from local_bedrock._model.invoke.generation import Generation, present
from local_bedrock._model.malformed import required
from local_bedrock.errors import validation_error

_STOP_REASONS = {'content_filtered': 'refusal', 'guardrail_intervened': 'end_turn'}
_ROLES = ('user', 'assistant', 'system')


def converse_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Messages request in the terms of Converse.

    Raises:
        RefusedError: A member is missing or of another type.
    """
    for name, kind in (('anthropic_version', str), ('max_tokens', int), ('messages', list)):
        required(body, name, kind)
    messages = [_message(message, number) for number, message in enumerate(structures(body, 'messages'))]
    if not messages:
        raise validation_error('messages: at least one message is required')
    extra = {name: body[name] for name in ('thinking', 'anthropic_beta', 'top_k') if name in body}
    return present(
        messages=messages,
        system=_system(body.get('system')),
        inferenceConfig=present(
            maxTokens=body['max_tokens'],
            temperature=body.get('temperature'),
            topP=body.get('top_p'),
            stopSequences=body.get('stop_sequences'),
        ),
        toolConfig=_tool_config(body),
        outputConfig=_output_config(body),
        additionalModelRequestFields=extra or None,
    )


def _message(message: Mapping[str, Any], number: int) -> dict[str, Any]:
    role, content = message.get('role'), message.get('content')
    if role not in _ROLES:
        raise validation_error(f"messages.{number}.role: Input should be 'user' or 'assistant'")
    if isinstance(content, str):
        if not content:
            raise validation_error(_EMPTY)
        return {'role': role, 'content': [{'text': content}]}
    if not isinstance(content, list):
        raise validation_error(f'messages.{number}.content: Field required')
    return {'role': role, 'content': _blocks(structures(message, 'content'), f'messages.{number}.content')}


_EMPTY = 'messages: text content blocks must be non-empty'


def _blocks(blocks: Sequence[Mapping[str, Any]], where: str) -> list[dict[str, Any]]:
    converted: list[dict[str, Any]] = []
    for index, block in enumerate(blocks):
        converted.append(_block(block, f'{where}.{index}'))
        converted.extend(_cache_point(block))
    return converted


def _cache_point(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the cache point that a block or a tool is marked with, if it is."""
    if 'cache_control' not in block:
        return []
    return [{'cachePoint': present(type='default', ttl=structure(block, 'cache_control').get('ttl'))}]


def _block(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    match block:
        case {'type': 'text', 'text': str(text)}:
            if not text:
                # https://github.com/anomalyco/opencode/issues/15715
                raise validation_error(_EMPTY)
            return {'text': text}
        case {'type': 'image', 'source': {'type': 'base64', 'media_type': str(kind), 'data': str(data)}}:
            return {'image': {'format': kind.partition('/')[2], 'source': {'bytes': data}}}
        case {'type': 'document', 'source': dict()}:
            return {'document': _document(block)}
        case {'type': 'tool_use', 'id': str(tool_use_id), 'name': str(name), 'input': arguments}:
            return {'toolUse': {'toolUseId': tool_use_id, 'name': name, 'input': arguments}}
        case {'type': 'tool_result', 'tool_use_id': str(tool_use_id)}:
            return {'toolResult': _tool_result(block, tool_use_id, where)}
        case {'type': 'thinking', 'thinking': str(text), 'signature': str(signature)}:
            return {'reasoningContent': {'reasoningText': {'text': text, 'signature': signature}}}
        case {'type': 'redacted_thinking', 'data': str(data)}:
            return {'reasoningContent': {'redactedContent': data}}
        case {'type': str(kind)}:
            raise validation_error(f'{where}: LocalBedrock cannot read this block of type {kind}')
        case _:
            raise validation_error(f'{where}.type: Field required')


def _document(block: Mapping[str, Any]) -> dict[str, Any]:
    source = structure(block, 'source')
    kind = str(source.get('media_type', 'text/plain')).partition('/')[2]
    content = {'text': source.get('data')} if source.get('type') == 'text' else {'bytes': source.get('data')}
    return {'name': block.get('title') or 'document', 'format': 'txt' if kind == 'plain' else kind, 'source': content}


def _tool_result(block: Mapping[str, Any], tool_use_id: str, where: str) -> dict[str, Any]:
    content = block.get('content')
    blocks = [{'text': content}] if isinstance(content, str) else _blocks(structures(block, 'content'), where)
    status = 'error' if block.get('is_error') else None
    return present(toolUseId=tool_use_id, content=blocks, status=status)


def _system(system: Any) -> list[dict[str, Any]] | None:
    if isinstance(system, str):
        return [{'text': system}] if system else None
    return _blocks(structures({'system': system}, 'system'), 'system') or None


def _tool_config(body: Mapping[str, Any]) -> dict[str, Any] | None:
    tools: list[dict[str, Any]] = []
    for index, tool in enumerate(structures(body, 'tools')):
        # Tools of Anthropic's own, such as the text editor, have a type and no schema.
        if 'name' not in tool:
            raise validation_error(f'tools.{index}.name: Field required')
        schema = tool.get('input_schema') or {'type': 'object'}
        spec = present(
            name=tool['name'],
            description=tool.get('description'),
            inputSchema={'json': schema},
            strict=tool.get('strict'),
        )
        tools.append({'toolSpec': spec})
        tools.extend(_cache_point(tool))
    choice = structure(body, 'tool_choice')
    if not tools or choice.get('type') == 'none':
        return None
    wanted: dict[str, Any] = (
        {'tool': {'name': choice.get('name')}} if choice.get('type') == 'tool' else {str(choice.get('type')): {}}
    )
    return {'tools': tools, 'toolChoice': wanted} if choice else {'tools': tools}


def _output_config(body: Mapping[str, Any]) -> dict[str, Any] | None:
    form = structure(body, 'output_config', 'format') or structure(body, 'output_format')
    if form.get('type') != 'json_schema':
        return None
    schema = to_json(form.get('schema') or {}).decode()
    return {'textFormat': {'type': 'json_schema', 'structure': {'jsonSchema': {'schema': schema}}}}


# Responses


def response(generation: Generation) -> dict[str, Any]:
    """Return a Messages response."""
    stop_reason, stop_sequence = _stop(generation)
    return {
        **_head(generation),
        'content': [part for block in generation.blocks for part in _content(block)],
        'stop_reason': stop_reason,
        'stop_sequence': stop_sequence,
        'usage': _usage(generation, generation.usage['outputTokens']),
    }


def chunks(generation: Generation) -> Iterator[dict[str, Any]]:
    """Yield the events of a Messages stream."""
    start: dict[str, Any] = {**_head(generation), 'content': [], 'stop_reason': None, 'stop_sequence': None}
    yield {'type': 'message_start', 'message': {**start, 'usage': _usage(generation, 1)}}
    started = -1
    for name, event in stream_events(generation.reply, generation.request, generation.blocks):
        index: int = event.get('contentBlockIndex', 0)
        if name in ('contentBlockStart', 'contentBlockDelta') and index != started:
            started = index
            yield {'type': 'content_block_start', 'index': index, 'content_block': _empty(generation.blocks[index])}
        if name == 'contentBlockDelta' and (delta := _delta(event['delta'])) is not None:
            yield {'type': 'content_block_delta', 'index': index, 'delta': delta}
        elif name == 'contentBlockStop':
            yield {'type': 'content_block_stop', 'index': index}
    stop_reason, stop_sequence = _stop(generation)
    yield {
        'type': 'message_delta',
        'delta': {'stop_reason': stop_reason, 'stop_sequence': stop_sequence},
        'usage': {'output_tokens': generation.usage['outputTokens']},
    }
    yield {'type': 'message_stop'}


def _head(generation: Generation) -> dict[str, Any]:
    model = generation.request.model_id.rpartition('anthropic.')[2]
    message_id = f'msg_bdrk_01{secrets.token_hex(11)}'
    return {'model': model, 'id': message_id, 'type': 'message', 'role': 'assistant'}


def _usage(generation: Generation, output_tokens: int) -> dict[str, int]:
    usage = generation.usage
    return {
        'input_tokens': usage['inputTokens'],
        'cache_creation_input_tokens': usage.get('cacheWriteInputTokens', 0),
        'cache_read_input_tokens': usage.get('cacheReadInputTokens', 0),
        'output_tokens': output_tokens,
    }


def _stop(generation: Generation) -> tuple[str, str | None]:
    reason = _STOP_REASONS.get(generation.stop_reason, generation.stop_reason)
    sequences = structure(generation.request.converse, 'inferenceConfig').get('stopSequences') or ()
    # A reply does not say which sequence ended it.
    return reason, sequences[0] if reason == 'stop_sequence' and len(sequences) == 1 else None


def _content(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    match block:
        case {'text': text}:
            return [{'type': 'text', 'text': text}]
        case {'toolUse': {'toolUseId': tool_use_id, 'name': name, 'input': arguments}}:
            return [{'type': 'tool_use', 'id': tool_use_id, 'name': name, 'input': _arguments(arguments)}]
        case {'reasoningContent': {'redactedContent': data}}:
            return [{'type': 'redacted_thinking', 'data': data}]
        case {'reasoningContent': {'reasoningText': reasoning}}:
            signature = reasoning.get('signature', '')
            return [{'type': 'thinking', 'thinking': reasoning['text'], 'signature': signature}]
        case {'citationsContent': cited}:
            return [{'type': 'text', 'text': part['text']} for part in cited.get('content', ())]
        case _:
            raise TypeError(f'a content block with {", ".join(block)} has no place in the Messages format')


def _arguments(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return from_json(arguments)
    except ValueError:
        raise TypeError('arguments that are not JSON can be streamed only') from None


def _empty(block: Mapping[str, Any]) -> dict[str, Any]:
    if 'toolUse' in block:
        call = block['toolUse']
        return {'type': 'tool_use', 'id': call['toolUseId'], 'name': call['name'], 'input': {}}
    if 'reasoningContent' in block:
        redacted = block['reasoningContent'].get('redactedContent')
        if redacted is not None:
            return {'type': 'redacted_thinking', 'data': redacted}
        return {'type': 'thinking', 'thinking': '', 'signature': ''}
    return {'type': 'text', 'text': ''}


def _delta(delta: Mapping[str, Any]) -> dict[str, Any] | None:
    match delta:
        case {'text': text}:
            return {'type': 'text_delta', 'text': text}
        case {'toolUse': {'input': text}}:
            return {'type': 'input_json_delta', 'partial_json': text}
        case {'reasoningContent': {'text': text}}:
            return {'type': 'thinking_delta', 'thinking': text}
        case {'reasoningContent': {'signature': signature}}:
            return {'type': 'signature_delta', 'signature': signature}
        case _:
            # Redacted reasoning stands in the start of its block already; citations have another form.
            return None
