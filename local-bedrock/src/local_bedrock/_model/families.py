"""The properties of model families that decide if Bedrock accepts a request, each with its source and date.

`None` means that no source confirms either answer: LocalBedrock refuses nothing then. Rows differ by model and by year,
so each names the reports and tables that it rests on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

ToolChoice = Literal['auto', 'any', 'tool']

#: Where a row's values come from, with the date of the page, report or release.
SOURCES = {
    'aws-features': (
        'https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html',
        '2025-12',
    ),
    'aws-count': ('https://docs.aws.amazon.com/bedrock/latest/userguide/count-tokens.html', '2025-11'),
    'aws-documents': (
        'https://docs.aws.amazon.com/bedrock/latest/userguide/inference-api-restrictions.html',
        '2026-03',
    ),
    'aws-model': ('botocore 1.44.8, bedrock-runtime: ToolChoice, ToolResultBlock, Message', '2026-11'),
    'prices': ('litellm 1.110.2, model_prices_and_context_window', '2026-11'),
    'profiles': ('pydantic-ai 2.68.0, providers/bedrock.py and profiles/anthropic.py, verified live', '2026-11'),
    'langchain': ('langchain-aws 1.9.1, chat_models/bedrock_converse.py', '2026-11'),
    'first-turn': ('https://github.com/pydantic/pydantic-ai/pull/6255', '2026-07-03'),
    'tool-results': ('https://github.com/pydantic/pydantic-ai/issues/6081', '2026-06'),
    'tool-images': ('https://github.com/anomalyco/opencode/issues/49443', '2026-09-17'),
    'images-20': ('https://github.com/boto/boto3/issues/4632', '2025-10-07'),
    'images-20-cline': ('https://github.com/cline/cline/issues/1844', '2025-03-25'),
    'images-llama': ('https://github.com/boto/boto3/issues/4463', '2025-03-06'),
    'images-many': (
        'https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/issues/994',
        '2026-09',
    ),
    'profile-3-7': ('https://github.com/cline/cline/issues/2482', '2025-03-27'),
    'profile-4': ('https://github.com/anthropics/claude-code/issues/1466', '2025-06-03'),
    'profile-4-5': ('https://github.com/Laisky/one-api/issues/245', '2025-10-16'),
    'profile-opus-4-5': ('https://github.com/Laisky/one-api/issues/275', '2025-11'),
    'one-sampling': ('https://github.com/aws-samples/bedrock-access-gateway/issues/191', '2025-10-16'),
    'one-sampling-4-1': ('https://github.com/BoltAI/BoltAI/issues/399', '2025-12-04'),
    'one-sampling-4-6': ('https://github.com/iOfficeAI/gemini-cli-pro/pull/38', '2026-04-12'),
    'no-sampling': ('https://github.com/DayuanJiang/next-ai-draw-io/issues/861', '2026-06-06'),
    'count-4-6': ('https://github.com/boto/botocore/issues/3707', '2026-05-19'),
    'count-4-5': ('https://alchemy.run/providers/aws/bedrock/counttokens', '2026-11'),
    'count-5': ('https://github.com/BerriAI/litellm/pull/37185', '2026-08-17'),
    'max-llama-3-1': ('https://github.com/pollinations/pollinations/pull/5503', '2025-11-30'),
    'max-32768': ('https://github.com/charmbracelet/crush/issues/946', '2025-09-01'),
    'stream-llama-4': ('https://github.com/earendil-works/pi/issues/3739', '2026-04-26'),
    'no-tools-r1': ('https://github.com/langchain-ai/langchain-aws/issues/447', '2025'),
    'no-system-mistral': ('https://github.com/567-labs/instructor/issues/1753', '2025-07-29'),
    'cache-nova': ('https://github.com/NousResearch/hermes-agent/pull/97327', '2026-08-28'),
}


@dataclass(frozen=True, kw_only=True)
class Family:
    """The properties of a model family; `None` where no source confirms them."""

    name: str
    sources: tuple[str, ...] = ()
    """Keys of `SOURCES`."""
    tools: bool | None = None
    streaming_tools: bool | None = None
    tool_choices: tuple[ToolChoice, ...] | None = None
    system: bool | None = None
    images: bool | None = None
    """Takes images in a message of the user."""
    tool_result_images: bool | None = None
    documents: bool | None = None
    large_documents: tuple[str, ...] = ()
    """Formats of documents that may be larger than 4.5 MB."""
    max_media: int | None = None
    """Most images and documents of a request together."""
    max_image_bytes: int | None = None
    """Most bytes of an image in base64."""
    max_output_tokens: int | None = None
    context_window: int | None = None
    on_demand: bool | None = None
    """`False`: only by an inference profile. Nova depends on the region, so it has none."""
    count_tokens: bool | None = None
    reasoning: bool | None = None
    budget_thinking: bool | None = None
    """Takes `thinking.budget_tokens`."""
    sampling: Literal['any', 'one', 'none'] | None = None
    """Takes `temperature` and `topP` together, either of them, or neither."""
    leading_assistant: bool | None = None
    """Accepts a conversation that the model begins."""
    prefill: bool | None = None
    """Goes on from a last message of the model."""
    text_beside_tool_results: bool | None = None
    documents_beside_tool_results: bool | None = None
    tool_result_status: bool | None = None
    citations: bool | None = None
    cached_tools: bool | None = None
    """Takes cache points among the tools."""
    anthropic: bool = False
    """Its errors are Anthropic's own, after a phrase of Bedrock."""


