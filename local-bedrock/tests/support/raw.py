"""Requests byte by byte, on a socket of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from local_bedrock import LocalBedrock
from support.requests import NOVA

CONVERSE = f'/model/{NOVA.replace(":", "%3A")}/converse'


@asynccontextmanager
async def connection(bedrock: LocalBedrock) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a connection to the endpoint."""
    url = urlsplit(bedrock.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def head(bedrock: LocalBedrock, path: str = CONVERSE, method: str = 'POST', **headers: str) -> bytes:
    """Return the head of a request with the bearer token, unless the headers name another."""
    fields = {'Host': urlsplit(bedrock.base_url).netloc, 'Authorization': f'Bearer {bedrock.api_key}'}
    fields |= {name.replace('_', '-'): value for name, value in headers.items()}
    lines = [f'{method} {path} HTTP/1.1', *(f'{name}: {value}' for name, value in fields.items())]
    return ('\r\n'.join(lines) + '\r\n\r\n').encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body of the next response."""
    lines = (await reader.readuntil(b'\r\n\r\n')).decode().splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(': ') for line in lines[1:] if line)}
    return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers.get('content-length', '0')))
