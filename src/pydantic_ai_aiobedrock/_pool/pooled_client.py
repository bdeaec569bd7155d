"""PooledClient: a client of the pool, with its state and the count of its leases."""

from __future__ import annotations

import asyncio
import logging
from enum import IntEnum
from typing import TYPE_CHECKING

from pydantic_ai_aiobedrock._config.client_spec import ClientSpec

if TYPE_CHECKING:
    from pydantic_ai_aiobedrock._client.client import Client

logger: logging.Logger = logging.getLogger('pydantic_ai_aiobedrock.pool')


class ClientState(IntEnum):
    """State of a client of the pool. It only ever moves forward."""

    OPENING = 0
    READY = 1
    RETIRED = 2
    CLOSED = 3


class PooledClient:
    """A client, its state and its leases."""

    __slots__ = ('idle_since', 'leases', 'opened', 'opening', 'spec', 'state', 'step')

    def __init__(self, spec: ClientSpec) -> None:
        self.spec: ClientSpec = spec
        self.state: ClientState = ClientState.OPENING
        self.opening: asyncio.Task[None] | None = None
        self.step: str = 'starting a thread'
        self.opened: Client | None = None
        self.leases: int = 0
        self.idle_since: float = 0.0

    def move(self, state: ClientState, reason: str) -> None:
        """Change the state, and leave a trace of that in the debug log."""
        logger.debug(
            '%s: %s -> %s (%s), %d leases', self.spec.endpoint, self.state.name, state.name, reason, self.leases
        )
        self.state = state

    def begin(self, step: str) -> None:
        """Note the step of opening that comes next. Called from the thread that opens the client."""
        logger.debug('%s: %s', self.spec.endpoint, step)
        self.step = step

    @property
    def is_idle(self) -> bool:
        """Open, and used by no call."""
        return self.state is ClientState.READY and not self.leases

    @property
    def has_room(self) -> bool:
        """Open, with a free connection."""
        return self.state is ClientState.READY and self.leases < self.spec.max_connections
