"""Every model family that upstream has a profile for, with a tool, structured output, and a history with results."""

from pydantic import BaseModel
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart

from .programs import COUNT, RUN, STREAM, chat
from .sides import CLAUDE, CLAUDE_3, CLAUDE_ADAPTIVE, NOVA, NOVA_2

OUTPUT_CONFIG = 'ConverseRequest.outputConfig'


class City(BaseModel):
    """A city."""

    name: str
    country: str


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f'It is sunny in {city}.'


HISTORY = (
    ModelRequest(parts=[UserPromptPart('How is the weather in Paris?')]),
    ModelResponse(parts=[TextPart('Let me see.'), ToolCallPart('weather', {'city': 'Paris'}, 'call_1')]),
    ModelRequest(parts=[ToolReturnPart('weather', {'sky': 'blue', 'wind': [1, 2]}, 'call_1')]),
)


def family(name, model, since='2.33.0'):
    """A model with a tool, an output type and a history: all that profiles decide about."""
    return chat(
        name,
        'The city of "Paris"',
        model=model,
        agent={'tools': [weather], 'output_type': City, 'instructions': 'Be brief.'},
        history=HISTORY,
        since=since,
        needs=OUTPUT_CONFIG,
    )


def text(name, model, since='2.33.0', modes=(RUN, STREAM, COUNT)):
    return chat(name, model=model, since=since, modes=modes, agent={'instructions': 'Be brief.'})


# fmt: off
CASES = (
    family('Claude Sonnet 4.5', CLAUDE),
    family('Claude 3.5 Sonnet', CLAUDE_3),
    family('Claude Opus 4.6', CLAUDE_ADAPTIVE),
    family('Claude Opus 4.8', 'global.anthropic.claude-opus-4-8'),
    family('Claude Opus 5.5', 'global.anthropic.claude-opus-5-5'),
    family('Claude Sonnet 5.5', 'global.anthropic.claude-sonnet-5-5'),
    family('Claude Haiku 5.5', 'global.anthropic.claude-haiku-5-5'),
    family('Claude Fable 5.2', 'global.anthropic.claude-fable-5-2'),
    family('Claude by an ARN', 'arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0'),
    family('Nova Lite', NOVA),
    family('Nova 2 Lite', NOVA_2),
    family('Nova Premier', 'us.amazon.nova-premier-v1:0'),
    family('Titan', 'amazon.titan-text-express-v1'),
    family('Llama 3.3', 'us.meta.llama3-3-70b-instruct-v1:0'),
    family('Llama 4 Maverick', 'us.meta.llama4-maverick-17b-instruct-v1:0'),
    family('Mistral Large 3', 'mistral.mistral-large-3-675b-instruct'),
    family('Pixtral Large', 'us.mistral.pixtral-large-2502-v1:0'),
    family('Magistral Small', 'mistral.magistral-small-2509'),
    family('DeepSeek V3.2', 'deepseek.v3.2'),
    family('DeepSeek R1', 'us.deepseek.r1-v1:0'),
    family('Qwen3 Coder Next', 'qwen.qwen3-coder-next'),
    family('Qwen3 VL', 'qwen.qwen3-vl-235b-a22b'),
    family('MiniMax M2.5', 'minimax.minimax-m2.5'),
    family('Nemotron Super', 'nvidia.nemotron-super-3-120b'),
    family('Nemotron Nano', 'nvidia.nemotron-nano-3-30b'),
    family('Gemma 3', 'google.gemma-3-27b-it'),
    family('Palmyra X5', 'us.writer.palmyra-x5-v1:0'),
    family('GLM 4.7', 'zai.glm-4.7'),
    family('GLM 5.3', 'global.zai.glm-5.3'),
    family('Kimi K2.5', 'moonshotai.kimi-k2.5'),
    family('Kimi K3', 'global.moonshotai.kimi-k3'),
    family('Grok 4.7', 'global.xai.grok-4.7'),
    family('gpt-oss', 'openai.gpt-oss-120b-1:0'),
    family('GPT-5.6 Sol', 'global.openai.gpt-5.6-sol'),
    family('GPT-6 Astra', 'global.openai.gpt-6-astra'),
    family('GPT that Converse does not serve', 'openai.gpt-5.5'),
    family('Cohere Command', 'cohere.command-r-plus-v1:0'),
    family('Jamba', 'ai21.jamba-1-5-large-v1:0'),
    family('unknown family', 'luma.ray-v9:0'),
    text('Claude, text alone', CLAUDE),
    text('Nova, text alone', NOVA),
    text('Llama, text alone', 'us.meta.llama3-3-70b-instruct-v1:0'),
    text('GovCloud prefix', 'us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0'),
    text('regional prefix', 'apac.amazon.nova-lite-v1:0'),
)
