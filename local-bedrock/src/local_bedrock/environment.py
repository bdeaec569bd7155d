"""The environment from which AWS clients of this process find an endpoint."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from local_bedrock.keys import AccessKey

MISLEADING = (
    'AWS_BEARER_TOKEN_BEDROCK',
    'AWS_DEFAULT_PROFILE',
    'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS',
    'AWS_PROFILE',
    'AWS_SECURITY_TOKEN',
    'AWS_SESSION_TOKEN',
    'AWS_USE_DUALSTACK_ENDPOINT',
    'AWS_USE_FIPS_ENDPOINT',
)
"""Variables that would send clients elsewhere, or let them sign with other keys."""
_PROXIES = ('http_proxy', 'https_proxy', 'all_proxy')


# LiteLLM reads the second.
MODEL_SERVICES = ('AWS_ENDPOINT_URL_BEDROCK_RUNTIME', 'AWS_BEDROCK_RUNTIME_ENDPOINT')
ALL_SERVICES = (*MODEL_SERVICES, 'AWS_ENDPOINT_URL_BEDROCK', 'AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL_STS')


def client_environment(
    base_url: str, region_name: str, key: AccessKey, services: Sequence[str] = ALL_SERVICES
) -> dict[str, str]:
    """Return the environment by which clients find the services of an endpoint and sign for it."""
    environment = {
        **dict.fromkeys(services, base_url),
        'AWS_ACCESS_KEY_ID': key.access_key_id,
        'AWS_SECRET_ACCESS_KEY': key.secret_access_key,
        'AWS_DEFAULT_REGION': region_name,
        # LangChain and LiteLLM read this first.
        'AWS_REGION': region_name,
    }
    return environment if key.session_token is None else {**environment, 'AWS_SESSION_TOKEN': key.session_token}


@contextmanager
def redirected(environment: Mapping[str, str]) -> Generator[None]:
    """Set the environment by which clients find an endpoint, and put everything back at the end."""
    values: dict[str, str | None] = {**dict.fromkeys(MISLEADING), **environment}
    if any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES):
        host = urlsplit(environment['AWS_ENDPOINT_URL_BEDROCK_RUNTIME']).hostname
        for name in ('no_proxy', 'NO_PROXY'):
            values[name] = ','.join(filter(None, (os.environ.get(name), host)))
    before = {name: os.environ.get(name) for name in values}
    # boto3's session of the process has found its credentials once and for all.
    boto3 = sys.modules.get('boto3')
    session = getattr(boto3, 'DEFAULT_SESSION', None)
    _set(values)
    if boto3 is not None:
        setattr(boto3, 'DEFAULT_SESSION', None)  # noqa: B010 - a module, as far as the types know
    try:
        yield
    finally:
        _set(before)
        if (boto3 := sys.modules.get('boto3')) is not None:
            setattr(boto3, 'DEFAULT_SESSION', session)  # noqa: B010


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
