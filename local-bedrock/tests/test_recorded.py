"""LocalBedrock's responses have the shape of those recorded with Amazon Bedrock."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from support.recorded import exchanges, replay
from support.requests import Post

from local_bedrock import LocalBedrock, RawReply, Reply, ToolCall

LENGTH_OF_ITS_OWN = {'content-length', 'date', 'x-amzn-requestid', 'x-amzn-errortype', 'server-timing'}


def messages(stream: bytes) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    buffer: Any = EventStreamBuffer()
    buffer.add_data(stream)
    return [(dict(message.headers), json.loads(message.payload)) for message in buffer]


def same_keys(ours: Any, theirs: Any, path: str = '') -> Iterator[str]:
    """Yield where ours has other members than theirs, or the same in another order."""
    if isinstance(theirs, dict):
        if list(ours) != list(theirs):
            yield f'{path}: {list(ours)} for {list(theirs)}'
        else:
            for key, value in theirs.items():
                yield from same_keys(ours[key], value, f'{path}/{key}')
    elif isinstance(theirs, list) and theirs:
        yield from same_keys(ours[0], theirs[0], f'{path}/0')
    elif type(ours) is not type(theirs):
        yield f'{path}: {type(ours).__name__} for {type(theirs).__name__}'


def assert_same_headers(headers: dict[str, str], recorded: dict[str, str]) -> None:
    assert {name: value for name, value in headers.items() if name not in LENGTH_OF_ITS_OWN} == {
        name: value
        for name, value in recorded.items()
        if name not in LENGTH_OF_ITS_OWN and not name.startswith('x-amzn-bedrock-')
    } | {name: value for name, value in headers.items() if name.startswith('x-amzn-bedrock-')}
    assert ('content-length' in headers) == ('content-length' in recorded)
    assert headers['x-amzn-requestid']
    assert headers['date'].endswith(' GMT')
    assert 'server' not in headers


async def test_every_recorded_request_is_answered_alike(recorded: Path, post: Post) -> None:
    names = sorted(path.stem for path in recorded.glob('*.json'))
    assert names
    for name in names:
        for exchange in exchanges(recorded, name):
            status, headers, _ = await replay(exchange, post)
            assert status == exchange['response']['status'], name
            assert_same_headers(headers, exchange['response']['headers'])


@pytest.mark.parametrize('name', ['converse_error', 'stream_error'])
async def test_an_error_is_the_recorded_one(recorded: Path, post: Post, name: str) -> None:
    (exchange,) = exchanges(recorded, name)
    _, headers, body = await replay(exchange, post)
    assert json.loads(body) == exchange['response']['json']
    assert headers['content-length'] == exchange['response']['headers']['content-length']


async def test_a_converse_body_has_the_members_of_the_recorded_one(
    recorded: Path, bedrock: LocalBedrock, post: Post
) -> None:
    exchange = exchanges(recorded, 'converse_tool_retry')[0]
    bedrock.reply(Reply('Let me look.', tool_calls=[ToolCall('get_capital', {'country': 'France'})]))
    _, _, body = await replay(exchange, post)
    ours, theirs = json.loads(body), exchange['response']['json']
    assert list(same_keys(ours, theirs)) == []
    ours_call, theirs_call = (each['output']['message']['content'][1]['toolUse'] for each in (ours, theirs))
    assert list(ours_call) == list(theirs_call)
    assert len(ours_call['toolUseId']) == len(theirs_call['toolUseId'])


async def test_the_cache_is_counted_twice_as_recorded(recorded: Path, bedrock: LocalBedrock, post: Post) -> None:
    exchange = exchanges(recorded, 'converse_cache_write_and_read')[0]
    theirs = exchange['response']['json']['usage']
    counts = {
        name: theirs[name] for name in ('inputTokens', 'outputTokens', 'cacheReadInputTokens', 'cacheWriteInputTokens')
    }
    bedrock.reply(Reply('21', usage=counts))
    _, _, body = await replay(exchange, post)
    assert json.loads(body)['usage'] == theirs
    assert list(json.loads(body)['usage']) == list(theirs)


@pytest.mark.parametrize('name', ['stream_text', 'stream_tools', 'stream_thinking', 'native_output_stream'])
async def test_an_event_stream_has_the_events_of_the_recorded_one(
    recorded: Path, bedrock: LocalBedrock, post: Post, name: str
) -> None:
    exchange = exchanges(recorded, name)[0]
    theirs = messages(base64.b64decode(exchange['response']['base64']))
    bedrock.reply(reply_of(theirs))
    _, _, body = await replay(exchange, post)
    ours = messages(body)
    first_of_each = [dict[str, dict[str, Any]]() for _ in range(2)]
    for events, first in ((ours, first_of_each[0]), (theirs, first_of_each[1])):
        for headers, payload in events:
            assert list(headers) == [':event-type', ':content-type', ':message-type']
            delta = next(iter(payload.get('delta', {'': None})))
            first.setdefault(f'{headers[":event-type"]} {delta}', payload)
    assert first_of_each[0].keys() == first_of_each[1].keys()
    for kind, payload in first_of_each[1].items():
        if kind != 'metadata ':
            assert list(same_keys(first_of_each[0][kind], payload, kind)) == []
    assert list(first_of_each[0]['metadata ']) == list(first_of_each[1]['metadata '])


def reply_of(events: list[tuple[dict[str, Any], dict[str, Any]]]) -> Reply:
    """Return a reply that says what the events say."""
    text = thinking = arguments = ''
    name: str | None = None
    for _, payload in events:
        delta = payload.get('delta', {})
        text += delta.get('text', '')
        thinking += delta.get('reasoningContent', {}).get('text', '')
        arguments += delta.get('toolUse', {}).get('input', '')
        name = payload.get('start', {}).get('toolUse', {}).get('name', name)
    calls = [ToolCall(name, json.loads(arguments))] if name else []
    return Reply(text or None, thinking=thinking or None, tool_calls=calls)


@pytest.mark.parametrize('name', ['embed_titan_v2', 'embed_cohere_v4'])
async def test_an_embedding_has_the_members_of_the_recorded_one(recorded: Path, post: Post, name: str) -> None:
    (exchange,) = exchanges(recorded, name)
    _, headers, body = await replay(exchange, post)
    assert list(same_keys(json.loads(body), exchange['response']['json'])) == []
    assert headers.keys() == exchange['response']['headers'].keys() | {'date', 'x-amzn-requestid'}
    ours, theirs = json.loads(body), exchange['response']['json']
    vectors = [each.get('embedding') or each['embeddings']['float'][0] for each in (ours, theirs)]
    assert len(vectors[0]) == len(vectors[1])


@pytest.mark.parametrize('sizes', [(), (1, 2, 3, 4, 5, 6, 7)], ids=['whole', 'dribbled'])
async def test_a_recorded_response_is_replayed_byte_for_byte(
    recorded: Path, bedrock: LocalBedrock, post: Post, sizes: tuple[int, ...]
) -> None:
    for name in ('stream_text', 'converse_text', 'converse_error'):
        exchange = exchanges(recorded, name)[0]
        response = exchange['response']
        body = base64.b64decode(response['base64']) if 'base64' in response else json.dumps(response['json']).encode()
        bedrock.reply(RawReply(body, status=response['status'], headers=response['headers'], chunk_sizes=sizes))
        status, headers, received = await replay(exchange, post) if name != 'converse_error' else await post()
        assert (status, received) == (response['status'], body)
        assert headers['content-type'] == response['headers']['content-type']
        assert ('transfer-encoding' in headers) == ('transfer-encoding' in response['headers'])
