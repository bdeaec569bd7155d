"""A client of the admin API."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import yarl

from local_bedrock import LocalBedrock


class AdminClient:
    """A client of the admin API, as it could be in any language."""

    def __init__(self, http: aiohttp.ClientSession, bedrock: LocalBedrock) -> None:
        self._http, self._bedrock = http, bedrock

    async def __call__(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        data = None if data is None else io.BytesIO(data)
        url = yarl.URL(self._bedrock.base_url + path)
        async with self._http.request(method, url, data=data, headers=headers) as response:
            assert response.content_type == 'application/json'
            return response.status, await response.json()

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = await self(method, path, body)
        assert status == 200, answer
        return answer

    async def error(self, method: str, path: str, body: Any = None, *, status: int = 400) -> str:
        answered, answer = await self(method, path, body)
        assert answered == status, answer
        assert list(answer) == ['error']
        return answer['error']
