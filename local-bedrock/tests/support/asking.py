"""One request with a bearer token."""

from __future__ import annotations

from typing import Any

import aiohttp

from local_bedrock import LocalBedrock
from support.requests import NOVA, user

HELLO = {'messages': [user('Hello')]}


async def ask(http: aiohttp.ClientSession, bedrock: LocalBedrock, **options: Any) -> int:
    url = f'{bedrock.base_url}/model/{NOVA}/converse'
    headers = {'Authorization': f'Bearer {bedrock.api_key}'}
    async with http.post(url, json=HELLO, headers=headers, **options) as response:
        await response.read()
        return response.status
