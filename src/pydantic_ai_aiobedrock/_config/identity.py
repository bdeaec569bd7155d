"""Who a client's requests are from: what is asked of credentials, wherever they come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from botocore.exceptions import ClientError

ApiKey = str | Callable[[], str | Awaitable[str]]
"""A Bedrock API key, or a function that gives the current one."""


class NotRenewedError(Exception):
    """There are no others than the credentials that were refused; the message says whose they are."""


class Identity(Protocol):
    """Who a client's requests are from, and whether that can be found out anew."""

    @property
    def source(self) -> str:
        """Where the credentials came from, in botocore's words."""
        ...

    def is_refused(self, error: ClientError) -> bool:
        """Whether AWS refused the credentials, and not the request."""
        ...

    async def renew(self) -> None:
        """Resolve anew, once for all calls that were refused with the same credentials.

        Raises:
            NotRenewedError: There are no others.
        """
        ...

    def close(self) -> None:
        """End a resolution that is under way."""
        ...
