"""A request that AWS refused for its credentials is sent once more, with others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from credential_sources import current, hello, runtime, write_credentials

from local_bedrock import ErrorReply, LocalBedrock
from pydantic_ai_aiobedrock import BedrockRuntime, SessionPool


@pytest.fixture
async def client(bedrock: LocalBedrock, pool: SessionPool) -> BedrockRuntime:
    """Return a client whose key Bedrock accepted once, and replaced by that in the credentials file since then."""
    path = Path(os.environ['AWS_SHARED_CREDENTIALS_FILE'])
    write_credentials(path, current(bedrock))
    client = runtime(bedrock, pool)
    await client.converse(**hello())
    write_credentials(path, bedrock.rotate_credentials())
    return client


async def test_a_call_is_retried_once_and_then_says_that_the_new_credentials_are_refused_too(
    bedrock: LocalBedrock, client: BedrockRuntime
) -> None:
    bedrock.revoke(bedrock.aws_access_key_id)
    with pytest.raises(ClientError, match='new ones from shared-credentials-file, resolved after others were refused'):
        await client.converse(**hello())
    assert [request.error_code for request in bedrock.requests] == [
        None,
        'ExpiredTokenException',
        'UnrecognizedClientException',
    ]


async def test_a_call_that_fails_otherwise_with_new_credentials_says_nothing_of_them(
    bedrock: LocalBedrock, client: BedrockRuntime
) -> None:
    # It is met by the second attempt: the key of the first is not accepted.
    bedrock.fault(ErrorReply(400, 'ValidationException', 'Not like this.'))
    with pytest.raises(ClientError, match=r'Not like this\.$'):
        await client.converse(**hello())
    assert [request.error_code for request in bedrock.requests] == [
        None,
        'ExpiredTokenException',
        'ValidationException',
    ]
