"""The clients that are compared: each module has one class `Peer`, and is run by an interpreter of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.conversations import Conversation

REGION = 'us-east-1'


@dataclass(frozen=True)
class Endpoint:
    """Where the server is, and whether the client's limits are raised for it.

    Attributes:
        url: The base URL.
        tuned: Whether the peer may raise what limits its concurrency (connections, threads), as its users would;
            if not, it is used with its default settings.
    """

    url: str
    tuned: bool


class PeerClient(Protocol):
    """What the worker asks of a peer."""

    async def setup(self, endpoint: Endpoint) -> None:
        """Make the client, as a program would at its start."""

    def prepare(self, conversation: Conversation) -> Any:
        """Put a conversation into the types that the peer's users have it in."""

    async def request(self, prepared: Any) -> str | None:
        """Send it and return the text of the answer."""

    async def stream(self, prepared: Any, seen: Callable[[Any], None]) -> None:
        """Send it and call `seen` with the text of each delta as it arrives."""

    async def run(self, prepared: Any) -> str | None:
        """Run the peer's agent, where it has one of its own, and return the text of the answer."""

    async def agent(self, prepared: Any, seen: Callable[[Any], None]) -> None:
        """Stream through the peer's agent, where it has one of its own."""

    async def teardown(self) -> None:
        """Close what was made."""
