"""Where answers come from, if not from a model of the endpoint's own."""

from __future__ import annotations

from typing import Protocol

from local_bedrock.keys import Keyring
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Answer


class Source(Protocol):
    """What AWS has answered, or answers now."""

    async def open(self, keyring: Keyring) -> None:
        """Get ready, before the first request."""
        ...

    async def answer(self, request: RecordedRequest) -> Answer:
        """Return the answer to a request.

        Raises:
            UnrecordedRequestError: There is none.
            SourceError: It cannot be had.
        """
        ...

    async def close(self) -> None:
        """Close what was opened, after the last request."""
        ...
