"""The listening sockets of an endpoint, which may stop accepting and start again on the same port."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, Literal

Refusal = Literal['refuse', 'ignore']
"""The fate of new connections: they are refused, as by a machine on which nothing listens, or their SYN packets are
ignored, as by a machine that is gone or overloaded."""

# Clients may come by the thousand at once; the system's own limit applies above this.
_BACKLOG = 4096
_ACCEPTED_AT_ONCE = 64
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RETRY_SECONDS = 0.1
# The system keeps a connection more than its backlog.
_FILLERS = 2

_Address = tuple[socket.AddressFamily, Any]


class Listener:
    """Accepts connections at an address, on the running loop, until it is told to stop."""

    def __init__(self, accepted: Callable[[socket.socket], None]) -> None:
        self._accepted = accepted
        self._loop = asyncio.get_running_loop()
        self._addresses: list[_Address] = []
        self._listening: list[socket.socket] = []
        self._held: list[socket.socket] = []
        self._retry: asyncio.TimerHandle | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen, and return the port.

        Raises:
            OSError: The address cannot be had.
        """
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                # All addresses of a name listen on the port that the first has got.
                bound = _bind((family, (address[0], port, *address[2:])))
                self._listening.append(bound)
                self._addresses.append((family, bound.getsockname()))
                port = bound.getsockname()[1]
                bound.listen(_BACKLOG)
        except OSError:
            self.close()
            raise
        self._watch()
        return port

    def stop(self, how: Refusal) -> None:
        """Accept no more connections; the port stays taken."""
        self.close()
        for address in self._addresses:
            holding = _bind(address)
            # Nobody else can bind to the port as long as this socket does not allow it.
            holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            self._held.append(holding)
            if how == 'ignore':
                holding.listen(0)
                self._held.extend(_connect(address) for _ in range(_FILLERS))

    def resume(self) -> None:
        """Accept connections again; a client that was kept waiting is accepted when it tries again."""
        if self._listening:
            return
        self.close()
        for address in self._addresses:
            bound = _bind(address)
            self._listening.append(bound)
            bound.listen(_BACKLOG)
        self._watch()

    def close(self) -> None:
        """Close the listening sockets; the connections that they have accepted stay."""
        self._unwatch()
        for held in (*self._listening, *self._held):
            held.close()
        self._listening, self._held = [], []

    def _watch(self) -> None:
        self._retry = None
        for listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)

    def _unwatch(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            return
        for listening in self._listening:
            self._loop.remove_reader(listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_FILES:
                    raise
                self._unwatch()
                self._retry = self._loop.call_later(_RETRY_SECONDS, self._watch)
                return
            connection.setblocking(False)
            self._accepted(connection)


def _bind(address: _Address) -> socket.socket:
    family, where = address
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(where)
    except OSError as error:
        bound.close()
        raise OSError(error.errno, error.strerror, f'{where[0]}:{where[1]}') from None
    return bound


def _connect(address: _Address) -> socket.socket:
    """Open a connection that takes room in the backlog."""
    family, where = address
    filler = socket.socket(family, socket.SOCK_STREAM)
    filler.setblocking(False)
    filler.connect_ex(where)
    return filler
