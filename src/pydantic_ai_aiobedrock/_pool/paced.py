"""Pacing of models, as the pool sees it: it lives with the clients of an event loop, and ends with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class PacingStats:
    """Pacing of a model that AWS throttles, or has throttled.

    Attributes:
        model: The model id.
        family: The kind of operation: `chat`, `count_tokens` or `invoke_model`.
        region: The AWS region.
        throttling: Whether calls are held back at present.
        rate: Calls, or tokens, per second that are sent; None while nothing is held back.
        quota: The kind of quota that `rate` is of.
        throttled: Attempts that AWS has refused.
        waiting: Calls that wait to be sent.
        longest_wait: Seconds that the first of them has waited.
    """

    model: str
    family: str
    region: str
    throttling: bool
    rate: float | None
    quota: Literal['requests', 'tokens'] | None
    throttled: int
    waiting: int
    longest_wait: float


class Paced(Protocol):
    """Pacing of a model on an event loop."""

    @property
    def is_idle(self) -> bool:
        """Nothing waits or is in flight, and nothing is known that is worth keeping."""
        ...

    def stats(self) -> PacingStats:
        """Return the figures of now."""
        ...

    def close(self) -> None:
        """Fail the calls that wait: the pool is closed."""
        ...
