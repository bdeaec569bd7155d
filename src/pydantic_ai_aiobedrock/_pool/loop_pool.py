"""The clients of one event loop: `LoopPool._settle` decides every transition, synchronously; I/O happens outside it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from pydantic_ai_aiobedrock._client.credential_cache import CredentialCache
from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._core import telemetry
from pydantic_ai_aiobedrock._pool.open_client import open_client
from pydantic_ai_aiobedrock._pool.paced import Paced, PacingStats
from pydantic_ai_aiobedrock._pool.pooled_client import ClientState, PooledClient
from pydantic_ai_aiobedrock.errors import OpeningError, PoolClosedError, PoolTimeoutError

if TYPE_CHECKING:
    from pydantic_ai_aiobedrock._client.client import Client


OPEN_SECONDS = 60
"""Opening a client takes this long at most, the resolution of its credentials included."""


REMEMBERED_PACERS = 1024
"""Models whose pacing is remembered; beyond, those that are not throttled are forgotten."""


_Paced = TypeVar('_Paced', bound=Paced)


class PoolLimits(NamedTuple):
    """The limits of a `SessionPool`; see there."""

    max_clients: int
    idle_timeout: float
    pool_timeout: float


class Lease:
    """The right to make a call, or to read a stream, with `client`. Release it once, on every path."""

    __slots__ = ('_pool', '_pooled', 'client')

    def __init__(self, pool: LoopPool, pooled: PooledClient) -> None:
        self._pool: LoopPool | None = pool
        self._pooled = pooled
        assert pooled.opened is not None
        self.client: Client = pooled.opened

    def release(self) -> None:
        """Give the lease back; a second time is harmless. Only on the lease's own loop."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.release(self._pooled)

    def retire(self) -> None:
        """Let the client be closed after its last call: the next call opens another."""
        if self._pool is not None:
            self._pool.retire(self._pooled)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class LoopPool:
    """The clients of one event loop. Its methods run on that loop, but for `counts`, `abandon`, `finish` and `repr`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: PoolLimits, cache: CredentialCache) -> None:
        self.loop = loop
        self._thread = threading.current_thread()
        self._limits = limits
        self._cache = cache
        # In the order of their last use.
        self._clients: dict[ClientSpec, PooledClient] = {}
        self._retired: list[PooledClient] = []
        self._unclosed: list[PooledClient] = []
        self._waiting: dict[ClientSpec, dict[asyncio.Future[Lease], None]] = {}
        self._holds: Counter[ClientSpec] = Counter()
        self._granted_at: dict[ClientSpec, float] = {}
        self._pacers: dict[tuple[object, ...], Paced] = {}
        self._most_pacers = REMEMBERED_PACERS
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._drained = asyncio.Event()
        self._sweep: asyncio.TimerHandle | None = None
        self._end_of_loop: AsyncGenerator[None] | None = None
        self._opened = self._evicted = self._connections_opened = 0

    def __repr__(self) -> str:
        idle = sum(1 for pooled in list(self._clients.values()) if pooled.is_idle)
        counts = self.counts()
        return (
            f'Clients: {counts["clients"]} open, {idle} idle | Calls: {counts["leases"]} in flight, '
            f'{counts["waiting"]} waiting | Connections: {counts["connections"]}'
        )

    @property
    def has_ended(self) -> bool:
        """The loop was closed, or stands still and the thread that ran it is gone."""
        return self.loop.is_closed() or not (self.loop.is_running() or self._thread.is_alive())

    @property
    def may_end_itself(self) -> bool:
        """The thread of the loop, which is another, lives: while the loop stands still, it may be about to close it."""
        return self._thread is not threading.current_thread() and self._thread.is_alive() and not self.loop.is_closed()

    async def start(self, end_of_loop: AsyncGenerator[None]) -> None:
        """Begin to iterate the generator whose closing, at the end of the loop, closes this pool."""
        self._end_of_loop = end_of_loop
        await anext(end_of_loop)

    def finish(self) -> None:
        """Close that generator once the pool is closed and the loop stands still."""
        # Collected, it would leave its closing to the loop, which warns of it when it is collected or closed itself.
        if self._end_of_loop is not None:
            with suppress(StopIteration):
                self._end_of_loop.aclose().__await__().send(None)

    async def lease(self, spec: ClientSpec, pool_timeout: float | None, since: float | None = None) -> Lease:
        """Wait for a free connection of the spec's client; see `SessionPool.lease`."""
        pooled = self._clients.get(spec)
        if pooled is not None and pooled.has_room and spec not in self._waiting:
            return self._grant(pooled)
        granted: asyncio.Future[Lease] = self.loop.create_future()
        self._waiting.setdefault(spec, {})[granted] = None
        self._act(self._settle())
        limit = self._limits.pool_timeout if pool_timeout is None else pool_timeout
        began = self.loop.time()
        try:
            while not granted.done():
                if pool_timeout is None:
                    # A long queue that moves is no fault, unless the call has a bound of its own.
                    waits_since = max(began, self._granted_at.get(spec, began))
                else:
                    waits_since = began if since is None else since
                if (left := waits_since + limit - self.loop.time()) <= 0:
                    break
                await asyncio.wait([granted], timeout=left)
        except BaseException:
            self._give_up(spec, granted)
            raise
        if granted.done():
            return granted.result()
        self._give_up(spec, granted)
        telemetry.pool_timed_out()
        raise self._pool_timeout(spec, limit)

    def pacer(self, key: tuple[object, ...], make: Callable[[], _Paced]) -> _Paced:
        """Return the pacer of a key; see `SessionPool.pacer`."""
        pacer: Any = self._pacers.get(key)
        if pacer is None:
            if len(self._pacers) >= self._most_pacers:
                self._pacers = {other: kept for other, kept in self._pacers.items() if not kept.is_idle}
                # Thousands that cannot be forgotten yet are not looked through for each that is new.
                self._most_pacers = max(REMEMBERED_PACERS, 2 * len(self._pacers))
            pacer = self._pacers[key] = make()
        return pacer

    def pacing(self) -> list[PacingStats]:
        """Return the statistics of the pacers that have been throttled."""
        return [stats for pacer in list(self._pacers.values()) if (stats := pacer.stats()).throttled]

    def release(self, pooled: PooledClient) -> None:
        """Take a lease back."""
        pooled.leases -= 1
        if not pooled.leases:
            pooled.idle_since = self.loop.time()
            self._watch_idle()
        if self._waiting or pooled.state is not ClientState.READY:
            self._act(self._settle())

    def retire(self, pooled: PooledClient) -> None:
        """Lease a client no more, and close it when its last call has ended. The next call opens another."""
        if pooled.state is ClientState.READY:
            pooled.move(ClientState.RETIRED, 'no longer wanted')
        self._act(self._settle())

    def hold(self, spec: ClientSpec) -> Callable[[], None]:
        """Keep the spec's client beyond its idle timeout; see `SessionPool.hold`."""
        self._holds[spec] += 1
        held = True

        def end() -> None:
            nonlocal held
            if held:
                held = False
                self._holds[spec] -= 1
                if not self._holds[spec]:
                    del self._holds[spec]
                    if (pooled := self._clients.get(spec)) is not None:
                        self.retire(pooled)

        return end

    async def aclose(self, grace: float) -> None:
        """Close every client: those that are idle at once, the others after `grace` seconds at the latest.

        May be called again after it was cancelled.
        """
        self._closing = True
        for pacer in self._pacers.values():
            pacer.close()
        if self._sweep is not None:
            self._sweep.cancel()
        self._act(self._settle())
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._drained.wait()
        await self._until_tasks_end()
        # The clients of calls in flight, and those whose closing was cancelled when all tasks of the loop were.
        self._unclosed += self._retired
        self._retired.clear()
        for pooled in list(self._unclosed):
            self._own(self._close(pooled))
        await self._until_tasks_end()

    async def _until_tasks_end(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def abandon(self) -> None:
        """Drop the connections of a loop that was closed under them; nothing can be awaited any more."""
        for pooled in (*self._clients.values(), *self._retired, *self._unclosed):
            if pooled.opened is not None:
                pooled.opened.abandon()
        self._clients.clear()
        self._retired.clear()
        self._unclosed.clear()

    def counts(self) -> Counter[str]:
        """Count the numbers that `PoolStats` names. Other threads may call this, so it iterates over copies only."""
        pooled_clients = [*self._clients.values(), *self._retired]
        clients = [opened for pooled in [*pooled_clients, *self._unclosed] if (opened := pooled.opened) is not None]
        return Counter(
            clients=sum(1 for pooled in pooled_clients if pooled.state is not ClientState.OPENING),
            leases=sum(pooled.leases for pooled in pooled_clients),
            in_flight=sum(client.connections_in_use for client in clients),
            waiting=sum(len(queue) for queue in list(self._waiting.values())),
            connections=sum(client.open_connections for client in clients),
            opened=self._opened,
            evicted=self._evicted,
            connections_opened=self._connections_opened + sum(client.connections_opened for client in clients),
        )

    def _settle(self) -> tuple[list[PooledClient], list[PooledClient]]:
        """Decide every transition that is due, and return the clients to be opened and those to be closed."""
        to_open: list[PooledClient] = []
        now = self.loop.time()
        for spec, pooled in list(self._clients.items()):
            expired = pooled.is_idle and now - pooled.idle_since >= self._limits.idle_timeout and not self._holds[spec]
            if pooled.state < ClientState.RETIRED and (expired or self._closing):
                self._evicted += expired
                pooled.move(ClientState.RETIRED, 'idle for too long' if expired else 'the pool is closed')
            if pooled.state is ClientState.RETIRED:
                del self._clients[spec]
                self._retired.append(pooled)
        for spec, queue in list(self._waiting.items()):
            if self._closing:
                self._fail(spec, PoolClosedError('The SessionPool was closed while the call waited for a client.'))
                continue
            pooled = self._clients.get(spec)
            if pooled is None and (len(self._clients) < self._limits.max_clients or self._evict_one()):
                self._clients[spec] = pooled = PooledClient(spec)
                to_open.append(pooled)
            while queue and pooled is not None and pooled.has_room:
                waiting = next(iter(queue))
                del queue[waiting]
                waiting.set_result(self._grant(pooled))
            if not queue:
                del self._waiting[spec]
                self._granted_at.pop(spec, None)
        to_close = [pooled for pooled in self._retired if not pooled.leases]
        self._retired = [pooled for pooled in self._retired if pooled.leases]
        if self._closing and not self._retired:
            self._drained.set()
        return to_open, to_close

    def _evict_one(self) -> bool:
        """Retire the idle client that was used least recently; a held client only if no other is idle."""
        idle = [pooled for pooled in self._clients.values() if pooled.is_idle]
        if not idle:
            return False
        evicted = next((pooled for pooled in idle if not self._holds[pooled.spec]), idle[0])
        del self._clients[evicted.spec]
        evicted.move(ClientState.RETIRED, 'another client takes its place')
        self._retired.append(evicted)
        self._evicted += 1
        return True

    def _grant(self, pooled: PooledClient) -> Lease:
        self._clients[pooled.spec] = self._clients.pop(pooled.spec)
        pooled.leases += 1
        if pooled.spec in self._waiting:
            self._granted_at[pooled.spec] = self.loop.time()
        return Lease(self, pooled)

    def _fail(self, spec: ClientSpec, error: Exception) -> None:
        self._granted_at.pop(spec, None)
        for waiting in self._waiting.pop(spec, {}):
            waiting.set_exception(error)

    def _give_up(self, spec: ClientSpec, granted: asyncio.Future[Lease]) -> None:
        """Take a call out of the queue; it may have been granted, or failed, at the last moment."""
        if (queue := self._waiting.get(spec)) is not None and queue.pop(granted, granted) is None:
            self._act(self._settle())
        elif granted.exception() is None:
            granted.result().release()

    def _pool_timeout(self, spec: ClientSpec, limit: float) -> PoolTimeoutError:
        pooled = self._clients.get(spec)
        if pooled is None:
            reason = (
                f'the SessionPool has {len(self._clients)} clients (`max_clients` is {self._limits.max_clients}), none '
                'of them idle. Raise `max_clients` of the SessionPool, or give the providers equal arguments, so that '
                'they share a client.'
            )
        elif pooled.state is ClientState.OPENING:
            reason = f'the client is still being opened ({pooled.step}).'
        else:
            reason = (
                f'{pooled.leases} calls are in flight (`max_connections` is {spec.max_connections}) and '
                f'{len(self._waiting.get(spec, ()))} are waiting. Run fewer agents at once, or raise `max_connections` '
                'of the provider or `pool_timeout` of its SessionPool.'
            )
        return PoolTimeoutError(endpoint_url=spec.endpoint, pool_timeout=limit, reason=reason)

    def _act(self, decided: tuple[list[PooledClient], list[PooledClient]]) -> None:
        to_open, to_close = decided
        for pooled in to_open:
            pooled.opening = self._own(self._open(pooled))
        for pooled in to_close:
            if pooled.opening is not None:
                pooled.opening.cancel()
            else:
                self._unclosed.append(pooled)
                self._own(self._close(pooled))

    def _own(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # An empty context: the client outlives the call, and the trace, that happened to open or close it.
        task = self.loop.create_task(coroutine, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _open(self, pooled: PooledClient) -> None:
        failure: Exception = OpeningError(endpoint_url=pooled.spec.endpoint, reason='the opening was cancelled')
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                pooled.opened = await open_client(pooled.spec, self._cache, pooled.begin)
        except TimeoutError:
            reason = f'the client could not be opened ({pooled.step} took too long).'
            failure = PoolTimeoutError(endpoint_url=pooled.spec.endpoint, pool_timeout=OPEN_SECONDS, reason=reason)
        except Exception as error:
            failure = error
        finally:
            # The opening is also cancelled, and the client given up, when all tasks of the loop are.
            pooled.opening = None
            if pooled.opened is None:
                pooled.move(ClientState.CLOSED, f'{type(failure).__name__} while it was opened')
                if self._clients.get(pooled.spec) is pooled:
                    del self._clients[pooled.spec]
                    self._fail(pooled.spec, failure)
            else:
                pooled.move(ClientState.READY, 'opened')
                pooled.idle_since = self.loop.time()
                self._opened += 1
                self._watch_idle()
            self._act(self._settle())

    async def _close(self, pooled: PooledClient) -> None:
        pooled.move(ClientState.CLOSED, 'closed')
        assert pooled.opened is not None
        await pooled.opened.aclose()
        self._unclosed.remove(pooled)
        self._connections_opened += pooled.opened.connections_opened

    def _watch_idle(self) -> None:
        if self._sweep is None and not self._closing:
            self._sweep = self.loop.call_later(self._limits.idle_timeout, self._close_idle)

    def _close_idle(self) -> None:
        self._sweep = None
        self._act(self._settle())
        idle = [each.idle_since for each in self._clients.values() if each.is_idle and not self._holds[each.spec]]
        if idle:
            # A timer may be early by the resolution of the clock.
            due = max(min(idle) + self._limits.idle_timeout, self.loop.time() + 0.01)
            self._sweep = self.loop.call_at(due, self._close_idle)
