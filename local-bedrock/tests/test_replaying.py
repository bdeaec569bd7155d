"""Recorded exchanges are served again, and what is not recorded is refused with what is different in it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.frames import decoded
from support.recorded import exchanges, model_of, replay
from support.requests import CLAUDE, NOVA, Post, user

from local_bedrock import (
    THROTTLING,
    LocalBedrock,
    UnrecordedRequestError,
    WrongChecksum,
)
from local_bedrock.frames import split_frames

PATH = '/model/us.amazon.nova-micro-v1%3A0/converse'
HELLO = {'messages': [user('Hello')], 'inferenceConfig': {'temperature': 0.0}}


def exchange(said: str, body: Any = HELLO, path: str = PATH, status: int = 200) -> dict[str, Any]:
    return {
        'request': {'method': 'POST', 'path': path, 'json': body},
        'response': {'status': status, 'headers': {'content-type': 'application/json'}, 'json': {'message': said}},
    }


def said(body: bytes) -> str:
    return json.loads(body)['message']


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / 'exchanges.json'
    file.write_text(json.dumps([exchange('one')]))
    return file


@pytest.fixture
async def bedrock(file: Path) -> AsyncIterator[LocalBedrock]:
    """Serve the file in place of the default model."""
    async with LocalBedrock.replay(file) as bedrock:
        yield bedrock


async def read_again(bedrock: LocalBedrock) -> None:
    """Leave the endpoint and enter it again, which reads its file anew."""
    await bedrock.__aexit__()
    await bedrock.__aenter__()


class TestRecordedWithAws:
    """The exchanges that were recorded with Amazon Bedrock."""

    @pytest.fixture
    async def bedrock(self, recorded: Path) -> AsyncIterator[LocalBedrock]:
        async with LocalBedrock.replay(*recorded.glob('*.json')) as bedrock:
            yield bedrock

    async def test_each_is_replayed(self, recorded: Path, bedrock: LocalBedrock, post: Post) -> None:
        for name in sorted(path.stem for path in recorded.glob('*.json')):
            for each in exchanges(recorded, name):
                status, headers, body = await replay(each, post)
                response = each['response']
                assert status == response['status']
                kept = {'content-length', 'connection'}
                assert {k: v for k, v in headers.items() if k in response['headers'] and k not in kept} == {
                    k: v for k, v in response['headers'].items() if k not in kept
                }
                if 'base64' in response:
                    assert body == base64.b64decode(response['base64'])
                else:
                    assert json.loads(body) == response['json']
                    assert list(json.loads(body)) == list(response['json'])
        assert bedrock.failures == []

    async def test_faults_count_the_events_of_a_recorded_stream(
        self, recorded: Path, bedrock: LocalBedrock, post: Post
    ) -> None:
        (each,) = exchanges(recorded, 'stream_text')
        bedrock.fault(WrongChecksum(2))
        body = (await replay(each, post))[2]
        whole = base64.b64decode(each['response']['base64'])
        good = len(b''.join(split_frames(whole)[:2]))
        assert body[:good] == whole[:good]
        assert len(decoded(body[:good])) == 2
        assert body != whole

    async def test_another_prompt_is_refused(self, recorded: Path, bedrock: LocalBedrock, post: Post) -> None:
        (each,) = exchanges(recorded, 'stream_text')
        model, operation = model_of(each)
        body = json.loads(json.dumps(each['request']['json']))
        body['messages'][0]['content'][0]['text'] = 'What is the capital of Spain?'
        status, _, answer = await post(operation, body, model=model)
        assert status == 404
        assert said(answer) == (
            f'No exchange is recorded for POST {each["request"]["path"]} with this body. The nearest, number 1 of '
            'stream_text.json, differs: messages[0].content[0].text is "What is the capital of Spain?", recorded is '
            '"What is the capital of France?".'
        )


# What is found


async def test_the_order_of_members_does_not_matter_and_0_is_0(bedrock: LocalBedrock, post: Post) -> None:
    status, _, body = await post(body=b'{"inferenceConfig": {"temperature": 0}, "messages": %b}' % _json(user('Hello')))
    assert (status, said(body)) == (200, 'one')


def _json(message: Any) -> bytes:
    return json.dumps([message]).encode()


async def test_a_request_recorded_several_times_is_answered_in_turn_and_then_by_the_last(
    file: Path, post: Post, bedrock: LocalBedrock
) -> None:
    file.write_text(json.dumps([exchange('busy', status=429), exchange('other', {'a': 1}), exchange('done')]))
    for _ in range(2):
        await read_again(bedrock)
        answers = [await post(body=HELLO) for _ in range(3)]
        assert [(status, said(body)) for status, _, body in answers] == [(429, 'busy'), (200, 'done'), (200, 'done')]


class TestSeveralFiles:
    @pytest.fixture
    async def bedrock(self, file: Path, tmp_path: Path) -> AsyncIterator[LocalBedrock]:
        other = tmp_path / 'other.json'
        other.write_text(json.dumps([exchange('two', {'a': 1})]))
        async with LocalBedrock.replay(file, str(other)) as bedrock:
            yield bedrock

    async def test_they_are_served_together(self, post: Post) -> None:
        assert [said((await post(body=body))[2]) for body in (HELLO, {'a': 1})] == ['one', 'two']


async def test_nothing_is_checked_but_who_asks(file: Path, post: Post, bedrock: LocalBedrock) -> None:
    file.write_text(json.dumps([exchange('so it was', {'messages': 'none'}), exchange('', {}, '/some/thing?a=b')]))
    await read_again(bedrock)
    assert said((await post(body={'messages': 'none'}))[2]) == 'so it was'
    assert (await post(body={'messages': 'none'}, headers={'Authorization': 'Bearer wrong'}))[0] == 403


async def test_faults_and_scripted_replies_come_first(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.reply('scripted')
    bedrock.fault(THROTTLING, nth=1)
    assert (await post(body=HELLO))[0] == 429
    assert b'scripted' in (await post(body=HELLO))[2]
    assert said((await post(body=HELLO))[2]) == 'one'


# What is not


@pytest.mark.parametrize(
    ('body', 'difference'),
    [
        ({'messages': [user('Hello')]}, 'inferenceConfig is absent, recorded is {"temperature": 0.0}'),
        ({**HELLO, 'system': [{'text': 'Sing.'}]}, 'system is [{"text": "Sing."}], which is not recorded'),
        ({**HELLO, 'inferenceConfig': {'temperature': False}}, 'inferenceConfig.temperature is false, recorded is 0.0'),
        (
            {**HELLO, 'messages': [user('Hello', 'you')]},
            'messages[0].content[1] is {"text": "you"}, which is not recorded',
        ),
        (
            {**HELLO, 'messages': []},
            'messages[0] is absent, recorded is {"role": "user", "content": [{"text": "Hello"}]}',
        ),
        (
            {**HELLO, 'messages': None},
            'messages is null, recorded is [{"role": "user", "content": [{"text": "Hello"}]}]',
        ),
        (
            {**HELLO, 'messages': [user('Hello ' * 50 + 'you' + '!' * 50)]},
            'messages[0].content[0].text is "Hello Hello Hello Hello Hello Hello Hello Hello Hello Hello...'
            ', recorded is "Hello"',
        ),
        (b'\xff', 'base64 is "/w==", which is not recorded; messages is absent'),
    ],
    ids=['absent', 'new', 'type', 'longer', 'shorter', 'null', 'long', 'no JSON'],
)
async def test_an_error_says_what_differs_from_the_nearest(
    bedrock: LocalBedrock, post: Post, body: Any, difference: str
) -> None:
    status, headers, answer = await post(body=body)
    assert status == 404
    assert headers['x-amzn-errortype'].startswith('UnrecordedRequestException:')
    assert said(answer).startswith(
        f'No exchange is recorded for POST /model/{NOVA.replace(":", "%3A")}/converse with this body. '
        f'The nearest, number 1 of exchanges.json, differs: {difference}'
    )


async def test_of_long_texts_the_part_is_shown_in_which_they_differ(
    file: Path, bedrock: LocalBedrock, post: Post
) -> None:
    file.write_text(json.dumps([exchange('', {'text': 'x' * 500 + 'one' + 'y' * 500})]))
    await read_again(bedrock)
    message = said((await post(body={'text': 'x' * 500 + 'two' + 'y' * 500}))[2])
    shown = f'"...{"x" * 20}two{"y" * 37}...", recorded is "...{"x" * 20}one{"y" * 37}..."'.replace('"', '')
    assert message.replace('"', '').endswith(f'differs: text is {shown}.')


async def test_many_differences_are_counted(bedrock: LocalBedrock, post: Post) -> None:
    message = said((await post(body={**HELLO, **{f'member{number}': number for number in range(8)}}))[2])
    assert message.count('which is not recorded') == 5
    assert message.endswith('; and 3 more.')


async def test_the_nearest_is_one_of_the_same_path_with_the_fewest_differences(
    file: Path, bedrock: LocalBedrock, post: Post
) -> None:
    other = PATH.replace('micro', 'lite')
    bodies = [{'a': 1, 'b': 2, 'c': 3}, {'a': 1, 'b': 2, 'c': 4}, {'a': 1, 'b': 2, 'c': 9, 'd': 5}]
    file.write_text(json.dumps([exchange('', body) for body in bodies] + [exchange('', {'a': 1, 'b': 5}, other)]))
    await read_again(bedrock)
    message = said((await post(body={'a': 1, 'b': 2, 'c': 9}))[2])
    assert 'number 1 of' in message
    message = said((await post(body={'a': 1, 'b': 2, 'c': 9, 'd': 6}))[2])
    assert 'number 3 of' in message
    assert message.endswith('differs: d is 6, recorded is 5.')
    message = said((await post(body={'a': 1, 'b': 5}, model=CLAUDE))[2])
    assert 'number 4 of' in message
    assert 'differs: the path is "POST /model/us.anthropic.' in message
    assert message.endswith(f'recorded is "POST {other}".')


async def test_without_any_exchange_the_error_says_so(file: Path, bedrock: LocalBedrock, post: Post) -> None:
    file.write_text('[]')
    await read_again(bedrock)
    assert said((await post())[2]).endswith('with this body, nor any other.')


async def test_what_is_not_recorded_is_a_failure_of_the_endpoint(bedrock: LocalBedrock, post: Post) -> None:
    await post()
    (failure,) = bedrock.failures
    assert isinstance(failure, UnrecordedRequestError)
    assert bedrock.requests[0].error_code == 'UnrecordedRequestException'


def test_boto3_raises_the_error_with_what_differs(make_client: Any, file: Path) -> None:
    with LocalBedrock.replay(file) as replayed:
        client = make_client(bedrock=replayed)
        with pytest.raises(ClientError, match=r'differs: messages.*"Goodbye", recorded is "Hello"') as caught:
            client.converse(modelId=NOVA, messages=[user('Goodbye')], inferenceConfig={'temperature': 0.0})
    assert caught.value.response['Error']['Code'] == 'UnrecordedRequestException'


# Files that are none


@pytest.mark.parametrize(
    'content',
    [
        '',
        '{}',
        '[1]',
        '[{"request": {}}]',
        '[{"request": {"method": "POST", "path": "/"}, "response": {"status": 200, "headers": {}, "json": {}}}]',
        json.dumps([{**exchange(''), 'response': {'status': 200, 'headers': [], 'json': {}}}]),
        json.dumps([{**exchange(''), 'response': {'status': 200, 'headers': {}, 'base64': '?'}}]),
    ],
)
async def test_a_file_that_holds_no_exchanges_is_refused_at_the_start(tmp_path: Path, content: str) -> None:
    file = tmp_path / 'wrong.json'
    file.write_text(content)
    with pytest.raises(ValueError, match=r'wrong\.json does not hold recorded exchanges: '):
        async with LocalBedrock.replay(file):
            pass


async def test_a_file_that_is_missing_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with LocalBedrock.replay(tmp_path / 'missing.json'):
            pass
