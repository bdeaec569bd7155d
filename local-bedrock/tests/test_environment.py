"""The clients of this process find an endpoint by its environment, for as long as they shall."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.loaders import Loader
from support.requests import NOVA, user

from local_bedrock import LocalBedrock


@pytest.fixture(autouse=True)
def one_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all clients share what is read from the disk, which is megabytes."""
    loader = Loader()
    monkeypatch.setattr('botocore.session.create_loader', lambda *_: loader)


@pytest.fixture
def misleading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Set what leads clients elsewhere, and check that it is there again in the end."""
    config = tmp_path / 'config'
    config.write_text('[profile elsewhere]\nregion = eu-west-1\n')
    misleading = {
        'AWS_ACCESS_KEY_ID': 'AKIDREAL',
        'AWS_BEARER_TOKEN_BEDROCK': 'real',
        'AWS_CONFIG_FILE': str(config),
        'AWS_DEFAULT_PROFILE': 'missing',
        'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS': 'true',
        'AWS_PROFILE': 'elsewhere',
        'AWS_REGION': 'eu-west-1',
        'AWS_SESSION_TOKEN': 'real',
        'AWS_USE_FIPS_ENDPOINT': 'true',
        'HTTP_PROXY': 'http://127.0.0.1:1',
        'NO_PROXY': 'localhost',
    }
    for name, value in misleading.items():
        monkeypatch.setenv(name, value)
    yield misleading
    assert {name: os.environ.get(name) for name in misleading} == misleading
    assert 'AWS_ENDPOINT_URL_BEDROCK_RUNTIME' not in os.environ


def ask() -> dict[str, Any]:
    client: Any = boto3.client('bedrock-runtime')
    with closing(client):
        return client.converse(modelId=NOVA, messages=[user('Hi')])


def test_a_client_finds_the_endpoint_whatever_leads_elsewhere(misleading: dict[str, str]) -> None:
    with LocalBedrock() as bedrock:
        bedrock.reply('here')
        with bedrock.redirect_clients():
            assert ask()['output']['message']['content'] == [{'text': 'here'}]
            assert os.environ['AWS_REGION'] == bedrock.region_name
            assert os.environ['no_proxy'] == '127.0.0.1'
            assert os.environ['NO_PROXY'] == 'localhost,127.0.0.1'
        assert bedrock.requests[0].auth_scheme == 'sigv4'


def test_temporary_credentials_bring_their_session_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalBedrock() as bedrock:
        bedrock.rotate_credentials(temporary=True)
        with bedrock.redirect_clients():
            assert ask()['stopReason'] == 'end_turn'
    assert 'AWS_SESSION_TOKEN' not in os.environ


def test_without_proxies_nothing_is_said_of_them() -> None:
    with LocalBedrock() as bedrock, bedrock.redirect_clients():
        assert 'no_proxy' not in os.environ


def test_what_boto3_knows_of_credentials_is_forgotten_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    real = boto3.Session(aws_access_key_id='AKIDREAL', aws_secret_access_key='real', region_name='eu-west-1')
    monkeypatch.setattr('boto3.DEFAULT_SESSION', real)
    with LocalBedrock() as bedrock:
        with bedrock.redirect_clients():
            assert ask()['stopReason'] == 'end_turn'
        assert boto3.DEFAULT_SESSION is real
        with pytest.raises(ZeroDivisionError), bedrock.redirect_clients():
            1 / 0  # noqa: B018
        assert boto3.DEFAULT_SESSION is real


def test_clients_of_all_three_services_find_it() -> None:
    with LocalBedrock() as bedrock, bedrock.redirect_clients():
        s3: Any = boto3.client('s3')
        control_plane: Any = boto3.client('bedrock')
        with closing(s3), closing(control_plane):
            s3.put_object(Bucket='files', Key='a', Body=b'a')
            assert control_plane.list_model_invocation_jobs()['invocationJobSummaries'] == []
        assert ask()['stopReason'] == 'end_turn'
        assert [request.service for request in bedrock.requests] == ['s3', 'bedrock', 'bedrock-runtime']
    assert 'AWS_ENDPOINT_URL_S3' not in os.environ


def test_what_replays_leads_clients_of_bedrock_runtime_alone(tmp_path: Path) -> None:
    file = tmp_path / 'exchanges.json'
    file.write_text('[]')
    with LocalBedrock.replay(file) as bedrock:
        named = {name for name, value in bedrock.environment.items() if value == bedrock.base_url}
    assert named == {'AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'AWS_BEDROCK_RUNTIME_ENDPOINT'}
