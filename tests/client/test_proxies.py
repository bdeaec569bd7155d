"""Requests through a proxy, and the proxies that no request goes through."""

from __future__ import annotations

import asyncio
import ssl
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiobotocore.config import AioConfig
from botocore.exceptions import ConnectTimeoutError, InvalidConfigError, ProxyConnectionError
from categories import ModelConnectionError
from connect_proxy import ConnectProxy
from credential_sources import MODEL, hello, runtime, text_of
from pydantic_ai import Agent
from pydantic_ai.exceptions import UserError
from served_bedrock import make_runtime

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

ONE_ATTEMPT = AioConfig(retries={'total_max_attempts': 1})


@pytest.fixture
async def proxy() -> AsyncIterator[ConnectProxy]:
    async with ConnectProxy() as proxy:
        yield proxy


@pytest.fixture
async def secure_bedrock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalBedrock]:
    """Yield a LocalBedrock that speaks HTTPS, with credentials and its CA in the environment."""
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert('127.0.0.1', 'localhost').configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / 'ca.pem'))
    monkeypatch.setenv('AWS_CA_BUNDLE', str(tmp_path / 'ca.pem'))
    async with LocalBedrock(tls=tls) as bedrock:
        for name, value in bedrock.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv('AWS_BEARER_TOKEN_BEDROCK', raising=False)
        yield bedrock


