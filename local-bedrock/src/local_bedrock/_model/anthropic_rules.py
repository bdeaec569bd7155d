"""The rules of Anthropic's models themselves, in their words after a phrase of Bedrock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

from local_bedrock._bodies.json_access import structure, structures
from local_bedrock._model.families import Family
from local_bedrock.errors import RefusedError, validation_error

#: The phrase that Converse puts before the words of a model.
MODEL_ERROR = 'The model returned the following errors: '
_CACHE_POINTS = 4
_LEAST_THINKING = 1024


def model_error(message: str) -> RefusedError:
    """Refuse a request as the model itself does."""
    return validation_error(f'{MODEL_ERROR}{message}')


def check_anthropic(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], family: Family) -> None:
    """Check the rules of Anthropic's models themselves.

    Raises:
        RefusedError: With a `ValidationException` for the first rule that is broken.
    """
    _check_media(messages, family)
    _check_cache_points(body, messages)
    config = structure(body, 'inferenceConfig')
    temperature, top_p = config.get('temperature'), config.get('topP')
    if family.sampling == 'none' and temperature not in (None, 1):
        # https://github.com/DayuanJiang/next-ai-draw-io/issues/861 (2026-06-06)
        raise model_error('`temperature` is deprecated for this model.')
    if family.sampling == 'one' and temperature is not None and top_p is not None:
        # https://github.com/aws-samples/bedrock-access-gateway/issues/191 (2025-10-16)
        raise model_error('`temperature` and `top_p` cannot both be specified for this model. Please use only one.')
    thinking = structure(body, 'additionalModelRequestFields', 'thinking')
    if thinking.get('type') == 'enabled':
        _check_thinking(body, thinking, family)


def _check_thinking(body: Mapping[str, Any], thinking: Mapping[str, Any], family: Family) -> None:
    config = structure(body, 'inferenceConfig')
    budget, most = thinking.get('budget_tokens'), config.get('maxTokens')
    if family.budget_thinking is False:
        # https://github.com/OpenHands/software-agent-sdk/pull/3427 (2026-05-29)
        raise model_error(
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if not isinstance(budget, int):
        return
    if budget < _LEAST_THINKING:
        # https://github.com/danny-avila/LibreChat/issues/8346 (2025-07-09)
        raise model_error('thinking.enabled.budget_tokens: Input should be greater than or equal to 1024')
    if most is not None and budget >= most and not asks_for_beta(body, 'interleaved-thinking'):
        # https://github.com/vercel/ai/issues/7927 (2025-08-09), anthropics/claude-code#8756 (2025-10-02)
        raise model_error(
            '`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at '
            'https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size'
        )
    if config.get('temperature') not in (None, 1):
        # https://github.com/Aider-AI/aider/issues/3720 (2025-04-03)
        raise model_error(
            '`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation at '
            'https://docs.claude.com/en/docs/build-with-claude/extended-thinking'
            '#important-considerations-when-using-extended-thinking'
        )


def _check_media(messages: Sequence[Mapping[str, Any]], family: Family) -> None:
    images = list(_images(messages))
    documents = sum('document' in block for message in messages for block in message['content'])
    if family.max_media is not None and len(images) + documents > family.max_media:
        # https://github.com/boto/boto3/issues/4632 (2025-10-07)
        raise model_error(f'too many images and documents: {len(images)} + {documents} > {family.max_media}')
    for where, image in images:
        size = len(structure(image, 'source').get('bytes') or '')
        if family.max_image_bytes is not None and size > family.max_image_bytes:
            # Measured in base64: .../accelerated-intelligent-document-processing-on-aws/issues/778 (2026-09-04)
            raise model_error(
                f'{where}.image.source.bytes: image exceeds 5 MB maximum: {size} bytes > {family.max_image_bytes} bytes'
            )


def _images(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, message in enumerate(messages):
        for index, block in enumerate(message['content']):
            if 'image' in block:
                yield f'messages.{number}.content.{index}', block['image']


def _check_cache_points(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> None:
    places = [structures(body, 'toolConfig', 'tools'), structures(body, 'system')]
    places.extend(message['content'] for message in messages)
    found = sum('cachePoint' in block for blocks in places for block in blocks)
    if found > _CACHE_POINTS:
        # https://github.com/BerriAI/litellm/issues/16062 (2025-10-29)
        raise model_error(f'A maximum of 4 blocks with cache_control may be provided. Found {found}.')
    for blocks in places:
        for before, block in pairwise(blocks):
            if 'cachePoint' in block and 'reasoningContent' in before:
                # https://github.com/anomalyco/opencode/issues/36517 (2026-07-12)
                raise validation_error(
                    'Cache point cannot be inserted after reasoning block. Please remove the invalid cache point and '
                    'try again.'
                )


def asks_for_beta(body: Mapping[str, Any], name: str) -> bool:
    """Tell if a request turns on a beta feature of Anthropic's, by the beginning of its name."""
    betas = structure(body, 'additionalModelRequestFields').get('anthropic_beta')
    return isinstance(betas, list) and any(str(beta).startswith(name) for beta in cast('list[Any]', betas))
