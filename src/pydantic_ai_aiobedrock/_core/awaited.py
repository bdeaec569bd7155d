"""Refusal of coroutine methods that are called in worker threads, as if they blocked."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from pydantic_ai_aiobedrock.errors import AsyncClientError

_P = ParamSpec('_P')
_T = TypeVar('_T')

_RUN_THREADS: Final = frozenset({'anyio', 'concurrent', 'pydantic_ai'})


def awaited(method: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Refuse calls by `anyio.to_thread`, `asyncio.to_thread` and executors, which would return the coroutine.

    Pydantic AI's own models call the methods of their client like this.
    """

    @wraps(method)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> Coroutine[Any, Any, _T]:
        caller: str = sys._getframe(1).f_globals.get('__name__', '')  # pyright: ignore[reportPrivateUsage]
        # Task groups call coroutine functions, too, but on a loop.
        if caller.partition('.')[0] in _RUN_THREADS and asyncio._get_running_loop() is None:
            raise AsyncClientError(
                f'`{method.__name__}` of a pydantic_ai_aiobedrock.BedrockProvider is a coroutine, and was called in a '
                'worker thread. As the model of such a provider, use BedrockConverseModel and BedrockEmbeddingModel of '
                'pydantic_ai_aiobedrock: those of pydantic_ai call a boto3 client. In code of your own, await it.'
            )
        return method(*args, **kwargs)

    return call
