"""The User-Agent header is botocore's own, though it is not put together anew for each call."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from sessions import aioboto3_session

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockProvider, SessionPool

REQUEST: dict[str, Any] = {
    'modelId': 'us.amazon.nova-lite-v1:0',
    'messages': [{'role': 'user', 'content': [{'text': 'hello'}]}],
}


async def test_the_header_is_that_of_a_plain_client(bedrock: LocalBedrock) -> None:
    keys = {
        'aws_access_key_id': bedrock.aws_access_key_id,
        'aws_secret_access_key': bedrock.aws_secret_access_key,
    }
    config = AioConfig(user_agent_extra='my-service/1.2', user_agent_appid='my-app', retries={'mode': 'standard'})
    create: Any = AioSession().create_client if find_spec('aioboto3') is None else aioboto3_session().client
    async with create(
        'bedrock-runtime', region_name=bedrock.region_name, endpoint_url=bedrock.base_url, config=config, **keys
    ) as plain:
        await plain.converse(**REQUEST)
    pool = SessionPool()
    for brought in (config, AioConfig(user_agent_extra='another-service/3')):
        provider = BedrockProvider(
            region_name=bedrock.region_name, base_url=bedrock.base_url, config=brought, pool=pool, **keys
        )
        for _ in range(2):
            await provider.client.converse(**REQUEST)
    await pool.aclose()
    of_plain, first, again, of_another, _ = (request.headers['User-Agent'] for request in bedrock.requests)
    assert first == again == of_plain
    assert 'another-service/3' in of_another
    assert 'my-service' not in of_another
