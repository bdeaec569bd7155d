"""The web examples on a real socket, served by uvicorn."""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

EXAMPLES = Path(__file__).parents[1] / 'examples'


@asynccontextmanager
async def served(example: str) -> AsyncIterator[str]:
    """Serve an example on this event loop; the value is its URL. Its folder must be on the path."""
    app = importlib.import_module(example).create_app()
    started = asyncio.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    server = Server(uvicorn.Config(app, log_level='warning', lifespan='on', timeout_graceful_shutdown=5))
    with socket.create_server(('127.0.0.1', 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with asyncio.timeout(10):
                await started.wait()
            host, port = listening.getsockname()
            yield f'http://{host}:{port}'
        finally:
            server.should_exit = True
            await serving
