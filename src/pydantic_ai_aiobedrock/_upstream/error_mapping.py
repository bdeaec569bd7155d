"""Mapping of the transport's errors to pydantic-ai's exceptions."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, cast

import botocore.exceptions
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    EndpointConnectionError,
    InvalidConfigError,
    InvalidDefaultsMode,
    InvalidRetryConfigurationError,
    MissingDependencyException,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSOError,
    TokenRetrievalError,
)
from pydantic_ai.exceptions import ModelAPIError, UserError

from pydantic_ai_aiobedrock._upstream import seam
from pydantic_ai_aiobedrock._wire.converse_errors import ConverseDecodeError, ConverseEncodeError
from pydantic_ai_aiobedrock._wire.frames import EventStreamDecodeError
from pydantic_ai_aiobedrock.errors import (
    EngineMismatchError,
    OpeningError,
    PoolClosedError,
    UnusableConfigurationError,
    WrongLoopError,
)

NO_CREDENTIALS = (
    'No AWS credentials were found. Set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or '
    '`AWS_BEARER_TOKEN_BEDROCK`, or a profile (`profile_name` or `AWS_PROFILE`), or pass `aws_access_key_id` and '
    '`aws_secret_access_key`, or `api_key`, to BedrockProvider.'
)

# Older releases of botocore know no `aws login`.
_LOGIN_ERROR = cast('type[BotoCoreError]', getattr(botocore.exceptions, 'LoginError', CredentialRetrievalError))

_CONFIGURATION_ERRORS = (
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    InvalidDefaultsMode,
    InvalidRetryConfigurationError,
    _LOGIN_ERROR,
    MissingDependencyException,
    NoRegionError,
    OpeningError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnusableConfigurationError,
)


# The way of these through the package and botocore, some twenty frames, explains nothing: their message does. Nor does
# that of their causes through aiohttp.
_EXPLAINED = (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ProxyConnectionError,
    SSOError,
    TokenRetrievalError,
)


class _OnError(AbstractContextManager[None]):
    """Maps an error with another context manager, made when it occurs: a stream holds this while it is open."""

    __slots__ = ('_make',)

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        if isinstance(exc_val, Exception):
            try:
                with self._make():
                    raise exc_val  # noqa: TRY301 - for the other context manager
            except Exception as mapped:
                if mapped is not exc_val and isinstance(exc_val, _EXPLAINED):
                    exc_tb = None
                    _forget_way_of_causes(exc_val)
                    raise mapped.with_traceback(None)  # noqa: B904 - it has its cause already
                raise
            finally:
                # From Python 3.12 on, frames that the mapping adds hold the error; this frame holds the traceback.
                exc_val.__traceback__ = exc_tb
                del exc_val, exc_tb


def _forget_way_of_causes(error: BaseException) -> None:
    cause = error.__cause__
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__


def map_api_errors(model_name: str, *args: Any, **kwargs: Any) -> AbstractContextManager[None]:
    """Map like upstream, and the errors that upstream lets through or cannot meet like `map_other_errors`.

    Raises:
        ModelAPIError: Or a subclass: AWS or the network failed.
        UserError: The credentials, the configuration, the pool or the request are not usable as they are.
    """
    return _OnError(partial(_api_errors, model_name, *args, **kwargs))


@contextmanager
def _api_errors(model_name: str, *args: Any, **kwargs: Any) -> Generator[None]:
    with map_other_errors(model_name), seam.map_api_errors(model_name, *args, **kwargs):
        yield


@contextmanager
def map_other_errors(model_name: str) -> Generator[None]:
    """Map the errors that upstream lets through or cannot meet.

    Raises:
        ModelAPIError: AWS or the network failed.
        UserError: The credentials, the configuration, the pool or the request are not usable as they are.
    """
    try:
        yield
    except NoCredentialsError as error:
        raise UserError(NO_CREDENTIALS) from error
    except _CONFIGURATION_ERRORS as error:
        message = f'The AWS configuration or credentials are not usable: {error}'
        if isinstance(error, (SSOError, TokenRetrievalError)) and 'aws sso login' not in message:
            message = f'{message.rstrip(".")}. Sign in again: `aws sso login`, with the `--profile` that is used here.'
        raise UserError(message) from error
    except (EngineMismatchError, PoolClosedError, WrongLoopError, ConverseEncodeError) as error:
        raise UserError(str(error)) from error
    except (EventStreamDecodeError, ConverseDecodeError) as error:
        raise ModelAPIError(model_name=model_name, message=f'Failed to decode the response stream: {error}') from error
    except (BotoCoreError, ClientError) as error:
        # pydantic-ai 2.33 to 2.40 do not map errors of the network at all.
        raise ModelAPIError(model_name=model_name, message=str(error)) from error


@contextmanager
def map_shape_errors(model_name: str) -> Generator[None]:
    """Map the errors of upstream's mapping for a response that lacks members, or has members of another type.

    Raises:
        ModelAPIError: The response is not of Converse.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        message = f'The response is not one of Converse: {type(error).__name__}: {error}'
        raise ModelAPIError(model_name=model_name, message=message) from error


def map_stream_errors(model_name: str, *args: Any, **kwargs: Any) -> AbstractContextManager[None]:
    """Map like `map_api_errors`, and the errors of upstream's mapping for an event like `map_shape_errors`.

    Raises:
        ModelAPIError: Or a subclass: AWS or the network failed, or an event is not of Converse.
        UserError: The credentials, the configuration, the pool or the request are not usable as they are.
    """
    return _OnError(partial(_stream_errors, model_name, *args, **kwargs))


@contextmanager
def _stream_errors(model_name: str, *args: Any, **kwargs: Any) -> Generator[None]:
    with map_shape_errors(model_name), _api_errors(model_name, *args, **kwargs):
        yield
