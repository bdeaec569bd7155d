"""Credentials and bearer tokens of a pooled client: resolved off the loop, before they expire or when they are refused."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from aiobotocore.credentials import AioCredentials
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import ClientError, CredentialRetrievalError
from botocore.tokens import FrozenAuthToken

from pydantic_ai_aiobedrock.off_loop import start_in_thread

logger = logging.getLogger('pydantic_ai_aiobedrock')

ADVISORY_SECONDS = 15 * 60
"""Before their expiry by this much, credentials are resolved anew while calls go on with them."""
MANDATORY_SECONDS = 10 * 60
"""Before their expiry by this much, calls wait for new ones. Both are botocore's own."""
RETRY_SECONDS = 60
"""A source that gives the same credentials again, or fails while there is still time, is asked again after this."""
RESOLVE_TIMEOUT = 60
"""Seconds that a call waits at most for its credentials."""

_REFUSED_CREDENTIALS = frozenset(
    {'ExpiredTokenException', 'ExpiredToken', 'UnrecognizedClientException', 'InvalidSignatureException'}
)

ApiKey = str | Callable[[], str | Awaitable[str]]
"""A Bedrock API key, or a function that gives the current one."""


class Identity(Protocol):
    """Who a client's requests are from, and whether that can be found out anew."""

    generation: int
    """Goes up with each change, so that a call can tell whether it was refused under what is now out of date."""

    @property
    def source(self) -> str:
        """Where the credentials came from, in botocore's words."""
        ...

    def is_refused(self, error: ClientError) -> bool:
        """Whether AWS refused the credentials, and not the request."""
        ...

    async def renew(self, generation: int) -> bool:
        """Resolve anew, once for all calls that ask under one generation, and say whether anything has changed."""
        ...


class ResolvedCredentials(AioCredentials):
    """Credentials of botocore's chain of providers, resolved from the beginning each time.

    The signer asks `get_frozen_credentials` at every request. A shared credentials file that was rotated, a token of a
    new sign-on, a role's next session are all found without a restart.
    """

    def __init__(
        self,
        credentials: AioCredentials,
        frozen: ReadOnlyCredentials,
        resolve: Callable[[], tuple[AioCredentials, ReadOnlyCredentials] | None],
    ) -> None:
        """Take what was resolved first, and the function, to be run in a thread, that resolves it again."""
        super().__init__(*cast(Any, frozen), credentials.method)
        self.generation = 0
        self._credentials = credentials
        self._frozen = frozen
        self._resolve = resolve
        self._resolving: asyncio.Future[Any] | None = None
        self._not_before = 0.0

    def __repr__(self) -> str:
        return f'<ResolvedCredentials from {self.source}>'

    @property
    def source(self) -> str:
        """Where the credentials came from, in botocore's words."""
        return str(self.method)

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the credentials to sign with.

        Raises:
            CredentialRetrievalError: They have expired, or are about to, and no others can be had.
        """
        if self._expires_within(ADVISORY_SECONDS) and time.monotonic() >= self._not_before:
            resolving = self._resolve_once()
            if self._expires_within(MANDATORY_SECONDS):
                await self._wait(resolving)
        return self._frozen

    def is_refused(self, error: ClientError) -> bool:
        """Whether AWS refused the credentials, and not the request."""
        return error.response.get('Error', {}).get('Code') in _REFUSED_CREDENTIALS

    async def renew(self, generation: int) -> bool:
        """Resolve anew, once for all calls that ask under one generation, and say whether anything has changed."""
        if generation == self.generation:
            await self._wait(self._resolve_once())
        return generation != self.generation

    def _expires_within(self, seconds: int) -> bool:
        return isinstance(self._credentials, RefreshableCredentials) and self._credentials.refresh_needed(seconds)

    def _resolve_once(self) -> asyncio.Future[Any]:
        if self._resolving is None:
            self._resolving = start_in_thread(self._resolve)
            self._resolving.add_done_callback(self._resolved)
        return self._resolving

    def _resolved(self, resolving: asyncio.Future[Any]) -> None:
        self._resolving = None
        self._not_before = time.monotonic() + RETRY_SECONDS
        if resolving.cancelled():
            return
        if (error := resolving.exception()) is not None:
            logger.warning('Resolving credentials from %s again failed: %s', self.source, type(error).__name__)
            return
        if (found := resolving.result()) is not None and found[1] != self._frozen:
            self._credentials, self._frozen = found
            self.access_key, self.secret_key, self.token = self._frozen
            self.method = self._credentials.method
            self.generation += 1
            self._not_before = 0.0

    async def _wait(self, resolving: asyncio.Future[Any]) -> None:
        """Wait for the one resolution under way, which goes on for the others if this call is cancelled."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                await asyncio.shield(resolving)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if self._expires_within(0):
                raise CredentialRetrievalError(provider=self.source, error_msg=str(error)) from error


class BearerToken:
    """A Bedrock API key, in botocore's place for tokens; one given as a function is asked for when it is refused."""

    source = 'api_key'

    def __init__(self, api_key: ApiKey) -> None:
        """Take the key, or the function, sync or async, that gives it."""
        self.generation = 0
        self._api_key = api_key
        self._token = FrozenAuthToken(api_key) if isinstance(api_key, str) else None
        self._asking: asyncio.Task[None] | None = None

    def load_token(self, **_: object) -> BearerToken:
        """Return the token that the client asks at every request: this one."""
        return self

    async def get_frozen_token(self) -> FrozenAuthToken:
        """Return the token to send, asking for it the first time."""
        if self._token is None:
            await self._ask_once()
        assert self._token is not None
        return self._token

    def is_refused(self, error: ClientError) -> bool:
        """Whether AWS refused the token, and not the request."""
        return error.response.get('ResponseMetadata', {}).get('HTTPStatusCode') in (401, 403)

    async def renew(self, generation: int) -> bool:
        """Ask for the key again, once for all calls that ask under one generation, and say whether it has changed."""
        if generation == self.generation and not isinstance(self._api_key, str):
            await self._ask_once()
        return generation != self.generation

    async def _ask_once(self) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._asked)
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            await asyncio.shield(self._asking)

    def _asked(self, asking: asyncio.Task[None]) -> None:
        self._asking = None
        # Whoever waited has been told; if nobody waits any more, nobody needs to be.
        if not asking.cancelled():
            asking.exception()

    async def _ask(self) -> None:
        assert callable(self._api_key)
        if inspect.iscoroutinefunction(self._api_key):
            api_key = await self._api_key()
        else:
            # It may read a file or call a service.
            given = await start_in_thread(self._api_key)
            api_key = await given if inspect.isawaitable(given) else given
        if not isinstance(api_key, str) or not api_key:
            raise CredentialRetrievalError(provider='api_key', error_msg='the function gave no key')
        token = FrozenAuthToken(api_key)
        if self._token is not None and token != self._token:
            self.generation += 1
        self._token = token
