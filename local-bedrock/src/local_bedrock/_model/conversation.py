"""The rules of a conversation that Bedrock enforces beyond the types of the service model, in its words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from local_bedrock._model.json_access import structure, structures
from local_bedrock.errors import validation_error

# These continue what an assistant message has begun; the others want a user's turn last. So do Anthropic's models from
# Claude 4.6 on, in words of their own.
_PREFILL = re.compile(r'(?:^|\.)(?:amazon\.nova|anthropic\.)|^arn:')
_NO_CLAUDE_PREFILL = re.compile(
    r'anthropic\.claude-(?:(?:opus|sonnet|haiku)-(?:4-[6-9]|[5-9])|(?:mythos|fable))(?![0-9])'
)
_DOCUMENT_NAME = re.compile(r'(?!.*\s{2})[A-Za-z0-9\s\-()\[\]]+')


def check_conversation(body: Mapping[str, Any], model_id: str) -> None:
    """Check the messages of a Converse request that is valid by type.

    Raises:
        RefusedError: With a `ValidationException` for the first rule that is broken.
    """
    messages: Sequence[Mapping[str, Any]] = body.get('messages') or ()
    if not messages or messages[0]['role'] == 'assistant':
        raise validation_error(
            'A conversation must start with a user message. Try again with a conversation that starts with a user '
            'message.'
        )
    for number, message in enumerate(messages):
        _check_content(message['content'], number)
    _check_tool_config(body, messages)
    _check_tool_results(messages)
    if messages[-1]['role'] == 'assistant':
        _check_prefill(model_id)


def _check_content(content: Sequence[Mapping[str, Any]], number: int) -> None:
    if not content:
        raise validation_error(
            f'The content field in the Message object at messages.{number} is empty. Add a ContentBlock object to the '
            'content field and try again.'
        )
    # White space alone is refused, but not beside a text that says something, as a recorded exchange shows.
    said_something = any((block.get('text') or '').strip() for block in content)
    for index, block in enumerate(content):
        where = f'messages.{number}.content.{index}'
        if (text := block.get('text')) is not None and not (text and (said_something or text.strip())):
            raise validation_error(
                f'The text field in the ContentBlock object at {where} is blank. Add text to the text field, and try '
                'again.'
            )
        if (
            (result := block.get('toolResult')) is not None
            and result.get('status') == 'error'
            and not result['content']
        ):
            raise validation_error(
                f'The content field at {where}.toolResult cannot be empty when status value is error.'
            )
        if (document := block.get('document')) is not None and _DOCUMENT_NAME.fullmatch(document['name']) is None:
            raise validation_error(
                'The document file name can only contain alphanumeric characters, whitespace characters, hyphens, '
                "parentheses, and square brackets. The name can't contain more than one consecutive whitespace "
                'character.'
            )


def _check_tool_config(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> None:
    tools = structures(body, 'toolConfig', 'tools')
    if not tools:
        if any('toolUse' in block or 'toolResult' in block for message in messages for block in message['content']):
            raise validation_error(
                'The toolConfig field must be defined when using toolUse and toolResult content blocks.'
            )
        return
    wanted = structure(body, 'toolConfig', 'toolChoice', 'tool').get('name')
    names: list[str] = [tool['toolSpec']['name'] for tool in tools if 'toolSpec' in tool]
    if wanted is not None and wanted not in names:
        raise validation_error(
            f"The model returned the following errors: tool_choice.name: Tool '{wanted}' not found in provided tools"
        )
    if len(set(names)) != len(names):
        raise validation_error('The model returned the following errors: tools: Tool names must be unique.')


def _check_tool_results(messages: Sequence[Mapping[str, Any]]) -> None:
    called: list[str] = []
    for number, message in enumerate(messages):
        # A message of role `system` takes no turn.
        if message['role'] not in ('user', 'assistant'):
            continue
        results = _ids(message, 'toolResult')
        if message['role'] == 'assistant':
            # What Bedrock itself runs, it also answers, in the same message.
            called = [tool_use_id for tool_use_id in _ids(message, 'toolUse') if tool_use_id not in results]
            continue
        _check_answers(called, results, number)
        called = []


def _check_answers(called: Sequence[str], results: Sequence[str], number: int) -> None:
    where = f'messages.{number}.content'
    if len(set(results)) < len(results):
        repeated = sorted({tool_use_id for tool_use_id in results if results.count(tool_use_id) > 1})
        raise validation_error(f'The toolResult blocks at {where} contain duplicate Ids: {", ".join(repeated)}')
    missing = [tool_use_id for tool_use_id in called if tool_use_id not in results]
    if missing:
        raise validation_error(f'Expected toolResult blocks at {where} for the following Ids: {", ".join(missing)}')
    if len(results) > len(called):
        raise validation_error(
            f'The number of toolResult blocks at {where} exceeds the number of toolUse blocks of previous turn.'
        )


def _ids(message: Mapping[str, Any], kind: str) -> list[str]:
    return [block[kind]['toolUseId'] for block in message['content'] if kind in block]


def _check_prefill(model_id: str) -> None:
    if _NO_CLAUDE_PREFILL.search(model_id):
        raise validation_error(
            'This model does not support assistant message prefill. The conversation must end with a user message.'
        )
    if not _PREFILL.search(model_id):
        raise validation_error(
            'The model that you are using requires the last turn in the conversation to be a user message. Add a user '
            'message to the conversation and try again.'
        )
