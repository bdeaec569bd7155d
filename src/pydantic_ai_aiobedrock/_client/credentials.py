"""Credentials and bearer tokens of a pooled client: resolved off the loop, ahead of their expiry or when refused."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from time import time
from typing import Any, Generic, TypeVar

from aiobotocore.credentials import AioCredentials
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError, CredentialRetrievalError
from botocore.tokens import FrozenAuthToken

from pydantic_ai_aiobedrock import _telemetry
from pydantic_ai_aiobedrock._config.identity import ApiKey, NotRenewedError
from pydantic_ai_aiobedrock._in_thread import start_in_thread

logger: logging.Logger = logging.getLogger('pydantic_ai_aiobedrock')

ADVISORY_SECONDS = 15 * 60
"""Before their expiry by this much, credentials are resolved anew while calls go on with them, as botocore has it.

Calls wait for new ones in the last two thirds of this time. Credentials that live less long have half of their life in
place of it.
"""
RETRY_SECONDS = 60
"""A source that fails, or gives the same credentials again, is asked again after this, or sooner as time runs out."""
RESOLVE_TIMEOUT = 60
"""Seconds that a source may take to answer."""

_REFUSED_CREDENTIALS = frozenset(
    {
        'ExpiredTokenException',
        'ExpiredToken',
        'UnrecognizedClientException',
        'InvalidSignatureException',
        # As S3 has it.
        'InvalidAccessKeyId',
        'InvalidToken',
        'SignatureDoesNotMatch',
    }
)

_T = TypeVar('_T')


@dataclass(frozen=True)
class Resolved:
    """What botocore's chain of credential providers came to.

    Attributes:
        credentials: What to sign with.
        source: The provider's name, in botocore's words.
        expires_at: When they expire, on `time.time()`, or None if they do not say.
    """

    credentials: ReadOnlyCredentials = field(repr=False)
    source: str
    expires_at: float | None = field(default=None, compare=False)


class ResolvedCredentials(AioCredentials):
    """Credentials of botocore's chain of providers, resolved from the beginning each time.

    A shared credentials file that was rotated, a token of a new sign-on, a role's next session are all found without a
    restart. The signer asks `get_frozen_credentials` at every request.
    """

    def __init__(self, resolved: Resolved, resolve: Callable[[], Resolved | None]) -> None:
        """Take what was resolved first, and the function, to be run in a thread, that resolves it again."""
        self._latest = _Latest(resolved, self._resolve_anew)
        self._resolve = resolve
        self._due = self._needed = float('inf')
        self._hold(resolved)

    def __repr__(self) -> str:
        return f'<ResolvedCredentials from {self.source}>'

    @property
    def source(self) -> str:
        """Where the credentials came from, in botocore's words."""
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
        """Whether AWS refused the credentials, and not the request."""
        return error.response.get('Error', {}).get('Code') in _REFUSED_CREDENTIALS

    async def renew(self) -> None:
        """Resolve anew, once for all calls that were refused with the same credentials; see `Identity`."""
        await self._latest.renew(self.source)

    def close(self) -> None:
        """End a resolution that is under way."""
        self._latest.close()

    async def _resolve_anew(self) -> Resolved:
        try:
            found = await start_in_thread(self._resolve_logged)
        finally:
            self._postpone()
        if found is None:
            raise LookupError('there are none any more')
        held = self._latest.value
        if found != held or found.expires_at != held.expires_at:
            self._hold(found)
        return found

    def _resolve_logged(self) -> Resolved | None:
        try:
            return self._resolve()
        except Exception as error:
            # Nobody else may hear of it, as long as there are credentials.
            logger.warning('Resolving credentials from %s anew failed: %s', self.source, type(error).__name__)
            raise

    def _hold(self, resolved: Resolved) -> None:
        """Put credentials where botocore looks for them, and say when they are to be resolved anew."""
        credentials: Any = resolved.credentials
        super().__init__(
            credentials.access_key, credentials.secret_key, credentials.token, resolved.source, credentials.account_id
        )
        if (expires_at := resolved.expires_at) is None:
            self._due = self._needed = float('inf')
        else:
            now = time()
            ahead = min(ADVISORY_SECONDS, (expires_at - now) / 2)
            self._due = max(expires_at - ahead, now + 1)
            self._needed = expires_at - ahead * 2 / 3

    def _postpone(self) -> None:
        """Leave the source alone for a while."""
        if (expires_at := self._latest.value.expires_at) is not None:
            now = time()
            self._due = now + min(max((expires_at - now) / 2, 1), RETRY_SECONDS)


