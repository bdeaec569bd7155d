"""Sessions and clients as users make them, of aioboto3 where it is installed."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from aiobotocore.session import AioSession

from local_bedrock import LocalBedrock


def aioboto3_session(**arguments: Any) -> Any:
    """Return an `aioboto3.Session`; skip the test where the extra `aioboto3` is not installed."""
    return pytest.importorskip('aioboto3', reason='aioboto3 is not installed').Session(**arguments)


def client_of(
    bedrock: LocalBedrock, service: str = 'bedrock-runtime', **arguments: Any
) -> AbstractAsyncContextManager[Any]:
    """Return a client of aiobotocore's for the LocalBedrock, to be entered."""
    session: Any = AioSession()
    return session.create_client(
        service,
        **{
            'region_name': bedrock.region_name,
            'endpoint_url': bedrock.base_url,
            'aws_access_key_id': bedrock.aws_access_key_id,
            'aws_secret_access_key': bedrock.aws_secret_access_key,
            **arguments,
        },
    )
