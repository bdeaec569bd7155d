"""Checks of arguments: the error names the argument, its value unless that is a secret, and the mend."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Final

from pydantic_ai_aiobedrock.errors import UnusableConfigurationError

NOT_IN_HEADERS: Final = re.compile('[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]')
"""Characters that the value of an HTTP header cannot have."""

NOT_SENDABLE: Final = 'has a line break or another control character, which no HTTP header can carry'

_STRIP: Final = 'pass it without, such as `.strip()` of the text of a file'


def shown(value: object) -> str:
    """Return a value that is not a secret as an error shows it: text and numbers whole, and others by their type."""
    return repr(value) if isinstance(value, str | int | float | None) else _type_name(value)


def is_count(value: object) -> bool:
    """Return True for a whole number above 0."""
    return isinstance(value, Integral) and int(value) > 0


def is_positive(value: object) -> bool:
    """Return True for a number above 0, infinity included."""
    return isinstance(value, Real) and float(value) > 0


def is_sendable(value: object) -> bool:
    """Return False for text that an HTTP header cannot carry."""
    return not isinstance(value, str) or not NOT_IN_HEADERS.search(value)


def check_arguments(**arguments: object) -> None:
    """Check arguments of a `BedrockProvider`, each by itself.

    Raises:
        UnusableConfigurationError: Any of them is not usable.
    """
    for name, value in arguments.items():
        _CHECKS[name](name, value)


def api_key_of_environment() -> str | None:
    """Return the API key of `AWS_BEARER_TOKEN_BEDROCK`, if it is set.

    Raises:
        UnusableConfigurationError: A header cannot carry it.
    """
    key = os.getenv('AWS_BEARER_TOKEN_BEDROCK')
    if not is_sendable(key):
        raise _unusable(f'`AWS_BEARER_TOKEN_BEDROCK` {NOT_SENDABLE}: set it to the key alone.')
    return key


def seconds(name: str, value: float | None, default: float) -> float:
    """Return a timeout: the argument, the environment variable of its name, or the default.

    Raises:
        UnusableConfigurationError: It is not a positive number.
    """
    given: object = value
    if not value:
        name = name.upper()
        given = os.getenv(name, default)
    try:
        number = float(str(given))
    except ValueError:
        number = 0.0
    if not number > 0:
        raise _unusable(f'`{name}` must be a positive number of seconds, not {given!r}.')
    return number


def _check_text(name: str, value: object) -> None:
    """Check that an argument is a str, or None."""
    if not isinstance(value, str | None):
        raise _unusable(f'`{name}` of a BedrockProvider must be a str, not {shown(value)}.')


def _check_secret(name: str, value: object) -> None:
    """Check that a part of an access key is a str that a header can carry, or None, without showing it."""
    if not isinstance(value, str | None):
        raise _unusable(f'`{name}` of a BedrockProvider must be a str, not {_type_name(value)}.')
    if not is_sendable(value):
        raise _unusable(f'`{name}` of a BedrockProvider {NOT_SENDABLE}: {_STRIP}.')


def _check_api_key(name: str, value: object) -> None:
    """Check that an API key is a str that a header can carry, a function, or None, without showing it."""
    if callable(value):
        return
    if not isinstance(value, str | None):
        raise _unusable(
            f'`{name}` of a BedrockProvider must be a str, or a function that returns it, not {_type_name(value)}.'
        )
    _check_secret(name, value)


def _check_count(name: str, value: object) -> None:
    """Check that an argument is a whole number above 0."""
    if not is_count(value):
        raise _unusable(f'`{name}` of a BedrockProvider must be a positive whole number, not {shown(value)}.')


def _check_throttling(name: str, value: object) -> None:
    """Check that an argument is a reaction to throttling."""
    if value not in ('wait', 'raise'):
        raise _unusable(f"`{name}` of a BedrockProvider must be 'wait' or 'raise', not {shown(value)}.")


def _check_session(name: str, value: object) -> None:
    """Check that an argument is a session of aioboto3 or aiobotocore, or None."""
    if value is None:
        return
    from aiobotocore.session import AioSession

    # aioboto3 is optional; the module of a session is imported already.
    aioboto3 = sys.modules.get('aioboto3')
    if not isinstance(value, AioSession if aioboto3 is None else (AioSession, aioboto3.Session)):
        wanted = 'aioboto3.session.Session or aiobotocore.session.AioSession'
        raise _unusable(f'`{name}` of a BedrockProvider must be {wanted}, not {_type_name(value)}.')


def _check_config(name: str, value: object) -> None:
    """Check that an argument is a config of aiobotocore, or None."""
    if value is None:
        return
    from aiobotocore.config import AioConfig

    if not isinstance(value, AioConfig):
        raise _unusable(f'`{name}` of a BedrockProvider must be aiobotocore.config.AioConfig, not {_type_name(value)}.')


def _type_name(value: object) -> str:
    return f'{type(value).__module__}.{type(value).__qualname__}'.removeprefix('builtins.')


def _unusable(reason: str) -> UnusableConfigurationError:
    return UnusableConfigurationError(reason=reason)


_CHECKS: Final[Mapping[str, Callable[[str, object], None]]] = {
    'region_name': _check_text,
    'profile_name': _check_text,
    'base_url': _check_text,
    'aws_access_key_id': _check_secret,
    'aws_secret_access_key': _check_secret,
    'aws_session_token': _check_secret,
    'api_key': _check_api_key,
    'session': _check_session,
    'config': _check_config,
    'max_connections': _check_count,
    'throttling': _check_throttling,
}
