"""SessionPool: one signed client per event loop and `ClientSpec`, shared by every call with an equal spec."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pydantic_ai_aiobedrock._client.credential_cache import CredentialCache
from pydantic_ai_aiobedrock._config.arguments import is_count, is_positive, shown
from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._core import telemetry
from pydantic_ai_aiobedrock._core.in_thread import start_in_thread
from pydantic_ai_aiobedrock._pool.loop_pool import Lease, LoopPool, PoolLimits
from pydantic_ai_aiobedrock._pool.paced import Paced, PacingStats
from pydantic_ai_aiobedrock.errors import PoolClosedError

_Paced = TypeVar('_Paced', bound=Paced)

CLOSE_SECONDS = 5
"""Closing the clients of another thread's loop may take this long."""

ENDING_SECONDS = 0.5
"""Between the coroutines that `asyncio.run` runs in the end, a loop stands still, but not as long as this."""


@dataclass(frozen=True)
class PoolStats:
    """Counts of a `SessionPool` at a moment, over all event loops.

    Attributes:
        clients: Open clients.
        leases: Calls and streams that have a client.
        in_flight: Calls and streams that have a connection: all but those between two attempts.
        waiting: Calls that wait for a client or for a free connection.
        connections: Open connections, including idle.
        opened: Clients opened since the pool was made.
        evicted: Clients closed since the pool was made because they were idle or made room for others.
        connections_opened: Connections opened since the pool was made.
    """

    clients: int = 0
    leases: int = 0
    in_flight: int = 0
    waiting: int = 0
    connections: int = 0
    opened: int = 0
    evicted: int = 0
    connections_opened: int = 0
    pacing: tuple[PacingStats, ...] = ()


