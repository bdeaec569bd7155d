"""ClientSpec: everything that makes two signed clients differ, credentials included."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession


ApiKey = str | Callable[[], str | Awaitable[str]]
"""A Bedrock API key, or a function that returns the current key."""


class NotRenewedError(Exception):
    """The credentials that were refused cannot be replaced; the message names their source."""


class Identity(Protocol):
    """Credentials of a client that can be resolved again."""

    @property
    def source(self) -> str:
        """The source of the credentials, by botocore's name."""
        ...

    def is_refused(self, error: ClientError) -> bool:
        """Return True if AWS refused the credentials, and not the request."""
        ...

    async def renew(self) -> None:
        """Resolve the credentials again, once for all calls that were refused with the same credentials.

        Raises:
            NotRenewedError: There are no others.
        """
        ...

    def close(self) -> None:
        """End a resolution that is under way."""
        ...


class Aioboto3Session(Protocol):
    """The shape of an `aioboto3.Session`: aioboto3 is optional, and its types are in a distribution of their own."""

    @property
    def client(self) -> Callable[..., AbstractAsyncContextManager[Any]]:
        """The method that makes clients."""
        ...


def aws_environment() -> tuple[tuple[str, str], ...]:
    """Return the `AWS_*` variables of this moment: a client made under others is another client."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith('AWS_')))


@dataclass(frozen=True, kw_only=True)
class ClientSpec:
    """Options of a client of a `SessionPool`. Calls with equal specs share one client per event loop.

    Attributes:
        service_name: The service, by botocore's name.
        region_name: The AWS region that requests are signed for.
        endpoint_url: The endpoint, or None for the region's own.
        profile_name: The profile of the AWS configuration files, or None for the default profile.
        aws_access_key_id: A static access key, or None for botocore's chain of credential providers.
        aws_secret_access_key: The secret of the access key.
        aws_session_token: The session token of temporary credentials.
        api_key: A Bedrock API key (bearer token), or a function that returns it; used instead of signatures.
        read_timeout: Seconds between two reads from a connection.
        connect_timeout: Seconds to establish a connection.
        max_connections: Calls and streams in flight at most; more wait for a free connection.
        session: The session to make the client of, or None for a new session.
        config: botocore options that take precedence over the above, compared by identity.
        environment: The `AWS_*` variables when the spec was made.
    """

    service_name: Literal['bedrock-runtime', 'bedrock', 's3'] = 'bedrock-runtime'
    region_name: str
    endpoint_url: str | None = None
    profile_name: str | None = None
    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)
    api_key: ApiKey | None = field(default=None, repr=False)
    read_timeout: float = 300
    connect_timeout: float = 60
    max_connections: int = 1000
    session: Aioboto3Session | AioSession | None = field(default=None, repr=False)
    config: AioConfig | None = field(default=None, repr=False)
    environment: tuple[tuple[str, str], ...] = field(default_factory=aws_environment, repr=False)

    def __hash__(self) -> int:
        # Of few fields: each call looks its client up several times, and the environment is long.
        return hash(
            (self.region_name, self.endpoint_url, self.profile_name, self.aws_access_key_id, self.api_key, self.session)
        )

    @property
    def endpoint(self) -> str:
        """The endpoint, as messages name it."""
        return self.endpoint_url or f'Bedrock in {self.region_name}'


def botocore_session(session: Aioboto3Session | AioSession) -> AioSession:
    """Return the AioSession that an aioboto3 session wraps, or the session itself."""
    # The module of a session is imported already.
    from aiobotocore.session import AioSession

    return session if isinstance(session, AioSession) else cast(Any, session)._session
