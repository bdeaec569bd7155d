"""What S3 refuses, in S3's words and names, and not in Bedrock's."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session
from support.requests import MakeClient

from local_bedrock import ErrorReply, LocalBedrock


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


def refusal(client: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as error:
        client.get_object(Bucket='files', Key='a')
    response = error.value.response
    return response['ResponseMetadata']['HTTPStatusCode'], response['Error']['Code'], response['Error']['Message']


def test_a_wrong_secret_does_not_match(make_client: MakeClient) -> None:
    status, code, message = refusal(make_client('s3', aws_secret_access_key='wrong'))
    assert (status, code) == (403, 'SignatureDoesNotMatch')
    assert message.startswith('The request signature we calculated does not match')


def test_an_unknown_key_is_invalid(make_client: MakeClient) -> None:
    status, code, _ = refusal(make_client('s3', aws_access_key_id='AKIDUNKNOWN'))
    assert (status, code) == (403, 'InvalidAccessKeyId')


def test_a_key_that_has_expired_is_an_expired_token(make_client: MakeClient, served: LocalBedrock) -> None:
    served.rotate_credentials(temporary=True)
    client = make_client('s3')
    served.objects.put('s3://files/a', 'a')
    assert client.get_object(Bucket='files', Key='a')['Body'].read() == b'a'
    served.expire(served.aws_access_key_id)
    assert refusal(client) == (400, 'ExpiredToken', 'The provided token has expired.')


def test_without_a_signature_access_is_denied(make_client: MakeClient) -> None:
    client = make_client('s3', config=Config(signature_version=UNSIGNED), sign=False)
    assert refusal(client) == (403, 'AccessDenied', 'Access Denied')


def test_a_clock_that_is_wrong_is_too_skewed(make_client: MakeClient, tls: ssl.SSLContext | None) -> None:
    with LocalBedrock(clock=lambda: datetime.now(UTC) + timedelta(hours=1), tls=tls) as bedrock:
        status, code, _ = refusal(make_client('s3', bedrock=bedrock))
    assert (status, code) == (403, 'RequestTimeTooSkewed')


def test_another_region_is_a_malformed_header(served: LocalBedrock) -> None:
    session = Session()
    session.set_credentials(served.aws_access_key_id, served.aws_secret_access_key)
    with closing(session.create_client('s3', endpoint_url=served.base_url, region_name='eu-west-1')) as client:
        status, code, _ = refusal(client)
    assert (status, code) == (400, 'AuthorizationHeaderMalformed')


def test_what_was_changed_after_signing_is_refused(
    make_client: MakeClient, served: LocalBedrock, tls: ssl.SSLContext | None
) -> None:
    client = make_client('s3')

    def change(request: Any, **_: Any) -> None:
        request.body = b'changed'

    client.meta.events.register('before-send.s3.PutObject', change)
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket='files', Key='a', Body=b'written')
    # Over TLS boto3 signs no content, but sends it in chunks, which this is not.
    code = 'XAmzContentSHA256Mismatch' if tls is None else 'IncompleteBody'
    assert error.value.response['Error']['Code'] == code
    assert served.objects.list() == []


@pytest.mark.parametrize('change', [lambda url: url.replace('/a', '/b'), lambda url: f'{url}?versionId=1'])
def test_what_was_asked_for_after_signing_is_refused(make_client: MakeClient, change: Callable[[str], str]) -> None:
    client = make_client('s3')
    client.meta.events.register('before-send', lambda request, **_: setattr(request, 'url', change(request.url)))
    assert refusal(client)[1] == 'SignatureDoesNotMatch'


def test_a_message_may_hold_anything(make_client: MakeClient, served: LocalBedrock) -> None:
    served.fault(ErrorReply(403, 'AccessDenied', '<you> & "me"'), operation='GetObject')
    assert refusal(make_client('s3')) == (403, 'AccessDenied', '<you> & "me"')
