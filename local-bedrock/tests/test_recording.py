"""Exchanges with AWS are passed on, and recorded. AWS is another LocalBedrock."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.session import Session
from pydantic_ai import Agent
from support.aws import HELLO, ask, exchanges, request_to, session_of
from support.requests import NOVA, user

from local_bedrock import (
    THROTTLING,
    EventsReply,
    LocalBedrock,
    RawReply,
    RecordedRequest,
    Reply,
    Response,
    SourceError,
    Truncate,
)
from local_bedrock._recording.exchanges import Exchange
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

# What is recorded


async def test_a_request_is_passed_on_and_its_exchange_recorded(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    aws.reply('Good morning.')
    status, body = await ask(http, recorder, **{'Content-Type': 'application/json', 'X-Custom': 'yes'})
    assert status == 200
    (passed_on,) = aws.requests
    assert json.loads(passed_on.raw_body) == HELLO
    assert passed_on.headers['content-type'] == 'application/json'
    assert passed_on.headers['x-custom'] == 'yes'
    (exchange,) = exchanges(file)
    assert exchange == {
        'request': {'method': 'POST', 'path': '/model/us.amazon.nova-micro-v1%3A0/converse', 'json': HELLO},
        'response': {
            'status': 200,
            'headers': {
                'connection': 'keep-alive',
                'content-length': str(len(body)),
                'content-type': 'application/json',
                'x-amzn-requestid': passed_on.request_id,
            },
            'json': json.loads(body),
        },
    }
    assert list(exchange['response']['json']) == list(json.loads(body))


async def test_a_file_has_the_format_of_those_recorded_before(
    recorded: Path, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    await ask(http, recorder)
    await ask(http, recorder, 'converse-stream')
    for ours in exchanges(file):
        for theirs in json.loads((recorded / 'stream_text.json').read_text()):
            assert list(ours) == list(theirs)
            assert list(ours['request']) == list(theirs['request'])
            assert list(ours['response'])[:2] == list(theirs['response'])[:2]
    assert file.read_text() == json.dumps(exchanges(file), indent=1, ensure_ascii=False) + '\n'


async def test_a_stream_is_passed_on_as_it_comes_and_recorded_whole(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    seen = asyncio.Event()

    async def answer(request: RecordedRequest) -> AsyncIterator[dict[str, Any]]:
        yield {'messageStart': {'role': 'assistant'}}
        async with asyncio.timeout(5):
            await seen.wait()
        yield {'messageStop': {'stopReason': 'end_turn'}}

    aws.reply(answer)
    url, options = request_to(recorder, f'/model/{NOVA}/converse-stream', json.dumps(HELLO).encode())
    async with http.post(url, **options) as response:
        body = await response.content.readany()
        assert b'messageStart' in body
        assert not file.exists()
        seen.set()
        body += await response.content.read()
        assert response.headers['Content-Type'] == 'application/vnd.amazon.eventstream'
    (exchange,) = exchanges(file)
    assert base64.b64decode(exchange['response']['base64']) == body
    assert exchange['response']['headers']['transfer-encoding'] == 'chunked'


async def test_errors_are_recorded_too(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    aws.fault(THROTTLING, nth=1)
    assert [(await ask(http, recorder))[0] for _ in range(2)] == [429, 200]
    assert (await ask(http, recorder, body={'messages': []}))[0] == 400
    assert [exchange['response']['status'] for exchange in exchanges(file)] == [429, 200, 400]
    assert exchanges(file)[0]['response']['headers']['x-amzn-errortype'].startswith('ThrottlingException:')
    assert [request.error_code for request in recorder.requests] == ['ThrottlingException', None, 'ValidationException']


async def test_operations_that_are_not_known_here_are_passed_on(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    url, options = request_to(recorder, '/made-up/later?a=b', b'{"source":"INPUT"}')
    async with http.post(url, **options) as response:
        assert response.status == 404
    assert aws.requests[0].path == '/made-up/later?a=b'
    assert exchanges(file)[0]['request']['path'] == '/made-up/later?a=b'


async def test_a_path_stays_encoded_as_it_came(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    arn = 'arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fabc'
    assert (await ask(http, recorder, model=arn))[0] == 200
    assert aws.requests[0].path == f'/model/{arn}/converse'


@pytest.mark.parametrize('body', [b'', b'\x00\xff', 'é'.encode('latin-1')])
async def test_a_body_that_is_not_json_is_recorded_in_base64(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path, body: bytes
) -> None:
    aws.reply(RawReply(body, headers={'Content-Type': 'audio/mpeg'}), operation='InvokeModel')
    # A model whose format LocalBedrock does not know.
    canvas = 'amazon.nova-canvas-v1%3A0'
    assert await ask(http, recorder, 'invoke', b'{}', model=canvas) == (200, body)
    assert (await ask(http, recorder, 'invoke', b'\xff'))[0] == 400
    assert base64.b64decode(exchanges(file)[0]['response']['base64']) == body
    assert base64.b64decode(exchanges(file)[1]['request']['base64']) == b'\xff'


async def test_fifty_exchanges_at_once_are_recorded_whole(
    recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    bodies = [{'messages': [user(f'Number {number}')]} for number in range(50)]
    await asyncio.gather(*(ask(http, recorder, 'converse-stream', body) for body in bodies))
    recorded = [exchange['request']['json'] for exchange in exchanges(file)]
    assert sorted(map(str, recorded)) == sorted(map(str, bodies))


async def test_a_file_is_begun_anew_with_the_first_exchange(
    aws: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    for number in range(2):
        recorder = LocalBedrock.record(
            file, region_name='us-east-1', endpoint_url=aws.base_url, session=session_of(aws)
        )
        async with recorder:
            assert file.exists() is bool(number)
            await ask(http, recorder)
    assert len(exchanges(file)) == 1


async def test_faults_and_scripted_replies_are_not_recorded(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    aws.reply('from AWS')
    recorder.reply('from a script')
    assert b'from a script' in (await ask(http, recorder))[1]
    recorder.fault(THROTTLING, times=1)
    assert (await ask(http, recorder))[0] == 429
    assert aws.requests == []
    recorder.fault(Truncate(10), times=1)
    assert len((await ask(http, recorder))[1]) == 10
    (exchange,) = exchanges(file)
    assert exchange['response']['json']['output']['message']['content'] == [{'text': 'from AWS'}]


# What goes wrong


async def test_what_a_client_leaves_is_not_recorded_and_left_at_aws_too(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    aws.reply(Reply('on and on', delay_per_event=(0, 30)))
    url, options = request_to(recorder, f'/model/{NOVA}/converse-stream', json.dumps(HELLO).encode())
    async with http.post(url, **options) as response:
        await response.content.readany()
        response.close()
    async with asyncio.timeout(5):
        while not (aws.requests[0].disconnected and recorder.requests[0].disconnected):
            await asyncio.sleep(0.001)
    assert not file.exists()


async def test_a_response_that_a_fault_swallows_leaves_no_connection(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    def swallow(answer: Response) -> None:
        answer.truncate_at, answer.then = -1, 'close'

    aws.reply(Reply('on and on', delay_per_event=(0, 30)))
    recorder.fault(swallow)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await ask(http, recorder, 'converse-stream')
    async with asyncio.timeout(5):
        while not aws.requests[0].disconnected:
            await asyncio.sleep(0.001)
    assert aws.stats().open_connections == 0


async def test_a_response_that_aws_breaks_off_breaks_off(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    aws.fault(Truncate(100, 'close'))
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(http, recorder, 'converse-stream')
    status, body = await ask(http, recorder)
    assert status == 502
    assert 'broke its response off' in json.loads(body)['message']
    assert not file.exists()
    assert [type(failure) for failure in recorder.failures] == [SourceError, SourceError]
    assert not recorder.requests[0].disconnected


async def test_without_aws_the_answer_is_a_bad_gateway(http: aiohttp.ClientSession, file: Path) -> None:
    async with LocalBedrock() as gone:
        pass
    session = Session()
    session.set_credentials('AKIDEXAMPLE', 'secret')
    async with LocalBedrock() as gone:
        url = gone.base_url
    async with LocalBedrock.record(file, region_name='us-east-1', endpoint_url=url, session=session) as recorder:
        status, body = await ask(http, recorder)
    assert status == 502
    assert json.loads(body)['message'].startswith(f'{url} cannot be asked: ClientConnectorError')


async def test_the_endpoint_is_the_one_of_the_region_and_proxies_are_used(
    http: aiohttp.ClientSession, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LocalBedrock() as gone:
        monkeypatch.setenv('HTTPS_PROXY', gone.base_url)
    session = Session()
    session.set_credentials('AKIDEXAMPLE', 'secret')
    async with LocalBedrock.record(file, region_name='eu-west-1', session=session) as recorder:
        _, body = await ask(http, recorder)
    message = json.loads(body)['message']
    assert message.startswith('https://bedrock-runtime.eu-west-1.amazonaws.com cannot be asked: ClientProxyConnection')


async def test_a_file_that_cannot_be_written_is_an_error_that_says_so(
    recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    file.mkdir()
    status, body = await ask(http, recorder)
    assert status == 502
    assert f'{file} cannot be written' in json.loads(body)['message']
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(http, recorder, 'converse-stream')


# From recording to replaying


async def converse(bedrock: LocalBedrock) -> tuple[str, str]:
    """Run an agent with a tool, and one that streams."""
    async with BedrockProvider(
        region_name=bedrock.region_name,
        base_url=bedrock.base_url,
        aws_access_key_id=bedrock.aws_access_key_id,
        aws_secret_access_key=bedrock.aws_secret_access_key,
        pool=SessionPool(),
    ) as provider:
        agent = Agent(BedrockConverseModel(NOVA, provider=provider))

        @agent.tool_plain
        async def weather(city: str) -> str:
            return f'Rain in {city}'

        result = await agent.run('What is the weather in Paris?')
        async with agent.run_stream('And in Oslo?') as stream:
            return result.output, await stream.get_output()


async def test_what_was_recorded_is_replayed_without_aws(aws: LocalBedrock, recorder: LocalBedrock, file: Path) -> None:
    said = await converse(recorder)
    assert len(aws.requests) == len(exchanges(file)) == 4
    async with LocalBedrock.replay(file) as replayed:
        assert await converse(replayed) == said
        assert [request.operation for request in replayed.requests] == [request.operation for request in aws.requests]
        assert replayed.failures == []


def test_an_exchange_is_read_as_it_was_written() -> None:
    exchange = Exchange('POST', '/model/a/converse', {'json': {'a': [1.0, None]}}, 200, {'a': 'b'}, {'base64': 'AAE='})
    assert Exchange.of(json.loads(json.dumps(exchange.as_json()))) == exchange


async def test_events_keep_their_pieces_when_recorded(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    aws.reply(EventsReply([b'abc', b'def']))
    assert await ask(http, recorder, 'converse-stream') == (200, b'abcdef')
