"""The pytest plugin of pydantic-ai-aiobedrock: fixtures that serve and reach a LocalBedrock.

pytest loads this module wherever the package is installed. So it stands beside the package, whose import would cost
each of those test runs a second, and imports nothing before a test asks for a fixture.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pydantic_ai_aiobedrock import BedrockProvider
    from pydantic_ai_aiobedrock.local import LocalBedrock


@pytest.fixture(scope='session')
def _local_bedrock_of_the_session() -> Iterator[LocalBedrock]:  # pyright: ignore[reportUnusedFunction]
    # One for all tests: it starts once, and a client that outlives a test finds it where it was.
    from pydantic_ai_aiobedrock.local import LocalBedrock

    with LocalBedrock() as bedrock:
        yield bedrock


@pytest.fixture
def local_bedrock(_local_bedrock_of_the_session: LocalBedrock) -> Iterator[LocalBedrock]:
    """A LocalBedrock: an endpoint of Amazon Bedrock on loopback, which AWS clients find for the time of the test.

    Clients of Bedrock Runtime, of Bedrock and of S3 find it, so that batch inference can be tested as a whole.
    It serves on a thread of its own, so tests may be sync or async, on any event loop. Each test has it as if it were
    new. A reply function that has raised fails the test.
    """
    bedrock = _local_bedrock_of_the_session
    with bedrock.redirect_clients():
        yield bedrock
    failures = list(bedrock.failures)
    bedrock.start_over()
    if failures:
        pytest.fail('LocalBedrock could not answer:\n' + ''.join(map(_shown, failures)), pytrace=False)


@pytest.fixture
def bedrock_provider(local_bedrock: LocalBedrock) -> BedrockProvider:
    """A BedrockProvider whose models talk to the `local_bedrock` of the test."""
    from pydantic_ai_aiobedrock import BedrockProvider

    return BedrockProvider(
        region_name=local_bedrock.region_name,
        base_url=local_bedrock.base_url,
        aws_access_key_id=local_bedrock.aws_access_key_id,
        aws_secret_access_key=local_bedrock.aws_secret_access_key,
        aws_session_token=local_bedrock.aws_session_token,
    )


def _shown(error: Exception) -> str:
    return ''.join(traceback.format_exception(error))
