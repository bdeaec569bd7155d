"""Client: a signed client and its connections; each call takes the fast path, or goes through botocore."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from botocore import UNSIGNED
from botocore.exceptions import NoCredentialsError

from pydantic_ai_aiobedrock._client.botocore_call import call_botocore
from pydantic_ai_aiobedrock._client.fast_path import FastPath
from pydantic_ai_aiobedrock._client.transport import HTTPSession
from pydantic_ai_aiobedrock._config.call_options import NO_OPTIONS, CallOptions, on_own_behalf
from pydantic_ai_aiobedrock._config.client_spec import Identity


class Client:
    """A signed client of a service, and its connections.

    Attributes:
        identity: The credentials that can be resolved again, or None if they are static.
    """

    def __init__(
        self,
        client: Any,
        context: AbstractAsyncContextManager[Any],
        transport: HTTPSession | None,
        fast_path: FastPath | None,
        identity: Identity | None = None,
    ) -> None:
        """Take over an aiobotocore client, the context that closes it, and its transport."""
        self.identity: Identity | None = identity
        self._client = client
        self._context = context
        self._transport = transport
        self._fast_path = fast_path

    @property
    def meta(self) -> Any:
        """The `meta` of the aiobotocore client: its events, configuration and service model."""
        return self._client.meta

    @property
    def open_connections(self) -> int:
        """Open sockets, including idle."""
        return 0 if self._transport is None else self._transport.open_connections

    @property
    def connections_in_use(self) -> int:
        """Connections that carry a request or a stream."""
        return 0 if self._transport is None else self._transport.connections_in_use

    @property
    def connections_opened(self) -> int:
        """Connections opened since the client was made."""
        return 0 if self._transport is None else self._transport.connections_opened

    async def call(
        self, operation: str, params: Mapping[str, Any], options: CallOptions = NO_OPTIONS
    ) -> dict[str, Any]:
        """Send a request.

        Args:
            operation: The method of the aiobotocore client, such as `converse`.
            params: The parameters of the operation.
            options: The timeouts, headers and attempts of this call.

        Raises:
            botocore.exceptions.ClientError: AWS answered with an error.
            botocore.exceptions.BotoCoreError: The request could not be signed or sent, or was not answered.
        """
        token = on_own_behalf.set(True)
        try:
            fast_path = self._fast_path
            if fast_path is not None and fast_path.takes(operation, params, options):
                return await fast_path.call(operation, params, options)
            return await call_botocore(self._client, operation, params, options)
        finally:
            on_own_behalf.reset(token)

    async def connect(self, connections: int, url: str) -> None:
        """Open connections ahead of their use; see `HTTPSession.connect`."""
        if self._transport is not None:
            await self._transport.connect(connections, url)

    async def authenticate(self) -> None:
        """Resolve the credentials, or the API key, that the client signs with.

        Raises:
            botocore.exceptions.NoCredentialsError: There are none.
            botocore.exceptions.BotoCoreError: Their source failed.
        """
        token = on_own_behalf.set(True)
        try:
            signer = self._client._request_signer
            if signer.signature_version == 'bearer':
                await signer._auth_token.get_frozen_token()
            elif signer.signature_version is not UNSIGNED:
                if signer._credentials is None:
                    raise NoCredentialsError
                await signer._credentials.get_frozen_credentials()
        finally:
            on_own_behalf.reset(token)

    def abandon(self) -> None:
        """Drop the connections of an event loop that was closed before the client."""
        if self._transport is not None:
            self._transport.abandon()

    async def aclose(self) -> None:
        """Close the client's connections, those in use too."""
        if self.identity is not None:
            self.identity.close()
        await self._context.__aexit__(None, None, None)
