"""The errors that Bedrock answers with, in AWS's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic_core.core_schema import int_schema

from local_bedrock._arguments import HEADERS, SECONDS, TEXT, Checked, one_of, optional

# The service itself and the front that checks requests before it sign their errors differently.
_ORIGINS = {
    'bedrock': 'http://internal.amazon.com/coral/com.amazon.bedrock/',
    'front': 'http://internal.amazon.com/coral/com.amazon.coral.service/',
}


@dataclass(frozen=True)
class ErrorReply(
    Checked,
    # A client takes a response of another status for a success, or for one without a body.
    status=int_schema(strict=True, ge=300, le=599),
    code=TEXT,
    message=TEXT,
    headers=HEADERS,
    delay_before=optional(SECONDS),
    origin=one_of(*_ORIGINS),
    message_key=one_of('message', 'Message'),
):
    """An error response, with the headers and the body that AWS sends.

    Args:
        status: HTTP status.
        code: Name of the exception, such as `ThrottlingException`.
        message: The message in the body.
        headers: More response headers, such as `Retry-After`.
        delay_before: Seconds before the response starts.
        origin: The part of AWS that refuses: the service (`bedrock`) or the layer before it (`front`).
        message_key: Name of the member that holds the message; bearer authentication writes `Message`.

    Raises:
        ValueError: An argument is wrong.
    """

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    delay_before: float | None = field(default=None, kw_only=True)
    origin: Literal['bedrock', 'front'] = field(default='bedrock', kw_only=True)
    message_key: Literal['message', 'Message'] = field(default='message', kw_only=True)

    @property
    def error_type(self) -> str:
        """Value of the `x-amzn-ErrorType` header."""
        return f'{self.code}:{_ORIGINS[self.origin]}'


class RefusedError(Exception):
    """Raised while a request is examined: Bedrock would refuse it with this reply."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(f'{reply.code}: {reply.message}')
        self.reply = reply


def validation_error(message: str) -> RefusedError:
    """Refuse a request whose content is not valid."""
    return RefusedError(ErrorReply(400, 'ValidationException', message))


def serialization_error(message: str) -> RefusedError:
    """Refuse a body that is not JSON or holds JSON of another type than the service model has."""
    return RefusedError(ErrorReply(400, 'SerializationException', message, origin='front'))


def authentication_error(
    code: str, message: str, *, message_key: Literal['message', 'Message'] = 'message'
) -> RefusedError:
    """Refuse a request whose signature or bearer token is not accepted."""
    return RefusedError(ErrorReply(403, code, message, origin='front', message_key=message_key))


#: The errors that a healthy caller meets on a busy day, for scripts and faults.
THROTTLING = ErrorReply(429, 'ThrottlingException', 'Too many requests, please wait before trying again.')
TOO_MANY_TOKENS = ErrorReply(429, 'ThrottlingException', 'Too many tokens, please wait before trying again.')
TOO_MANY_TOKENS_PER_DAY = ErrorReply(
    429, 'ThrottlingException', 'Too many tokens per day, please wait before trying again.'
)
INTERNAL_SERVER_ERROR = ErrorReply(
    500,
    'InternalServerException',
    'The system encountered an unexpected error during processing. Try your request again.',
)
SERVICE_UNAVAILABLE = ErrorReply(503, 'ServiceUnavailableException', 'Bedrock is unable to process your request.')
MODEL_TIMEOUT = ErrorReply(
    408, 'ModelTimeoutException', 'Model has timed out in processing the request. Try your request again.'
)
MODEL_ERROR = ErrorReply(
    424, 'ModelErrorException', 'The system encountered an unexpected error during processing. Try your request again.'
)
MODEL_NOT_READY = ErrorReply(
    429, 'ModelNotReadyException', 'The model is not ready for inference. Wait and try your request again.'
)
ACCESS_DENIED = ErrorReply(
    403, 'AccessDeniedException', "You don't have access to the model with the specified model ID."
)
EXPIRED_TOKEN = ErrorReply(
    403, 'ExpiredTokenException', 'The security token included in the request is expired', origin='front'
)
