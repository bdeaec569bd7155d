"""Errors of the Converse codec."""

from __future__ import annotations

from typing import Self


class ConverseEncodeError(ValueError):
    """A request holds a value that JSON cannot carry."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path: list[str | int] = []
        super().__init__(reason)

    def __str__(self) -> str:
        path = ''.join(f'[{step}]' if isinstance(step, int) else f'.{step}' for step in reversed(self.path))
        return f'JSON cannot carry the request: {path.removeprefix(".") or "it"} {self.reason}'


class ConverseDecodeError(ValueError):
    """An event is none of Converse's: not a JSON object, or with a blob that is not base64."""


class ConverseStreamError(Exception):
    """An exception that Bedrock sent in the middle of a stream."""

    def __init__(
        self,
        code: str,
        message: str,
        original_status_code: int | None = None,
        original_message: str | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.original_status_code = original_status_code
        """The status from the model itself, in a `modelStreamErrorException`."""
        self.original_message = original_message
        """The model's own message, in a `modelStreamErrorException`."""
        super().__init__(f'{code}: {message}')

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, int | None, str | None]]:
        """Return the arguments of the constructor, which are not those of `Exception`."""
        return type(self), (self.code, self.message, self.original_status_code, self.original_message)
