"""Which models there are."""

from __future__ import annotations

import aiohttp
import pytest
from support.requests import NOVA, user

from local_bedrock import LocalBedrock
from local_bedrock._model.model_ids import known


@pytest.mark.parametrize(
    ('model_id', 'there'),
    [
        ('amazon.nova-lite-v1:0', True),
        ('us.amazon.nova-micro-v1:0', True),
        ('global.anthropic.claude-sonnet-4-5-20250929-v1:0', True),
        ('eu.meta.llama3-2-1b-instruct-v1:0', True),
        ('anthropic.claude-opus-4-6-v1', True),
        ('openai.gpt-oss-120b-1:0', True),
        ('amazon.nova-lite-v1:0:300k', True),
        ('arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0', True),
        ('arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0', True),
        ('arn:aws:s3:::bucket', False),
        ('us.does-not-exist-model-v1:0', False),
        ('claude-3', False),
        ('mars.amazon.nova-lite-v1:0', False),
        ('amazon.', False),
        ('', False),
    ],
)
def test_well_formed_ids_name_models(model_id: str, there: bool) -> None:
    assert known(model_id, None) is there


async def test_only_the_given_models_exist(http: aiohttp.ClientSession) -> None:
    async with LocalBedrock(models=['custom-model']) as bedrock:
        headers = {'Authorization': f'Bearer {bedrock.api_key}'}
        for model, status in (('custom-model', 200), (NOVA, 400)):
            url = f'{bedrock.base_url}/model/{model}/converse'
            async with http.post(url, json={'messages': [user('Hello')]}, headers=headers) as response:
                assert response.status == status
