"""An endpoint while it serves, on the running loop or on a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial

from local_bedrock._http.connections import Connections
from local_bedrock._http.handler import Handler
from local_bedrock._http.listener import Listener, Refusal
from local_bedrock._model.validation import ServiceModel

_ACT_SECONDS = 5.0
_START_SECONDS = 30.0
# Longer than it takes to close everything, each part within its own bound.
_STOP_SECONDS = 30.0


class Lifetime:
    """Resources that are open from the start to the end."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None) -> None:
        self._handler, self._tls = handler, tls
        self._loop = asyncio.get_running_loop()
        self._open = AsyncExitStack()
        self._connections = Connections(handler, tls)
        self._listener = Listener(self._connections.take)
        self.base_url: str = ''

    async def start(self, host: str, port: int) -> None:
        """Open everything, or nothing.

        Raises:
            OSError: The address cannot be had.
        """
        async with AsyncExitStack() as stack:
            if (source := self._handler.runtime.source) is None:
                # Reads and decodes megabytes of JSON.
                self._handler.runtime.service_model = await asyncio.to_thread(ServiceModel.load)
            else:
                await source.open(self._handler.keyring)
                stack.push_async_callback(source.close)
            stack.push_async_callback(self._handler.jobs.close)
            stack.push_async_callback(self._connections.close)
            bound = await self._listener.open(host, port)
            stack.callback(self._listener.close)
            self.base_url = f'{"https" if self._tls else "http"}://{f"[{host}]" if ":" in host else host}:{bound}'
            self._keyring = self._handler.keyring.copy()
            self._handler.runtime.script.keep()
            self._open = stack.pop_all()

    async def close(self) -> None:
        """Close everything, and cancel requests under way."""
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

    def start_over(self, *, keep_connections: bool) -> None:
        """Return to the state at the start."""
        self.act(partial(self._start_over, keep_connections))

    def _start_over(self, keep_connections: bool) -> None:
        self._listener.resume()
        if not keep_connections:
            self._connections.drop()
        self._handler.start_over(self._keyring.copy())

    def act(self, act: Callable[[], None]) -> None:
        """Do something to the open parts, on the loop that it belongs to; another thread waits until it is done."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            act()
            return

        async def acting() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acting(), self._loop).result(_ACT_SECONDS)


class LoopThread(threading.Thread):
    """A thread that serves an endpoint on an event loop of its own."""

    def __init__(self, server: AbstractAsyncContextManager[object]) -> None:
        super().__init__(name='LocalBedrock', daemon=True)
        self._server = server
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def start_serving(self) -> None:
        """Start, and return when the endpoint listens."""
        self.start()
        if not self._ready.wait(_START_SECONDS):
            raise RuntimeError(f'LocalBedrock did not start within {_START_SECONDS:g} s.')
        if self._error is not None:
            self.join()
            raise self._error

    def stop_serving(self) -> None:
        """Stop, and return when everything is closed.

        Raises:
            RuntimeError: A function of the caller blocks the thread, or ignores its cancellation.
        """
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)
        self.join(_STOP_SECONDS)
        if self.is_alive():
            frame = sys._current_frames().get(self.ident or 0)  # pyright: ignore[reportPrivateUsage]
            place = ''.join(traceback.format_stack(frame))
            raise RuntimeError(
                f'LocalBedrock did not stop within {_STOP_SECONDS:g} s: a reply, a condition or a fault must neither '
                f'block its thread nor ignore a cancellation. The thread is here:\n{place}'
            )

    def run(self) -> None:
        """Serve until told to stop."""
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with self._server:
            self._ready.set()
            await self._stopping.wait()
