"""pydantic-ai's own Bedrock model: boto3 in worker threads."""

from __future__ import annotations

from typing import Any

import boto3
from benchmarks.conversations import MODEL
from benchmarks.peers import REGION, Endpoint
from benchmarks.peers._pydantic_ai import PydanticAIPeer
from botocore.config import Config
from pydantic_ai.models.bedrock import BedrockConverseModel
from pydantic_ai.providers.bedrock import BedrockProvider


class Peer(PydanticAIPeer):
    retries: Config | None = None

    async def setup(self, endpoint: Endpoint) -> None:
        config = Config(max_pool_connections=2000, read_timeout=300) if endpoint.tuned else self.retries
        if config is not None:
            client = boto3.client('bedrock-runtime', region_name=REGION, endpoint_url=endpoint.url, config=config)
            provider = BedrockProvider(bedrock_client=client)
        else:
            provider = BedrockProvider(region_name=REGION, base_url=endpoint.url)
        self.model = BedrockConverseModel(MODEL, provider=provider)

    async def teardown(self) -> None:
        client: Any = self.model.client
        client.close()
