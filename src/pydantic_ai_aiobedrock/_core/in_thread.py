"""Runs functions that block, or load large files, in a thread of their own."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar, cast

from pydantic_ai_aiobedrock.errors import UnusableConfigurationError

_END_SECONDS = 5
"""A process that was killed is gone after this time."""

_T = TypeVar('_T')


def start_in_thread(function: Callable[[], _T]) -> asyncio.Future[_T]:
    """Run a function in a thread that ends with it.

    The loop's default executor would keep its thread, and could be full of the program's own work.

    Returns:
        The outcome. Cancelling it leaves the thread to end by itself.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(cast(_T, result))
        else:
            outcome.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = function()
        except StopIteration as error:
            # A future refuses it, because it would end the generator that awaits the future.
            failure = RuntimeError('StopIteration was raised.')
            failure.__cause__ = error
        except BaseException as error:
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:
            # The loop was closed while the thread ran: nothing waits for the outcome any more.
            return

    _start(run)
    return outcome


def _start(run: Callable[[], None]) -> None:
    # A patched `threading.Thread` is a greenlet of this thread, in which no second event loop can run.
    if (gevent := _gevent_that_patched('threading')) is not None:
        gevent.get_original('_thread', 'start_new_thread')(run, ())
    else:
        threading.Thread(target=run, name='pydantic-ai-aiobedrock', daemon=True).start()


def _gevent_that_patched(*modules: str) -> Any:
    """Return `gevent.monkey` if it has patched any of these modules in this process."""
    gevent: Any = sys.modules.get('gevent.monkey')
    return gevent if gevent is not None and any(map(gevent.is_module_patched, modules)) else None


def start_loop_in_thread(make_coroutine: Callable[[], Coroutine[Any, Any, _T]]) -> asyncio.Future[_T]:
    """Run a coroutine in a thread that ends with it, on an event loop of its own.

    Returns:
        The outcome. Cancelling it cancels the coroutine.
    """
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []
    cancelled = threading.Event()

    async def main() -> _T:
        started.append((asyncio.get_running_loop(), asyncio.current_task()))
        if cancelled.is_set():
            raise asyncio.CancelledError
        async with _processes_ended(asyncio.get_running_loop()):
            return await make_coroutine()

    def run() -> _T:
        # Debug mode would complain that a task takes long, which is the purpose of the thread.
        with asyncio.Runner(debug=False) as runner:
            return runner.run(main())

    def pass_on(outcome: asyncio.Future[_T]) -> None:
        if outcome.cancelled():
            cancelled.set()
            for loop, task in started:
                assert task is not None
                # The loop may have been closed meanwhile.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(task.cancel)

    outcome = start_in_thread(run)
    outcome.add_done_callback(pass_on)
    return outcome


@asynccontextmanager
async def _processes_ended(loop: Any) -> AsyncGenerator[None]:
    """Kill the processes that still run in the end, such as a `credential_process` that hangs."""
    subprocess_exec = loop.subprocess_exec
    transports: list[asyncio.SubprocessTransport] = []

    async def noted(*args: Any, **kwargs: Any) -> Any:
        if _gevent_that_patched('os', 'subprocess', 'threading') is not None:
            # gevent learns of the end of a process in the main thread only.
            raise UnusableConfigurationError(
                reason='A `credential_process` cannot be run under the monkey patching of gevent: use another source '
                'of credentials.'
            )
        transport, protocol = await subprocess_exec(*args, **kwargs)
        transports.append(transport)
        return transport, protocol

    loop.subprocess_exec = noted
    try:
        yield
    finally:
        for transport in transports:
            transport.close()
        async with asyncio.timeout(_END_SECONDS):
            while any(transport.get_returncode() is None for transport in transports):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
