"""The rules of Anthropic's models for a Messages request, in their own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from local_bedrock._bodies.json_access import structure
from local_bedrock._model.anthropic_rules import MODEL_ERROR, check_anthropic
from local_bedrock._model.families import Family
from local_bedrock._model.message_rules import check_prefill
from local_bedrock.errors import ErrorReply, RefusedError, validation_error


def check_messages(converse: Mapping[str, Any], family: Family) -> None:
    """Check a Messages request.

    Args:
        converse: The request in the terms of Converse.
        family: The family of its model.

    Raises:
        RefusedError: With a `ValidationException` for the first rule that is broken.
    """
    messages: Sequence[Mapping[str, Any]] = converse['messages']
    _check_tool_results(messages)
    most, asked = family.max_output_tokens, structure(converse, 'inferenceConfig')['maxTokens']
    if most is not None and asked > most:
        # https://github.com/vercel/ai/issues/7927 (2025-08-09): the words of Anthropic's own API
        raise validation_error(f'max_tokens: {asked} > {most}, which is the maximum allowed number of output tokens')
    if family.anthropic:
        with_own_words(lambda: check_anthropic(converse, messages, family))
    if messages[-1]['role'] == 'assistant':
        check_prefill(family)


def with_own_words(check: Any) -> None:
    """Make a check of Converse, and refuse without the phrase that Converse puts before the words of a model.

    Raises:
        RefusedError: The check refuses.
    """
    try:
        check()
    except RefusedError as refused:
        reply = refused.reply
        raise RefusedError(ErrorReply(reply.status, reply.code, reply.message.removeprefix(MODEL_ERROR))) from None


def _check_tool_results(messages: Sequence[Mapping[str, Any]]) -> None:
    called: list[str] = []
    for number, message in enumerate(messages):
        results = {
            block['toolResult']['toolUseId']: index
            for index, block in enumerate(message['content'])
            if 'toolResult' in block
        }
        missing = [tool_use_id for tool_use_id in called if tool_use_id not in results]
        if missing:
            # https://github.com/pydantic/pydantic-ai/issues/3253 (2025-10-24)
            raise validation_error(
                f'messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: '
                f'{", ".join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the '
                'next message.'
            )
        for tool_use_id, index in results.items():
            if tool_use_id not in called:
                raise validation_error(
                    f'messages.{number}.content.{index}: unexpected `tool_use_id` found in `tool_result` blocks: '
                    f'{tool_use_id}. Each `tool_result` block must have a corresponding `tool_use` block in the '
                    'previous message.'
                )
        called = [block['toolUse']['toolUseId'] for block in message['content'] if 'toolUse' in block]
    if called:
        raise validation_error(
            f'messages.{len(messages) - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: '
            f'{", ".join(called)}. Each `tool_use` block must have a corresponding `tool_result` block in the next '
            'message.'
        )
