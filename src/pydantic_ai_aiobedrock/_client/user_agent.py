"""The User-Agent header, put together once and not twice per call."""

from __future__ import annotations

from typing import Any, Self

from botocore.context import get_context
from botocore.useragent import UserAgentString


class RememberedUserAgent(UserAgentString):
    """botocore's generator of the User-Agent header, which is a fifth of the CPU of a short call.

    What it makes depends on the client's configuration, and on the features of botocore that a call uses.
    """

    _remembered: dict[frozenset[str], str]

    def set_session_config(self, *args: Any, **kwargs: Any) -> Self:
        """Take the session's part."""
        self._remembered = {}
        return super().set_session_config(*args, **kwargs)

    def set_client_features(self, features: Any) -> None:
        """Take the features that the client was made with."""
        self._remembered = {}
        super().set_client_features(features)

    def with_client_config(self, client_config: Any) -> Self:
        """Return a copy with the client's part."""
        copy = super().with_client_config(client_config)
        copy._remembered = {}
        return copy

    def to_string(self) -> str:
        """Return the header."""
        context: Any = get_context()
        features = frozenset[str]() if context is None else frozenset[str](context.features)
        if (header := self._remembered.get(features)) is None:
            header = self._remembered[features] = super().to_string()
        return header
