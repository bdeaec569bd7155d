"""CallOptions: the timeouts, headers, attempts and conversation of a single call, beyond its client's configuration."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from pydantic_ai_aiobedrock._config.conversation import Conversation

Throttling = Literal['wait', 'raise']
"""The reaction of a throttled call: it waits for as long as other calls of its model get through, or raises at once."""


@dataclass(frozen=True)
class CallOptions:
    """Options of a single call, beyond its client's configuration.

    Attributes:
        extra_headers: HTTP headers to add to the request.
        connect_timeout: Seconds to establish a connection, or None for the client's.
        read_timeout: Seconds between two reads from the socket, or None for the client's.
        write_timeout: Seconds for the server to take the next 64 KiB of the request, or None for the client's
            `read_timeout`.
        pool_timeout: Seconds to wait for a free connection, or None for the pool's.
        max_attempts: Attempts in all, the first included, or None for the client's.
        throttling: To wait while AWS throttles the model, or to raise at once; None for the provider's choice.
        conversation: The conversation that the call goes on with, or None to encode it whole. The list of messages is
            the call's own then: it is emptied once it is encoded.
        paced: Throttled attempts end the call below the runtime, which paces them, instead of being retried.
    """

    extra_headers: Mapping[str, str] | None = field(default=None, repr=False)
    connect_timeout: float | None = None
    read_timeout: float | None = None
    write_timeout: float | None = None
    pool_timeout: float | None = None
    max_attempts: int | None = None
    throttling: Throttling | None = None
    conversation: Conversation | None = None
    paced: bool = False


NO_OPTIONS = CallOptions()
PACED = CallOptions(paced=True)

call_options: ContextVar[CallOptions] = ContextVar('call_options', default=NO_OPTIONS)
"""The options of the call that this task makes, where they cross code that passes no argument of ours on.

That is Pydantic AI's, between a model's settings and its client, and botocore's, between a client and its transport.
Everywhere else the options are an argument.
"""

on_own_behalf: ContextVar[bool] = ContextVar('on_own_behalf', default=False)
"""True while this package opens a client or sends a request: requests for credentials are then caused by it."""


@contextmanager
def calling_with(options: CallOptions) -> Generator[None]:
    """Carry the options of a call through other people's code."""
    token = call_options.set(options)
    try:
        yield
    finally:
        call_options.reset(token)
