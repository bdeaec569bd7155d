"""The doctor says what is wrong in plain words, and by a code and an exit status for scripts; never a secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from refusing import Refusing, serving

from local_bedrock import (
    ACCESS_DENIED,
    SERVICE_UNAVAILABLE,
    THROTTLING,
    DropConnection,
    ErrorReply,
    LocalBedrock,
    NoResponse,
    Truncate,
    exception_event,
)
from pydantic_ai_aiobedrock.__main__ import main
from pydantic_ai_aiobedrock._doctor.diagnosis import clock_skew, is_of_another_geography
from pydantic_ai_aiobedrock._upstream import seam

Doctor = Callable[..., tuple[int, dict[str, Any]]]


def codes(report: dict[str, Any]) -> list[str]:
    return [problem['code'] for problem in report['problems']]


def test_all_is_well_where_a_call_and_a_stream_come_through(in_environment: LocalBedrock, doctor: Doctor) -> None:
    status, report = doctor()
    assert (status, report['healthy'], report['problems']) == (0, True, [])
    assert report['resolved']['region'] == in_environment.region_name
    assert report['resolved']['endpoint'] == in_environment.base_url
    assert report['resolved']['credentials'] == {
        'source': 'the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
        'expires': None,
    }
    assert report['resolved']['model'] == 'us.amazon.nova-lite-v1:0'
    assert report['resolved']['caller'].startswith('arn:aws:iam::')
    assert abs(report['resolved']['clock_skew_seconds']) < 60
    assert report['resolved']['reserved_tokens'] == 20
    assert report['resolved']['proxy'] is None
    assert Path(report['resolved']['ca_bundle']).is_file()
    assert {'package', 'pydantic-ai-slim', 'aioboto3', 'aiobotocore', 'botocore'} <= report['versions'].keys()
    assert list(report['tried']) == ['call', 'stream']
    assert report['tried']['call']['seconds'] > 0
    assert report['tried']['stream']['events'] > 2
    assert not [key for part in ('versions', 'resolved', 'tried') for key in report[part] if ' ' in key]
    asked = [request.operation for request in in_environment.requests]
    assert asked == ['Converse', 'ConverseStream', 'GetCallerIdentity']


def test_people_get_text(in_environment: LocalBedrock, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['doctor', '--model', 'us.amazon.nova-pro-v1:0']) == 0
    shown = capsys.readouterr().out
    assert re.search(r'^  region +us-east-1$', shown, flags=re.MULTILINE)
    assert shown.endswith('All is well.\n')
    assert {request.model_id for request in in_environment.requests if request.model_id} == {'us.amazon.nova-pro-v1:0'}


def test_the_region_is_the_one_that_is_asked_for(in_environment: LocalBedrock, doctor: Doctor) -> None:
    status, report = doctor('--region', 'eu-west-1')
    assert (status, codes(report)) == (1, ['wrong_region_for_endpoint'])
    assert 'eu-west-1' in report['problems'][0]['meaning']


def test_a_missing_region_is_said(doctor: Doctor) -> None:
    assert codes(doctor()[1]) == ['no_region']


def test_missing_credentials_are_said(doctor: Doctor) -> None:
    status, report = doctor('--region', 'us-east-1')
    assert (status, codes(report)) == (1, ['no_credentials'])
    assert report['resolved']['credentials'] is None
    assert 'AWS_ACCESS_KEY_ID' in report['problems'][0]['meaning']


def test_half_an_access_key_is_said(monkeypatch: pytest.MonkeyPatch, doctor: Doctor) -> None:
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', 'AKIAEXAMPLE')
    assert codes(doctor('--region', 'us-east-1')[1]) == ['credentials_unusable']


def test_a_line_break_in_a_key_is_said(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', 'AKIAEXAMPLE\n')
    report = doctor()[1]
    assert codes(report) == ['credentials_unusable']
    assert '`aws_access_key_id` has a line break' in report['problems'][0]['detail']
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', 'my-key\n')
    report = doctor()[1]
    assert codes(report) == ['configuration']
    assert '`AWS_BEARER_TOKEN_BEDROCK` has a line break' in report['problems'][0]['meaning']
    assert in_environment.requests == []


def test_a_profile_that_does_not_exist_is_said(doctor: Doctor) -> None:
    status, report = doctor('--profile', 'nobody')
    assert (status, codes(report)) == (1, ['no_profile'])
    assert 'nobody' in report['problems'][0]['meaning']


def test_a_profile_that_signs_in_with_aws_login_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, doctor: Doctor
) -> None:
    (tmp_path / 'config').write_text('[profile here]\nlogin_session = arn:aws:iam::123456789012:user/me\n')
    monkeypatch.setenv('AWS_CONFIG_FILE', str(tmp_path / 'config'))
    status, report = doctor('--profile', 'here', '--region', 'us-east-1')
    assert (status, codes(report)) == (1, ['configuration'])
    assert 'login' in report['problems'][0]['detail']


KEYS = '[profile keys]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = a-secret\n'
SOURCES_THAT_FAIL = {
    'credential_process = /no/such/program': "No such file or directory: '/no/such/program'",
    'credential_process = echo hello': 'custom-process: JSONDecodeError: Expecting value',
    'role_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = /no/such/token': "'/no/such/token'",
    'role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = keys': 'calling the AssumeRole operation',
}


@pytest.mark.parametrize('source', SOURCES_THAT_FAIL)
def test_a_source_of_credentials_that_fails_is_said(
    source: str, in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, doctor: Doctor
) -> None:
    (tmp_path / 'config').write_text(f'{KEYS}[profile here]\n{source}\n')
    monkeypatch.setenv('AWS_CONFIG_FILE', str(tmp_path / 'config'))
    with serving(Refusing) as url:
        monkeypatch.setenv('AWS_ENDPOINT_URL_STS', url)
        status, report = doctor('--profile', 'here')
    assert (status, codes(report)) == (1, ['credentials_unusable'])
    assert SOURCES_THAT_FAIL[source] in report['problems'][0]['detail']


def test_a_code_of_mfa_that_nobody_can_enter_is_said_without_a_traceback(
    in_environment: LocalBedrock, tmp_path: Path
) -> None:
    (tmp_path / 'config').write_text(
        f'{KEYS}[profile here]\nregion = us-east-1\nsource_profile = keys\n'
        'role_arn = arn:aws:iam::123456789012:role/r\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n'
    )
    done = subprocess.run(
        [sys.executable, '-m', 'pydantic_ai_aiobedrock', 'doctor', '--json', '--profile', 'here'],
        env={**os.environ, 'AWS_CONFIG_FILE': str(tmp_path / 'config')},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # without the terminal of the tests
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    report = json.loads(done.stdout)
    assert (done.returncode, codes(report)) == (1, ['credentials_unusable'])
    assert 'there is no terminal' in report['problems'][0]['detail']
    assert 'Traceback' not in done.stderr


def test_a_service_that_issues_credentials_and_does_not_answer_is_not_taken_for_bedrock(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, doctor: Doctor
) -> None:
    asked: list[str] = []

    class Silent(Refusing):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.close_connection = True

    (tmp_path / 'config').write_text(
        f'{KEYS}[profile here]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = keys\n'
    )
    monkeypatch.setenv('AWS_CONFIG_FILE', str(tmp_path / 'config'))
    with serving(Silent) as url:
        monkeypatch.setenv('AWS_ENDPOINT_URL_STS', url)
        _, report = doctor('--profile', 'here')
    assert codes(report) == ['credentials_unusable']
    assert url in report['problems'][0]['detail']
    # With botocore's retries, a person would wait for minutes for a service that cannot be reached.
    assert asked == ['/']


def test_a_missing_sign_on_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, doctor: Doctor) -> None:
    (tmp_path / 'config').write_text(
        '[profile here]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\n'
        '[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.example/start\n'
    )
    monkeypatch.setenv('AWS_CONFIG_FILE', str(tmp_path / 'config'))
    _, report = doctor('--profile', 'here', '--region', 'us-east-1')
    assert codes(report) == ['credentials_unusable']
    assert 'aws sso login' in report['problems'][0]['meaning']


def test_an_empty_region_is_said(in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor) -> None:
    monkeypatch.setenv('AWS_DEFAULT_REGION', '')
    _, report = doctor()
    assert codes(report) == ['no_region']
    assert '`AWS_DEFAULT_REGION` is set, but empty' in report['problems'][0]['meaning']


def test_a_region_that_does_not_exist_is_said_although_an_endpoint_answers(
    in_environment: LocalBedrock, doctor: Doctor
) -> None:
    assert codes(doctor('--region', 'us-esat-1')[1]) == ['unknown_region']


def test_an_endpoint_that_is_not_of_bedrock_runtime_is_said(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', f'{in_environment.base_url}/v1')
    _, report = doctor()
    assert codes(report) == ['wrong_endpoint']
    assert 'base_url' in report['problems'][0]['meaning']


def test_a_model_with_the_prefix_of_a_provider_is_said(in_environment: LocalBedrock, doctor: Doctor) -> None:
    _, report = doctor('--model', 'bedrock:us.amazon.nova-lite-v1:0')
    assert codes(report) == ['configuration']
    assert 'without the prefix' in report['problems'][0]['meaning']
    assert in_environment.requests == []


def test_the_expiry_of_credentials_is_shown(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, doctor: Doctor
) -> None:
    expiry = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    given = {
        'Version': 1,
        'AccessKeyId': in_environment.aws_access_key_id,
        'SecretAccessKey': in_environment.aws_secret_access_key,
        'Expiration': expiry.isoformat(),
    }
    (tmp_path / 'given.json').write_text(json.dumps(given))
    (tmp_path / 'config').write_text(f'[profile here]\ncredential_process = cat {tmp_path / "given.json"}\n')
    monkeypatch.setenv('AWS_CONFIG_FILE', str(tmp_path / 'config'))
    status, report = doctor('--profile', 'here')
    assert status == 0, report
    assert report['resolved']['credentials'] == {
        'source': 'a credential_process',
        'expires': f'{expiry:%Y-%m-%dT%H:%M:%SZ}',
    }


def test_an_api_key_is_named_by_its_variable(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', in_environment.api_key)
    status, report = doctor()
    assert status == 0, report
    assert report['resolved']['credentials']['source'] == 'AWS_BEARER_TOKEN_BEDROCK'
    assert 'caller' not in report['resolved']
    assert {request.auth_scheme for request in in_environment.requests} == {'bearer'}


def test_an_api_key_that_is_refused_is_said(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', 'bedrock-api-key-of-nobody')
    assert codes(doctor()[1]) == ['api_key_refused']


@pytest.mark.parametrize(
    ('offset', 'expected'),
    [(timedelta(minutes=10), 'clock_skew'), (timedelta(minutes=-10), 'clock_skew')],
    ids=['behind', 'ahead'],
)
def test_a_clock_that_is_wrong_is_said(
    offset: timedelta, expected: str, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    with LocalBedrock(clock=lambda: datetime.now(UTC) + offset) as bedrock:
        for name, value in bedrock.environment.items():
            monkeypatch.setenv(name, value)
        status, report = doctor()
    assert (status, codes(report)) == (1, [expected])


def test_expired_credentials_are_said(in_environment: LocalBedrock, doctor: Doctor) -> None:
    in_environment.expire(in_environment.aws_access_key_id)
    assert codes(doctor()[1]) == ['credentials_expired']


def test_an_unknown_access_key_is_said(in_environment: LocalBedrock, doctor: Doctor) -> None:
    in_environment.revoke(in_environment.aws_access_key_id)
    assert codes(doctor()[1]) == ['credentials_unknown']


def test_a_secret_that_does_not_match_is_said(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', 'not-the-secret')
    assert codes(doctor()[1]) == ['wrong_secret']


NOT_AUTHORIZED = ErrorReply(
    403, 'AccessDeniedException', 'User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:InvokeModel'
)
ON_DEMAND = ErrorReply(
    400,
    'ValidationException',
    'Invocation of model ID amazon.nova-pro-v1:0 with on-demand throughput isn\u2019t supported. Retry your request '
    'with the ID or ARN of an inference profile that contains this model.',
)


@pytest.mark.parametrize(
    ('fault', 'expected'),
    [
        (ACCESS_DENIED, 'no_model_access'),
        (NOT_AUTHORIZED, 'no_permission'),
        (ON_DEMAND, 'needs_inference_profile'),
        (ErrorReply(400, 'ValidationException', 'The prompt is too long.'), 'invalid_request'),
        (ErrorReply(404, 'ResourceNotFoundException', 'Model not found.'), 'unknown_model'),
        (ErrorReply(418, 'TeapotException', 'Short and stout.'), 'refused'),
        (THROTTLING, 'throttled'),
        (SERVICE_UNAVAILABLE, 'service_unavailable'),
        (NoResponse('close'), 'connection_broken'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_what_keeps_a_call_from_coming_through_is_said(
    fault: Any, expected: str, in_environment: LocalBedrock, doctor: Doctor
) -> None:
    in_environment.fault(fault)
    status, report = doctor()
    assert (status, codes(report)) == (1, [expected])
    assert report['tried'] == {'call': {'ok': False}}
    # At once, and as it is: not after botocore has tried again.
    assert len([request for request in in_environment.requests if request.operation == 'Converse']) == 1


@pytest.mark.parametrize(
    ('fault', 'expected'),
    [
        (Truncate(100, 'reset'), 'connection_broken'),
        (Truncate(0), 'connection_broken'),
        (exception_event('modelStreamErrorException'), 'stream_refused'),
    ],
    ids=['reset', 'ended early', 'exception event'],
)
def test_what_breaks_only_streams_is_said(
    fault: Any, expected: str, in_environment: LocalBedrock, doctor: Doctor
) -> None:
    in_environment.fault(fault, operation='ConverseStream')
    status, report = doctor()
    assert (status, codes(report)) == (1, [expected])
    assert report['tried']['call']['ok'] is True
    assert report['tried']['stream'] == {'ok': False}


def test_a_connection_that_is_dropped_after_the_answer_is_no_problem(
    in_environment: LocalBedrock, doctor: Doctor
) -> None:
    in_environment.fault(DropConnection(), operation='ConverseStream')
    assert doctor()[0] == 0


@pytest.mark.parametrize(
    ('model', 'expected'),
    [('eu.amazon.nova-lite-v1:0', 'wrong_region_for_profile'), ('us.amazon.nova-lit-v1:0', 'unknown_model')],
)
def test_a_model_that_is_not_there_is_told_from_one_of_another_geography(
    model: str, expected: str, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    with LocalBedrock(models=['us.amazon.nova-lite-v1:0']) as bedrock:
        for name, value in bedrock.environment.items():
            monkeypatch.setenv(name, value)
        assert codes(doctor('--model', model)[1]) == [expected]


def test_an_endpoint_that_can_not_be_reached_is_said(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'http://127.0.0.1:1')
    status, report = doctor()
    assert (status, codes(report)) == (1, ['unreachable'])
    assert 'http://127.0.0.1:1' in report['problems'][0]['meaning']


def test_a_region_that_does_not_exist_is_said(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'http://127.0.0.1:1')
    _, report = doctor('--region', 'us-esat-1')
    assert codes(report) == ['unknown_region']
    assert 'us-esat-1' in report['problems'][0]['meaning']


def test_what_is_no_model_id_is_said(in_environment: LocalBedrock, doctor: Doctor) -> None:
    _, report = doctor('--model', '')
    assert codes(report) == ['invalid_request']


def test_a_missing_region_is_given_by_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['doctor']) == 1
    shown = capsys.readouterr().out
    assert '--region' in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize(('status', 'said'), [(403, 'refuses'), (407, 'asks for a user and a password')])
def test_a_proxy_that_refuses_a_tunnel_is_said_with_its_reason(
    status: int, said: str, in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    class Proxy(Refusing):
        def do_CONNECT(self) -> None:
            self.send_response(status)
            self.send_header('content-length', '0')
            self.end_headers()

    monkeypatch.setenv('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'https://bedrock.example')
    with serving(Proxy) as url:
        monkeypatch.setenv('HTTPS_PROXY', url)
        _, report = doctor()
    assert codes(report) == ['blocked_by_proxy']
    assert said in report['problems'][0]['meaning']


def test_an_untested_pydantic_ai_is_said_and_tried_nonetheless(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, doctor: Doctor
) -> None:
    monkeypatch.setattr(seam, 'SUPPORTED', '>=1.0,<2')
    status, report = doctor()
    assert (status, codes(report)) == (1, ['untested_pydantic_ai'])
    assert list(report['tried']) == ['call', 'stream']


def test_no_secret_is_shown(
    in_environment: LocalBedrock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quoted = ErrorReply(
        403,
        'InvalidSignatureException',
        'The request signature we calculated does not match.\n\nThe Canonical String for this request should have been'
        "\n'POST\nx-amz-security-token:the-session-token'",
    )
    monkeypatch.setenv('AWS_SESSION_TOKEN', 'the-session-token')
    in_environment.revoke(in_environment.aws_access_key_id)
    in_environment.accept(in_environment.aws_access_key_id, in_environment.aws_secret_access_key, 'the-session-token')
    for fault in (quoted, ACCESS_DENIED):
        in_environment.fault(fault, times=1)
        assert main(['doctor']) == 1
    assert main(['doctor']) == 0
    shown = capsys.readouterr()
    for secret in (in_environment.aws_access_key_id, in_environment.aws_secret_access_key, 'the-session-token'):
        assert secret not in shown.out + shown.err


@pytest.mark.parametrize('options', [['--version'], ['doctor', '--version']], ids=' '.join)
def test_the_version_is_shown(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(options)
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f'pydantic-ai-aiobedrock {version("pydantic-ai-aiobedrock")}\n'


def test_an_unknown_caller_is_no_problem(in_environment: LocalBedrock, doctor: Doctor) -> None:
    in_environment.fault(ACCESS_DENIED, operation='GetCallerIdentity')
    status, report = doctor()
    assert (status, report['resolved']['caller']) == (0, 'unknown (ClientError)')


def test_a_wrong_option_ends_with_status_2() -> None:
    with pytest.raises(SystemExit) as exit_:
        main(['doctor', '--nonsense'])
    assert exit_.value.code == 2


@pytest.mark.parametrize(
    ('model', 'region', 'expected'),
    [
        ('us.amazon.nova-lite-v1:0', 'us-west-2', False),
        ('us.amazon.nova-lite-v1:0', 'eu-west-1', True),
        ('apac.amazon.nova-lite-v1:0', 'ap-south-1', False),
        ('global.anthropic.claude-sonnet-4-5-20250929-v1:0', 'sa-east-1', False),
        ('amazon.nova-lite-v1:0', 'eu-west-1', False),
    ],
)
def test_an_inference_profile_belongs_to_a_geography(model: str, region: str, expected: bool) -> None:
    assert is_of_another_geography(model, region) is expected


def test_a_server_that_does_not_say_its_time_says_nothing_of_the_clock() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert clock_skew({'date': 'Thu, 01 Jan 2026 00:10:00 GMT'}, now) == -600
    assert clock_skew({}, now) is None
    assert clock_skew({'date': 'yesterday'}, now) is None
    assert clock_skew({'date': 'Fri, 31 Dec 99999999999 23:59:59 GMT'}, now) is None
