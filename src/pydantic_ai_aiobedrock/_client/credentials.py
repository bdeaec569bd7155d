"""Credentials and bearer tokens of a pooled client: resolved off the loop, ahead of their expiry or when refused."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from functools import partial
from time import time
from typing import Any, Generic, Protocol, TypeVar

from aiobotocore.credentials import AioCredentials
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError, CredentialRetrievalError
from botocore.tokens import FrozenAuthToken

from pydantic_ai_aiobedrock._client.credential_cache import Kept
from pydantic_ai_aiobedrock._config.arguments import NOT_SENDABLE, is_sendable
from pydantic_ai_aiobedrock._config.client_spec import ApiKey, NotRenewedError
from pydantic_ai_aiobedrock._core import telemetry
from pydantic_ai_aiobedrock._core.in_thread import start_in_thread, start_loop_in_thread

logger: logging.Logger = logging.getLogger('pydantic_ai_aiobedrock')

ADVISORY_SECONDS = 15 * 60
"""So long before their expiry, credentials are resolved again while calls go on with them, like in botocore.

Calls wait for new credentials in the last two thirds of this time. For credentials with a shorter life it is half of
that.
"""
RETRY_SECONDS = 60
"""A source that fails, or returns the same credentials, is asked again after this, or sooner as time runs out."""
RESOLVE_TIMEOUT = 60
"""Seconds that a source may take to answer."""

_REFUSED_CREDENTIALS = frozenset(
    {
        'ExpiredTokenException',
        'ExpiredToken',
        'UnrecognizedClientException',
        'InvalidSignatureException',
        # Like S3.
        'InvalidAccessKeyId',
        'InvalidToken',
        'SignatureDoesNotMatch',
    }
)

_T = TypeVar('_T')


@dataclass(frozen=True)
class Resolved:
    """Credentials that botocore's chain of providers found.

    Attributes:
        credentials: The credentials to sign with.
        source: The provider's name, in botocore's words.
        expires_at: When they expire, on `time.time()`, or None if they do not say.
        resolved_at: When they were resolved, on `time.time()`.
    """

    credentials: ReadOnlyCredentials = field(repr=False)
    source: str
    expires_at: float | None = field(default=None, compare=False)
    resolved_at: float = field(default_factory=lambda: time(), compare=False)

    @property
    def has_expired(self) -> bool:
        """Past the expiry, if any."""
        return self.expires_at is not None and time() >= self.expires_at


class Resolve(Protocol):
    """A function that finds credentials other than those that are held."""

    def __call__(self, held: Resolved, *, refused: bool) -> Coroutine[Any, Any, Resolved | None]:
        """Return others, or the same if the source has no others; None if it has none any more.

        Args:
            held: The credentials that are to be replaced.
            refused: AWS refused them.
        """
        ...


class ResolvedCredentials(AioCredentials):
    """Credentials of botocore's chain of providers, resolved from the beginning each time.

    A shared credentials file that was rotated, a token of a new sign-on, a role's next session are all found without a
    restart. The signer asks `get_frozen_credentials` at every request.
    """

    def __init__(self, resolved: Resolved, resolve: Resolve) -> None:
        """Take the first credentials, and the function, called in a thread with a loop, that finds others."""
        self._latest = _Latest(resolved, self._resolve_anew, self._note_refusal)
        self._refused: Resolved | None = None
        self._resolve = resolve
        self._due = self._needed = float('inf')
        self._hold(resolved)

    def __repr__(self) -> str:
        return f'<ResolvedCredentials from {self.source}>'

    @property
    def source(self) -> str:
        """Source of the credentials, in botocore's words."""
        return self._latest.value.source

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the credentials to sign with.

        Raises:
            CredentialRetrievalError: They have expired, and no others can be had.
        """
        if (now := time()) >= self._due:
            if now < self._needed:
                self._latest.start()
            else:
                await self._latest.resolve()
                expires_at = self._latest.value.expires_at
                if self._latest.failure and expires_at is not None and time() >= expires_at:
                    raise CredentialRetrievalError(provider=self.source, error_msg=self._latest.failure)
        return self._latest.use().credentials

    def is_refused(self, error: ClientError) -> bool:
        """Return True if AWS refused the credentials, and not the request."""
        return error.response.get('Error', {}).get('Code') in _REFUSED_CREDENTIALS

    async def renew(self) -> None:
        """Resolve again, once for all calls that were refused with the same credentials; see `Identity`."""
        await self._latest.renew(self.source)

    def close(self) -> None:
        """End a resolution that is under way."""
        self._latest.close()

    async def _resolve_anew(self) -> Resolved:
        try:
            found = await start_loop_in_thread(partial(self._resolve_logged, self._latest.value))
        finally:
            self._postpone()
        if found is None:
            raise CredentialRetrievalError(provider=self.source, error_msg='there are none any more')
        held = self._latest.value
        if found != held or found.expires_at != held.expires_at:
            self._hold(found)
        return found

    async def _resolve_logged(self, held: Resolved) -> Resolved | None:
        try:
            return await self._resolve(held, refused=held == self._refused)
        except Exception as error:
            # Nobody else may hear of it, as long as there are credentials.
            logger.warning('Resolving credentials from %s again failed: %s', self.source, type(error).__name__)
            raise

    def _note_refusal(self, resolved: Resolved) -> None:
        self._refused = resolved

    def _hold(self, resolved: Resolved) -> None:
        """Put credentials where botocore looks for them, and decide when to resolve them again."""
        credentials: Any = resolved.credentials
        super().__init__(
            credentials.access_key, credentials.secret_key, credentials.token, resolved.source, credentials.account_id
        )
        if (expires_at := resolved.expires_at) is None:
            self._due = self._needed = float('inf')
        else:
            ahead = min(ADVISORY_SECONDS, (expires_at - resolved.resolved_at) / 2)
            self._due = max(expires_at - ahead, time() + 1)
            self._needed = expires_at - ahead * 2 / 3

    def _postpone(self) -> None:
        """Leave the source alone for a while."""
        if (expires_at := self._latest.value.expires_at) is not None:
            now = time()
            self._due = now + min(max((expires_at - now) / 2, 1), RETRY_SECONDS)


class BearerToken:
    """A Bedrock API key, in botocore's place for tokens; a function is called again when its key is refused."""

    source = 'api_key'

    def __init__(self, api_key: ApiKey, kept: Kept[FrozenAuthToken]) -> None:
        """Take the key, or the function, sync or async, that returns it, and the place of the latest token of that."""
        self._api_key = api_key
        self._kept = kept
        token = FrozenAuthToken(api_key) if isinstance(api_key, str) else kept.value
        self._latest = _Latest(token, self._ask, kept.forget)

    def load_token(self, **_: object) -> BearerToken:
        """Return this object: the token that the client resolves at every request."""
        return self

    async def get_frozen_token(self) -> FrozenAuthToken:
        """Return the token to send, asking for it the first time.

        Raises:
            CredentialRetrievalError: The function failed, or returned no key.
        """
        if self._latest.value is None:
            await self._latest.resolve()
        if (token := self._latest.use()) is None:
            raise CredentialRetrievalError(provider=self.source, error_msg=self._latest.failure)
        return token

    def is_refused(self, error: ClientError) -> bool:
        """Return True if AWS may have refused the token, of which there may be another, and not the request."""
        status = error.response.get('ResponseMetadata', {}).get('HTTPStatusCode')
        return callable(self._api_key) and status in (401, 403)

    async def renew(self) -> None:
        """Resolve the key again, once for all calls that were refused with the same key; see `Identity`."""
        await self._latest.renew(self.source)

    def close(self) -> None:
        """End a question that is under way."""
        self._latest.close()

    async def _ask(self) -> FrozenAuthToken:
        if (kept := self._kept.value) is not None and kept != self._latest.value:
            return kept
        function = self._api_key
        assert callable(function)
        # A synchronous function may read a file or call a service.
        given = function() if inspect.iscoroutinefunction(function) else await start_in_thread(function)
        api_key = await given if inspect.isawaitable(given) else given
        if not isinstance(api_key, str) or not api_key:
            raise CredentialRetrievalError(provider=self.source, error_msg='the function returned no key')
        if not is_sendable(api_key):
            reason = f'the key that the function returned {NOT_SENDABLE}: return it without, such as `key.strip()`'
            raise CredentialRetrievalError(provider=self.source, error_msg=reason)
        self._kept.value = token = FrozenAuthToken(api_key)
        return token


