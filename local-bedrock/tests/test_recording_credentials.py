"""Who may ask a recorder, with which credentials it asks AWS, and that none of them are recorded."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import aiohttp
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import NoCredentialsError, NoRegionError
from support.aws import HELLO, ask, exchanges, key_of, session_of
from support.requests import NOVA, user

from local_bedrock import AccessKey, LocalBedrock, RawReply, Reply


async def test_a_request_is_signed_anew_with_the_credentials_of_the_caller(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    assert (await ask(http, recorder))[0] == 200
    assert recorder.aws_access_key_id in recorder.requests[0].headers['Authorization']
    (passed_on,) = aws.requests
    assert passed_on.auth_scheme == 'sigv4'
    assert aws.aws_access_key_id in passed_on.headers['Authorization']
    assert recorder.aws_access_key_id not in passed_on.headers['Authorization']


async def test_the_credentials_of_the_caller_are_accepted_too(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    assert (await ask(http, recorder, key=key_of(aws)))[0] == 200


async def test_a_stranger_is_refused_and_nothing_passed_on(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    assert (await ask(http, recorder, key=AccessKey.make()))[0] == 403
    assert (await ask(http, recorder, key=AccessKey(aws.aws_access_key_id, 'guessed')))[0] == 403
    assert aws.requests == []
    assert not file.exists()


async def test_the_api_key_of_the_environment_is_borne(
    aws: LocalBedrock, http: aiohttp.ClientSession, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', aws.api_key)
    async with LocalBedrock.record(file, region_name='us-east-1', endpoint_url=aws.base_url) as recorder:
        assert (await ask(http, recorder))[0] == 200
        headers = {'Authorization': f'Bearer {aws.api_key}'}
        async with http.post(f'{recorder.base_url}/model/{NOVA}/converse', json=HELLO, headers=headers) as response:
            assert response.status == 200
    assert [request.auth_scheme for request in aws.requests] == ['bearer', 'bearer']
    assert aws.api_key not in file.read_text()


async def test_no_secret_is_recorded_wherever_it_stands(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    secrets = list(vars(key_of(aws)).values())
    said = json.dumps({'message': ' '.join(secrets)}).encode()
    headers = {
        'Set-Cookie': 'session=stolen',
        'Cookie': 'stolen',
        'X-Amz-Security-Token': 'stolen',
        'X-Said': secrets[1],
    }
    aws.reply(RawReply(said, status=400, headers=headers))
    body = {**HELLO, 'system': [{'text': f'My key is {secrets[1]}.'}]}
    assert await ask(http, recorder, body=body, Cookie='session=stolen') == (400, said)
    assert 'cookie' not in aws.requests[0].headers
    text = file.read_text()
    assert exchanges(file)[0]['request']['json']['system'] == [{'text': 'My key is ***.'}]
    assert exchanges(file)[0]['response']['json'] == {'message': '*** *** ***'}
    for secret in ('stolen', 'Signature', 'AWS4', *secrets):
        assert secret not in text


@pytest.mark.parametrize('pieces', [1, 7], ids=['whole', 'in pieces'])
@pytest.mark.parametrize('operation', ['converse-stream', 'invoke-with-response-stream'])
async def test_no_secret_is_recorded_in_a_stream_whole_or_in_pieces(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path, operation: str, pieces: int
) -> None:
    secret = aws.aws_secret_access_key
    size = -(-len(secret) // pieces)
    deltas = ['My key: ', *(secret[at : at + size] for at in range(0, len(secret), size)), ', and that is it.']
    aws.reply(Reply(''.join(deltas), chunks=deltas))
    nova = {'messages': [user('Hello')]}
    status, passed_on = await ask(http, recorder, operation, nova)
    assert status == 200
    (exchange,) = exchanges(file)
    recorded = base64.b64decode(exchange['response']['base64'])
    assert said_in(passed_on) == ''.join(deltas)
    assert said_in(recorded) == f'My key: {"*" * len(secret)}, and that is it.'
    assert secret not in file.read_text()
    # It can be replayed: the frames are whole, and so are their checksums.
    async with LocalBedrock.replay(file) as replayed:
        assert (await ask(http, replayed, operation, nova))[1] == recorded


def said_in(stream: bytes) -> str:
    said = ''
    for event in events_of(stream):
        payload = json.loads(event.payload)
        if 'bytes' in payload:
            payload = json.loads(base64.b64decode(payload['bytes']))
            payload = payload.get('contentBlockDelta', {})
        said += payload.get('delta', {}).get('text', '')
    return said


def events_of(stream: bytes) -> EventStreamBuffer:
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    return buffer


async def test_a_body_that_is_neither_json_nor_a_stream_has_no_secret_either(
    aws: LocalBedrock, recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path
) -> None:
    secret = aws.aws_secret_access_key.encode()
    aws.reply(RawReply(b'\xff' + secret + b'\xff', headers={'Content-Type': 'application/octet-stream'}))
    await ask(http, recorder)
    (exchange,) = exchanges(file)
    assert base64.b64decode(exchange['response']['base64']) == b'\xff' + b'*' * len(secret) + b'\xff'


async def test_account_ids_are_masked_on_demand(aws: LocalBedrock, http: aiohttp.ClientSession, file: Path) -> None:
    account = '998877665544'
    model = f'arn%3Aaws%3Abedrock%3Aus-east-1%3A{account}%3Ainference-profile%2Fus.amazon.nova-micro-v1%3A0'
    hello = {**HELLO, 'system': [{'text': f'The bucket is logs-{account}.'}]}
    async with LocalBedrock.record(
        file, region_name='us-east-1', endpoint_url=aws.base_url, session=session_of(aws), mask_account_ids=True
    ) as recorder:
        assert (await ask(http, recorder, body=hello, model=model))[0] == 200
        streamed = await ask(http, recorder, 'converse-stream', hello, model=model)
    text = file.read_text()
    assert account not in text
    assert 'arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile' in text
    async with LocalBedrock.replay(file) as replayed:
        other = model.replace(account, '111122223333')
        masked = json.loads(json.dumps(hello).replace(account, '123456789012'))
        assert (await ask(http, replayed, body=masked, model=other))[0] == 200
        assert await ask(http, replayed, 'converse-stream', masked, model=other) == streamed


async def test_account_ids_stay_unless_masked(recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path) -> None:
    model = 'arn%3Aaws%3Abedrock%3Aus-east-1%3A998877665544%3Ainference-profile%2Fus.amazon.nova-micro-v1%3A0'
    await ask(http, recorder, model=model)
    assert '998877665544' in file.read_text()


@pytest.mark.parametrize('there', [False, True], ids=['new', 'overwritten'])
async def test_only_the_owner_may_read_a_file(
    recorder: LocalBedrock, http: aiohttp.ClientSession, file: Path, there: bool
) -> None:
    if there:
        file.write_text('x' * 100_000)
        file.chmod(0o644)
    await ask(http, recorder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(exchanges(file)) == 1


async def test_without_credentials_or_folder_it_does_not_start(aws: LocalBedrock, tmp_path: Path) -> None:
    with pytest.raises(NoCredentialsError):
        async with LocalBedrock.record(tmp_path / 'a.json', region_name='us-east-1'):
            pass
    with pytest.raises(FileNotFoundError, match='no such folder'):
        async with LocalBedrock.record(tmp_path / 'b' / 'a.json', region_name='us-east-1', session=session_of(aws)):
            pass


def test_the_region_is_that_of_the_session(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoRegionError):
        LocalBedrock.record(file)
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'eu-west-3')
    assert LocalBedrock.record(file).region_name == 'eu-west-3'
