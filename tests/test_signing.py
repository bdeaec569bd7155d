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

from pydantic_ai_aiobedrock.signing import RememberingSigV4Auth

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
@given(REQUESTS, CREDENTIALS, st.sampled_from(['us-east-1', 'eu-west-3']))
def test_a_request_is_signed_as_botocore_signs_it(request: dict[str, Any], credentials: Any, region: str) -> None:
    signed: list[dict[str, str]] = []
    for signer in (SigV4Auth, RememberingSigV4Auth):
        prepared = AWSRequest(method='POST', url=request['url'], headers=dict(request['headers']), data=request['data'])
        prepared.context.update(request['context'])
        signer(credentials, 'bedrock', region).add_auth(prepared)
        signed.append(dict(prepared.headers.items()))
    assert signed[0] == signed[1]
    assert 'Signature=' in signed[1]['Authorization']
