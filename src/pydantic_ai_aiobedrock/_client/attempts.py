"""Bounds the attempts of each call; botocore has the same number for all calls of a client."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from botocore.exceptions import InvalidMaxRetryAttemptsError

from pydantic_ai_aiobedrock._config.call_options import call_options

UNBOUNDED: Final = 1_000_000
"""The attempts that botocore is allowed: calls end here before."""

_DEFAULTS: Final = {'legacy': 5}
_DEFAULT: Final = 3


def default_attempts(session: Any, retries: Mapping[str, Any]) -> int:
    """Return the attempts of a call without an option, the first included, like botocore.

    Args:
        session: The session of the client.
        retries: The `retries` of its config, which come before the AWS configuration.

    Raises:
        InvalidMaxRetryAttemptsError: The AWS configuration has a number below 1.
    """
    if (total := retries.get('total_max_attempts')) is not None:
        return total
    if (further := retries.get('max_attempts')) is not None:
        return 1 + further
    configured: int | None = session.get_config_variable('max_attempts')
    mode = retries.get('mode') or session.get_config_variable('retry_mode')
    attempts = _DEFAULTS.get(mode, _DEFAULT) if configured is None else configured
    if attempts < 1:
        raise InvalidMaxRetryAttemptsError(provided_max_attempts=attempts, min_value=1)
    return attempts


def install(client: Any, attempts: int) -> None:
    """Bound the attempts of this client's calls.

    Args:
        client: The client, which botocore allows `UNBOUNDED` attempts.
        attempts: The attempts of a call without an option.
    """
    events = client.meta.events
    end_call = partial(_end_call, client, attempts)
    events.register_first('needs-retry.bedrock-runtime', end_call, unique_id='pydantic-ai-aiobedrock.attempts')
    declare = partial(_declare, attempts)
    events.register_first('request-created.bedrock-runtime', declare, unique_id='pydantic-ai-aiobedrock.max-attempts')


def _end_call(
    client: Any,
    default: int,
    response: Any,
    operation: Any,
    attempts: int,
    caught_exception: Exception | None,
    **_: object,
) -> None:
    if attempts < (call_options.get().max_attempts or default):
        return
    if caught_exception is not None:
        raise caught_exception
    http_response, parsed = response
    if http_response.status_code >= 300:
        parsed.setdefault('ResponseMetadata', {}).update(MaxAttemptsReached=True, RetryAttempts=attempts - 1)
        raise client.exceptions.from_code(parsed.get('Error', {}).get('Code'))(parsed, operation.name)


def _declare(default: int, request: Any, **_: object) -> None:
    """Correct the number of attempts that botocore announces to AWS with a retry."""
    if 'max' in request.context.get('retries', {}):
        request.context['retries']['max'] = call_options.get().max_attempts or default
