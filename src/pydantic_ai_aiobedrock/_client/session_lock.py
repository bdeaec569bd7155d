"""Locks of the credentials of a caller-supplied session; aiobotocore's belong to one event loop."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Final
from weakref import WeakKeyDictionary

_LOCK: Final = '_refresh_lock'


def share_between_loops(client: Any) -> None:
    """Let the credentials, and the token, that a client signs with be refreshed on any event loop.

    Clients of one session share them, whatever loops they are used on. Each loop refreshes them once at a time.
    """
    signer = client._request_signer
    for credentials in (signer._credentials, signer._auth_token):
        if isinstance(getattr(credentials, _LOCK, None), asyncio.Lock):
            setattr(credentials, _LOCK, LockPerLoop())


class LockPerLoop:
    """An `asyncio.Lock` for each event loop."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def locked(self) -> bool:
        """Return True if the lock of the running loop is held."""
        return self._of_this_loop().locked()

    async def __aenter__(self) -> None:
        await self._of_this_loop().acquire()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self._of_this_loop().release()

    def _of_this_loop(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if (lock := self._locks.get(loop)) is None:
            lock = self._locks[loop] = asyncio.Lock()
        return lock