class SessionPool:
    """Shares aioboto3 sessions and their signed clients between concurrent calls.

    A client belongs to the event loop it is used on, so the pool holds its clients per running loop, and may itself be
    used from any number of loops and threads. A client is opened at the first call with its `ClientSpec`, once however
    many calls ask at the same time, and off the loop. It is closed when it has been idle, when it makes room for
    another, by `aclose`, or when its loop ends. Credentials outlive the clients: the pool keeps them, in memory, until
    they expire, are refused or their configuration changes.
    """

    def __init__(self, *, max_clients: int = 100, idle_timeout: float = 300, pool_timeout: float = 60) -> None:
        """Make an empty pool; nothing is opened.

        Args:
            max_clients: Open clients per event loop. The least recently used of those that are idle makes room for
                another, a client of a provider that is entered only if there is no other; while none is idle, calls
                wait.
            idle_timeout: Seconds after which a client that no call uses is closed.
            pool_timeout: Seconds that a call waits for a client and a free connection, before it fails with
                `PoolTimeoutError`. They begin again whenever another call of the same client is let through, so that a
                long queue that moves is no fault.

        Raises:
            ValueError: A limit is not a positive number.
        """
        if not is_count(max_clients):
            raise ValueError(
                f'`max_clients` of a SessionPool must be a positive whole number, not {shown(max_clients)}.'
            )
        for name, value in (('idle_timeout', idle_timeout), ('pool_timeout', pool_timeout)):
            if not is_positive(value):
                raise ValueError(f'`{name}` of a SessionPool must be a positive number of seconds, not {shown(value)}.')
        self._limits = PoolLimits(max_clients, idle_timeout, pool_timeout)
        self._cache = CredentialCache()
        self._loops: dict[asyncio.AbstractEventLoop, LoopPool] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._past: Counter[str] = Counter()
        _pools.add(self)
        telemetry.observe(self)

    def __repr__(self) -> str:
        state = (
            'closed' if self._closed else f'[{"; ".join(repr(loop) for loop in self._open_loops()) or "no clients"}]'
        )
        return f'<SessionPool {state}>'

    @property
    def pool_timeout(self) -> float:
        """Seconds that a call waits at most for a client and a free connection."""
        return self._limits.pool_timeout

    async def lease(self, spec: ClientSpec, pool_timeout: float | None = None, since: float | None = None) -> Lease:
        """Wait for a client of this spec, and for a free connection of it.

        Args:
            spec: The options of the client.
            pool_timeout: Seconds to wait at most, or None for the pool's own limit.
            since: The time of the event loop that `pool_timeout` counts from, now if omitted.

        Returns:
            The lease, to be released by `lease.release()` or by leaving it as a context manager.

        Raises:
            PoolClosedError: The pool is closed, or is closed while the call waits.
            PoolTimeoutError: None became free in time.
            botocore.exceptions.BotoCoreError: The client cannot be opened from this spec.
            botocore.exceptions.ClientError: A service that issues credentials refused.
        """
        return await (await self._this_loop()).lease(spec, pool_timeout, since)

    async def pacer(self, key: tuple[object, ...], make: Callable[[], _Paced]) -> _Paced:
        """Return the pacer of a key on the running event loop, made at the first call.

        Args:
            key: The spec, the kind of operation and the model.
            make: Makes the pacer.
        """
        return (await self._this_loop()).pacer(key, make)

    async def hold(self, spec: ClientSpec) -> Callable[[], None]:
        """Keep a spec's client open beyond its idle timeout until the function that is returned is called.

        When the last hold of a client ends, the client is closed as soon as no call uses it. While it is idle, it still
        makes room for a client that is needed, if no other can.
        """
        return (await self._this_loop()).hold(spec)

    def stats(self) -> PoolStats:
        """Count clients, calls and connections now, over all event loops."""
        total = Counter(self._past)
        for loop_pool in self._open_loops():
            total.update(loop_pool.counts())
        pacing = [stats for loop_pool in self._open_loops() for stats in loop_pool.pacing()]
        return PoolStats(**total, pacing=tuple(pacing))

    async def aclose(self, grace: float = 0) -> None:
        """Close every client, and refuse further calls.

        The loop of another thread that does not get round to it within 5 seconds more closes its clients when it ends.
        If this is cancelled, calls in flight may still finish, and a further `aclose` closes their clients.

        Args:
            grace: Seconds that calls and streams in flight have to finish, before their connections are closed too.
        """
        self._closed = True
        running = asyncio.get_running_loop()
        # A loop that is about to end closes its clients itself, and must not find itself run by somebody else. Nothing
        # announces that end in this thread.
        ended_at = running.time() + ENDING_SECONDS
        while True:
            loop_pools = self._open_loops()
            # Looked at once: a loop may stop or go on at any time.
            still = [each for each in loop_pools if not each.loop.is_running()]
            if running.time() > ended_at or not any(each.may_end_itself for each in still):
                break
            await asyncio.sleep(0.005)
        elsewhere = [
            asyncio.wrap_future(asyncio.run_coroutine_threadsafe(loop_pool.aclose(grace), loop_pool.loop))
            for loop_pool in loop_pools
            if loop_pool.loop is not running and loop_pool not in still
        ]
        for loop_pool in loop_pools:
            if loop_pool.loop is running:
                await loop_pool.aclose(grace)
            elif loop_pool in still:
                await _aclose_ended(loop_pool)
        if elsewhere:
            # A loop that ends meanwhile cancels its part, and closes its clients itself.
            await asyncio.wait(elsewhere, timeout=grace + CLOSE_SECONDS)
        for loop_pool in loop_pools:
            self._drop(loop_pool)
        self._cache.clear()

    async def _this_loop(self) -> LoopPool:
        loop = asyncio.get_running_loop()
        loop_pool = self._loops.get(loop)
        if self._closed:
            raise PoolClosedError('This SessionPool is closed: make the call before `aclose()`, or make a new pool.')
        if loop_pool is None:
            ended = [other for other in self._open_loops() if other.has_ended]
            loop_pool = LoopPool(loop, self._limits, self._cache)
            with self._lock:
                self._loops[loop] = loop_pool
            # First: this call may be cancelled while it closes the others.
            await loop_pool.start(self._until_loop_ends(loop_pool))
            for other in ended:
                self._drop(other)
                await _aclose_ended(other)
        return loop_pool

    async def _until_loop_ends(self, loop_pool: LoopPool) -> AsyncGenerator[None]:
        # `asyncio.run` and its kin close the generators that a loop has begun to iterate before they close the loop.
        try:
            yield
        finally:
            self._drop(loop_pool)
            # nest_asyncio's `run` leaves the loop open, and this to the garbage collector.
            if loop_pool.loop.is_running():
                await loop_pool.aclose(0)

    def _drop(self, loop_pool: LoopPool) -> None:
        """Forget a loop, but not its counts."""
        with self._lock:
            if self._loops.get(loop_pool.loop) is loop_pool:
                del self._loops[loop_pool.loop]
                counts = loop_pool.counts()
                self._past.update({name: counts[name] for name in ('opened', 'evicted', 'connections_opened')})

    def _open_loops(self) -> list[LoopPool]:
        with self._lock:
            return list(self._loops.values())

    def _close_at_exit(self) -> None:
        for loop_pool in self._open_loops():
            self._drop(loop_pool)
            if not loop_pool.loop.is_running():
                _close_ended(loop_pool)

    def _forget_after_fork(self) -> None:
        # The sockets are the parent's: they are neither used nor closed here, nor may a finalizer do so.
        _inherited.extend(self._loops.values())
        self._loops = {}
        self._lock = threading.Lock()
        self._cache.renew_locks()


async def _aclose_ended(loop_pool: LoopPool) -> None:
    """Close the clients of a loop that does not run, and that nobody will run again, without holding up this loop."""
    await asyncio.wait([start_in_thread(partial(_close_ended, loop_pool))], timeout=CLOSE_SECONDS)


def _close_ended(loop_pool: LoopPool) -> None:
    if loop_pool.loop.is_closed():
        loop_pool.abandon()
    else:
        loop_pool.loop.run_until_complete(loop_pool.aclose(0))
    loop_pool.finish()


_pools: weakref.WeakSet[SessionPool] = weakref.WeakSet()
_inherited: list[LoopPool] = []


@atexit.register
def _close_all_at_exit() -> None:
    for pool in list(_pools):
        pool._close_at_exit()  # pyright: ignore[reportPrivateUsage]


def _forget_all_after_fork() -> None:
    for pool in list(_pools):
        pool._forget_after_fork()  # pyright: ignore[reportPrivateUsage]


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forget_all_after_fork)

shared_pool: SessionPool = SessionPool()
"""The pool of every provider without a `pool` of its own."""
