"""An event loop on a thread of its own, for code that is not async."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextlib import AbstractAsyncContextManager

_START_SECONDS = 30.0


class ServingThread(threading.Thread):
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
        """Stop, and return when everything is closed."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)
        self.join()

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
