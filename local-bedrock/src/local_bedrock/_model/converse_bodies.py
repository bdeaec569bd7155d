"""From a reply of the model to the bodies of Converse and ConverseStream."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import to_json

from local_bedrock._bodies.tokens import count_tokens, input_tokens
from local_bedrock.frames import Padding, StreamEvent, encode_event
from local_bedrock.replies import Reply, ToolCall
from local_bedrock.requests import RecordedRequest

_WORDS = re.compile(r'\s*\S+|\s+$')
_TOOL_INPUT_PIECE = 16
_LATENCY_MS = 250


def content_blocks(reply: Reply) -> list[dict[str, Any]]:
    """Return the content blocks of a reply, blobs as base64, as Converse sends them."""
    if reply.content is not None:
        return [dict(block) for block in reply.content]
    blocks: list[dict[str, Any]] = []
    if reply.thinking is not None:
        signature = reply.signature or base64.b64encode(f'local-bedrock:{len(reply.thinking)}'.encode()).decode()
        blocks.append({'reasoningContent': {'reasoningText': {'signature': signature, 'text': reply.thinking}}})
    if reply.redacted_thinking is not None:
        blocks.append({'reasoningContent': {'redactedContent': base64.b64encode(reply.redacted_thinking).decode()}})
    if reply.text is not None:
        if reply.citations:
            cited = {'citations': [dict(citation) for citation in reply.citations], 'content': [{'text': reply.text}]}
            blocks.append({'citationsContent': cited})
        else:
            blocks.append({'text': reply.text})
    blocks.extend({'toolUse': _tool_use(call)} for call in reply.tool_calls)
    return blocks


def _tool_use(call: ToolCall) -> dict[str, Any]:
    block: dict[str, Any] = {'input': call.input, 'name': call.name, 'toolUseId': call.id or new_tool_use_id()}
    if call.type is not None:
        block['type'] = call.type
    return block


def new_tool_use_id() -> str:
    """Make up an id such as Bedrock gives to tool calls."""
    return f'tooluse_{secrets.token_urlsafe(16)}'


def stop_reason(reply: Reply, blocks: list[dict[str, Any]]) -> str:
    """Return the stop reason of a reply."""
    if reply.stop_reason is not None:
        return reply.stop_reason
    calls = any('toolUse' in block and block['toolUse'].get('type') != 'server_tool_use' for block in blocks)
    return 'tool_use' if calls else 'end_turn'


def block_tokens(block: Mapping[str, Any]) -> int:
    """Count the tokens of a generated content block."""
    if 'text' in block:
        return count_tokens(block['text'])
    if 'toolUse' in block:
        return 8 + count_tokens(_input_json(block['toolUse']['input']))
    if 'reasoningContent' in block:
        return count_tokens(block['reasoningContent'].get('reasoningText', {}).get('text', ''))
    if 'citationsContent' in block:
        return sum(count_tokens(part.get('text', '')) for part in block['citationsContent'].get('content', ()))
    return 1


def usage_of(reply: Reply, request: RecordedRequest, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the usage that a response reports."""
    usage: dict[str, Any] = {
        'inputTokens': input_tokens(request.converse),
        'outputTokens': sum(block_tokens(block) for block in blocks),
        'serverToolUsage': {},
    }
    usage.update(reply.usage)
    for direction in ('Read', 'Write'):
        # AWS sends the counts of the cache twice, under an older name too.
        tokens = usage.get(f'cache{direction}InputTokens')
        if tokens is not None:
            usage.setdefault(f'cache{direction}InputTokenCount', tokens)
    if 'totalTokens' not in reply.usage:
        usage['totalTokens'] = sum(
            usage.get(name, 0)
            for name in ('inputTokens', 'outputTokens', 'cacheReadInputTokens', 'cacheWriteInputTokens')
        )
    return {name: usage[name] for name in sorted(usage)}


def _about(reply: Reply) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if reply.trace is not None:
        about['trace'] = dict(reply.trace)
    if reply.service_tier is not None:
        about['serviceTier'] = {'type': reply.service_tier}
    if reply.performance_latency is not None:
        about['performanceConfig'] = {'latency': reply.performance_latency}
    return about


def _latency(reply: Reply) -> int:
    return _LATENCY_MS if reply.latency_ms is None else reply.latency_ms


