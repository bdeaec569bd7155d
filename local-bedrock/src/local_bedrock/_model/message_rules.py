"""The rules of a conversation that Bedrock enforces beyond the types of the service model, in its words.

Each rule names the report that quotes the words. The rules of a model's family hold only where `families` confirms
them. Not refused, as no current report confirms it: two messages of a role in a row (reports of 2024 refused them; in
2026 Bedrock joins them), more than five documents of which some are PDF, images on Titan, documents on Nova Micro, and
`topP` on models that take no `temperature`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from local_bedrock._bodies.json_access import structure, structures
from local_bedrock._model.anthropic_rules import asks_for_beta, check_anthropic, model_error
from local_bedrock._model.families import Family, family_of, is_foundation_model
from local_bedrock.errors import RefusedError, validation_error

_DOCUMENT_NAME = re.compile(r'(?!.*\s{2})[\w\s\-()\[\]]+', re.ASCII)
_DOCUMENT_BYTES = int(4.5 * 1024 * 1024)
_DOCUMENTS = 5
_PROMPT_ARN = re.compile(r'arn:[^:]+:bedrock:[^:]*:[^:]*:prompt/')
_MEDIA = ('image', 'document', 'video')


def check_converse(body: Mapping[str, Any], model_id: str, *, streaming: bool = False) -> None:
    """Check a Converse request that is valid by type.

    Args:
        body: The request.
        model_id: The model, by id or ARN.
        streaming: The operation is ConverseStream.

    Raises:
        RefusedError: With a `ValidationException` for the first rule that is broken.
    """
    family = family_of(model_id)
    messages = structures(body, 'messages')
    if messages or not _PROMPT_ARN.match(model_id):
        _check_first_turn(messages, family)
    for number, message in enumerate(messages):
        _check_content(message['content'], number)
    _check_documents(messages, family)
    _check_system(body, family)
    _check_tools(body, messages, family, streaming=streaming)
    _check_tool_results(messages)
    _check_turns(messages, family)
    _check_inference(body, family)
    if family.anthropic:
        check_anthropic(body, messages, family)
    if messages and messages[-1]['role'] == 'assistant':
        check_prefill(family)


def check_on_demand(model_id: str) -> None:
    """Check that a model may be invoked by this id.

    Raises:
        RefusedError: It is available by an inference profile only.
    """
    if family_of(model_id).on_demand is False and is_foundation_model(model_id):
        # https://github.com/anthropics/anthropic-sdk-python/issues/894 (2025-03); the apostrophe is AWS's.
        raise validation_error(
            f'Invocation of model ID {model_id} with on-demand throughput isn\u2019t supported. Retry your request '
            'with the ID or ARN of an inference profile that contains this model.'
        )


def check_count_tokens(model_id: str) -> None:
    """Check that Bedrock counts the tokens of a model.

    Raises:
        RefusedError: It does not, or the id is that of an inference profile.
    """
    if family_of(model_id).count_tokens is False or not is_foundation_model(model_id):
        # https://github.com/agentgateway/agentgateway/pull/3254 (2026-08-31)
        raise validation_error("The provided model doesn't support counting tokens.")


def check_prompt_length(body: Mapping[str, Any], tokens: int, model_id: str) -> None:
    """Check that a prompt is not longer than the model's context.

    Args:
        body: The request, which may ask for a longer context.
        tokens: How long the prompt is.
        model_id: The model, by id or ARN.

    Raises:
        RefusedError: It is longer.
    """
    family = family_of(model_id)
    if family.context_window is None or tokens <= family.context_window or asks_for_beta(body, 'context-1m'):
        return
    if family.anthropic:
        # https://github.com/daisuke-awaji/moca/issues/254 (2026-03-09)
        raise model_error(f'prompt is too long: {tokens} tokens > {family.context_window} maximum')
    # https://github.com/aws-samples/bedrock-chat/issues/95 (2023-12-13)
    raise validation_error('Input is too long for requested model.')


def _check_first_turn(messages: Sequence[Mapping[str, Any]], family: Family) -> None:
    if not messages or (messages[0]['role'] == 'assistant' and family.leading_assistant is False):
        # https://github.com/pydantic/pydantic-ai/pull/6255 (2026-07-03)
        raise validation_error(
            'A conversation must start with a user message. Try again with a conversation that starts with a user '
            'message.'
        )


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
        if (call := block.get('toolUse')) is not None and not isinstance(call['input'], dict):
            # https://github.com/getnao/nao/issues/1005 (2026-06-30)
            raise _no_object(f'{where}.toolUse.input')
        if (result := block.get('toolResult')) is not None:
            _check_result(result, where)


def _check_result(result: Mapping[str, Any], where: str) -> None:
    if result.get('status') == 'error' and not result['content']:
        raise validation_error(f'The content field at {where}.toolResult cannot be empty when status value is error.')
    for index, block in enumerate(result['content']):
        if block.get('json') is not None and not isinstance(block['json'], dict):
            # https://github.com/deepset-ai/haystack-core-integrations/pull/3766 (2026-08-13)
            raise _no_object(f'{where}.toolResult.content.{index}.json')


def _no_object(where: str) -> RefusedError:
    return validation_error(
        f'The format of the value at {where} is invalid. Provide a json object for the field and try again.'
    )


def _check_documents(messages: Sequence[Mapping[str, Any]], family: Family) -> None:
    names: list[str] = []
    formats: list[str | None] = []
    for message in messages:
        documents = [block['document'] for block in message['content'] if 'document' in block]
        if documents and not any(block.get('text') for block in message['content']):
            # https://github.com/maximhq/bifrost/pull/5817 (2026-08-04)
            raise validation_error('A text block must be included when using documents.')
        for document in documents:
            names.append(document['name'])
            formats.append(document.get('format'))
            _check_document(document, family)
    if len(set(names)) < len(names):
        # https://github.com/maximhq/bifrost/issues/7003 (2026-09-08)
        raise validation_error(
            "Messages can't contain duplicate document names. Rename the document and retry your request."
        )
    if len(names) > _DOCUMENTS and not set(formats) & set(family.large_documents):
        # https://github.com/aws-samples/generative-ai-use-cases/issues/1685 (2026-08-25)
        raise validation_error("You can't include more than 5 documents in a request.")


def _check_document(document: Mapping[str, Any], family: Family) -> None:
    if _DOCUMENT_NAME.fullmatch(document['name']) is None:
        raise validation_error(
            'The document file name can only contain alphanumeric characters, whitespace characters, hyphens, '
            "parentheses, and square brackets. The name can't contain more than one consecutive whitespace "
            'character.'
        )
    too_large = _decoded_size(structure(document, 'source').get('bytes')) > _DOCUMENT_BYTES
    if too_large and document.get('format') not in family.large_documents:
        # https://github.com/Boise-State-Development/agentcore-public-stack/issues/206 (2026-05-01)
        raise validation_error(
            'The maximum document size is 4.5 MB. Reduce the size of your document and retry your request.'
        )


def _decoded_size(encoded: str | None) -> int:
    return len(encoded or '') * 3 // 4


def _check_system(body: Mapping[str, Any], family: Family) -> None:
    if body.get('system') and family.system is False:
        # https://github.com/567-labs/instructor/issues/1753 (2025-07-29)
        raise validation_error(
            "This model doesn't support system messages. Try again without a system message or use a model that "
            'supports system messages.'
        )


def _check_tools(
    body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], family: Family, *, streaming: bool
) -> None:
    tools = structures(body, 'toolConfig', 'tools')
    if not tools:
        if any('toolUse' in block or 'toolResult' in block for message in messages for block in message['content']):
            raise validation_error(
                'The toolConfig field must be defined when using toolUse and toolResult content blocks.'
            )
        return
    if family.tools is False:
        # https://github.com/langchain-ai/langchain-aws/issues/447 (2025)
        raise validation_error("This model doesn't support tool use.")
    if streaming and family.streaming_tools is False:
        # https://github.com/earendil-works/pi/issues/3739 (2026-04-26)
        raise validation_error("This model doesn't support tool use in streaming mode.")
    names: list[str] = []
    for index, tool in enumerate(tools):
        if 'cachePoint' in tool and family.cached_tools is False:
            # https://github.com/NousResearch/hermes-agent/pull/97327 (2026-08-28)
            raise validation_error(
                f'Malformed input request: #/toolConfig/tools/{index}: extraneous key [cachePoint] is not permitted, '
                'please reformat your input and try again.'
            )
        if 'toolSpec' in tool:
            names.append(tool['toolSpec']['name'])
            _check_schema(tool['toolSpec'], index)
    _check_choice(structure(body, 'toolConfig', 'toolChoice'), names, family)


def _check_schema(tool: Mapping[str, Any], index: int) -> None:
    schema = structure(tool, 'inputSchema').get('json')
    if schema is not None and structure({'schema': schema}, 'schema').get('type') != 'object':
        # https://github.com/aaif-goose/goose/pull/5064 (2025-10-08), https://github.com/earendil-works/pi/issues/8279
        raise validation_error(
            f'The value at toolConfig.tools.{index}.toolSpec.inputSchema.json.type must be one of the following: '
            'object.'
        )


def _check_choice(choice: Mapping[str, Any], names: Sequence[str], family: Family) -> None:
    for kind in ('any', 'tool'):
        if choice.get(kind) is not None and family.tool_choices is not None and kind not in family.tool_choices:
            # https://github.com/vercel/ai/issues/4396 (2025-01-14)
            raise validation_error(
                f"This model doesn't support the toolConfig.toolChoice.{kind} field. Remove "
                f'toolConfig.toolChoice.{kind} and try again.'
            )
    wanted = structure(choice, 'tool').get('name')
    if wanted is not None and wanted not in names:
        raise model_error(f"tool_choice.name: Tool '{wanted}' not found in provided tools")
    if len(set(names)) != len(names):
        raise model_error('tools: Tool names must be unique.')


def _check_tool_results(messages: Sequence[Mapping[str, Any]]) -> None:
    called: list[str] = []
    for number, message in enumerate(messages):
        # A message of role `system` takes no turn.
        if message['role'] not in ('user', 'assistant'):
            continue
        results = _ids(message, 'toolResult')
        if message['role'] == 'assistant':
            # A tool that Bedrock itself runs is answered in the same message.
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


def _check_turns(messages: Sequence[Mapping[str, Any]], family: Family) -> None:
    for number, message in enumerate(messages):
        if message['role'] != 'user':
            continue
        results = [block['toolResult'] for block in message['content'] if 'toolResult' in block]
        kinds = {kind for block in message['content'] for kind in ('text', *_MEDIA) if kind in block}
        if results and kinds and family.text_beside_tool_results is False:
            # https://github.com/langchain-ai/langchain-aws/issues/141, strands-agents/harness-sdk#1223 (2025-11-21)
            raise validation_error(
                f'messages.{number}.content: Conversation blocks and tool result blocks cannot be provided in the '
                'same turn.'
            )
        if results and 'document' in kinds and family.anthropic and family.documents_beside_tool_results is False:
            # https://github.com/pydantic/pydantic-ai/issues/3253 (2025-10-24), #6081 (2026-06)
            ids = ', '.join(_ids(message, 'toolResult'))
            raise model_error(
                f'messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. '
                'Each `tool_use` block must have a corresponding `tool_result` block in the next message.'
            )
        inner = any('image' in block for result in results for block in result['content'])
        if ('image' in kinds and family.images is False) or (inner and family.tool_result_images is False):
            # https://github.com/anomalyco/opencode/issues/49443 (2026-09-17)
            raise validation_error(
                "This model doesn't support the image field for user messages. Remove image and try again."
            )
        if family.tool_result_status is False and any(result.get('status') for result in results):
            # pydantic-ai 2.68.0, providers/bedrock.py: Palmyra, verified live
            raise validation_error("This model doesn't support the status field. Remove status and try again.")


def _check_inference(body: Mapping[str, Any], family: Family) -> None:
    most = family.max_output_tokens
    if most is not None and (structure(body, 'inferenceConfig').get('maxTokens') or 0) > most:
        # https://github.com/aws-samples/bedrock-access-gateway/issues/41 (2024-08-18)
        raise validation_error(
            f'The maximum tokens you requested exceeds the model limit of {most}. Try again with a maximum tokens '
            f'value that is lower than {most}.'
        )


def check_prefill(family: Family) -> None:
    """Check that a model goes on from a last message of its own.

    Raises:
        RefusedError: It does not.
    """
    if family.prefill is not False:
        return
    if family.anthropic:
        raise validation_error(
            'This model does not support assistant message prefill. The conversation must end with a user message.'
        )
    raise validation_error(
        'The model that you are using requires the last turn in the conversation to be a user message. Add a user '
        'message to the conversation and try again.'
    )
