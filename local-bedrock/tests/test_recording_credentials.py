"""Who may ask a recorder, with which credentials it asks AWS, and that none of them are recorded."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest
from botocore.exceptions import NoCredentialsError, NoRegionError
from support.aws import HELLO, ask, exchanges, key_of, session_of
from support.requests import NOVA

from local_bedrock import AccessKey, LocalBedrock, RawReply


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
