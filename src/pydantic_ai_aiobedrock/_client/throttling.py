"""Refusals because of a quota: how to recognize them, and how to keep botocore from retrying them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from botocore.exceptions import ClientError

from pydantic_ai_aiobedrock._client.retry_after import asked_for
from pydantic_ai_aiobedrock._config.call_options import call_options

# ModelNotReadyException is a 429, too, and no quota's; botocore retries it.
_CODES: Final = frozenset({'ThrottlingException', 'Throttling', 'TooManyRequestsException', 'throttlingException'})


class Throttle(NamedTuple):
    """A refusal.

    Attributes:
        resource: The kind of quota that was exceeded.
        retry_after: Seconds that AWS asks to wait, 0 if it does not say.
        is_final: Waiting is of no use: the quota is per day.
    """

    resource: Literal['requests', 'tokens']
    retry_after: float
    is_final: bool


def throttle_of(error: ClientError) -> Throttle | None:
    """Return the refusal that an error is, or None if it is another error.

    See https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html.
    """
    response: Any = error.response
    described: Mapping[str, Any] = response.get('Error', {})
    metadata: Mapping[str, Any] = response.get('ResponseMetadata', {})
    return _throttle(
        str(described.get('Code', '')),
        str(described.get('Message', '')),
        metadata.get('HTTPStatusCode', 0),
        metadata.get('HTTPHeaders', {}),
    )


def is_throttling(code: str) -> bool:
    """Return whether an error code is that of a refusal for a quota's sake."""
    return code in _CODES


def install(client: Any) -> None:
    """Let throttled attempts of this client end a call that is paced, instead of being retried by botocore."""
    client.meta.events.register_first(
        'needs-retry.bedrock-runtime', partial(_end_call, client), unique_id='pydantic-ai-aiobedrock.throttling'
    )


def _end_call(client: Any, response: Any, operation: Any, attempts: int, **_: object) -> None:
    if response is None or not call_options.get().paced:
        return
    http_response, parsed = response
    described: Mapping[str, Any] = parsed.get('Error', {})
    code = str(described.get('Code', ''))
    if http_response.status_code < 300:
        return
    if _throttle(code, str(described.get('Message', '')), http_response.status_code, http_response.headers) is None:
        return
    parsed['ResponseMetadata'] |= {'MaxAttemptsReached': True, 'RetryAttempts': attempts - 1}
    raise client.exceptions.from_code(code)(parsed, operation.name)


def _throttle(code: str, message: str, status: int, headers: Mapping[str, str]) -> Throttle | None:
    wait = asked_for(headers)
    if code not in _CODES and not (status == 503 and wait > 0):
        return None
    text = message.lower()
    return Throttle('tokens' if 'token' in text else 'requests', max(wait, 0.0), 'per day' in text)
