"""Errors of the pool and of its clients, apart from those that AWS and the network raise."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ConnectTimeoutError, HTTPClientError, ReadTimeoutError


class PoolClosedError(RuntimeError):
    """The pool was closed before the call, or under it."""


class WrongLoopError(RuntimeError):
    """A caller-supplied client or session was used on an event loop that it does not belong to."""


class UnusableConfigurationError(BotoCoreError):
    """A setting is not usable, or is missing, or a file that a setting names is not usable."""

    fmt = '{reason}'


class OpeningError(BotoCoreError):
    """A client could not be opened: a setting, or a file that a setting names, is not usable."""

    fmt = 'The client for {endpoint_url} could not be opened: {reason}'


class AsyncClientError(AttributeError):
    """Code for a boto3 client was given this package's client, whose methods are coroutines."""


class EngineMismatchError(RuntimeError):
    """The installed botocore is not a release that the installed aiobotocore is written for."""


class PoolTimeoutError(ConnectTimeoutError):
    """No connection, or no client, became free in time; the message names the limit that was reached.

    A kind of connection timeout, so that code that handles those (pydantic-ai raises `ModelTimeoutError`) handles this.
    """

    fmt = 'No connection to {endpoint_url} became free in {pool_timeout:g} seconds: {reason}'


class WriteTimeoutError(ReadTimeoutError):
    """The server took no more of a request for as long as a write may take.

    A kind of read timeout, like in botocore, whose read timeout bounds writes, too; pydantic-ai raises
    `ModelTimeoutError`.
    """

    fmt = 'The server took no more of the request to {endpoint_url} for {seconds:g} seconds.'


class IncompleteStreamError(HTTPClientError):
    """A ConverseStream response ended before its `messageStop`: the answer is incomplete."""

    fmt = 'The response stream from {endpoint_url} ended before its messageStop event: the answer is not complete.'


class UnreadableResponseError(BotoCoreError):
    """A response arrived that is not valid HTTP. The request is not sent again: it was answered, and is paid for."""

    fmt = 'The response from {endpoint_url} cannot be read as HTTP, and the request is not sent again: {error}'
