"""An HTTP proxy on loopback: tunnels by CONNECT, forwards requests in absolute form, and may have a password."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

_END_OF_HEAD = b'\r\n\r\n'


class ConnectProxy:
    """Serves on the loop of the test, and notes the first line of every request."""

    def __init__(self, *, user: str = '', password: str = '', silent: bool = False) -> None:
        self.requests: list[str] = []
        self._authorization = f'Basic {b64encode(f"{user}:{password}".encode()).decode()}' if user else ''
        self._silent = silent
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, '127.0.0.1', 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def address(self) -> str:
        assert self._server is not None
        return f'127.0.0.1:{self._server.sockets[0].getsockname()[1]}'

    @property
    def url(self) -> str:
        return f'http://{self.address}'

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            # A server of asyncio streams complains of handlers that were cancelled.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(_END_OF_HEAD)
        line, *fields = head.decode().removesuffix('\r\n\r\n').split('\r\n')
        self.requests.append(line)
        headers = {name.lower(): value for name, _, value in (field.partition(': ') for field in fields)}
        if self._silent:
            await reader.read()
            return
        if headers.get('proxy-authorization', '') != self._authorization:
            writer.write(b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n')
            writer.write(b'Content-Length: 0\r\nConnection: close\r\n\r\n')
            await writer.drain()
            return
        method, target, _ = line.split(' ')
        if method == 'CONNECT':
            host, _, port = target.rpartition(':')
            upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
            writer.write(b'HTTP/1.1 200 Connection established\r\n\r\n')
        else:
            url = urlsplit(target)
            upstream_reader, upstream_writer = await asyncio.open_connection(url.hostname, url.port)
            origin_form = f'{method} {url.path} HTTP/1.1'
            fields = [field for field in fields if not field.lower().startswith('proxy-')]
            upstream_writer.write('\r\n'.join([origin_form, *fields, '', '']).encode())
        try:
            await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))
        finally:
            upstream_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