#: A model that no row describes.
UNKNOWN = Family(name='unknown')

_GEOGRAPHY = re.compile(r'(?:us-gov|us|eu|apac|ap|jp|au|ca|sa|me|af|il|uk|in|global)\.')
_ARN = re.compile(r'arn:[^:]+:bedrock:[^:]*:[^:]*:(?P<kind>foundation-model|inference-profile)/(?P<id>.+)')


def _claude(name: str, *sources: str, **properties: object) -> Family:
    values: dict[str, object] = {
        'tools': True,
        'streaming_tools': True,
        'tool_choices': ('auto', 'any', 'tool'),
        'system': True,
        'images': True,
        'tool_result_images': True,
        'documents': True,
        'max_image_bytes': 5 * 1024 * 1024,
        'context_window': 200_000,
        'leading_assistant': True,
        'prefill': True,
        'documents_beside_tool_results': False,
        'text_beside_tool_results': True,
        'tool_result_status': True,
        'citations': True,
        'cached_tools': True,
        'anthropic': True,
    }
    known = ('aws-features', 'aws-model', 'prices', 'profiles', 'first-turn', 'tool-results')
    return Family(name=name, sources=(*known, *sources), **(values | properties))  # pyright: ignore[reportArgumentType]


def _claude_4(name: str, *sources: str, **properties: object) -> Family:
    values: dict[str, object] = {'reasoning': True, 'budget_thinking': True, 'large_documents': ('pdf',)}
    return _claude(name, 'aws-documents', *sources, **(values | properties))


def _claude_5(name: str, *sources: str, **properties: object) -> Family:
    values: dict[str, object] = {
        'max_output_tokens': 128_000,
        'context_window': 1_000_000,
        'sampling': 'none',
        'budget_thinking': False,
        'prefill': False,
    }
    return _claude_4(name, 'no-sampling', 'images-many', *sources, **(values | properties))


_CLAUDE_3 = {'max_media': 20, 'reasoning': False}

