"""The default model: the answers to requests that no script answers.

It has no intelligence, but manners: it answers a prompt with a sentence about it, calls an offered tool and reports
the answer of the tool, fills a schema when one is asked for, and thinks first when thinking is on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic_core import from_json, to_json

from local_bedrock._bodies.json_access import structure, structures
from local_bedrock._bodies.tokens import count_tokens, truncate
from local_bedrock._model.schemas import fill_schema
from local_bedrock.replies import Reply, ToolCall
from local_bedrock.requests import RecordedRequest

OUTPUT_TOOL = 'final_result'
"""The tool, by the beginning of its name, that takes the result of a run: called after all others."""

_QUOTED = 300


def respond(request: RecordedRequest) -> Reply:
    """Answer a request that generates text."""
    thinking = _thinking(request)
    tool = _tool_to_call(request)
    if tool is not None:
        call = ToolCall(tool, _arguments(request, tool))
        return Reply(tool_calls=[call], thinking=thinking and f'I should use the tool {tool}.')
    text = _structured(request)
    if text is None:
        text = _sentence(request)
    return _limited(Reply(text, thinking=thinking), request)


def _thinking(request: RecordedRequest) -> str | None:
    for key in ('thinking', 'reasoning_config', 'reasoningConfig'):
        if structure(request.converse, 'additionalModelRequestFields', key).get('type') in ('enabled', 'adaptive'):
            return f'The user says: {_shortened(request.last_user_text)}'
    return None


def _tool_to_call(request: RecordedRequest) -> str | None:
    tools = list(request.tools)
    choice = structure(request.converse, 'toolConfig', 'toolChoice')
    if 'tool' in choice:
        return str(choice['tool']['name'])
    outputs = [name for name in tools if name.startswith(OUTPUT_TOOL)]
    others = [name for name in tools if name not in outputs]
    if not tools:
        return None
    if _has_answers(request):
        if 'any' in choice:
            return (outputs or others)[0]
        return outputs[0] if outputs else None
    return (others or outputs)[0]


def _latest_results(request: RecordedRequest) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the latest tool results since the model last spoke, and all content that came with them and after them.

    A turn of the model without words, such as a full stop, is not speech: clients put it between the results and a
    document that Claude refuses beside them.
    """
    later: list[dict[str, Any]] = []
    for message in reversed(request.messages):
        content = structures(message, 'content')
        if message.get('role') == 'assistant':
            if any('toolUse' in block or _has_words(block) for block in content):
                break
            continue
        later = [*content, *later]
        if results := [block['toolResult'] for block in content if 'toolResult' in block]:
            return results, later
    return [], later


def _has_words(block: Mapping[str, Any]) -> bool:
    return any(map(str.isalnum, str(block.get('text', ''))))


def _has_answers(request: RecordedRequest) -> bool:
    """Return True if tools have answered already, in this run and not in an earlier run."""
    results, content = _latest_results(request)
    if not results:
        return False
    names = _tool_names(request)
    ended = all(names.get(result['toolUseId'], '').startswith(OUTPUT_TOOL) for result in results)
    if not ended:
        return True
    # The result of an output tool ends a run, unless it says that the output was not accepted: then nothing but the
    # results stands in the message. A prompt beside them begins another run.
    return not any('text' in block for block in content)


def _tool_names(request: RecordedRequest) -> dict[str, str]:
    return {
        block['toolUse']['toolUseId']: block['toolUse']['name']
        for message in request.messages
        for block in structures(message, 'content')
        if 'toolUse' in block
    }


def _arguments(request: RecordedRequest, tool: str) -> dict[str, Any]:
    schema = structure(request.tools, tool, 'inputSchema', 'json')
    filled = fill_schema({'type': 'object', **schema}, request.last_user_text)
    return cast('dict[str, Any]', filled) if isinstance(filled, dict) else {}


def _structured(request: RecordedRequest) -> str | None:
    form = structure(request.converse, 'outputConfig', 'textFormat')
    if form.get('type') != 'json_schema':
        return None
    schema = structure(form, 'structure', 'jsonSchema').get('schema')
    return to_json(fill_schema(from_json(schema or '{}'), request.last_user_text)).decode()


def _sentence(request: RecordedRequest) -> str:
    results, _ = _latest_results(request)
    if results:
        names = _tool_names(request)
        said = [f'{names.get(result["toolUseId"], "The tool")} says: {_result_text(result)}' for result in results]
        return f'Here is what I found. {" ".join(said)}'
    parts = (
        [*_media(request), f'You said: "{_shortened(request.last_user_text)}"']
        if request.last_user_text
        else _media(request)
    )
    return f'{" ".join(parts)} This answer comes from LocalBedrock.'


def _result_text(result: Mapping[str, Any]) -> str:
    parts: Sequence[Mapping[str, Any]] = result.get('content') or ()
    texts = [
        part['text'] if 'text' in part else to_json(part.get('json')).decode()
        for part in parts
        if 'text' in part or 'json' in part
    ]
    return _shortened(' '.join(texts)) or 'nothing'


def _media(request: RecordedRequest) -> list[str]:
    blocks = request.last_content
    counts = {kind: sum(kind in block for block in blocks) for kind in ('image', 'video', 'audio')}
    said = [f'I have looked at {count} of kind {kind}.' for kind, count in counts.items() if count]
    names = [block['document']['name'] for block in blocks if 'document' in block]
    if names:
        said.append(f'I have read {", ".join(names)}.')
    return said


def _shortened(text: str) -> str:
    text = ' '.join(text.split())
    return text if len(text) <= _QUOTED else f'{text[:_QUOTED]}...'


def _limited(reply: Reply, request: RecordedRequest) -> Reply:
    """Return the reply, cut where a stop sequence or the greatest number of tokens ends it."""
    config = structure(request.converse, 'inferenceConfig')
    text, stop_reason = reply.text or '', None
    stops = [at for stop in config.get('stopSequences') or () if stop and (at := text.find(stop)) >= 0]
    if stops:
        text, stop_reason = text[: min(stops)], 'stop_sequence'
    most = config.get('maxTokens')
    if most is not None:
        left = most - count_tokens(reply.thinking or '')
        text, cut = truncate(text, max(left, 1))
        stop_reason = 'max_tokens' if cut else stop_reason
    return Reply(text, thinking=reply.thinking, stop_reason=stop_reason)
