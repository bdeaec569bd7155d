"""Prompt caching in all its forms: 5 minutes and 1 hour, cache points, limits, and what usage says of it."""
# ruff: noqa: E501 - one line a case

from pydantic_ai import BinaryContent, CachePoint
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from .cases_models import HISTORY, weather
from .programs import COUNT, RUN, STREAM, chat
from .releases import CACHE
from .replies import Reply
from .sides import CLAUDE, CLAUDE_3, NOVA

LLAMA = 'us.meta.llama3-3-70b-instruct-v1:0'
TTL = 'CachePointBlock.ttl'
PDF = BinaryContent(b'%PDF-1.4', media_type='application/pdf')
TXT = BinaryContent(b'Lorem ipsum', media_type='text/plain')
VIDEO = BinaryContent(b'\0\0\0\x18ftyp', media_type='video/mp4')
PNG = BinaryContent(b'\x89PNG', media_type='image/png')
ALL = (RUN, STREAM, COUNT)
POINTS = [item for n in range(6) for item in (f'Part {n}', CachePoint())]

WRITTEN = Reply(
    'Hi', usage={'inputTokens': 4, 'outputTokens': 1, 'cacheWriteInputTokens': 1024, 'cacheReadInputTokens': 0}
)
READ = Reply(
    'Hi',
    usage={
        'inputTokens': 4,
        'outputTokens': 1,
        'cacheReadInputTokens': 2048,
        'cacheWriteInputTokens': 12,
        'cacheDetails': [{'inputTokens': 12, 'ttl': '1h'}],
    },
)
LONG = [ModelRequest(parts=[UserPromptPart('Start')])] + [
    message
    for n in range(12)
    for message in (
        ModelResponse(parts=[TextPart(f'Step {n}'), ToolCallPart('weather', {'city': f'City {n}'}, f'call_{n}')]),
        ModelRequest(parts=[ToolReturnPart('weather', 'Sun.', f'call_{n}')]),
    )
]
TOOLS = {'tools': [weather], 'instructions': 'Be brief.', 'system_prompt': 'You are a forecaster.'}


def cached(
    name,
    model=CLAUDE,
    prompt='Hello there',
    agent=None,
    history=None,
    modes=ALL,
    since='2.33.0',
    needs='',
    replies=(),
    **settings,
):
    return chat(
        name,
        prompt,
        model=model,
        agent=TOOLS if agent is None else agent,
        history=history,
        modes=modes,
        since=since,
        needs=needs,
        replies=replies,
        settings=settings,
    )


def pointed(name, *prompt, model=CLAUDE, since='2.33.0', needs='', history=None, **settings):
    return cached(name, model, list(prompt), agent={}, since=since, needs=needs, history=history, **settings)


