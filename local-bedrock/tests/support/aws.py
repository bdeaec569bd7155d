"""Another LocalBedrock that stands for AWS, and requests that are signed for one or the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import yarl
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import Session

from local_bedrock import AccessKey, LocalBedrock
from support.requests import user

HELLO = {'messages': [user('Hello')]}


def session_of(aws: LocalBedrock) -> Session:
    session = Session()
    session.set_credentials(aws.aws_access_key_id, aws.aws_secret_access_key, aws.aws_session_token)
    return session


def key_of(bedrock: LocalBedrock) -> AccessKey:
    return AccessKey(bedrock.aws_access_key_id, bedrock.aws_secret_access_key, bedrock.aws_session_token)


def request_to(
    bedrock: LocalBedrock, path: str, body: bytes, key: AccessKey | None = None, **headers: str
) -> tuple[Any, dict[str, Any]]:
    """Return what aiohttp posts, signed as boto3 signs."""
    key = key or key_of(bedrock)
    signed = AWSRequest('POST', f'{bedrock.base_url}{path}', headers=headers, data=body)
    credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
    SigV4Auth(credentials, 'bedrock', bedrock.region_name).add_auth(signed)
    return yarl.URL(signed.url, encoded=True), {'data': body, 'headers': dict(signed.headers.items())}


async def ask(
    http: aiohttp.ClientSession,
    bedrock: LocalBedrock,
    operation: str = 'converse',
    body: Any = HELLO,
    key: AccessKey | None = None,
    model: str = 'us.amazon.nova-micro-v1%3A0',
    **headers: str,
) -> tuple[int, bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url, options = request_to(bedrock, f'/model/{model}/{operation}', data, key, **headers)
    async with http.post(url, **options) as response:
        return response.status, await response.read()


def exchanges(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text())
