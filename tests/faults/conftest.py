"""An endpoint, a provider that is quick to lose patience, and an eye on what is said of secrets."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from botocore.retries.standard import ExponentialBackoff

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockProvider, SessionPool

from .calls import PATIENCE, Caller
from .outcomes import secrets_in


@pytest.fixture(params=['SigV4', 'bearer'])
def auth(request: pytest.FixtureRequest) -> str:
    """Run the test with both ways to authenticate."""
    return request.param


@pytest.fixture
def patience() -> float:
    """Return the timeouts of the provider: short, so that no test waits long."""
    return PATIENCE


@pytest.fixture
async def provider_of(
    bedrock: LocalBedrock, auth: str, patience: float, secrets: list[str]
) -> AsyncIterator[Callable[[str], BedrockProvider]]:
    """Return a function that makes a provider of the endpoint at a URL, with keys that LocalBedrock accepts."""
    key = bedrock.rotate_credentials(temporary=True)
    assert key.session_token is not None
    secrets += [key.access_key_id, key.secret_access_key, key.session_token, bedrock.api_key]
    arguments = (
        {'api_key': bedrock.api_key}
        if auth == 'bearer'
        else {
            'aws_access_key_id': key.access_key_id,
            'aws_secret_access_key': key.secret_access_key,
            'aws_session_token': key.session_token,
        }
    )
    pool = SessionPool()

    def provider_of(base_url: str) -> BedrockProvider:
        return BedrockProvider(
            throttling='raise',
            region_name=bedrock.region_name,
            base_url=base_url,
            aws_read_timeout=patience,
            aws_connect_timeout=patience,
            pool=pool,
            **arguments,
        )

    yield provider_of
    await pool.aclose()


@pytest.fixture
def caller(bedrock: LocalBedrock, provider_of: Callable[[str], BedrockProvider], secrets: list[str]) -> Caller:
    """Return what makes calls to the endpoint."""
    return Caller(bedrock, provider_of(bedrock.base_url), secrets)


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries follow at once: how long botocore waits before them is its own, and random."""
    monkeypatch.setattr(ExponentialBackoff, 'delay_amount', lambda self, context: 0)


@pytest.fixture(autouse=True)
def secrets(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Take the secrets of the test, and fail it if one of them is in a log record of the package, at DEBUG."""
    known: list[str] = []
    with caplog.at_level(logging.DEBUG, 'pydantic_ai_aiobedrock'):
        yield known
        said = [logging.Formatter().format(record) for record in caplog.get_records('call') if _is_ours(record)]
    assert not [found for text in said for found in secrets_in(text, known)]


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition('.')[0] == 'pydantic_ai_aiobedrock'