# fmt: off
CASES = (
    cached('tool definitions', bedrock_cache_tool_definitions=True),
    cached('tool definitions, 5m', bedrock_cache_tool_definitions='5m', needs=TTL),
    cached('tool definitions, 1h', bedrock_cache_tool_definitions='1h', needs=TTL),
    cached('tool definitions, without tools', agent={}, bedrock_cache_tool_definitions=True),
    cached('tool definitions, Nova', NOVA, bedrock_cache_tool_definitions=True),
    cached('instructions', bedrock_cache_instructions=True),
    cached('instructions, 1h', bedrock_cache_instructions='1h', needs=TTL),
    cached('instructions, without any', agent={}, bedrock_cache_instructions=True),
    cached('instructions, Llama', LLAMA, bedrock_cache_instructions=True),
    cached('messages', bedrock_cache_messages=True),
    cached('messages, 1h', bedrock_cache_messages='1h', needs=TTL),
    cached('messages, Nova', NOVA, bedrock_cache_messages=True),
    cached('messages, after a tool result', history=HISTORY, prompt=None, bedrock_cache_messages=True),
    cached('messages, a long history', history=LONG, prompt=None, bedrock_cache_messages=True),
    cached('messages that end with a PDF', prompt=['Read', PDF], bedrock_cache_messages=True),
    cached('messages that end with a text', prompt=['Read', TXT], bedrock_cache_messages=True),
    cached('messages that end with texts and a PDF', prompt=['Read', PDF, TXT, TXT], bedrock_cache_messages=True),
    cached('messages that end with a video, Nova', NOVA, prompt=['See', VIDEO], bedrock_cache_messages=True),
    cached('messages that are a document alone', NOVA, prompt=[PDF], bedrock_cache_messages=True),
    cached('everything', bedrock_cache_tool_definitions=True, bedrock_cache_instructions=True, bedrock_cache_messages=True),
    cached('everything, of mixed times', bedrock_cache_tool_definitions='5m', bedrock_cache_instructions=True, bedrock_cache_messages='1h', needs=TTL),
    cached('everything, off', bedrock_cache_tool_definitions=False, bedrock_cache_instructions=False, bedrock_cache_messages=False),
    cached('unified', cache=True, since=CACHE),
    cached('unified, 5m', cache='5m', since=CACHE, needs=TTL),
    cached('unified, 1h', cache='1h', since=CACHE, needs=TTL),
    cached('unified, 30m', cache='30m', since=CACHE, needs=TTL),
    cached('unified, 1h, Claude 3.5', CLAUDE_3, cache='1h', since=CACHE, needs=TTL),
    cached('unified, 1h, Nova', NOVA, cache='1h', since=CACHE, needs=TTL),
    cached('unified, Llama', LLAMA, cache=True, since=CACHE),
    cached('unified, prefix alone', cache={'messages': False}, since=CACHE),
    cached('unified, with a retention', cache={'retention': '1h', 'messages': True}, since=CACHE, needs=TTL),
    cached('unified, off', cache=False, since=CACHE),
    cached('unified, beside one of its own', cache='1h', bedrock_cache_messages=True, since=CACHE),
    pointed('point', 'A long text', CachePoint(), 'a question'),
    pointed('point, 1h', 'A long text', CachePoint(ttl='1h'), 'a question', needs=TTL),
    pointed('points of mixed times', 'One', CachePoint(ttl='5m'), 'two', CachePoint(ttl='1h'), 'three', needs=TTL),
    pointed('points beyond the limit', *POINTS, 'a question'),
    pointed('points beyond the limit, beside settings', *POINTS, 'a question', bedrock_cache_messages=True),
    pointed('point, Llama', 'A long text', CachePoint(), 'a question', model=LLAMA),
    pointed('point after an image', 'See', PNG, CachePoint(), 'a question'),
    pointed('point after a document', 'Read', PDF, CachePoint(), 'a question'),
    pointed('point after a document, Nova', 'Read', PDF, CachePoint(), 'a question', model=NOVA),
    pointed('point after nothing but a document, Nova', PDF, CachePoint(), 'a question', model=NOVA),
    pointed('point first of all', CachePoint(), 'a question'),
    pointed('point first after a history', CachePoint(), 'a question', history=[ModelRequest(parts=[UserPromptPart('Hi')]), ModelResponse(parts=[TextPart('Hi.')])]),
    pointed('point after a point', 'A text', CachePoint(), CachePoint(), 'a question'),
    pointed('point last', 'A text', CachePoint()),
    pointed('point last, beside messages', 'A text', CachePoint(), bedrock_cache_messages=True),
    cached('system prompt in the history', history=[ModelRequest(parts=[SystemPromptPart('Old.'), UserPromptPart('Hi')]), ModelResponse(parts=[TextPart('Hi.')])], bedrock_cache_instructions=True),
    cached('usage, written', replies=[WRITTEN], modes=(RUN, STREAM), bedrock_cache_messages=True),
    cached('usage, read, with duplicates on the wire', replies=[READ], modes=(RUN, STREAM), needs='TokenUsage.cacheDetails', bedrock_cache_messages=True),
)
