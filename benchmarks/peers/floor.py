"""The floor: aiohttp sends a constant body and reads the answer; nothing is signed, encoded or decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import aiohttp
from benchmarks.conversations import MODEL, Conversation, converse_body
from benchmarks.peers import Endpoint


class Peer:
    async def setup(self, endpoint: Endpoint) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._url = f'{endpoint.url}/model/{quote(MODEL)}/'

    def prepare(self, conversation: Conversation) -> bytes:
        return json.dumps(converse_body(conversation)).encode()

    async def request(self, prepared: bytes) -> None:
        async with self._session.post(self._url + 'converse', data=prepared) as response:
            await response.read()

    async def stream(self, prepared: bytes, seen: Callable[[bytes], None]) -> None:
        async with self._session.post(self._url + 'converse-stream', data=prepared) as response:
            async for data in response.content.iter_any():
                seen(data)

    run = request
    agent = stream

    async def teardown(self) -> None:
        await self._session.close()