_used: ContextVar[int] = ContextVar('used', default=-1)
"""The number of the resolution whose credentials this task has last signed with."""


class _Latest(Generic[_T]):
    """A value that is resolved again at times, once for all tasks that wait for it."""

    def __init__(self, value: _T, resolve: Callable[[], Awaitable[_T]], note_refusal: Callable[[_T], None]) -> None:
        self.value = value
        self.failure = ''
        """Why the latest resolution failed, if it did."""
        self._resolve = resolve
        self._note_refusal = note_refusal
        self._resolutions = 0
        self._changed_by = 0
        self._resolving: asyncio.Task[None] | None = None

    def use(self) -> _T:
        """Return the value, for this task to sign with."""
        _used.set(self._resolutions)
        return self.value

    async def renew(self, source: str) -> None:
        """Resolve again unless that was done since this task last signed.

        Raises:
            NotRenewedError: It has not brought another value.
        """
        used = _used.get()
        if used == self._resolutions:
            self._note_refusal(self.value)
            await self.resolve()
        if used >= self._changed_by:
            outcome = f'failed when asked again: {self.failure}' if self.failure else 'gave the same when asked again'
            raise NotRenewedError(f'The credentials came from {source}, which {outcome}')

    async def resolve(self) -> None:
        """Wait for the resolution that is under way, or begin it."""
        # Neither a task that is cancelled nor a resolution that is takes the other with it.
        await asyncio.wait([self.start()])

    def start(self) -> asyncio.Task[None]:
        """Return the resolution that is under way, or begin it."""
        # An eager task may have ended before it was assigned.
        if self._resolving is None or self._resolving.done():
            # An empty context: the variables of a call are nothing to the others.
            self._resolving = asyncio.get_running_loop().create_task(self._run(), context=Context())
        return self._resolving

    def close(self) -> None:
        """End a resolution that is under way."""
        if self._resolving is not None:
            self._resolving.cancel()

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                value = await self._resolve()
        except TimeoutError:
            self.failure = f'no answer within {RESOLVE_TIMEOUT} s'
        except Exception as error:
            self.failure = _reason(error)
        except BaseException:
            self.failure = 'the client was closed'
            raise
        else:
            self.failure = ''
            if value != self.value:
                self._changed_by = self._resolutions + 1
            self.value = value
        finally:
            telemetry.credentials_resolved(self.failure)
            self._resolutions += 1
            self._resolving = None


def _reason(error: Exception) -> str:
    if isinstance(error, CredentialRetrievalError):
        said: Any = error.kwargs
        return str(said['error_msg']).strip()
    return f'{type(error).__name__}: {error}'
