"""Runs what blocks, or loads large files, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar, cast

_T = TypeVar('_T')


def start_in_thread(function: Callable[[], _T]) -> asyncio.Future[_T]:
    """Run a function in a thread that ends with it.

    The loop's default executor would keep its thread, and could be full of what the program runs there.

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
        except BaseException as error:
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:
            # The loop was closed while the thread ran: nobody waits any more.
            return

    threading.Thread(target=run, name='pydantic-ai-aiobedrock', daemon=True).start()
    return outcome
