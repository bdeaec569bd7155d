"""A request proves who sends it, or is refused as AWS refuses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict, CIMultiDictProxy

from local_bedrock._http.signatures import SignedRequest, authenticate
from local_bedrock.errors import RefusedError
from local_bedrock.keys import AccessKey, Keyring

KEY = AccessKey('AKIDTEST', 'secret-of-the-test')
TEMPORARY = AccessKey('ASIATEST', 'secret-of-another', 'session-token')
KEYRING = Keyring.of({KEY.access_key_id: KEY, TEMPORARY.access_key_id: TEMPORARY}, ['api-key'])
PATH = '/model/us.amazon.nova-micro-v1%3A0/converse'
MISMATCH = 'The request signature we calculated does not match the signature you provided.'


def signed(
    *,
    key: AccessKey = KEY,
    path: str = PATH,
    body: bytes = b'{}',
    region: str = 'us-east-1',
    service: str = 'bedrock',
    **headers: str,
) -> SignedRequest:
    """Return a request that botocore has signed."""
    request = AWSRequest(
        'POST',
        f'http://127.0.0.1:1234{path}',
        data=body,
        headers={'Host': '127.0.0.1:1234', **{name.replace('_', '-'): value for name, value in headers.items()}},
    )
    credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
    SigV4Auth(credentials, service, region).add_auth(request)
    found = {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
    return SignedRequest('POST', path, CIMultiDictProxy(CIMultiDict(found)), body)


def changed(request: SignedRequest, change: Callable[[CIMultiDict[str]], Any], **members: Any) -> SignedRequest:
    headers = CIMultiDict(request.headers)
    change(headers)
    parts = {'method': request.method, 'raw_path': request.raw_path, 'body': request.body, **members}
    return SignedRequest(headers=CIMultiDictProxy(headers), **parts)


# Requests are signed when this module is imported, which may be long before they are judged.
IMPORTED_AT = datetime.now(UTC)


def utc() -> datetime:
    return IMPORTED_AT


def refusal(request: SignedRequest, clock: Callable[[], datetime] = utc) -> tuple[str, str]:
    with pytest.raises(RefusedError) as caught:
        authenticate(request, KEYRING, 'us-east-1', clock)
    assert caught.value.reply.status == 403
    assert caught.value.reply.error_type.endswith(':http://internal.amazon.com/coral/com.amazon.coral.service/')
    return caught.value.reply.code, caught.value.reply.message


@pytest.mark.parametrize(
    'request_',
    [
        signed(),
        signed(key=TEMPORARY),
        signed(body='{"text": "žluťoučký"}'.encode()),
        signed(path='/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fa.b/converse'),
        signed(path=f'{PATH}?b=2&a=1&a=0&empty'),
        signed(Content_Type='application/json', X_Extra='  two   spaces  ', Amz_Sdk_Request='attempt=1'),
        signed(X_Amz_Content_SHA256='UNSIGNED-PAYLOAD'),
    ],
    ids=['plain', 'temporary', 'unicode', 'arn', 'query', 'headers', 'unsigned-payload'],
)
def test_what_botocore_signs_is_accepted(request_: SignedRequest) -> None:
    assert authenticate(request_, KEYRING, 'us-east-1', utc) == 'sigv4'


@pytest.mark.parametrize(
    'request_',
    [
        changed(signed(), lambda _: None, body=b'{ }'),
        changed(signed(), lambda _: None, raw_path=PATH.replace('converse', 'invoke')),
        changed(signed(), lambda _: None, raw_path=PATH.replace('%3A', ':')),
        changed(signed(), lambda _: None, method='PUT'),
        changed(signed(), lambda headers: headers.update(Host='127.0.0.1:4321')),
        changed(signed(X_Extra='a'), lambda headers: headers.update({'X-Extra': 'b'})),
        changed(signed(X_Extra='a'), lambda headers: headers.popall('X-Extra')),
        signed(key=AccessKey('AKIDTEST', 'another secret')),
    ],
    ids=['body', 'path', 'path-encoding', 'method', 'host', 'header', 'header-gone', 'secret'],
)
def test_what_was_changed_after_signing_is_refused(request_: SignedRequest) -> None:
    code, message = refusal(request_)
    assert code == 'InvalidSignatureException'
    assert message.startswith(MISMATCH)


@pytest.mark.parametrize(
    ('request_', 'code', 'message'),
    [
        (signed(region='eu-west-1'), 'InvalidSignatureException', 'Credential should be scoped to a valid region. '),
        (
            signed(service='s3'),
            'InvalidSignatureException',
            "Credential should be scoped to correct service: 'bedrock'. ",
        ),
        (
            signed(key=AccessKey('AKIDOTHER', 'x')),
            'UnrecognizedClientException',
            'The security token included in the request is invalid.',
        ),
        (
            signed(key=AccessKey('AKIDTEST', 'x', 'token')),
            'UnrecognizedClientException',
            'The security token included in the request is invalid.',
        ),
        (
            changed(signed(), lambda headers: headers.update({'X-Amz-Later': 'a'})),
            'InvalidSignatureException',
            "'x-amz-later' must be a 'SignedHeader' in the AWS Authorization header.",
        ),
        (
            changed(
                signed(),
                lambda headers: headers.update(
                    Authorization=headers['Authorization'].replace('SignedHeaders=host;', 'SignedHeaders=')
                ),
            ),
            'InvalidSignatureException',
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization header.",
        ),
        (
            changed(signed(X_Amz_Content_SHA256='0' * 64), lambda _: None),
            'InvalidSignatureException',
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ),
        (
            changed(signed(), lambda headers: headers.update(Authorization='AWS4-HMAC-SHA256 Credential')),
            'IncompleteSignatureException',
            "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header: "
            "'AWS4-HMAC-SHA256 Credential'.",
        ),
        (
            changed(signed(), lambda headers: headers.update(Authorization='AWS4-HMAC-SHA256 Signature=a')),
            'IncompleteSignatureException',
            "Authorization header requires 'Credential' parameter. Authorization header requires 'SignedHeaders' "
            'parameter. '
            'Authorization=AWS4-HMAC-SHA256 Signature=a',
        ),
        (
            changed(
                signed(),
                lambda headers: headers.update(
                    Authorization='AWS4-HMAC-SHA256 Credential=AKIDTEST/a, SignedHeaders=host, Signature=a'
                ),
            ),
            'IncompleteSignatureException',
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a'",
        ),
        (
            changed(signed(), lambda headers: headers.update({'X-Amz-Date': '20200101T000000Z'})),
            'InvalidSignatureException',
            'Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: ',
        ),
        (
            changed(signed(), lambda headers: headers.update({'X-Amz-Date': headers['X-Amz-Date'][:8]})),
            'IncompleteSignatureException',
            "Date must be in ISO-8601 'basic format'.",
        ),
        (
            changed(signed(), lambda headers: headers.popall('X-Amz-Date')),
            'IncompleteSignatureException',
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        ),
        (
            changed(signed(), lambda headers: headers.update(Authorization='Basic abc')),
            'MissingAuthenticationTokenException',
            'Missing Authentication Token',
        ),
        (
            changed(signed(), lambda headers: headers.popall('Authorization')),
            'AccessDeniedException',
            'Authorization header is missing',
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else '',
)
def test_it_is_refused_with_the_reason(request_: SignedRequest, code: str, message: str) -> None:
    said = refusal(request_)
    assert said[0] == code
    assert said[1].startswith(message)


def test_a_signature_lasts_five_minutes() -> None:
    request = signed()
    now = datetime.strptime(request.headers['X-Amz-Date'], '%Y%m%dT%H%M%SZ').replace(tzinfo=UTC)
    for minutes in (-4.9, 0, 4.9):
        assert authenticate(request, KEYRING, 'us-east-1', lambda at=now + timedelta(minutes=minutes): at) == 'sigv4'
    code, message = refusal(request, lambda: now + timedelta(minutes=6))
    assert code == 'InvalidSignatureException'
    assert message.startswith(f'Signature expired: {request.headers["X-Amz-Date"]} is now earlier than ')
    assert message.endswith(' - 5 min.)')
    code, message = refusal(request, lambda: now - timedelta(minutes=6))
    assert message.startswith(f'Signature not yet current: {request.headers["X-Amz-Date"]} is still later than ')
    assert message.endswith(' + 5 min.)')


def test_nothing_shows_a_secret() -> None:
    for shown in (repr(KEY), repr(TEMPORARY), repr(KEYRING)):
        for secret in (KEY.secret_access_key, TEMPORARY.secret_access_key, TEMPORARY.session_token, 'api-key'):
            assert str(secret) not in shown


async def test_bearer_errors_write_their_message_with_a_capital(post: Any) -> None:
    for headers, message in (
        ({'Authorization': 'Bearer wrong'}, 'Authentication failed: Please make sure your API Key is valid.'),
        ({'Authorization': 'bearer wrong'}, 'Authentication failed: Please make sure your API Key is valid.'),
    ):
        status, answered, body = await post(headers=headers)
        assert (status, json.loads(body)) == (403, {'Message': message})
        assert answered['x-amzn-errortype'].startswith('AccessDeniedException:')
