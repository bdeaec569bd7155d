"""The web examples, served by uvicorn on a real socket and asked by httpx."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from generation import EndlessGeneration, eventually
from pydantic_ai.messages import ModelMessage

from local_bedrock import EXPIRED_TOKEN, INTERNAL_SERVER_ERROR, THROTTLING, LocalBedrock, Reply, exception_event

pytest.importorskip('fastapi', reason='the web examples need FastAPI: install the dependency group "examples"')
httpx = pytest.importorskip('httpx', reason='the web examples are asked by httpx')
serving = pytest.importorskip('served', reason='the web examples are served by uvicorn')

EXAMPLES = Path(__file__).parents[1] / 'examples'


@pytest.fixture
def in_environment(bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch) -> LocalBedrock:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    return bedrock


@asynccontextmanager
async def served(example: str) -> AsyncIterator[Any]:
    async with (
        serving.served(example) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client,
    ):
        yield client


async def events(response: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    async for line in response.aiter_lines():
        kind, _, value = line.partition(': ')
        if kind == 'event':
            found.append((value, None))
        elif kind == 'data':
            found[-1] = (found[-1][0], json.loads(value))
    return found


# fastapi_app.py


async def test_a_question_is_answered_in_json(in_environment: LocalBedrock) -> None:
    in_environment.reply(Reply('Four.', usage={'inputTokens': 12, 'outputTokens': 3, 'totalTokens': 15}))
    async with served('fastapi_app') as client:
        response = await client.post('/ask', json={'prompt': 'What is two and two?'})
    assert response.status_code == 200
    assert response.json() == {'answer': 'Four.', 'input_tokens': 12, 'output_tokens': 3}


async def test_a_question_without_words_is_refused_before_bedrock_is_asked(in_environment: LocalBedrock) -> None:
    async with served('fastapi_app') as client:
        assert (await client.post('/ask', json={'prompt': ''})).status_code == 422
    assert not [request for request in in_environment.requests if request.operation]


async def test_a_throttled_request_is_a_503_that_says_nothing_of_the_account(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_aiobedrock._runtime.pacer.PATIENCE', 0.2)
    in_environment.fault(THROTTLING)
    async with served('fastapi_app') as client:
        response = await client.post('/ask', json={'prompt': 'Hello.'})
    assert (response.status_code, response.json()) == (503, {'error': 'The model is busy. Try again in a moment.'})


async def test_any_other_failure_of_bedrock_is_a_502(in_environment: LocalBedrock) -> None:
    in_environment.fault(INTERNAL_SERVER_ERROR)
    async with served('fastapi_app') as client:
        response = await client.post('/ask', json={'prompt': 'Hello.'})
    assert (response.status_code, response.json()) == (502, {'error': 'The model did not answer.'})


async def test_an_answer_is_streamed_as_server_sent_events(in_environment: LocalBedrock) -> None:
    in_environment.reply(Reply('One two three.', chunks=['One', ' two', ' three.']))
    async with served('fastapi_app') as client, client.stream('POST', '/stream', json={'prompt': 'Count.'}) as response:
        assert response.headers['content-type'].startswith('text/event-stream')
        found = await events(response)
    assert found[:3] == [('text', 'One'), ('text', ' two'), ('text', ' three.')]
    assert [name for name, _ in found[3:]] == ['done']


async def test_a_stream_that_fails_ends_with_an_error_event(in_environment: LocalBedrock) -> None:
    in_environment.reply(Reply('One two three.', chunks=['One', ' two', ' three.']))
    in_environment.fault(exception_event('modelStreamErrorException', after=3))
    async with served('fastapi_app') as client, client.stream('POST', '/stream', json={'prompt': 'Count.'}) as response:
        found = await events(response)
    assert found[0] == ('text', 'One')
    assert found[-1] == ('error', 'The model did not answer.')


@pytest.mark.parametrize('example', ['fastapi_app', 'chat_page'])
async def test_a_client_that_goes_away_stops_the_generation(in_environment: LocalBedrock, example: str) -> None:
    generation = EndlessGeneration()
    in_environment.reply(generation)
    path, body = ('/stream', {}) if example == 'fastapi_app' else ('/chat', {'conversation': 'one'})
    async with served(example) as client:
        async with client.stream('POST', path, json={**body, 'prompt': 'Go on for ever.'}) as response:
            await anext(response.aiter_lines())
            assert in_environment.stats().streams_generating == 1
        await eventually(lambda: in_environment.stats().streams_generating == 0)
    assert in_environment.requests[-1].disconnected


async def test_health_does_not_ask_bedrock(in_environment: LocalBedrock) -> None:
    async with served('fastapi_app') as client:
        assert (await client.get('/health')).json() == {'status': 'ok'}
    assert not [request for request in in_environment.requests if request.operation]


async def test_client_and_connections_are_open_before_the_first_request(in_environment: LocalBedrock) -> None:
    async with served('fastapi_app') as client:
        shown = (await client.get('/pool')).json()
        assert (shown['clients'], shown['connections'], shown['leases']) == (1, 10, 0)
        assert in_environment.stats().open_connections == 10
    assert not [request for request in in_environment.requests if request.operation]
    await eventually(lambda: in_environment.stats().open_connections == 0)


async def test_the_statistics_of_the_pool_are_shown(in_environment: LocalBedrock) -> None:
    async with served('fastapi_app') as client:
        await client.post('/ask', json={'prompt': 'Hello.'})
        shown = (await client.get('/pool')).json()
    assert (shown['clients'], shown['leases'], shown['waiting']) == (1, 0, 0)
    assert shown['connections'] >= 1


# chat_page.py


async def chat(client: Any, conversation: str, prompt: str) -> list[tuple[str, Any]]:
    response = await client.post('/chat', json={'conversation': conversation, 'prompt': prompt})
    assert response.status_code == 200
    return [(line['kind'], line['data']) for line in map(json.loads, response.text.splitlines())]


async def test_the_page_is_served_whole(in_environment: LocalBedrock) -> None:
    async with served('chat_page') as client:
        response = await client.get('/')
    assert response.headers['content-type'].startswith('text/html')
    assert response.text.rstrip().endswith('</html>')
    # No file, font or script but those in the page itself.
    assert not re.findall(r'src=|href="(?!data:)|url\(|https?://', response.text)


async def test_the_page_is_shown_tokens_and_tools_in_their_order(in_environment: LocalBedrock) -> None:
    async with served('chat_page') as client:
        found = await chat(client, 'one', 'How warm is it in Lima?')
    kinds = [kind for kind, _ in found]
    assert kinds[:2] == ['tool_call', 'tool_result']
    assert set(kinds[2:-1]) == {'text'}
    assert len(kinds) > 4
    assert kinds[-1] == 'done'
    assert found[0][1]['name'] == 'temperature'
    assert 'degrees' in found[1][1]['content']


async def test_a_conversation_remembers_what_was_said_in_it_and_not_in_others(in_environment: LocalBedrock) -> None:
    async with served('chat_page') as client:
        await chat(client, 'one', 'My name is Ada.')
        await chat(client, 'two', 'My name is Bob.')
        await chat(client, 'one', 'What is my name?')
    said = json.dumps(in_environment.requests[-1].messages)
    assert 'Ada' in said
    assert 'Bob' not in said


async def test_a_page_is_told_that_the_model_did_not_answer(in_environment: LocalBedrock) -> None:
    in_environment.fault(INTERNAL_SERVER_ERROR)
    async with served('chat_page') as client:
        [(kind, said)] = await chat(client, 'one', 'Hello.')
        assert kind == 'error'
        assert said.startswith('The model did not answer: status_code: 500')


async def test_a_page_is_told_how_to_sign_in_again(in_environment: LocalBedrock) -> None:
    in_environment.fault(EXPIRED_TOKEN)
    async with served('chat_page') as client:
        [(kind, said)] = await chat(client, 'one', 'Hello.')
        assert kind == 'error'
        assert 'expired' in said


def test_the_conversations_not_continued_for_the_longest_time_are_forgotten(in_environment: LocalBedrock) -> None:
    example = importlib.import_module('chat_page')
    conversations = example.Conversations()
    messages: list[ModelMessage] = []
    for number in range(example.CONVERSATIONS + 1):
        conversations.remember(str(number), messages)
    assert conversations.history('0') == ()
    assert conversations.history('1') is messages


# Both


@pytest.mark.parametrize('example', ['fastapi_app', 'chat_page'])
def test_a_web_example_starts_with_no_arguments_and_ends_cleanly(example: str) -> None:
    with subprocess.Popen(
        [sys.executable, '-W', 'always::ResourceWarning', str(EXAMPLES / f'{example}.py'), '--port', '0'],
        env={**os.environ},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        shown = ''
        while not (found := re.search(r'running on (http://\S+)', shown)):
            line = process.stderr.readline()
            assert line, shown
            shown += line
        with httpx.Client(base_url=found[1], trust_env=False, timeout=60) as client:
            if example == 'fastapi_app':
                assert client.post('/ask', json={'prompt': 'Hello.'}).json()['answer']
            else:
                assert client.post('/chat', json={'conversation': 'one', 'prompt': 'Hello.'}).text
        process.send_signal(signal.SIGINT)
        shown += process.stderr.read()
    assert 'Traceback' not in shown
    assert 'Warning' not in shown
