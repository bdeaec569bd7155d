"""What can go wrong in the pool itself, apart from what AWS and the network say."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ConnectTimeoutError, HTTPClientError


class PoolClosedError(RuntimeError):
    """The pool was closed before the call, or under it."""


class WrongLoopError(RuntimeError):
    """A client that was brought along was used on an event loop that it does not belong to."""


class UnusableConfigurationError(BotoCoreError):
    """A setting is not usable, or is missing, or a file that a setting names is not usable."""

    fmt = '{reason}'


class EngineMismatchError(RuntimeError):
    """The installed botocore is not a release that the installed aiobotocore is written for."""


class PoolTimeoutError(ConnectTimeoutError):
    """No connection, or no client, became free in time.

    A kind of connection timeout, so that whoever handles those (pydantic-ai raises `ModelTimeoutError`) handles this.
    """

    fmt = (
        'No connection to {endpoint_url} became free in {pool_timeout:g} seconds: {in_flight} calls are in flight '
        '(`max_connections` is {max_connections}) and {waiting} are waiting. Run fewer agents at once, or raise '
        '`max_connections` of the provider or `pool_timeout` of its SessionPool.'
    )


class IncompleteStreamError(HTTPClientError):
    """A ConverseStream response ended before its `messageStop`: what has arrived is not the whole answer."""

    fmt = 'The response stream from {endpoint_url} ended before its messageStop event: the answer is not complete.'
