from __future__ import annotations

import io
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import botocore.session
import pytest
import trustme
import yarl
from botocore.config import Config
from guards import (
    everything_is_collected,
    isolated_environment,
    loop_of_the_test,
    no_secret_is_told,
    no_task_left_behind,
    nothing_left_behind,
)
from served_bedrock import authority, bedrock, bedrock_on_the_loop, recorded, tls, trusted_tls
from support.admin_client import AdminClient
from support.requests import NOVA, MakeClient, Post, user

from local_bedrock import LocalBedrock

__all__ = (
    'authority',
    'bedrock',
    'bedrock_on_the_loop',
    'everything_is_collected',
    'isolated_environment',
    'loop_of_the_test',
    'no_secret_is_told',
    'no_task_left_behind',
    'nothing_left_behind',
    'recorded',
    'tls',
    'trusted_tls',
)


@cache
def botocore_session() -> botocore.session.Session:
    """Return a session for all tests: it has read service models, and has looked at its hundreds of handlers."""
    return botocore.session.Session()


@pytest.fixture
def served(tls: ssl.SSLContext | None) -> Iterator[LocalBedrock]:
    """Yield a LocalBedrock on a thread of its own."""
    with LocalBedrock(tls=tls) as bedrock:
        yield bedrock


@pytest.fixture
def make_client(served: LocalBedrock) -> Iterator[MakeClient]:
    """Yield a function that makes a boto3-style client of the endpoint; without arguments one that is accepted."""
    clients: list[Any] = []

    def make(
        service: str = 'bedrock-runtime',
        *,
        config: Config | None = None,
        bedrock: LocalBedrock = served,
        sign: bool = True,
        **credentials: Any,
    ) -> Any:
        keys: dict[str, Any] = {}
        if sign:
            keys = {
                'aws_access_key_id': bedrock.aws_access_key_id,
                'aws_secret_access_key': bedrock.aws_secret_access_key,
                'aws_session_token': bedrock.aws_session_token,
            }
        made = botocore_session().create_client(
            service,
            endpoint_url=bedrock.base_url,
            region_name=bedrock.region_name,
            config=Config(retries={'max_attempts': 0}).merge(config or Config()),
            **{**keys, **credentials},
        )
        clients.append(made)
        return made

    yield make
    for made in clients:
        made.close()


@pytest.fixture
def client(make_client: MakeClient) -> Any:
    """Return a boto3-style client that does not retry."""
    return make_client()


@pytest.fixture
def s3(make_client: MakeClient) -> Any:
    """Return a boto3-style client of S3."""
    return make_client('s3')


@pytest.fixture
def control_plane(make_client: MakeClient) -> Any:
    """Return a boto3-style client of Bedrock's control plane."""
    return make_client('bedrock')


@pytest.fixture
def converse(control_plane: Any) -> Any:
    """Return a client whose jobs are of Converse, whatever the installed botocore knows."""

    def add(params: dict[str, Any], **_: Any) -> None:
        if b'modelInvocationType' not in params['body']:
            params['body'] = params['body'].replace(b'{', b'{"modelInvocationType": "Converse", ', 1)

    control_plane.meta.events.register('before-call.bedrock.CreateModelInvocationJob', add)
    return control_plane


@pytest.fixture
async def http(authority: trustme.CA) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield session


@pytest.fixture
async def post(bedrock: LocalBedrock, http: aiohttp.ClientSession) -> Post:
    """Return a function that posts to an operation with the bearer token and reads the whole response."""

    async def send(
        operation: str = 'converse',
        body: Any = None,
        *,
        model: str = NOVA,
        headers: dict[str, str] | None = None,
        text: str = 'Hello',
    ) -> tuple[int, dict[str, str], bytes]:
        if body is None:
            body = {'messages': [user(text)]}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f'{bedrock.base_url}/model/{model.replace(":", "%3A").replace("/", "%2F")}/{operation}'
        async with http.post(
            yarl.URL(url, encoded=True),
            data=io.BytesIO(data),
            headers={
                'Authorization': f'Bearer {bedrock.api_key}',
                'Content-Type': 'application/json',
                **(headers or {}),
            },
        ) as response:
            return (
                response.status,
                {name.lower(): value for name, value in response.headers.items()},
                await response.read(),
            )

    return send


@pytest.fixture
async def aws() -> AsyncIterator[LocalBedrock]:
    """Yield what stands for AWS."""
    async with LocalBedrock() as aws:
        aws.rotate_credentials(temporary=True)
        yield aws


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file for exchanges that is not there yet."""
    return tmp_path / 'exchanges.json'


@pytest.fixture
async def recorder(aws: LocalBedrock, file: Path) -> AsyncIterator[LocalBedrock]:
    """Yield what passes requests on to what stands for AWS, with its credentials."""
    session = botocore.session.Session()
    session.set_credentials(aws.aws_access_key_id, aws.aws_secret_access_key, aws.aws_session_token)
    async with LocalBedrock.record(
        file, region_name='us-east-1', endpoint_url=aws.base_url, session=session
    ) as recorder:
        yield recorder


@pytest.fixture
def admin(http: aiohttp.ClientSession, bedrock: LocalBedrock) -> AdminClient:
    return AdminClient(http, bedrock)
