"""Credentials that were resolved, kept in memory for the clients of all event loops and threads."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

REMEMBERED = 256
"""Identities that are remembered at most; the least recently used is forgotten first."""

_POLL_SECONDS = 0.02

_T = TypeVar('_T')


class Kept(Generic[_T]):
    """The latest credentials of an identity, or None."""

    def __init__(self) -> None:
        self.value: _T | None = None
        self.lock: threading.Lock = threading.Lock()

    def forget(self, value: object) -> None:
        """Forget credentials that AWS refused, unless others have replaced them."""
        if self.value == value:
            self.value = None

    @asynccontextmanager
    async def resolving(self) -> AsyncGenerator[None]:
        """Keep the other threads from resolving the same identity at the same time. Not for the loop of a user."""
        lock = self.lock
        # Waiting for the lock itself could not be cancelled.
        while not lock.acquire(blocking=False):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            lock.release()


class CredentialCache:
    """Credentials by identity: by all that decides which credentials a client gets."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Kept[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def kept(self, identity: Hashable) -> Kept[Any]:
        """Return the place where the credentials of an identity are kept."""
        with self._lock:
            kept = self._kept.setdefault(identity, Kept())
            self._kept.move_to_end(identity)
            while len(self._kept) > REMEMBERED:
                self._kept.popitem(last=False)
            return kept

    def clear(self) -> None:
        """Forget all credentials."""
        with self._lock:
            self._kept.clear()

    def renew_locks(self) -> None:
        """Replace the locks, which threads of the parent process may hold, after a fork."""
        self._lock = threading.Lock()
        for kept in self._kept.values():
            kept.lock = threading.Lock()
