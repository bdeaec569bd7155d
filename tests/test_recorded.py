"""What Amazon Bedrock has really said, byte for byte, and what an agent makes of it.

Each exchange is replayed on loopback; the streams also in pieces of one to seven bytes. The other way round, the
conversation of each recorded request is handed to the model, which must put that very request on the wire.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, NativeOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    NativeToolCallPart,
    NativeToolReturnPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from recorded_exchanges import (
    WHOLE,
    answer_to,
    comparable,
    conversation_of,
    deltas_of,
    exchanges_in,
    model_id_of,
    model_of,
    replayed,
)

from pydantic_ai_aiobedrock import BedrockEmbeddingModel

release = tuple(map(int, version('pydantic-ai-slim').split('.')[:2]))

SIZES = [WHOLE, *((size,) for size in range(1, 8)), (1, 2, 3, 4, 5, 6, 7)]
"""The pieces in which a body arrives."""

dribbled = pytest.mark.parametrize(
    'sizes', SIZES, ids=lambda sizes: f'pieces of {" ".join(map(str, sizes))}' if sizes else 'whole'
)


CONVERSATIONS = [
    ('converse_cache_write_and_read', 0),
    ('converse_cache_write_and_read', 1),
    ('converse_error', 0),
    ('converse_guardrail_trace', 0),
    ('converse_service_tier', 0),
    ('converse_text', 0),
    ('converse_tool_retry', 0),
    ('converse_tool_retry', 1),
    ('native_output_stream', 0),
    ('stream_code_interpreter', 0),
    ('stream_error', 0),
    ('stream_text', 0),
    ('stream_thinking', 0),
    ('stream_thinking_redacted', 0),
    ('stream_tools', 0),
    ('stream_tools', 1),
]


@pytest.mark.parametrize(('name', 'number'), CONVERSATIONS)
async def test_the_request_on_the_wire_is_the_recorded_one(recorded: Path, name: str, number: int) -> None:
    exchange = exchanges_in(recorded, name)[number]
    conversation = conversation_of(exchange)
    async with replayed([exchange]) as (bedrock, provider):
        model = model_of(exchange, provider)
        try:
            if exchange['request']['path'].endswith('/converse-stream'):
                async with model.request_stream(*conversation):
                    pass
            else:
                await model.request(*conversation)
        except ModelHTTPError:
            assert exchange['response']['status'] >= 400
    (request,) = bedrock.requests
    assert (request.method, request.path) == (exchange['request']['method'], exchange['request']['path'])
    assert comparable(request.body) == comparable(exchange['request']['json'])


def test_every_recording_has_its_tests(recorded: Path) -> None:
    others = {'count_tokens_tools', 'embed_cohere_v4', 'embed_titan_v2'}
    assert {path.stem for path in recorded.glob('*.json')} == {name for name, _ in CONVERSATIONS} | others


# What the model makes of the responses


@dribbled
async def test_text(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'converse_text')
    response = await answer_to(exchange, sizes)
    (content,) = exchange['response']['json']['output']['message']['content']
    assert response.parts == [TextPart(content['text'])]
    assert response.finish_reason == 'stop'
    assert response.provider_details == {'finish_reason': 'end_turn'}
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.details) == (7, 30, {})


@pytest.mark.parametrize(('number', 'written', 'read'), [(0, 1322, 0), (1, 0, 1322)], ids=['write', 'read'])
async def test_cached_tokens_are_counted_once(recorded: Path, number: int, written: int, read: int) -> None:
    response = await answer_to(exchanges_in(recorded, 'converse_cache_write_and_read')[number])
    assert response.parts == [TextPart('21')]
    usage = response.usage
    assert (usage.cache_write_tokens, usage.cache_read_tokens) == (written, read)
    # Upstream counts what comes from the cache, and what goes there, among the input.
    assert (usage.input_tokens, usage.output_tokens) == (2 + 1322, 5)
    assert usage.details == {}


@pytest.mark.skipif(release < (2, 40), reason='pydantic-ai 2.33 drops the trace of a response')
async def test_a_guardrail_trace_is_kept_whole(recorded: Path) -> None:
    (exchange,) = exchanges_in(recorded, 'converse_guardrail_trace')
    response = await answer_to(exchange)
    assert response.text is not None
    assert response.text.startswith('The capital of France is Paris.')
    assert response.provider_details == {
        'finish_reason': 'end_turn',
        'trace': exchange['response']['json']['trace'],
    }
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.details) == (13, 69, {})


async def test_a_service_tier_is_asked_for_and_the_answer_to_it_understood(recorded: Path) -> None:
    (exchange,) = exchanges_in(recorded, 'converse_service_tier')
    response = await answer_to(exchange)
    assert response.text is not None
    assert response.text.endswith('among many other historical and architectural treasures.')
    assert response.finish_reason == 'length'
    assert (response.usage.input_tokens, response.usage.output_tokens) == (13, 5)


@pytest.mark.parametrize('name', ['converse_error', 'stream_error'])
@dribbled
async def test_an_error_has_its_status_and_its_message(recorded: Path, name: str, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, name)
    with pytest.raises(ModelHTTPError) as raised:
        await answer_to(exchange, sizes)
    assert raised.value.status_code == 400
    assert raised.value.model_name == 'us.does-not-exist-model-v1:0'
    assert raised.value.body['Error']['Message'] == 'The provided model identifier is invalid.'
    assert 'The provided model identifier is invalid.' in str(raised.value)


@dribbled
async def test_a_stream_of_text(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'stream_text')
    response = await answer_to(exchange, sizes)
    assert response.parts == [TextPart(deltas_of(exchange, 0, 'text'))]
    assert (response.finish_reason, response.state) == ('stop', 'complete')
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.details) == (13, 82, {})


@dribbled
async def test_a_stream_of_thinking_and_text(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'stream_thinking')
    response = await answer_to(exchange, sizes)
    thinking, text = response.parts
    assert isinstance(thinking, ThinkingPart)
    assert thinking.content == deltas_of(exchange, 0, 'reasoningContent', 'text')
    assert thinking.signature == deltas_of(exchange, 0, 'reasoningContent', 'signature')
    assert thinking.provider_name == 'bedrock'
    assert text == TextPart(deltas_of(exchange, 1, 'text'))
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.details) == (36, 73, {})


@dribbled
async def test_a_stream_of_redacted_thinking(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'stream_thinking_redacted')
    *redacted, text = (await answer_to(exchange, sizes)).parts
    assert len(redacted) == 2
    for block, part in enumerate(redacted):
        assert isinstance(part, ThinkingPart)
        assert (part.id, part.content, part.provider_name) == ('redacted_content', '', 'bedrock')
        blob = deltas_of(exchange, block, 'reasoningContent', 'redactedContent')
        assert part.signature == base64.b64decode(blob).decode()
    assert text == TextPart(deltas_of(exchange, 2, 'text'))


@dribbled
async def test_a_stream_of_the_code_interpreter(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'stream_code_interpreter')
    response = await answer_to(exchange, sizes)
    call, result, final = response.parts
    assert isinstance(call, NativeToolCallPart)
    assert (call.tool_name, call.args_as_dict()) == ('code_execution', {'snippet': '1234 * 5678'})
    assert isinstance(result, NativeToolReturnPart)
    assert result.tool_call_id == call.tool_call_id == 'tooluse_VQNZJRUFMoqZzszVsRd4og'
    assert '7006652' in str(result.content)
    assert isinstance(final, ToolCallPart)
    assert (final.tool_name, final.args_as_dict()) == ('final_result', {'result': 7006652.0})
    assert response.finish_reason == 'tool_call'
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.details) == (1002, 59, {})


# Whole conversations of an agent


@dribbled
async def test_an_agent_asks_a_tool_again_that_has_refused(recorded: Path, sizes: Sequence[int]) -> None:
    exchanges = exchanges_in(recorded, 'converse_tool_retry')
    async with replayed(exchanges, sizes) as (bedrock, provider):
        agent = Agent(
            model_of(exchanges[0], provider),
            system_prompt='You are a helpful chatbot.',
            model_settings={'temperature': 0.0},
            retries=2,
        )

        @agent.tool_plain
        async def get_capital(country: str) -> str:
            """Get the capital of a country.

            Args:
                country: The country name.
            """
            raise ModelRetry('The country is not supported.')

        result = await agent.run('What is the capital of France?')
    assert result.output.endswith(
        'The capital of France is Paris. If you need any further information, feel free to ask!'
    )
    usage = result.usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (2, 426 + 531, 66 + 76)
    first, second = bedrock.requests
    assert first.body == exchanges[0]['request']['json']
    assert second.messages[:2] == exchanges[1]['request']['json']['messages'][:2]
    (refusal,) = second.tool_results
    assert refusal['status'] == 'error'
    assert refusal['content'][0]['text'].startswith('The country is not supported.')


@dribbled
async def test_an_agent_streams_through_a_tool_call(recorded: Path, sizes: Sequence[int]) -> None:
    exchanges = exchanges_in(recorded, 'stream_tools')
    async with replayed(exchanges, sizes) as (bedrock, provider):
        agent = Agent(
            model_of(exchanges[0], provider),
            system_prompt='You are a helpful chatbot.',
            model_settings={'top_p': 0.5},
        )

        @agent.tool_plain
        async def get_capital(country: str) -> str:
            """Get the capital of a country.

            Args:
                country: The country name.
            """
            return 'Paris'

        @agent.tool_plain
        async def get_temperature(city: str) -> str:
            """Get the temperature in a city.

            Args:
                city: The city name.
            """
            return '30°C'

        outputs: list[str] = []
        async with agent.iter('What is the temperature of the capital of France?') as run:
            async for node in run:
                if Agent.is_model_request_node(node):
                    async with node.stream(run.ctx) as stream:
                        outputs.append(
                            ''.join([text async for text in stream.stream_text(delta=True, debounce_by=None)])
                        )
    assert outputs == [deltas_of(exchanges[0], 0, 'text'), deltas_of(exchanges[1], 0, 'text')]
    assert run.result is not None
    assert run.result.output == 'The current temperature in Paris, the capital of France, is 30°C.'
    assert [request.messages for request in bedrock.requests] == [
        exchange['request']['json']['messages'] for exchange in exchanges
    ]


class CityInfo(BaseModel):
    """Information about a city."""

    city: str
    country: str
    population: int


@dribbled
async def test_an_agent_streams_native_output(recorded: Path, sizes: Sequence[int]) -> None:
    (exchange,) = exchanges_in(recorded, 'native_output_stream')
    async with replayed([exchange], sizes) as (bedrock, provider):
        agent = Agent(model_of(exchange, provider), output_type=NativeOutput(CityInfo))
        prompt = 'What is the capital of France? Give me the city name, country, and population.'
        async with agent.run_stream(prompt) as result:
            partial = [output async for output in result.stream_output(debounce_by=None)]
            assert await result.get_output() == CityInfo(city='Paris', country='France', population=2161000)
    assert partial[-1] == CityInfo(city='Paris', country='France', population=2161000)
    assert comparable(bedrock.requests[0].body) == comparable(exchange['request']['json'])


# Counting tokens, embeddings


async def test_counted_tokens(recorded: Path) -> None:
    (exchange,) = exchanges_in(recorded, 'count_tokens_tools')
    conversation = conversation_of(exchange)
    async with replayed([exchange]) as (bedrock, provider):
        usage = await model_of(exchange, provider).count_tokens(*conversation)
    assert usage.input_tokens == 375
    (request,) = bedrock.requests
    assert request.path == exchange['request']['path']
    assert request.body == exchange['request']['json']


def of_titan(response: Mapping[str, Any]) -> list[float]:
    return response['embedding']


def of_cohere(response: Mapping[str, Any]) -> list[float]:
    return response['embeddings']['float'][0]


@pytest.mark.parametrize(
    ('name', 'vector', 'tokens'), [('embed_titan_v2', of_titan, 5), ('embed_cohere_v4', of_cohere, 4)]
)
@pytest.mark.parametrize('sizes', [WHOLE, (7,)], ids=['whole', 'pieces of 7'])
async def test_embeddings(
    recorded: Path, name: str, vector: Callable[[Mapping[str, Any]], list[float]], tokens: int, sizes: Sequence[int]
) -> None:
    (exchange,) = exchanges_in(recorded, name)
    async with replayed([exchange], sizes) as (bedrock, provider):
        result = await BedrockEmbeddingModel(model_id_of(exchange), provider=provider).embed(
            'Hello, world!', input_type='query'
        )
    assert [list(found) for found in result.embeddings] == [vector(exchange['response']['json'])]
    assert result.usage.input_tokens == tokens
    (request,) = bedrock.requests
    assert request.path == exchange['request']['path']
    assert request.body == exchange['request']['json']
