"""The loader of botocore's data: with it, requests go where botocore's own would send them, signed for the same."""

from __future__ import annotations

import asyncio
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError
from botocore.loaders import JSONFileLoader, create_loader

from pydantic_ai_aiobedrock._config.botocore_loader import data_loader, hasten
from pydantic_ai_aiobedrock._core.in_thread import start_in_thread

REGIONS = (
    'us-east-1',
    'eu-central-2',
    'cn-north-1',
    'us-gov-west-1',
    'us-iso-east-1',
    'us-isob-east-1',
    'us-isof-south-1',
    'eu-isoe-west-1',
    'eusc-de-east-1',
    'eu-west-99',
    'pydantic-ai-gateway',
)
"""Regions of each partition, one that no partition lists yet, and one that is no region."""

VARIANTS: tuple[dict[str, bool], ...] = (
    {},
    {'use_fips_endpoint': True},
    {'use_dualstack_endpoint': True},
    {'use_fips_endpoint': True, 'use_dualstack_endpoint': True},
)

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    'bedrock-runtime': ('converse', {'modelId': 'us.amazon.nova-lite-v1:0', 'messages': []}),
    'sts': ('assume_role', {'RoleArn': 'arn:aws:iam::123456789012:role/app', 'RoleSessionName': 'session'}),
    'sso': ('get_role_credentials', {'roleName': 'app', 'accountId': '123456789012', 'accessToken': 'token'}),
    'sso-oidc': (
        'create_token',
        {'clientId': 'id', 'clientSecret': 'secret', 'grantType': 'refresh_token', 'refreshToken': 'token'},
    ),
}


class _SentError(Exception):
    """Raised in place of sending."""


async def destination(session: Any, service: str, region: str, variant: dict[str, bool]) -> Any:
    """Return where a call would be sent, and what its signature is for; or the error that botocore has instead."""

    def refuse(request: Any, **_: Any) -> None:
        raise _SentError(request)

    operation, params = CALLS[service]
    try:
        async with session.create_client(
            service,
            region_name=region,
            aws_access_key_id='AKIDEXAMPLE',
            aws_secret_access_key='secret',
            config=AioConfig(**variant),
        ) as client:
            client.meta.events.register('before-send', refuse)
            with pytest.raises(_SentError) as sent:
                await getattr(client, operation)(**params)
    except BotoCoreError as error:
        return error
    (request,) = sent.value.args
    return request.url, request_scope(request), client.meta.partition


def request_scope(request: Any) -> str:
    authorization = request.headers.get('Authorization', b'')
    text = authorization.decode() if isinstance(authorization, bytes) else authorization
    # Without the access key and the date.
    return text.partition('Credential=')[2].partition(',')[0].split('/', 2)[-1]


@pytest.mark.parametrize('service', CALLS)
async def test_requests_go_where_botocores_own_data_sends_them(service: str) -> None:
    async def compare() -> int:
        compared = 0
        own, lean = AioSession(), AioSession()
        lean.register_component('data_loader', data_loader(None))
        for region, variant in product(REGIONS, VARIANTS):
            expected = await destination(own, service, region, variant)
            # A partition without dual-stack endpoints is an error in botocore's table, and not in its rules.
            if not isinstance(expected, BotoCoreError):
                assert await destination(lean, service, region, variant) == expected
                compared += 1
        return compared

    assert await start_in_thread(lambda: asyncio.run(compare())) > 25


def test_the_table_of_all_endpoints_is_not_read() -> None:
    endpoints = data_loader(None).load_data('endpoints')
    assert {partition['partition'] for partition in endpoints['partitions']} >= {'aws', 'aws-cn', 'aws-us-gov'}
    assert all(not partition['services'] for partition in endpoints['partitions'])


@pytest.mark.parametrize('name', ['partitions', 'sdk-default-configuration', '_retry'])
def test_all_other_files_are_read_as_they_are(name: str) -> None:
    assert data_loader(None).load_data(name) == create_loader().load_data(name)


def test_service_models_are_read_as_they_are() -> None:
    for kind in ('service-2', 'endpoint-rule-set-1'):
        assert data_loader(None).load_service_model('bedrock-runtime', kind) == create_loader().load_service_model(
            'bedrock-runtime', kind
        )


def test_there_is_one_loader_for_all_clients() -> None:
    assert data_loader(None) is data_loader(None)


def test_models_of_ones_own_are_found(tmp_path: Path) -> None:
    folder = tmp_path / 'my-service' / '2026-01-01'
    folder.mkdir(parents=True)
    (folder / 'service-2.json').write_text(json.dumps({'metadata': {'serviceId': 'Mine'}}))
    assert data_loader(str(tmp_path)).load_service_model('my-service', 'service-2') == {
        'metadata': {'serviceId': 'Mine'}
    }


@pytest.mark.parametrize('name', ['endpoints', 'partitions'])
def test_the_loader_of_a_session_that_is_brought_along_reads_the_same(name: str) -> None:
    loader = create_loader()
    hasten(loader)
    assert loader.load_data(name) == create_loader().load_data(name)


def test_a_loader_with_a_reader_of_its_own_keeps_it() -> None:
    class Reader(JSONFileLoader):
        pass

    loader = create_loader()
    loader.file_loader = reader = Reader()
    hasten(loader)
    assert loader.file_loader is reader
