"""The LocalBedrock of a test, and the exchanges recorded with Amazon Bedrock."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from pytest_asyncio import is_async_test

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def keys_of(bedrock: LocalBedrock) -> dict[str, Any]:
    """Return the arguments for the access key that a LocalBedrock accepts."""
    return {
        'aws_access_key_id': bedrock.aws_access_key_id,
        'aws_secret_access_key': bedrock.aws_secret_access_key,
    }


def make_provider(bedrock: LocalBedrock, pool: SessionPool | None = None, **overrides: Any) -> BedrockProvider:
    """Return a provider of a LocalBedrock, on a pool of its own unless one is given; overrides are its arguments."""
    arguments: dict[str, Any] = {
        'region_name': bedrock.region_name,
        'base_url': bedrock.base_url,
        'pool': SessionPool() if pool is None else pool,
        **keys_of(bedrock),
        **overrides,
    }
    return BedrockProvider(**arguments)


def make_runtime(bedrock: LocalBedrock, pool: SessionPool, **overrides: Any) -> BedrockRuntime:
    """Return the client of such a provider."""
    client = make_provider(bedrock, pool, **overrides).client
    assert isinstance(client, BedrockRuntime)
    return client


@pytest.fixture
def tls() -> ssl.SSLContext | None:
    """Return the TLS of the LocalBedrock of a test: none, unless a module overrides this."""
    return None


@pytest.fixture(scope='session')
def authority() -> trustme.CA:
    """Return a certificate authority of the tests."""
    return trustme.CA()


@pytest.fixture
def trusted_tls(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext:
    """Return the TLS of a server on 127.0.0.1 whose authority `AWS_CA_BUNDLE` names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert('127.0.0.1', 'localhost').configure_cert(context)
    bundle = tmp_path_factory.mktemp('authority') / 'ca.pem'
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv('AWS_CA_BUNDLE', str(bundle))
    return context


@pytest.fixture
def bedrock(request: pytest.FixtureRequest, tls: ssl.SSLContext | None) -> Iterator[LocalBedrock]:
    """Yield a running LocalBedrock: on the loop of the test, or in a thread if the test has none.

    A test whose reply raises on purpose clears the `failures`; any other such reply fails its test.
    """
    if is_async_test(request.node):
        bedrock = request.getfixturevalue('bedrock_on_the_loop')
        yield bedrock
    else:
        with LocalBedrock(tls=tls) as bedrock:
            yield bedrock
    if bedrock.failures:
        raise ExceptionGroup('LocalBedrock could not answer', bedrock.failures)


@pytest.fixture
async def bedrock_on_the_loop(tls: ssl.SSLContext | None) -> AsyncIterator[LocalBedrock]:
    async with LocalBedrock(tls=tls) as bedrock:
        yield bedrock


@pytest.fixture
def recorded() -> Path:
    """Return the folder of exchanges recorded with Amazon Bedrock, which stands beside the repository, if at all."""
    folder = Path(__file__).parents[2] / 'shared' / 'recorded'
    if not folder.is_dir():
        pytest.skip(f'{folder} is absent: the exchanges recorded with Amazon Bedrock are not part of the repository')
    return folder
