"""Scripted replies: what each field does, and which request gets which reply."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from support.frames import decoded
from support.requests import CLAUDE, NOVA, Post, user

from local_bedrock import (
    AnyReply,
    ErrorReply,
    EventsReply,
    LocalBedrock,
    RawReply,
    RecordedRequest,
    Reply,
    StreamEvent,
    ToolCall,
    encode_event,
)


async def converse(post: Post, **options: Any) -> dict[str, Any]:
    status, _, body = await post('converse', **options)
    assert status == 200, body
    return json.loads(body)


async def stream(post: Post, **options: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a stream, without their padding."""
    status, _, body = await post('converse-stream', **options)
    assert status == 200, body
    events: list[tuple[str, dict[str, Any]]] = []
    for message in decoded(body):
        payload: dict[str, Any] = json.loads(message.payload or b'{}')
        payload.pop('p', None)
        kind: Any = message.headers.get(':event-type') or message.headers.get(':exception-type')
        events.append((kind, payload))
    return events


def text_of(response: Mapping[str, Any]) -> str:
    return response['output']['message']['content'][0]['text']


# The fields of a reply


async def test_text_stands_for_a_reply(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply('Bonjour')
    assert text_of(await converse(post)) == 'Bonjour'


async def test_content_comes_in_the_order_thinking_text_tool_calls(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply(Reply('Text', thinking='Hm', tool_calls=[ToolCall('a', {'b': 1}, id='c', type='server_tool_use')]))
    response = await converse(post)
    thinking, text, call = response['output']['message']['content']
    assert thinking['reasoningContent']['reasoningText']['text'] == 'Hm'
    assert text == {'text': 'Text'}
    assert call == {'toolUse': {'input': {'b': 1}, 'name': 'a', 'toolUseId': 'c', 'type': 'server_tool_use'}}
    # A tool that Bedrock runs does not hand the turn to the caller.
    assert response['stopReason'] == 'end_turn'


async def test_any_content_can_be_given(bedrock: LocalBedrock, post: Post) -> None:
    content = [
        {'toolUse': {'toolUseId': 'a', 'name': 'nova_grounding', 'input': {}, 'type': 'server_tool_use'}},
        {'toolResult': {'toolUseId': 'a', 'content': [{'json': {'x': 1}}], 'status': 'success', 'type': 'y'}},
        {'text': 'Found'},
        {'image': {'format': 'png', 'source': {'bytes': 'AA=='}}},
    ]
    bedrock.reply(Reply(content=content), Reply(content=content))
    assert (await converse(post))['output']['message']['content'] == content
    events = await stream(post)
    starts = [payload['start'] for kind, payload in events if kind == 'contentBlockStart']
    assert starts == [
        {'toolUse': {'toolUseId': 'a', 'name': 'nova_grounding', 'type': 'server_tool_use'}},
        {'toolResult': {'toolUseId': 'a', 'status': 'success', 'type': 'y'}},
    ]
    deltas = [payload['delta'] for kind, payload in events if kind == 'contentBlockDelta']
    assert deltas == [
        {'toolUse': {'input': '{}'}},
        {'toolResult': [{'json': {'x': 1}}]},
        {'text': 'Found'},
        {'image': {'format': 'png', 'source': {'bytes': 'AA=='}}},
    ]


async def test_citations_stand_with_their_text(bedrock: LocalBedrock, post: Post) -> None:
    citation = {'title': 'Doc', 'location': {'documentPage': {'documentIndex': 0, 'start': 1, 'end': 2}}}
    bedrock.reply(*[Reply('Two words', citations=[citation])] * 2)
    content = (await converse(post))['output']['message']['content']
    assert content == [{'citationsContent': {'citations': [citation], 'content': [{'text': 'Two words'}]}}]
    deltas = [payload['delta'] for kind, payload in await stream(post) if kind == 'contentBlockDelta']
    assert deltas == [{'text': 'Two'}, {'text': ' words'}, {'citation': citation}]


async def test_what_surrounds_the_content_can_be_given(bedrock: LocalBedrock, post: Post) -> None:
    reply = Reply(
        'No.',
        stop_reason='guardrail_intervened',
        usage={'inputTokens': 5, 'outputTokens': 2, 'cacheReadInputTokens': 3},
        trace={'guardrail': {'actionReason': 'None'}},
        service_tier='flex',
        performance_latency='optimized',
        additional_fields={'stop_sequence': 'x'},
        latency_ms=7,
        headers={'X-Extra': 'yes'},
    )
    bedrock.reply(reply, reply)
    usage = {
        'cacheReadInputTokenCount': 3,
        'cacheReadInputTokens': 3,
        'inputTokens': 5,
        'outputTokens': 2,
        'serverToolUsage': {},
        'totalTokens': 10,
    }
    about = {
        'metrics': {'latencyMs': 7},
        'performanceConfig': {'latency': 'optimized'},
        'serviceTier': {'type': 'flex'},
        'trace': {'guardrail': {'actionReason': 'None'}},
        'usage': usage,
    }
    status, headers, body = await post('converse')
    response = json.loads(body)
    assert (status, headers['x-extra'], response.pop('output')['message']['role']) == (200, 'yes', 'assistant')
    assert response == {
        **about,
        'stopReason': 'guardrail_intervened',
        'additionalModelResponseFields': {'stop_sequence': 'x'},
    }
    *_, stop, metadata = await stream(post)
    assert stop == (
        'messageStop',
        {'additionalModelResponseFields': {'stop_sequence': 'x'}, 'stopReason': 'guardrail_intervened'},
    )
    assert metadata == ('metadata', about)


@pytest.mark.parametrize('text', ['Bonjour', None])
async def test_the_pieces_of_a_stream_can_be_given(bedrock: LocalBedrock, post: Post, text: str | None) -> None:
    bedrock.reply(Reply(text, chunks=['B', 'onj', '', 'our']), times=2)
    deltas = [payload['delta']['text'] for kind, payload in await stream(post) if kind == 'contentBlockDelta']
    assert deltas == ['B', 'onj', '', 'our']
    assert text_of(await converse(post)) == 'Bonjour'


# Events and bytes


async def test_events_are_sent_as_they_are(bedrock: LocalBedrock, post: Post) -> None:
    raw = encode_event(StreamEvent('metadata', {'usage': {}}))
    bedrock.reply(
        EventsReply(
            [
                {'messageStart': {'role': 'assistant'}},
                StreamEvent('madeUpLater', {'a': 1}),
                raw,
                StreamEvent('contentBlockDelta', b'not JSON'),
                StreamEvent.exception('throttlingException', 'Slow down'),
            ],
            headers={'X-Extra': 'yes'},
        )
    )
    status, headers, body = await post('converse-stream')
    assert (status, headers['x-extra'], headers['content-type']) == (200, 'yes', 'application/vnd.amazon.eventstream')
    messages = decoded(body)
    assert raw in body
    assert [message.headers[':message-type'] for message in messages] == ['event'] * 4 + ['exception']
    # Only what stands for an event of the model is padded.
    assert ['"p":' in message.payload.decode() for message in messages] == [True, False, False, False, False]
    assert messages[3].payload == b'not JSON'


async def test_raw_bytes_are_sent_as_they_are(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply(
        RawReply(b'\x00\x01', status=218, headers={'Content-Type': 'x/y', 'x-amzn-RequestId': 'mine', 'Date': 'never'})
    )
    status, headers, body = await post('converse')
    assert (status, body) == (218, b'\x00\x01')
    assert (headers['content-type'], headers['x-amzn-requestid'], headers['content-length']) == ('x/y', 'mine', '2')
    assert headers['date'] != 'never'


async def test_an_error_has_the_given_status_code_and_headers(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply(
        ErrorReply(418, 'TeapotException', 'Short and stout', headers={'Retry-After': '3'}, delay_before=0.01)
    )
    status, headers, body = await post('converse')
    assert (status, json.loads(body)) == (418, {'message': 'Short and stout'})
    assert headers['x-amzn-errortype'] == 'TeapotException:http://internal.amazon.com/coral/com.amazon.bedrock/'
    assert headers['retry-after'] == '3'


# Functions


async def test_a_function_answers_from_the_request(bedrock: LocalBedrock, post: Post) -> None:
    def shout(request: RecordedRequest) -> AnyReply:
        return request.last_user_text.upper()

    async def whisper(request: RecordedRequest) -> AnyReply:
        await asyncio.sleep(0)
        return Reply(request.last_user_text.lower())

    bedrock.reply(shout, whisper)
    assert text_of(await converse(post, text='Hello')) == 'HELLO'
    assert text_of(await converse(post, text='Hello')) == 'hello'


async def test_a_generator_yields_events_when_it_likes(bedrock: LocalBedrock, http: aiohttp.ClientSession) -> None:
    gate = asyncio.Event()

    async def answer(request: RecordedRequest) -> AsyncIterator[StreamEvent | Mapping[str, Any] | bytes]:
        yield {'messageStart': {'role': 'assistant'}}
        await gate.wait()
        yield {'messageStop': {'stopReason': 'end_turn'}}

    bedrock.reply(answer)
    url = f'{bedrock.base_url}/model/{NOVA}/converse-stream'
    headers = {'Authorization': f'Bearer {bedrock.api_key}'}
    async with http.post(url, json={'messages': [user('Hello')]}, headers=headers) as response:
        first = await response.content.readany()
        assert [message.headers[':event-type'] for message in decoded(first)] == ['messageStart']
        assert bedrock.stats().streams_generating == 1
        gate.set()
        rest = await response.content.read()
        assert [message.headers[':event-type'] for message in decoded(rest)] == ['messageStop']
    assert bedrock.stats().streams_generating == 0


async def test_a_generator_is_closed_when_the_client_goes_away(
    bedrock: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    closed = asyncio.Event()

    async def answer(request: RecordedRequest) -> AsyncIterator[StreamEvent | Mapping[str, Any] | bytes]:
        try:
            yield {'messageStart': {'role': 'assistant'}}
            await asyncio.Event().wait()
        finally:
            closed.set()

    bedrock.reply(answer)
    url = f'{bedrock.base_url}/model/{NOVA}/converse-stream'
    headers = {'Authorization': f'Bearer {bedrock.api_key}'}
    async with http.post(url, json={'messages': [user('Hello')]}, headers=headers) as response:
        await response.content.readany()
        response.close()
    async with asyncio.timeout(5):
        await closed.wait()
        while bedrock.requests[0].ended is None:
            await asyncio.sleep(0)
    assert bedrock.requests[0].disconnected
    assert bedrock.stats().in_flight == 0


async def test_a_function_that_fails_is_answered_as_a_server_error_and_noted(bedrock: LocalBedrock, post: Post) -> None:
    def fail(request: RecordedRequest) -> AnyReply:
        raise KeyError('oops')

    async def fail_later(request: RecordedRequest) -> AsyncIterator[StreamEvent | Mapping[str, Any] | bytes]:
        yield {'messageStart': {'role': 'assistant'}}
        raise KeyError('oops')

    bedrock.reply(fail, fail_later)
    status, headers, body = await post('converse')
    assert status == 500
    assert headers['x-amzn-errortype'].startswith('InternalServerException:')
    assert "KeyError('oops') (test_replies.py, line " in json.loads(body)['message']
    assert [kind for kind, _ in await stream(post)] == ['messageStart', 'internalServerException']
    assert [type(error) for error in bedrock.failures] == [KeyError, KeyError]
    bedrock.failures.clear()


async def test_a_reply_that_cannot_answer_is_a_failure(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply(EventsReply([]), EventsReply([{'messageStart': {}, 'messageStop': {}}]))
    assert (await post('converse'))[0] == 500
    assert 'EventsReply cannot answer Converse' in str(bedrock.failures[0])
    assert (await post('converse-stream'))[0] == 500
    assert 'a mapping of one member' in str(bedrock.failures[1])
    bedrock.failures.clear()


# Which request gets which reply


async def test_replies_are_given_in_order_and_then_the_model_speaks_for_itself(
    bedrock: LocalBedrock, post: Post
) -> None:
    bedrock.reply('one', 'two')
    said = [text_of(await converse(post)) for _ in range(3)]
    assert said[:2] == ['one', 'two']
    assert 'LocalBedrock' in said[2]


async def test_replies_can_be_for_a_model_an_operation_or_a_condition(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply('claude', model=CLAUDE, times=None)
    bedrock.reply('starts with us', model=lambda model: model.startswith('us.'))
    bedrock.reply('asks', when=lambda request: '?' in request.last_user_text, times=2)
    bedrock.reply('streams', operation='ConverseStream')
    other = 'amazon.nova-lite-v1:0'
    assert text_of(await converse(post, model=CLAUDE, text='Why?')) == 'claude'
    assert text_of(await converse(post, model=NOVA)) == 'starts with us'
    assert [text_of(await converse(post, model=other, text='Why?')) for _ in range(3)][:2] == ['asks'] * 2
    deltas = [
        payload['delta']['text'] for kind, payload in await stream(post, model=other) if kind == 'contentBlockDelta'
    ]
    assert deltas == ['streams']
    assert text_of(await converse(post, model=CLAUDE)) == 'claude'


async def test_a_rule_counts_its_uses_and_can_be_taken_back(bedrock: LocalBedrock, post: Post) -> None:
    (rule,) = bedrock.reply('one', times=None)
    for _ in range(2):
        await converse(post)
    assert (rule.seen, rule.used) == (2, 2)
    rule.remove()
    assert text_of(await converse(post)) != 'one'


FOUNDATION = 'anthropic.claude-sonnet-4-20250514-v1:0'


async def test_replies_to_a_conversation_leave_other_operations_alone(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply('one')
    bedrock.reply(Reply(usage={'inputTokens': 7}), operation='CountTokens')
    bedrock.reply(
        RawReply(b'{"embedding": [1]}', headers={'Content-Type': 'application/json'}), operation='InvokeModel'
    )
    counted = {'input': {'converse': {'messages': [user('Hello')]}}}
    assert json.loads((await post('count-tokens', counted, model=FOUNDATION))[2]) == {'inputTokens': 7}
    assert json.loads((await post('count-tokens', counted, model=FOUNDATION))[2]) != {'inputTokens': 7}
    assert (await post('invoke', {'inputText': 'a'}, model='amazon.titan-embed-text-v1'))[2] == b'{"embedding": [1]}'
    assert text_of(await converse(post)) == 'one'


async def test_an_invalid_request_uses_no_reply_up(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply('one')
    assert (await post('converse', {'messages': []}))[0] == 400
    assert text_of(await converse(post)) == 'one'


async def test_the_default_model_can_be_another(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock(responder=lambda request: f'I am {request.model_id}') as bedrock:
        headers = {'Authorization': f'Bearer {bedrock.api_key}'}
        url = f'{bedrock.base_url}/model/{NOVA}/converse'
        async with http.post(url, json={'messages': [user('Hello')]}, headers=headers) as response:
            assert text_of(await response.json()) == f'I am {NOVA}'


async def test_a_reset_forgets_the_script(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply('one')
    bedrock.fault(ErrorReply(500, 'InternalServerException', 'x'), nth=2)
    await converse(post)
    bedrock.reply('two')
    bedrock.reset()
    assert bedrock.requests == []
    assert 'LocalBedrock' in text_of(await converse(post))