#: The rows, by a pattern that the id has to begin with, without geography and ARN. The first that matches counts.
FAMILIES: tuple[tuple[str, Family], ...] = (
    ('anthropic.claude-3-5-haiku', _claude('Claude 3.5 Haiku', 'aws-count', 'langchain', images=None,
        max_output_tokens=8192, count_tokens=True, **_CLAUDE_3)),
    # boto3 is reported to get more than 4,096 tokens of the first 3.5 Sonnet, other clients not.
    ('anthropic.claude-3-5-sonnet-20240620', _claude('Claude 3.5 Sonnet', 'aws-count', count_tokens=True, **_CLAUDE_3)),
    ('anthropic.claude-3-5-sonnet', _claude('Claude 3.5 Sonnet v2', 'aws-count', 'images-20-cline',
        max_output_tokens=8192, count_tokens=True, **_CLAUDE_3)),
    ('anthropic.claude-3-7-sonnet', _claude('Claude 3.7 Sonnet', 'aws-count', 'profile-3-7', max_media=20,
        max_output_tokens=131_072, on_demand=False, count_tokens=True, reasoning=True, budget_thinking=True)),
    ('anthropic.claude-3-', _claude('Claude 3', max_output_tokens=4096, **_CLAUDE_3)),
    ('anthropic.claude-sonnet-4-2', _claude_4('Claude Sonnet 4', 'aws-count', 'profile-4', 'images-20', max_media=20,
        max_output_tokens=64_000, on_demand=False, count_tokens=True)),
    ('anthropic.claude-opus-4-2', _claude_4('Claude Opus 4', 'aws-count', 'max-32768', max_output_tokens=32_768,
        count_tokens=True)),
    ('anthropic.claude-opus-4-1', _claude_4('Claude Opus 4.1', 'one-sampling-4-1', 'max-32768',
        max_output_tokens=32_768, sampling='one')),
    ('anthropic.claude-sonnet-4-5', _claude_4('Claude Sonnet 4.5', 'one-sampling', 'profile-4-5',
        max_output_tokens=64_000, on_demand=False, sampling='one')),
    ('anthropic.claude-haiku-4-5', _claude_4('Claude Haiku 4.5', 'one-sampling', 'profile-4-5', 'count-4-5',
        max_output_tokens=64_000, on_demand=False, count_tokens=True, sampling='one')),
    ('anthropic.claude-opus-4-5', _claude_4('Claude Opus 4.5', 'profile-opus-4-5', max_output_tokens=64_000,
        on_demand=False)),
    ('anthropic.claude-sonnet-4-6', _claude_4('Claude Sonnet 4.6', 'count-4-6', max_output_tokens=64_000,
        context_window=1_000_000, count_tokens=True, prefill=False)),
    ('anthropic.claude-opus-4-6', _claude_4('Claude Opus 4.6', 'one-sampling-4-6', max_output_tokens=128_000,
        context_window=1_000_000, sampling='one', prefill=False)),
    ('anthropic.claude-opus-4-[78]', _claude_5('Claude Opus 4.7 and 4.8')),
    ('anthropic.claude-(?:fable|mythos)-5-[12]', _claude_5('Claude Fable and Mythos 5.1', tool_choices=('auto',))),
    ('anthropic.claude-(?:opus|sonnet)-5-5', _claude_5('Claude Opus and Sonnet 5.5', tool_choices=('auto',))),
    ('anthropic.claude-opus-5', _claude_5('Claude Opus 5', 'count-5', count_tokens=False)),
    ('anthropic.claude-(?:sonnet|haiku|fable|mythos)-5', _claude_5('Claude 5')),
    ('anthropic.claude-mythos-preview', Family(name='Claude Mythos Preview', sources=('prices',), tools=True,
        images=True, reasoning=True, max_output_tokens=128_000, context_window=1_000_000, prefill=False,
        anthropic=True)),
    ('amazon.nova-2-', Family(name='Nova 2', sources=('prices', 'profiles', 'langchain', 'first-turn', 'tool-images',
        'cache-nova', 'count-4-5', 'aws-documents', 'aws-model'), tools=True, streaming_tools=True,
        tool_choices=('auto', 'any', 'tool'), system=True, images=True, tool_result_images=True, documents=True,
        large_documents=('pdf', 'docx'), max_output_tokens=65_536, context_window=1_000_000, count_tokens=False,
        reasoning=True, leading_assistant=False, prefill=True, tool_result_status=True, citations=False,
        cached_tools=False)),
    ('amazon.nova-(?:micro|lite|pro|premier)', Family(name='Nova', sources=('aws-features', 'aws-model', 'prices',
        'profiles', 'first-turn', 'tool-images', 'cache-nova', 'count-4-5', 'aws-documents'), tools=True,
        streaming_tools=True, tool_choices=('auto', 'any', 'tool'), system=True, tool_result_images=None,
        large_documents=('pdf', 'docx'), max_output_tokens=10_000, count_tokens=False, reasoning=False,
        leading_assistant=False, prefill=True, tool_result_status=True, citations=False, cached_tools=False)),
    ('amazon.titan-text-', Family(name='Titan Text', sources=('aws-features', 'prices'), tools=False, system=False,
        images=False, reasoning=False)),
    ('meta.llama4-', Family(name='Llama 4', sources=('stream-llama-4', 'langchain', 'prices', 'first-turn',
        'tool-results', 'tool-images'), tools=True, streaming_tools=False, tool_choices=('auto',), images=True,
        tool_result_images=True, max_output_tokens=8192, leading_assistant=False, prefill=False,
        text_beside_tool_results=False, documents_beside_tool_results=False, citations=False)),
    ('meta.llama3-2-(?:11b|90b)', Family(name='Llama 3.2 Vision', sources=('langchain', 'prices', 'first-turn',
        'tool-results', 'images-llama'), tools=True, streaming_tools=False, tool_choices=('auto',), images=True,
        max_media=1, leading_assistant=False, prefill=False, text_beside_tool_results=False)),
    ('meta.llama3-[13]-', Family(name='Llama 3.1 and 3.3', sources=('langchain', 'first-turn', 'tool-results',
        'max-llama-3-1'), tools=True, streaming_tools=False, tool_choices=('auto',), max_output_tokens=8192,
        leading_assistant=False, prefill=False, text_beside_tool_results=False)),
    ('meta.llama', Family(name='Llama 2, 3 and 3.2', sources=('langchain', 'first-turn'), streaming_tools=False,
        leading_assistant=False, prefill=False)),
    ('mistral.mi(?:stral-7b|xtral)', Family(name='Mistral Instruct', sources=('no-system-mistral', 'first-turn'),
        system=False, leading_assistant=False, prefill=False, text_beside_tool_results=False)),
    ('mistral.mistral-large-24', Family(name='Mistral Large', sources=('langchain', 'prices', 'first-turn',
        'tool-results'), tools=True, streaming_tools=False, tool_choices=('auto', 'any'), leading_assistant=False,
        prefill=False, text_beside_tool_results=False)),
    ('mistral.pixtral-large', Family(name='Pixtral Large', sources=('langchain', 'first-turn', 'tool-results',
        'tool-images', 'profiles'), tools=True, streaming_tools=False, images=True, tool_result_images=False,
        leading_assistant=False, prefill=False, text_beside_tool_results=False, citations=False)),
    ('mistral.', Family(name='Mistral', sources=('first-turn', 'tool-results'), leading_assistant=False,
        prefill=False, text_beside_tool_results=False)),
    ('cohere.command-r', Family(name='Command R', sources=('langchain', 'first-turn'), streaming_tools=True,
        leading_assistant=False)),
    ('cohere.command', Family(name='Command', sources=('langchain', 'prices', 'first-turn'), streaming_tools=False,
        max_output_tokens=4096, leading_assistant=False)),
    ('ai21.jamba-1-5', Family(name='Jamba 1.5', sources=('aws-features', 'prices', 'first-turn'), tools=True,
        streaming_tools=True, system=True, images=False, documents=True, max_output_tokens=4096,
        context_window=256_000, leading_assistant=False)),
    ('ai21.jamba-instruct', Family(name='Jamba-Instruct', sources=('aws-features', 'prices', 'first-turn'),
        tools=False, system=True, images=False, documents=False, max_output_tokens=4096, context_window=70_000,
        leading_assistant=False)),
    ('deepseek.r1', Family(name='DeepSeek-R1', sources=('no-tools-r1', 'langchain', 'profiles'), tools=False,
        reasoning=True, citations=False)),
    ('deepseek.v3', Family(name='DeepSeek-V3', sources=('langchain', 'prices', 'profiles'), tools=True,
        streaming_tools=True, tool_choices=('auto', 'any'), reasoning=True, citations=False)),
    ('qwen.qwen3', Family(name='Qwen3', sources=('first-turn', 'langchain', 'prices', 'tool-images'), tools=True,
        streaming_tools=True, tool_result_images=False, leading_assistant=True)),
    ('openai.gpt-oss', Family(name='gpt-oss', sources=('langchain', 'prices', 'profiles'), tools=True, reasoning=True)),
    ('openai.gpt-', Family(name='GPT', sources=('tool-images', 'langchain', 'prices', 'profiles'), tools=True,
        streaming_tools=True, tool_choices=('auto', 'any', 'tool'), images=True, tool_result_images=False,
        reasoning=True)),
    ('writer.palmyra-x', Family(name='Palmyra X', sources=('profiles', 'first-turn', 'tool-results', 'prices'),
        tools=True, leading_assistant=False, text_beside_tool_results=False, tool_result_status=False)),
    ('zai.glm-', Family(name='GLM', sources=('profiles', 'langchain', 'prices'), tools=True, streaming_tools=True,
        leading_assistant=True, reasoning=True)),
    ('moonshot(?:ai)?.kimi', Family(name='Kimi', sources=('profiles', 'langchain', 'prices', 'tool-images'),
        tools=True, streaming_tools=True, tool_result_images=False, leading_assistant=True)),
    ('xai.grok', Family(name='Grok', sources=('profiles', 'langchain', 'prices', 'tool-images'), tools=True,
        streaming_tools=True, tool_choices=('auto', 'any', 'tool'), images=True, tool_result_images=False,
        reasoning=True)),
    ('google.gemma-3', Family(name='Gemma 3', sources=('prices', 'tool-images'), images=True,
        tool_result_images=False)),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), family) for pattern, family in FAMILIES)


def bare_id(model_id: str) -> str:
    """Return a model id without ARN and geography."""
    if found := _ARN.fullmatch(model_id):
        model_id = found['id']
    return _GEOGRAPHY.sub('', model_id, count=1) if _GEOGRAPHY.match(model_id) else model_id


def is_foundation_model(model_id: str) -> bool:
    """Tell if an id names a foundation model, not an inference profile or another resource that an ARN names."""
    if model_id.startswith('arn:'):
        found = _ARN.fullmatch(model_id)
        return found is not None and found['kind'] == 'foundation-model'
    return _GEOGRAPHY.match(model_id) is None


@lru_cache(maxsize=4096)
def family_of(model_id: str) -> Family:
    """Return the family of a model, by its id or the ARN that names it; `UNKNOWN` where no row describes it."""
    bare = bare_id(model_id)
    return next((family for pattern, family in _COMPILED if pattern.match(bare)), UNKNOWN)
