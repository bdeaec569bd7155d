"""Calls that create something in AWS, whose outcome must be known even if the caller is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

_T = TypeVar('_T')


async def settled(
    call: Coroutine[Any, Any, _T], patience: float
) -> tuple[asyncio.Task[_T], asyncio.CancelledError | None]:
    """Run a call to its end; cutting its connection would leave what it creates there, or not.

    Args:
        call: The call.
        patience: Seconds that the call may still take after a cancellation, before it is cancelled, too.

    Returns:
        The call, which has ended, and the cancellation that the caller must raise, if any.
    """
    task = asyncio.create_task(call)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError as cancelled:
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task], timeout=patience)
            task.cancel()
            await asyncio.wait([task])
        return task, cancelled
    return task, None
