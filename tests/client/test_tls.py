"""Who a client believes to be Bedrock: certificates are verified always, by the CA bundle that botocore would take."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiobotocore.config import AioConfig
from botocore.exceptions import InvalidConfigError, SSLError
from categories import ModelConnectionError
from credential_sources import MODEL, current, hello, runtime, text_of
from pydantic_ai import Agent
from pydantic_ai.exceptions import UserError

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

ONE_ATTEMPT = AioConfig(retries={'total_max_attempts': 1})


@pytest.fixture(scope='module')
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / 'ca.pem'
    authority.cert_pem.write_to_path(str(path))
    return path


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
async def secure_bedrock(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalBedrock]:
    async with LocalBedrock(tls=server_context(authority, '127.0.0.1')) as bedrock:
        give_credentials(bedrock, monkeypatch)
        yield bedrock


def give_credentials(bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', bedrock.aws_access_key_id)
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', bedrock.aws_secret_access_key)


@pytest.mark.parametrize('variable', ['AWS_CA_BUNDLE', 'REQUESTS_CA_BUNDLE'])
async def test_a_ca_bundle_of_the_environment_is_believed(
    secure_bedrock: LocalBedrock, pool: SessionPool, bundle: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(bundle))
    client = runtime(secure_bedrock, pool)
    answers = await asyncio.gather(*(client.converse(**hello()) for _ in range(5)))
    assert all(text_of(answer) for answer in answers)


async def test_a_ca_bundle_of_a_profile_is_believed(
    secure_bedrock: LocalBedrock, pool: SessionPool, bundle: Path
) -> None:
    Path(os.environ['AWS_CONFIG_FILE']).write_text(f'[profile corp]\nca_bundle = {bundle}\n')
    key = current(secure_bedrock)
    client = runtime(
        secure_bedrock,
        pool,
        profile_name='corp',
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
    )
    assert text_of(await client.converse(**hello()))


async def test_an_unknown_authority_is_not_believed(secure_bedrock: LocalBedrock, pool: SessionPool) -> None:
    client = runtime(secure_bedrock, pool, config=ONE_ATTEMPT)
    with pytest.raises(SSLError, match='CERTIFICATE_VERIFY_FAILED'):
        await client.converse(**hello())
    assert not secure_bedrock.requests


async def test_an_empty_variable_does_not_switch_verification_off(
    secure_bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_CA_BUNDLE', '')
    with pytest.raises(InvalidConfigError, match='CA bundle'):
        await runtime(secure_bedrock, pool).converse(**hello())


async def test_a_certificate_for_another_name_is_not_believed(
    authority: trustme.CA, pool: SessionPool, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_CA_BUNDLE', str(bundle))
    async with LocalBedrock(tls=server_context(authority, 'elsewhere.example')) as bedrock:
        give_credentials(bedrock, monkeypatch)
        with pytest.raises(SSLError, match=r"certificate is not valid for '127\.0\.0\.1'"):
            await runtime(bedrock, pool, config=ONE_ATTEMPT).converse(**hello())
        assert not bedrock.requests


async def test_a_handshake_that_fails_is_an_ssl_error(
    bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does not speak TLS at all."""
    give_credentials(bedrock, monkeypatch)
    base_url = bedrock.base_url.replace('http:', 'https:')
    with pytest.raises(SSLError):
        await runtime(bedrock, pool, base_url=base_url, config=ONE_ATTEMPT).converse(**hello())


async def test_an_agent_sees_a_connection_error_of_pydantic_ai(secure_bedrock: LocalBedrock, pool: SessionPool) -> None:
    provider = BedrockProvider(region_name='us-east-1', base_url=secure_bedrock.base_url, pool=pool, config=ONE_ATTEMPT)
    with pytest.raises(ModelConnectionError, match='CERTIFICATE_VERIFY_FAILED'):
        await Agent(BedrockConverseModel(MODEL, provider=provider)).run('hello')


@pytest.mark.parametrize('content', [None, 'not a certificate'])
async def test_a_ca_bundle_that_can_not_be_used_is_named(
    secure_bedrock: LocalBedrock,
    pool: SessionPool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
) -> None:
    path = tmp_path / 'broken.pem'
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv('AWS_CA_BUNDLE', str(path))
    provider = BedrockProvider(region_name='us-east-1', base_url=secure_bedrock.base_url, pool=pool)
    with pytest.raises(UserError, match=rf'The CA bundle .*{path}.* cannot be used'):
        await Agent(BedrockConverseModel(MODEL, provider=provider)).run('hello')


async def test_a_client_certificate_is_shown(
    authority: trustme.CA, pool: SessionPool, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = authority.issue_cert('client.example')
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / 'client.pem'))
    tls = server_context(authority, '127.0.0.1')
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    monkeypatch.setenv('AWS_CA_BUNDLE', str(bundle))
    async with LocalBedrock(tls=tls) as bedrock:
        give_credentials(bedrock, monkeypatch)
        config = AioConfig(client_cert=str(tmp_path / 'client.pem'))
        assert text_of(await runtime(bedrock, pool, config=config).converse(**hello()))


async def test_a_client_certificate_that_can_not_be_used_is_named(
    secure_bedrock: LocalBedrock, pool: SessionPool, tmp_path: Path
) -> None:
    config = AioConfig(client_cert=(str(tmp_path / 'none.pem'), str(tmp_path / 'none.key')))
    provider = BedrockProvider(region_name='us-east-1', base_url=secure_bedrock.base_url, pool=pool, config=config)
    with pytest.raises(UserError, match=r'The client certificate .*none\.pem.* cannot be used'):
        await Agent(BedrockConverseModel(MODEL, provider=provider)).run('hello')
