"""What one call asks for beyond its client's configuration."""

from __future__ import annotations

from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class CallOptions:
    """What one call asks for beyond its client's configuration.

    Attributes:
        extra_headers: HTTP headers to add to the request before it is signed.
        connect_timeout: Seconds to establish a connection, or None for the client's.
        read_timeout: Seconds between two reads from the socket, or None for the client's.
        pool_timeout: Seconds to wait for a free connection, or None for the pool's.
        max_attempts: Attempts in all, the first included, or None for the client's.
    """

    extra_headers: Mapping[str, str] | None = None
    connect_timeout: float | None = None
    read_timeout: float | None = None
    pool_timeout: float | None = None
    max_attempts: int | None = None


NO_OPTIONS = CallOptions()

call_options: ContextVar[CallOptions] = ContextVar('call_options', default=NO_OPTIONS)
"""The options of the call that this task makes. A retry is sent by the same task, so it sees them too."""


on_own_behalf: ContextVar[bool] = ContextVar('on_own_behalf', default=False)
"""True while this package opens a client or sends a request: requests for credentials are then caused by it."""


@contextmanager
def calling_with(**options: Any) -> Generator[None]:
    """Add fields of `CallOptions` to the options of the calls that this task makes within the context."""
    token = call_options.set(replace(call_options.get(), **options))
    try:
        yield
    finally:
        call_options.reset(token)


def add_extra_headers(params: MutableMapping[str, Any], **_: object) -> None:
    """Add the call's extra headers to a request that is about to be signed: a handler of botocore's `before-call`."""
    if extra_headers := call_options.get().extra_headers:
        headers: MutableMapping[str, str] = params['headers']
        for name, value in extra_headers.items():
            for existing in [key for key in headers if key.lower() == name.lower()]:
                del headers[existing]
            headers[name] = value
