"""The pytest plugin of pydantic-ai-aiobedrock: a provider whose models talk to the `local_bedrock` fixture.

pytest loads this module wherever the package is installed, so it imports nothing before a test requests the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from local_bedrock import LocalBedrock
    from pydantic_ai_aiobedrock import BedrockProvider


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
