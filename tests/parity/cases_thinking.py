"""Thinking: asked for in every way, answered, redacted, streamed, and replayed from history."""
# ruff: noqa: E501 - one line a case

from pydantic_ai import NativeOutput, ToolOutput
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from .cases_models import City, weather
from .programs import COUNT, RUN, STREAM, chat
from .replies import EventsReply, Reply, ToolCall
from .sides import CLAUDE, CLAUDE_3, CLAUDE_ADAPTIVE, NOVA, NOVA_2

OPUS = 'global.anthropic.claude-opus-5-5'
FABLE = 'global.anthropic.claude-fable-5-2'
GPT_OSS, GPT, ASTRA = 'openai.gpt-oss-20b-1:0', 'global.openai.gpt-5.6-luna', 'global.openai.gpt-6-astra'
QWEN, DEEPSEEK, R1 = 'qwen.qwen3-next-80b-a3b', 'deepseek.v3.2', 'us.deepseek.r1-v1:0'
GLM, GLM_5, GROK = 'zai.glm-4.7', 'global.zai.glm-5.3', 'global.xai.grok-4.7'
OWN = {'thinking': {'type': 'enabled', 'budget_tokens': 1024}}

THOUGHT = Reply('The answer is 42.', thinking='Six times seven, I think.', signature='c2lnbmF0dXJl')
REDACTED = Reply('I cannot say.', redacted_thinking=b'c2VjcmV0IHRob3VnaHQ=')
BOTH = Reply(
    content=[
        {'reasoningContent': {'reasoningText': {'text': 'First.', 'signature': 'b25l'}}},
        {'reasoningContent': {'redactedContent': 'c2VjcmV0'}},
        {'text': 'Done.'},
    ]
)
UNSIGNED = Reply(content=[{'reasoningContent': {'reasoningText': {'text': 'No one signs this.'}}}, {'text': 'Done.'}])
INTERLEAVED = Reply(
    thinking='I need the weather.', signature='b25l', tool_calls=[ToolCall('weather', {'city': 'Oslo'}, id='call_1')]
)
PIECES = EventsReply(
    [
        {'messageStart': {'role': 'assistant'}},
        {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'reasoningContent': {'text': 'First '}}}},
        {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'reasoningContent': {'text': ''}}}},
        {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'reasoningContent': {'text': 'this.'}}}},
        {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'reasoningContent': {'signature': 'c2ln'}}}},
        {'contentBlockStop': {'contentBlockIndex': 0}},
        {'contentBlockDelta': {'contentBlockIndex': 1, 'delta': {'reasoningContent': {'redactedContent': 'c2VjcmV0'}}}},
        {'contentBlockStop': {'contentBlockIndex': 1}},
        {'contentBlockDelta': {'contentBlockIndex': 2, 'delta': {'text': 'Done.'}}},
        {'contentBlockStop': {'contentBlockIndex': 2}},
        {'messageStop': {'stopReason': 'end_turn'}},
        {'metadata': {'usage': {'inputTokens': 1, 'outputTokens': 2, 'totalTokens': 3}, 'metrics': {'latencyMs': 1}}},
    ]
)


def asked(name, model, thinking, **row):
    return chat(name, model=model, settings={'thinking': thinking}, **row)


def replayed(name, model, *parts, provider='bedrock', **row):
    """A history whose response has these parts, then a question."""
    history = [
        ModelRequest(parts=[UserPromptPart('Six times seven?')]),
        ModelResponse(parts=[*parts, TextPart('42.')], provider_name=provider),
    ]
    return chat(name, 'And twice that?', model=model, history=history, modes=(RUN, STREAM, COUNT), **row)


def thought(provider='bedrock', **members):
    return ThinkingPart('Six times seven, I think.', provider_name=provider, **members)