async def test_https_proxy_tunnels_requests(
    secure_bedrock: LocalBedrock, proxy: ConnectProxy, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HTTPS_PROXY', proxy.url)
    client = runtime(secure_bedrock, pool)
    for _ in range(2):
        assert text_of(await client.converse(**hello()))
    port = secure_bedrock.base_url.rpartition(':')[2]
    assert proxy.requests == [f'CONNECT 127.0.0.1:{port} HTTP/1.1']
    assert secure_bedrock.stats().connections == 1


async def test_streams_come_through_a_proxy(
    secure_bedrock: LocalBedrock, proxy: ConnectProxy, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HTTPS_PROXY', proxy.url)
    provider = BedrockProvider(base_url=secure_bedrock.base_url, pool=pool)
    secure_bedrock.reply('One two three.')
    async with Agent(BedrockConverseModel(MODEL, provider=provider)).run_stream('Count.') as stream:
        assert await stream.get_output() == 'One two three.'
    assert len(proxy.requests) == 1


async def test_http_proxy_forwards_requests(
    bedrock: LocalBedrock, proxy: ConnectProxy, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HTTP_PROXY', proxy.url)
    client = make_runtime(bedrock, pool)
    await client.converse(**hello())
    assert proxy.requests == [f'POST {bedrock.base_url}/model/us.amazon.nova-lite-v1%3A0/converse HTTP/1.1']


async def test_a_proxy_may_be_given_by_a_config(
    secure_bedrock: LocalBedrock, proxy: ConnectProxy, pool: SessionPool
) -> None:
    client = runtime(secure_bedrock, pool, config=AioConfig(proxies={'https': proxy.address}))
    await client.converse(**hello())
    assert len(proxy.requests) == 1


@pytest.mark.parametrize('no_proxy', ['127.0.0.1', '*', 'example.com,127.0.0.1'])
async def test_no_proxy_keeps_requests_from_the_proxy(
    secure_bedrock: LocalBedrock,
    proxy: ConnectProxy,
    pool: SessionPool,
    monkeypatch: pytest.MonkeyPatch,
    no_proxy: str,
) -> None:
    monkeypatch.setenv('HTTPS_PROXY', proxy.url)
    monkeypatch.setenv('NO_PROXY', no_proxy)
    await runtime(secure_bedrock, pool).converse(**hello())
    assert not proxy.requests


async def test_connections_are_opened_ahead_through_the_proxy(
    secure_bedrock: LocalBedrock, proxy: ConnectProxy, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HTTPS_PROXY', proxy.url)
    client = runtime(secure_bedrock, pool)
    await client.warm_up(5)
    await asyncio.gather(*(client.converse(**hello()) for _ in range(5)))
    assert len(proxy.requests) == secure_bedrock.stats().connections == 5


async def test_a_proxy_is_given_its_password(
    secure_bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ConnectProxy(user='ada', password='open sesame') as proxy:
        monkeypatch.setenv('HTTPS_PROXY', f'http://ada:open%20sesame@{proxy.address}')
        await runtime(secure_bedrock, pool).converse(**hello())
        assert len(proxy.requests) == 1
        assert not any(name.lower().startswith('proxy-') for name in secure_bedrock.requests[0].headers)


async def test_a_proxy_that_forwards_is_given_its_password(
    bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ConnectProxy(user='ada', password='open sesame') as proxy:
        monkeypatch.setenv('HTTP_PROXY', f'http://ada:open%20sesame@{proxy.address}')
        client = make_runtime(bedrock, pool)
        await client.converse(**hello())
        assert len(proxy.requests) == 1


@pytest.mark.parametrize('trouble', ['wrong password', 'unreachable'])
async def test_the_password_of_a_proxy_is_in_no_error(
    secure_bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    async with ConnectProxy(user='ada', password='another') as proxy:
        address = proxy.address if trouble == 'wrong password' else '127.0.0.1:1'
        monkeypatch.setenv('HTTPS_PROXY', f'http://ada:open%20sesame@{address}')
        client = runtime(secure_bedrock, pool, config=ONE_ATTEMPT)
        for call in (lambda: client.converse(**hello()), lambda: client.warm_up(2)):
            with pytest.raises(ProxyConnectionError, match=f'"http://{address}"') as caught:
                await call()
            assert_no_password(caught.value)
        provider = BedrockProvider(base_url=secure_bedrock.base_url, pool=pool, config=ONE_ATTEMPT)
        with pytest.raises(ModelConnectionError) as mapped:
            await Agent(BedrockConverseModel(MODEL, provider=provider)).run('hello')
        assert_no_password(mapped.value)


@pytest.mark.parametrize(
    'authority',
    ['ada:ses/ame@127.0.0.1:1', 'ada:1/sesame@127.0.0.1:1', 'ada:sesame#@127.0.0.1:1', 'ada:sesäme@127.0.0.1:1'],
)
async def test_the_url_of_a_proxy_that_is_none_is_an_error_of_the_configuration(
    secure_bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch, authority: str
) -> None:
    monkeypatch.setenv('HTTPS_PROXY', f'http://{authority}')
    client = runtime(secure_bedrock, pool, config=ONE_ATTEMPT)
    for call in (lambda: client.converse(**hello()), lambda: client.warm_up(2)):
        with pytest.raises(
            InvalidConfigError, match=r"'http://\*\*\*@127\.0\.0\.1:1', is not one.*percent-encoded"
        ) as caught:
            await call()
        assert_no_password(caught.value)
    provider = BedrockProvider(base_url=secure_bedrock.base_url, pool=pool)
    with pytest.raises(UserError, match='The URL of the proxy'):
        await Agent(BedrockConverseModel(MODEL, provider=provider)).run('hello')


def assert_no_password(error: BaseException) -> None:
    seen: BaseException | None = error
    while seen is not None:
        shown = ''.join([*traceback.format_exception(seen), repr(seen), repr(vars(seen))])
        assert 'sesame' not in shown
        assert b64encode(b'ada:open sesame').decode() not in shown
        seen = seen.__cause__ or seen.__context__


async def test_a_proxy_that_does_not_answer_is_a_connect_timeout(
    secure_bedrock: LocalBedrock, pool: SessionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ConnectProxy(silent=True) as proxy:
        monkeypatch.setenv('HTTPS_PROXY', proxy.url)
        client = runtime(secure_bedrock, pool, aws_connect_timeout=0.2, config=ONE_ATTEMPT)
        with pytest.raises(ConnectTimeoutError):
            await client.converse(**hello())


@pytest.mark.parametrize('option', ['proxy_ca_bundle', 'proxy_client_cert'])
async def test_what_a_proxy_is_not_offered_is_refused_by_name(
    secure_bedrock: LocalBedrock, pool: SessionPool, option: str
) -> None:
    config = AioConfig(proxies={'https': 'https://127.0.0.1:1'}, proxies_config={option: 'some.pem'})
    with pytest.raises(InvalidConfigError, match=f'with {option} can not be respected.*`AWS_CA_BUNDLE`'):
        await runtime(secure_bedrock, pool, config=config).converse(**hello())
