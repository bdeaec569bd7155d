"""Looks up host names in threads of its own: the program may keep the default executor of its event loop busy."""

from __future__ import annotations

import socket
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

from pydantic_ai_aiobedrock._core.in_thread import start_in_thread


class Resolver(AbstractResolver):
    """Asks the operating system, like boto3 does."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host name.

        Raises:
            OSError: It has none, or no server answered.
        """
        return await start_in_thread(partial(_look_up, host, port, family))

    async def close(self) -> None:
        """Release nothing: each thread ends with its lookup."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found: list[ResolveResult] = []
    for kind, _, protocol, _, address in socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    ):
        # A link-local address of IPv6 belongs to an interface, which only its text names.
        numeric, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        found.append(ResolveResult(hostname=host, host=numeric, port=port, family=kind, proto=protocol, flags=flags))
    return found
