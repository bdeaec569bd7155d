"""What users of aioboto3 write. Its own types are in types-aioboto3, and only with those is pyright content."""

import aioboto3
from aiobotocore.config import AioConfig

from pydantic_ai_aiobedrock import BedrockProvider

session = aioboto3.Session(profile_name='dev', region_name='us-east-1')
provider = BedrockProvider(session=session, config=AioConfig(read_timeout=60))
