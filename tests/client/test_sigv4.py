"""Signatures are botocore's own, to the letter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pydantic_ai_aiobedrock._client.sigv4 import SignedAlike

NAMES = st.sampled_from(['User-Agent', 'X-Trace', 'x-trace-2', 'Content-Type', 'amz-sdk-request', 'X-Amzn-Trace-Id'])
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
REQUESTS = st.builds(
    dict,
    headers=st.dictionaries(NAMES, VALUES),
    data=st.binary(max_size=50),
    url=st.sampled_from(
        [
            'https://bedrock-runtime.us-east-1.amazonaws.com/model/us.amazon.nova-lite-v1%3A0/converse',
            'http://127.0.0.1:8080/model/a%20b/converse-stream?x=1&a=2',
        ]
    ),
    context=st.sampled_from([{}, {'payload_signing_enabled': False}]),
)
CREDENTIALS = st.builds(Credentials, st.just('AKID'), st.text(min_size=1, max_size=20), st.none() | st.just('token'))


@pytest.fixture(autouse=True)
def frozen_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr('botocore.auth.get_current_datetime', lambda: now)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    REQUESTS.filter(lambda request: '?' not in request['url'] and not request['context']),
    CREDENTIALS,
    st.binary(max_size=50),
    st.text(min_size=1, max_size=20),
    st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1)),
)
def test_a_request_like_one_that_was_signed_is_signed_as_botocore_signs_it(
    request: dict[str, Any], credentials: Any, body: bytes, secret: str, later: datetime
) -> None:
    def sign(credentials: Any, data: bytes) -> Any:
        prepared = AWSRequest(method='POST', url=request['url'], headers=dict(request['headers']), data=data)
        SigV4Auth(credentials, 'bedrock', 'eu-west-3').add_auth(prepared)
        return prepared

    first = sign(credentials, request['data'])
    alike = SignedAlike(first.url, dict(first.headers.items()), request['data'])
    assert not alike.is_proven(Credentials('AKID', credentials.secret_key + 'x', credentials.token))
    assert alike.is_proven(credentials)
    others = Credentials('OTHER', secret, credentials.token and credentials.token + '%s{}')
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr('botocore.auth.get_current_datetime', lambda: later)
        expected = sign(others, body).headers
    assert alike.authorization(others, expected['X-Amz-Date'], body) == expected['Authorization']


@pytest.mark.parametrize(
    ('authorization', 'date'),
    [('Bearer x', '20260102T030405Z'), ('AWS4-ECDSA-P256-SHA256 Credential=a', ''), ('', '20260102T030405Z')],
)
def test_what_is_not_signature_version_4_is_no_example(authorization: str, date: str) -> None:
    headers = {'Authorization': authorization, 'X-Amz-Date': date}
    with pytest.raises(ValueError, match='Signature Version 4'):
        SignedAlike('https://127.0.0.1/model/x/converse', headers, b'')


def test_an_example_whose_date_is_not_signed_is_none() -> None:
    scope = 'AKID/20260102/us-east-1/bedrock/aws4_request'
    headers = {
        'Authorization': f'AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00',
        'X-Amz-Date': '20260102T030405Z',
    }
    with pytest.raises(ValueError, match='date'):
        SignedAlike('https://127.0.0.1/model/x/converse', headers, b'')