def converse_body(reply: Reply, request: RecordedRequest) -> tuple[bytes, dict[str, Any]]:
    """Return the body of a Converse response, and its usage."""
    blocks = content_blocks(reply)
    usage = usage_of(reply, request, blocks)
    body: dict[str, Any] = {
        'metrics': {'latencyMs': _latency(reply)},
        'output': {'message': {'content': blocks, 'role': 'assistant'}},
        'stopReason': stop_reason(reply, blocks),
        'usage': usage,
        **_about(reply),
    }
    if reply.additional_fields is not None:
        body['additionalModelResponseFields'] = dict(reply.additional_fields)
    return to_json({name: body[name] for name in sorted(body)}), usage


def stream_events(
    reply: Reply, request: RecordedRequest, blocks: list[dict[str, Any]] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of a ConverseStream response, each its name and its payload before padding.

    Args:
        reply: The reply.
        request: The request that it answers.
        blocks: The content blocks of the reply (default: made here, with new ids of tool calls).
    """
    if blocks is None:
        blocks = content_blocks(reply)
    yield 'messageStart', {'role': 'assistant'}
    for index, block in enumerate(blocks):
        yield from _block_events(index, block, reply)
    stop: dict[str, Any] = {'stopReason': stop_reason(reply, blocks)}
    if reply.additional_fields is not None:
        stop['additionalModelResponseFields'] = dict(reply.additional_fields)
    yield 'messageStop', stop
    yield (
        'metadata',
        {'metrics': {'latencyMs': _latency(reply)}, 'usage': usage_of(reply, request, blocks), **_about(reply)},
    )


def _block_events(index: int, block: Mapping[str, Any], reply: Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    start, deltas = _start_and_deltas(block, reply)
    if start is not None:
        yield 'contentBlockStart', {'contentBlockIndex': index, 'start': start}
    for delta in deltas:
        yield 'contentBlockDelta', {'contentBlockIndex': index, 'delta': delta}
    yield 'contentBlockStop', {'contentBlockIndex': index}


def _start_and_deltas(block: Mapping[str, Any], reply: Reply) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    if 'text' in block:
        return None, [{'text': piece} for piece in _pieces(block['text'], reply)]
    if 'toolUse' in block:
        tool_use = {name: value for name, value in sorted(block['toolUse'].items()) if name != 'input'}
        text = _input_json(block['toolUse']['input'])
        cuts = range(0, len(text), _TOOL_INPUT_PIECE)
        return {'toolUse': tool_use}, [{'toolUse': {'input': text[at : at + _TOOL_INPUT_PIECE]}} for at in cuts]
    if 'toolResult' in block:
        tool_result = dict(block['toolResult'])
        content = tool_result.pop('content', [])
        return {'toolResult': tool_result}, [{'toolResult': content}]
    if 'reasoningContent' in block:
        return None, _reasoning_deltas(block['reasoningContent'])
    if 'citationsContent' in block:
        cited = block['citationsContent']
        texts = [{'text': piece} for part in cited.get('content', ()) for piece in _pieces(part['text'], reply)]
        return None, texts + [{'citation': citation} for citation in cited.get('citations', ())]
    return None, [dict(block)]


def _reasoning_deltas(reasoning: Mapping[str, Any]) -> list[dict[str, Any]]:
    if 'redactedContent' in reasoning:
        return [{'reasoningContent': {'redactedContent': reasoning['redactedContent']}}]
    text = reasoning['reasoningText']
    deltas = [{'reasoningContent': {'text': piece}} for piece in split_words(text['text'])]
    if 'signature' in text:
        deltas.append({'reasoningContent': {'signature': text['signature']}})
    return deltas


def _pieces(text: str, reply: Reply) -> list[str]:
    return list(reply.chunks) if reply.chunks is not None and text == reply.text else split_words(text)


def split_words(text: str) -> list[str]:
    """Split text into words, each with the white space before it."""
    return _WORDS.findall(text)


def _input_json(tool_input: Any) -> str:
    return tool_input if isinstance(tool_input, str) else to_json(tool_input).decode()


def frame_event(name: str, payload: Mapping[str, Any], padding: Padding) -> bytes:
    """Frame an event of the model, padded as Bedrock pads it."""
    return encode_event(StreamEvent(name, padding.pad(payload)))
