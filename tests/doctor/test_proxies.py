"""Diagnoses of proxies and certificates."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from botocore.exceptions import EndpointConnectionError
from refusing import Refusing, serving

from local_bedrock import (
    LocalBedrock,
)
from pydantic_ai_aiobedrock.__main__ import main
from pydantic_ai_aiobedrock._doctor.diagnosis import Circumstances, diagnose

Doctor = Callable[..., tuple[int, dict[str, Any]]]


def codes(report: dict[str, Any]) -> list[str]:
    return [problem['code'] for problem in report['problems']]


def test_what_can_not_be_reached_through_a_proxy_is_the_proxy() -> None:
    """As when its name leads nowhere: to the endpoint itself no connection is opened then."""
    under = Circumstances('us-east-1', 'a-model', 'https://bedrock.example', 'SSO', proxy='http://proxy.example:3128')
    problem = diagnose(EndpointConnectionError(endpoint_url='https://bedrock.example'), under)
    assert problem.code == 'blocked_by_proxy'
    assert 'Correct its address' in problem.meaning


def test_a_proxy_that_is_not_there_is_said_without_its_password(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'http://bedrock.example')
    monkeypatch.setenv('HTTP_PROXY', 'http://user:hunter2@127.0.0.1:1')
    _, report = doctor()
    assert codes(report) == ['blocked_by_proxy']
    assert report['resolved']['proxy'] == 'http://***@127.0.0.1:1'
    assert 'hunter2' not in json.dumps(report)


@pytest.mark.parametrize(
    'password', ['hunter2', 'hunt/er2', '8/hunter2', 'hunter2#x', 'x?hunter2', 'a@hunter2', 'hunter2ü']
)
@pytest.mark.parametrize('scheme', ['', 'http://', '//'])
def test_the_password_of_a_proxy_is_shown_nowhere(
    in_environment: LocalBedrock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scheme: str,
    password: str,
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'http://bedrock.example')
    monkeypatch.setenv('HTTP_PROXY', f'{scheme}user:{password}@127.0.0.1:1')
    for options in ([], ['--json']):
        assert main(['doctor', *options]) == 1
    shown = capsys.readouterr()
    assert f'{scheme}***@127.0.0.1:1' in shown.out
    assert 'hunt' not in shown.out + shown.err
    assert 'Traceback' not in shown.out + shown.err


def test_a_proxy_that_answers_itself_is_said(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'http://bedrock.example')
    with serving(Refusing) as url:
        monkeypatch.setenv('HTTP_PROXY', url)
        _, report = doctor()
    assert codes(report) == ['blocked_by_proxy']


@pytest.mark.parametrize('proxy', ['socks5://127.0.0.1:9', 'http://user:hunter2@127.0.0.1:99999'])
def test_a_proxy_whose_url_is_not_one_is_said_with_the_whole_reason(
    proxy: str, in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'http://bedrock.example')
    monkeypatch.setenv('HTTP_PROXY', proxy)
    _, report = doctor()
    assert codes(report) == ['configuration']
    detail = report['problems'][0]['detail']
    assert 'is not one of an HTTP proxy. Set `HTTPS_PROXY`' in detail
    assert 'hunter2' not in detail


def test_a_port_that_speaks_plain_http_is_not_taken_for_a_certificate(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    address = in_environment.base_url.replace('http:', 'https:')
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', address)
    _, report = doctor()
    assert codes(report) == ['tls']
    assert 'begins with `http://`' in report['problems'][0]['meaning']
    assert 'AWS_CA_BUNDLE' not in report['problems'][0]['meaning']


def test_a_certificate_that_is_not_trusted_is_said(monkeypatch: pytest.MonkeyPatch, doctor: Doctor) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert('127.0.0.1').configure_cert(context)
    with LocalBedrock(tls=context) as bedrock:
        for name, value in bedrock.environment.items():
            monkeypatch.setenv(name, value)
        assert codes(doctor()[1]) == ['tls']
