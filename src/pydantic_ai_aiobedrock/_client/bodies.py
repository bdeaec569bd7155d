"""Bodies of responses that are read after the response has begun."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from typing import Any

import aiohttp

from pydantic_ai_aiobedrock._client.error_translation import translate_reading


async def read_body(body: Any, url: str) -> io.BytesIO:
    """Return the body of an InvokeModel response, read whole.

    Raises:
        HTTPClientError: The connection broke or fell silent.
    """
    # An instrumentation may have put an object in its place that can only be read.
    async with body if hasattr(body, '__aexit__') else nullcontext():
        try:
            return io.BytesIO(await body.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise translate_reading(error, url) from error


async def read_in_chunks(body: Any, size: int, url: str) -> AsyncGenerator[bytes]:
    """Iterate over the body of a GetObject response, in chunks of a size at most.

    Raises:
        HTTPClientError: The connection broke or fell silent.
    """
    async with body:
        try:
            while chunk := await body.read(size):
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise translate_reading(error, url) from error