# fmt: off
CASES = (
    asked('on, Claude with a budget', CLAUDE, True),
    asked('off, Claude with a budget', CLAUDE, False),
    asked('low, Claude with a budget', CLAUDE, 'low'),
    asked('high, Claude with a budget', CLAUDE, 'high', modes=(RUN, STREAM, COUNT)),
    asked('on, Claude that does not think', CLAUDE_3, True),
    asked('on, adaptive Claude', CLAUDE_ADAPTIVE, True),
    asked('off, adaptive Claude', CLAUDE_ADAPTIVE, False),
    asked('minimal, adaptive Claude', CLAUDE_ADAPTIVE, 'minimal'),
    asked('xhigh, adaptive Claude', CLAUDE_ADAPTIVE, 'xhigh'),
    asked('on, Claude that thinks by default', OPUS, True),
    asked('off, Claude that thinks by default', OPUS, False),
    asked('max, Claude that thinks by default', OPUS, 'max'),
    asked('off, Claude that always thinks', FABLE, False),
    asked('medium, Claude that always thinks', FABLE, 'medium'),
    asked('on, Nova', NOVA, True),
    asked('on, Nova 2', NOVA_2, True),
    asked('off, gpt-oss', GPT_OSS, False),
    asked('xhigh, gpt-oss', GPT_OSS, 'xhigh'),
    asked('on, GPT-5.6', GPT, True),
    asked('off, GPT-5.6', GPT, False),
    asked('minimal, GPT-5.6', GPT, 'minimal'),
    asked('off, GPT-6 Astra', ASTRA, False),
    asked('on, Qwen', QWEN, True),
    asked('off, Qwen', QWEN, False),
    asked('low, Qwen', QWEN, 'low'),
    asked('on, DeepSeek V3.2', DEEPSEEK, True),
    asked('off, DeepSeek V3.2', DEEPSEEK, False),
    asked('on, DeepSeek R1', R1, True),
    asked('on, GLM 4.7', GLM, True),
    asked('on, GLM 5.3', GLM_5, True),
    asked('minimal, GLM 5.3', GLM_5, 'minimal'),
    asked('on, Grok', GROK, True),
    asked('off, Grok', GROK, False),
    asked('max, Grok', GROK, 'max'),
    chat('by a field of its own', model=CLAUDE, settings={'bedrock_additional_model_requests_fields': OWN}),
    chat('by a field of its own, before the unified setting', model=CLAUDE, settings={'bedrock_additional_model_requests_fields': OWN, 'thinking': False}),
    chat('by an effort of its own', model=CLAUDE_ADAPTIVE, settings={'bedrock_additional_model_requests_fields': {'output_config': {'effort': 'max'}}, 'thinking': 'low'}),
    chat('of the model, overridden by the run', model=CLAUDE, model_settings={'bedrock_additional_model_requests_fields': OWN}, settings={'thinking': 'low'}),
    asked('answered', CLAUDE, True, replies=[THOUGHT]),
    asked('redacted', CLAUDE, True, replies=[REDACTED]),
    asked('in part redacted', CLAUDE, True, replies=[BOTH]),
    asked('not signed', DEEPSEEK, True, replies=[UNSIGNED]),
    asked('in pieces', CLAUDE, True, replies=[PIECES], modes=[STREAM]),
    asked('between tool calls', CLAUDE, True, replies=[INTERLEAVED, THOUGHT], agent={'tools': [weather]}),
    asked('between tool calls, adaptive', CLAUDE_ADAPTIVE, True, replies=[INTERLEAVED, BOTH], agent={'tools': [weather]}),
    asked('with an output type', CLAUDE, True, agent={'output_type': City}, needs='ConverseRequest.outputConfig'),
    asked('with an output type, Claude 3.5', CLAUDE_3, True, agent={'output_type': City}),
    asked('with an output tool', CLAUDE, True, agent={'output_type': ToolOutput(City)}),
    asked('with an output tool, adaptive', CLAUDE_ADAPTIVE, True, agent={'output_type': ToolOutput(City)}),
    asked('with an output tool, Qwen', QWEN, True, agent={'output_type': ToolOutput(City)}, needs='ConverseRequest.outputConfig'),
    asked('with an output tool, GLM', GLM, True, agent={'output_type': ToolOutput(City)}),
    asked('with native output', CLAUDE, True, agent={'output_type': NativeOutput(City)}, needs='ConverseRequest.outputConfig'),
    replayed('replayed', CLAUDE, thought(signature='c2lnbmF0dXJl')),
    replayed('replayed, redacted', CLAUDE, ThinkingPart('', id='redacted_content', signature='c2VjcmV0', provider_name='bedrock')),
    replayed('replayed, redacted by Anthropic', CLAUDE, ThinkingPart('', id='redacted_thinking', signature='c2VjcmV0', provider_name='anthropic'), provider='anthropic'),
    replayed('replayed, signed by Anthropic', CLAUDE, thought('anthropic', signature='c2ln'), provider='anthropic'),
    replayed('replayed, signed by another', CLAUDE, thought('openai', signature='c2ln'), provider='openai'),
    replayed('replayed, not signed', CLAUDE, thought()),
    replayed('replayed, not signed, Nova', NOVA, thought()),
    replayed('replayed, signed, Nova', NOVA, thought(signature='c2ln')),
    replayed('replayed, R1', R1, thought(signature='c2ln')),
    replayed('replayed, R1, not signed', R1, thought()),
    replayed('replayed, gpt-oss', GPT_OSS, thought()),
    replayed('replayed, Qwen', QWEN, thought()),
    chat('replayed with its tool call', model=CLAUDE, prompt=None, settings={'thinking': True}, agent={'tools': [weather]}, history=[ModelRequest(parts=[UserPromptPart('Weather in Oslo?')]), ModelResponse(parts=[thought(signature='c2ln'), ToolCallPart('weather', {'city': 'Oslo'}, 'call_1')], provider_name='bedrock'), ModelRequest(parts=[ToolReturnPart('weather', 'Snow.', 'call_1')])]),
)
