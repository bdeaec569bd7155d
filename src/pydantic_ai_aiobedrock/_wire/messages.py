"""Converse requests as Messages of Anthropic, the format in which InvokeModel asks Claude, and the responses back.

Both are JSON, with blobs as base64. A member of a request that has no counterpart is refused, not dropped.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Any, Final, cast

from pydantic_core import from_json, to_json

__all__ = ['MessagesEncodeError', 'converse_response', 'is_messages_response', 'messages_request']

_VERSION: Final = 'bedrock-2023-05-31'
_SETTINGS: Final = {
    'maxTokens': 'max_tokens',
    'temperature': 'temperature',
    'topP': 'top_p',
    'stopSequences': 'stop_sequences',
}
_CHOICES: Final = ('auto', 'any', 'tool')
_TEXT_FORMATS: Final = frozenset({'txt', 'md', 'csv', 'html'})
_STOP_REASONS: Final = {'refusal': 'content_filtered'}
"""The reasons that Converse has another word for."""
_LOCATIONS: Final = {
    'char_location': ('documentChar', 'start_char_index', 'end_char_index'),
    'page_location': ('documentPage', 'start_page_number', 'end_page_number'),
    'content_block_location': ('documentChunk', 'start_block_index', 'end_block_index'),
}

_Object = Mapping[str, Any]


class MessagesEncodeError(ValueError):
    """A Converse request has a member that the Messages format has no place for, or lacks one that it requires."""


def messages_request(converse: _Object) -> dict[str, Any]:
    """Return the Messages request that asks the same as a Converse request.

    Args:
        converse: The body of the Converse request, decoded from JSON.

    Raises:
        MessagesEncodeError: There is no such request.
    """
    members = dict(converse)
    config = dict(members.pop('inferenceConfig', None) or {})
    request: dict[str, Any] = {'anthropic_version': _VERSION}
    for name, wanted in _SETTINGS.items():
        if (value := config.pop(name, None)) is not None:
            request[wanted] = value
    if system := _blocks(members.pop('system', None) or (), 'system'):
        request['system'] = system
    request['messages'] = [
        _message(message, f'messages[{number}]') for number, message in enumerate(members.pop('messages'))
    ]
    _put_tools(request, members.pop('toolConfig', None) or {})
    additional: dict[str, Any] = members.pop('additionalModelRequestFields', None) or {}
    # Converse hands these members to the model as they are.
    output = {**_output_config(members.pop('outputConfig', None)), **additional.get('output_config', {})}
    request |= {**additional, 'output_config': output} if output else additional
    _check_empty({**config, **members}, 'the request')
    if 'max_tokens' not in request:
        raise MessagesEncodeError('needs `max_tokens`: set it in the model settings')
    return request


def _message(message: _Object, where: str) -> dict[str, Any]:
    role = message['role']
    if role not in ('user', 'assistant'):
        raise MessagesEncodeError(f'has no role {role!r} ({where})')
    return {'role': role, 'content': _blocks(message['content'], where)}


def _blocks(blocks: Sequence[_Object], where: str) -> list[dict[str, Any]]:
    """Return content blocks; a cache point is a mark on the block before it."""
    converted: list[dict[str, Any]] = []
    for block in blocks:
        if (cache_point := block.get('cachePoint')) is not None:
            _mark(converted, cache_point, where)
        else:
            converted.append(_block(block, where))
    return converted


def _mark(blocks: Sequence[dict[str, Any]], cache_point: _Object, where: str) -> None:
    if not blocks:
        raise MessagesEncodeError(f'has no place for a cache point before all content ({where})')
    ttl = {'ttl': cache_point['ttl']} if cache_point.get('ttl') is not None else {}
    blocks[-1]['cache_control'] = {'type': 'ephemeral', **ttl}


def _block(block: _Object, where: str) -> dict[str, Any]:
    match block:
        case {'text': text, **rest} if not rest:
            return {'type': 'text', 'text': text}
        case {'image': {'format': format, 'source': {'bytes': data}}, **rest} if not rest:
            return {'type': 'image', 'source': _base64(f'image/{format}', data)}
        case {'document': document, **rest} if not rest:
            return _document(document, where)
        case {'toolUse': {'toolUseId': tool_use_id, 'name': name, 'input': arguments, **more}, **rest} if not (
            rest or more
        ):
            return {'type': 'tool_use', 'id': tool_use_id, 'name': name, 'input': arguments}
        case {'toolResult': {'toolUseId': tool_use_id, 'content': content, **more}, **rest} if not rest:
            return _tool_result(tool_use_id, content, more, where)
        case {'reasoningContent': {'reasoningText': {'text': text, 'signature': signature}}, **rest} if not rest:
            return {'type': 'thinking', 'thinking': text, 'signature': signature}
        case {'reasoningContent': {'redactedContent': data}, **rest} if not rest:
            return {'type': 'redacted_thinking', 'data': b64decode(data).decode()}
        case _:
            raise MessagesEncodeError(
                f'has no place for the content {", ".join(starmap(_shape, block.items()))} ({where})'
            )


def _shape(name: str, value: Any) -> str:
    source = cast('_Object', value).get('source') if isinstance(value, dict) else None
    return f'{name} from {", ".join(source)}' if source else name


def _base64(media_type: str, data: str) -> dict[str, Any]:
    return {'type': 'base64', 'media_type': media_type, 'data': data}


def _text(text: str) -> dict[str, Any]:
    return {'type': 'text', 'media_type': 'text/plain', 'data': text}


def _document(document: _Object, where: str) -> dict[str, Any]:
    rest = {name: value for name, value in document.items() if name not in ('name', 'format', 'source')}
    source, format = document['source'], document.get('format', 'txt')
    match source:
        case {'bytes': data} if format == 'pdf':
            content = _base64('application/pdf', data)
        case {'bytes': data} if format in _TEXT_FORMATS:
            try:
                content = _text(b64decode(data).decode())
            except UnicodeDecodeError:
                raise MessagesEncodeError(f'takes text in UTF-8 alone as a {format} document ({where})') from None
        case {'text': text}:
            content = _text(text)
        case {'content': parts}:
            content = {'type': 'content', 'content': _blocks(parts, where)}
        case _:
            raise MessagesEncodeError(f'has no place for a {format} document from {", ".join(source)} ({where})')
    block: dict[str, Any] = {'type': 'document', 'source': content, 'title': document['name']}
    for name in ('context', 'citations'):
        if (value := rest.pop(name, None)) is not None:
            block[name] = value
    _check_empty(rest, where)
    return block


def _tool_result(tool_use_id: str, content: Sequence[_Object], more: dict[str, Any], where: str) -> dict[str, Any]:
    status = more.pop('status', None)
    _check_empty(more, where)
    texts = [{'text': to_json(part['json']).decode()} if 'json' in part else part for part in content]
    result: dict[str, Any] = {'type': 'tool_result', 'tool_use_id': tool_use_id, 'content': _blocks(texts, where)}
    return {**result, 'is_error': True} if status == 'error' else result


def _put_tools(request: dict[str, Any], config: _Object) -> None:
    tools: list[dict[str, Any]] = []
    for tool in config.get('tools', ()):
        match tool:
            case {'cachePoint': cache_point}:
                _mark(tools, cache_point, 'toolConfig')
            case {'toolSpec': {'name': name, 'inputSchema': {'json': schema}, **rest}}:
                known = {name: rest.pop(name) for name in ('description', 'strict') if name in rest}
                _check_empty(rest, 'toolConfig')
                tools.append({'name': name, **known, 'input_schema': schema})
            case _:
                raise MessagesEncodeError(f'has no place for a tool of the kind {", ".join(tool)}')
    if tools:
        request['tools'] = tools
    choice: dict[str, Any] = config.get('toolChoice') or {}
    for kind, value in choice.items():
        if kind not in _CHOICES:
            raise MessagesEncodeError(f'has no tool choice {kind}')
        request['tool_choice'] = {'type': kind, **value}


def _output_config(config: _Object | None) -> dict[str, Any]:
    match config:
        case None:
            return {}
        case {'textFormat': {'type': 'json_schema', 'structure': {'jsonSchema': {'schema': schema}}}}:
            # The name and the description of the schema are for other models.
            return {'format': {'type': 'json_schema', 'schema': from_json(schema)}}
        case _:
            raise MessagesEncodeError('has no place for this outputConfig')


def _check_empty(rest: _Object, where: str) -> None:
    if left := [name for name, value in rest.items() if value is not None]:
        raise MessagesEncodeError(f'has no place for {", ".join(left)} ({where})')


# Responses


def is_messages_response(response: _Object) -> bool:
    """Return whether a response is one of Messages, not of Converse."""
    return response.get('type') == 'message' and 'output' not in response


def converse_response(response: _Object) -> dict[str, Any]:
    """Return a Messages response as Converse would have returned it.

    Args:
        response: The body of the response, decoded from JSON.

    Raises:
        LookupError: The response lacks a member.
        ValueError: It has content that Converse has no place for.
    """
    content = [_converse_block(block) for block in response['content']]
    stop_reason: str = response['stop_reason']
    return {
        'output': {'message': {'role': response['role'], 'content': content}},
        'stopReason': _STOP_REASONS.get(stop_reason, stop_reason),
        'usage': _usage(response['usage']),
    }


def _converse_block(block: _Object) -> dict[str, Any]:
    match block['type']:
        case 'text' if block.get('citations'):
            citations = [_citation(citation) for citation in block['citations']]
            return {'citationsContent': {'content': [{'text': block['text']}], 'citations': citations}}
        case 'text':
            return {'text': block['text']}
        case 'tool_use':
            return {'toolUse': {'toolUseId': block['id'], 'name': block['name'], 'input': block['input']}}
        case 'thinking':
            signature = {'signature': block['signature']} if block.get('signature') else {}
            return {'reasoningContent': {'reasoningText': {'text': block['thinking'], **signature}}}
        case 'redacted_thinking':
            return {'reasoningContent': {'redactedContent': b64encode(block['data'].encode()).decode()}}
        case kind:
            raise ValueError(f'a content block of type {kind} has no place in Converse')


def _citation(citation: _Object) -> dict[str, Any]:
    title = citation.get('document_title') or citation.get('title')
    cited: dict[str, Any] = {'sourceContent': [{'text': citation.get('cited_text', '')}]}
    if title is not None:
        cited['title'] = title
    if (names := _LOCATIONS.get(citation['type'])) is not None:
        kind, start, end = names
        place = {'documentIndex': citation['document_index'], 'start': citation[start], 'end': citation[end]}
        cited['location'] = {kind: place}
    return cited


def _usage(usage: _Object) -> dict[str, Any]:
    read, written = usage.get('cache_read_input_tokens') or 0, usage.get('cache_creation_input_tokens') or 0
    given, produced = usage['input_tokens'], usage['output_tokens']
    return {
        'inputTokens': given,
        'outputTokens': produced,
        'totalTokens': given + produced + read + written,
        'cacheReadInputTokens': read,
        'cacheWriteInputTokens': written,
    }