class BearerToken:
    """A Bedrock API key, in botocore's place for tokens; one given as a function is asked for when it is refused."""

    source = 'api_key'

    def __init__(self, api_key: ApiKey) -> None:
        """Take the key, or the function, sync or async, that gives it."""
        self._api_key = api_key
        token = FrozenAuthToken(api_key) if isinstance(api_key, str) else None
        self._latest = _Latest(token, self._ask)

    def load_token(self, **_: object) -> BearerToken:
        """Return the token that the client asks at every request: this one."""
        return self

    async def get_frozen_token(self) -> FrozenAuthToken:
        """Return the token to send, asking for it the first time.

        Raises:
            CredentialRetrievalError: The function failed, or gave no key.
        """
        if self._latest.value is None:
            await self._latest.resolve()
        if (token := self._latest.use()) is None:
            raise CredentialRetrievalError(provider=self.source, error_msg=self._latest.failure)
        return token

    def is_refused(self, error: ClientError) -> bool:
        """Whether AWS may have refused the token, which there may be another of, and not the request."""
        status = error.response.get('ResponseMetadata', {}).get('HTTPStatusCode')
        return callable(self._api_key) and status in (401, 403)

    async def renew(self) -> None:
        """Ask for the key again, once for all calls that were refused with the same one; see `Identity`."""
        await self._latest.renew(self.source)

    def close(self) -> None:
        """End a question that is under way."""
        self._latest.close()

    async def _ask(self) -> FrozenAuthToken:
        function = self._api_key
        assert callable(function)
        # One that is not async may read a file or call a service.
        given = function() if inspect.iscoroutinefunction(function) else await start_in_thread(function)
        api_key = await given if inspect.isawaitable(given) else given
        if not isinstance(api_key, str) or not api_key:
            raise ValueError('the function gave no key')
        return FrozenAuthToken(api_key)


_used: ContextVar[int] = ContextVar('used', default=-1)
"""Which resolution gave what this task has last signed with."""


class _Latest(Generic[_T]):
    """A value that is resolved anew at times, once for all tasks that wait for it."""

    def __init__(self, value: _T, resolve: Callable[[], Awaitable[_T]]) -> None:
        self.value = value
        self.failure = ''
        """Why the latest resolution failed, if it did."""
        self._resolve = resolve
        self._resolutions = 0
        self._changed_by = 0
        self._resolving: asyncio.Task[None] | None = None

    def use(self) -> _T:
        """Return the value, for this task to sign with."""
        _used.set(self._resolutions)
        return self.value

    async def renew(self, source: str) -> None:
        """Resolve anew unless that was done since this task last signed.

        Raises:
            NotRenewedError: It has not brought another value.
        """
        used = _used.get()
        if used == self._resolutions:
            await self.resolve()
        if used >= self._changed_by:
            outcome = f'failed when asked again: {self.failure}' if self.failure else 'gave the same when asked again'
            raise NotRenewedError(f'The credentials came from {source}, which {outcome}')

    async def resolve(self) -> None:
        """Wait for the resolution that is under way, or for a new one."""
        # Neither a task that is cancelled nor a resolution that is takes the other with it.
        await asyncio.wait([self.start()])

    def start(self) -> asyncio.Task[None]:
        """Return the resolution that is under way, or a new one."""
        if self._resolving is None:
            # An empty context: what one call brings along is nothing to the others.
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
            _telemetry.credentials_resolved(self.failure)
            self._resolutions += 1
            self._resolving = None


def _reason(error: Exception) -> str:
    if isinstance(error, CredentialRetrievalError):
        said: Any = error.kwargs
        return str(said['error_msg']).strip()
    return str(error) or type(error).__name__
