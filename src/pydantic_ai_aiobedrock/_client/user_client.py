"""A client that the user opened, and owns: used as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
from aiobotocore.client import AioBaseClient

from pydantic_ai_aiobedrock._client import extra_headers
from pydantic_ai_aiobedrock._client.bodies import read_body
from pydantic_ai_aiobedrock._client.botocore_call import call_botocore
from pydantic_ai_aiobedrock._client.error_translation import translate_reading
from pydantic_ai_aiobedrock._config.call_options import NO_OPTIONS, CallOptions
from pydantic_ai_aiobedrock._core.awaited import awaited
from pydantic_ai_aiobedrock.errors import IncompleteStreamError, PoolClosedError, WrongLoopError


class UserClient:
    """A Bedrock Runtime client that the user opened, used on the event loop that it belongs to."""

    def __init__(self, client: AioBaseClient) -> None:
        """Take the client; its loop is the running loop or, if none runs, the loop of its first use."""
        self.client: Any = client
        self.meta: Any = client.meta
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._note_closing(self.client._endpoint.http_session)
        with suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        extra_headers.install(client)

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the client."""
        return getattr(self.client, name)

    async def call(
        self, operation: str, params: Mapping[str, Any], options: CallOptions = NO_OPTIONS
    ) -> dict[str, Any]:
        """Send a request; the stream of a streamed answer is the client's own. See `BedrockRuntime.call`."""
        response = await call_botocore(self._checked(), operation, params, options)
        if operation == 'invoke_model':
            return {**response, 'body': await read_body(response['body'], self.meta.endpoint_url)}
        return response

    @awaited
    async def converse(self, **params: Any) -> dict[str, Any]:
        """See `BedrockRuntime.converse`."""
        return await self.call('converse', params)

    @awaited
    async def converse_stream(self, **params: Any) -> dict[str, Any]:
        """See `BedrockRuntime.converse_stream`; the stream is the client's own."""
        return await self.call('converse_stream', params)

    @awaited
    async def count_tokens(self, **params: Any) -> dict[str, Any]:
        """See `BedrockRuntime.count_tokens`."""
        return await self.call('count_tokens', params)

    @awaited
    async def invoke_model(self, **params: Any) -> dict[str, Any]:
        """See `BedrockRuntime.invoke_model`."""
        return await self.call('invoke_model', params)

    def _note_closing(self, http_session: Any) -> None:
        # Both ways of closing a client, its context and its `close`, end here.
        close = http_session.__aexit__

        async def noted(*exc_info: Any) -> Any:
            self._closed = True
            return await close(*exc_info)

        http_session.__aexit__ = noted

    def _checked(self) -> Any:
        if self._closed:
            raise PoolClosedError(
                'The `bedrock_client` is closed: use it within its `async with`, or omit `bedrock_client`, and a '
                'BedrockProvider opens clients of its own.'
            )
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            # aiohttp would fail with a transport error, which botocore takes for the network's, and retries.
            raise WrongLoopError(
                'The `bedrock_client` belongs to another event loop than the one it is used on now. Open a client on '
                'this loop, or leave `bedrock_client` out: a BedrockProvider opens its own client on each loop.'
            )
        return self.client


async def events_of(stream: Any) -> AsyncIterator[dict[str, Any]]:
    """Iterate over the events of such a client's ConverseStream response.

    Raises:
        IncompleteStreamError: The stream ended before its `messageStop`.
        botocore.exceptions.HTTPClientError: The connection broke or fell silent.
    """
    complete = False
    try:
        async for event in stream:
            complete = complete or 'messageStop' in event
            yield event
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise translate_reading(error, 'the endpoint of the bedrock_client') from error
    if not complete:
        raise IncompleteStreamError(endpoint_url='the endpoint of the bedrock_client')
