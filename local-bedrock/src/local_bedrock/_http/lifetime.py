"""An endpoint while it serves: its listener, its connections, and the event loop that they belong to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

from local_bedrock._http.connections import Connections
from local_bedrock._http.handler import Endpoint
from local_bedrock._http.listener import Listener, Refusal
from local_bedrock._model.validation import ServiceModel

_ANSWER_SECONDS = 5.0


class Serving:
    """What is open from the start to the end."""

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None) -> None:
        self._endpoint, self._tls = endpoint, tls
        self._loop = asyncio.get_running_loop()
        self._open = AsyncExitStack()
        self._connections = Connections(endpoint, tls)
        self._listener = Listener(self._connections.take)
        self.base_url: str = ''

    async def start(self, host: str, port: int) -> None:
        """Open everything, or nothing.

        Raises:
            OSError: The address cannot be had.
        """
        async with AsyncExitStack() as stack:
            if (source := self._endpoint.runtime.source) is None:
                # Reads and decodes megabytes of JSON.
                self._endpoint.runtime.service_model = await asyncio.to_thread(ServiceModel.load)
            else:
                await source.open(self._endpoint.keyring)
                stack.push_async_callback(source.close)
            stack.push_async_callback(self._endpoint.jobs.close)
            stack.push_async_callback(self._connections.close)
            bound = await self._listener.open(host, port)
            stack.callback(self._listener.close)
            self.base_url = f'{"https" if self._tls else "http"}://{f"[{host}]" if ":" in host else host}:{bound}'
            self._keyring = self._endpoint.keyring.copy()
            self._open = stack.pop_all()

    async def close(self) -> None:
        """Close everything, and cancel what is under way."""
        await self._open.aclose()

    def stop_accepting(self, how: Refusal) -> None:
        """Accept no more connections."""
        self.act(partial(self._listener.stop, how))

    def start_accepting(self) -> None:
        """Accept connections again."""
        self.act(self._listener.resume)

    def drop_connections(self) -> None:
        """Close all connections."""
        self.act(self._connections.drop)

    def start_over(self) -> None:
        """Return to the state at the start."""
        self.act(self._start_over)

    def _start_over(self) -> None:
        self._listener.resume()
        self._connections.drop()
        self._endpoint.start_over(self._keyring.copy())

    def act(self, act: Callable[[], None]) -> None:
        """Do something to what is open, on the loop that it belongs to; another thread waits until it is done."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            act()
            return

        async def acting() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acting(), self._loop).result(_ANSWER_SECONDS)
