"""Debug log of each attempt of a call: when it was sent, and how it ended; neither content nor credentials."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from time import perf_counter
from typing import Any, Final
from urllib.parse import unquote, urlsplit

logger: logging.Logger = logging.getLogger('pydantic_ai_aiobedrock.attempts')

_ATTEMPT: Final = 'pydantic_ai_aiobedrock.logged_attempt'
_SENT_BEFORE: Final = 'pydantic_ai_aiobedrock.logged_before'


class LoggedAttempt:
    """An attempt, which has just been sent."""

    __slots__ = ('_model', '_operation', '_sent_at', 'number')

    def __init__(self, operation: str, model: str, number: int, request_bytes: int) -> None:
        """Log the request.

        Args:
            operation: The operation of the API, such as `Converse`.
            model: The id of the model.
            number: The number of the attempt in its call, from 1.
            request_bytes: The size of the body.
        """
        self._operation = operation
        self._model = model
        self._sent_at = perf_counter()
        self.number = number
        logger.debug('%s %s: attempt %d sent, %d bytes', operation, model, number, request_bytes)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Log the response, once its headers, and its body unless that is a stream, have been read."""
        logger.debug(
            '%s %s: attempt %d answered with status %d after %.1f ms, request id %s',
            self._operation,
            self._model,
            self.number,
            status,
            self._milliseconds(),
            headers.get('x-amzn-requestid', 'missing'),
        )

    def failed(self, error: BaseException) -> None:
        """Log the class of an error that came instead of a response; its text may quote a URL."""
        logger.debug(
            '%s %s: attempt %d failed after %.1f ms: %s',
            self._operation,
            self._model,
            self.number,
            self._milliseconds(),
            type(error).__name__,
        )

    def _milliseconds(self) -> float:
        return (perf_counter() - self._sent_at) * 1000


def sent(operation: str, model: str, request_bytes: int) -> LoggedAttempt | None:
    """Log the first attempt of a call; return None, as quickly as can be, when nobody reads the log."""
    return LoggedAttempt(operation, model, 1, request_bytes) if logger.isEnabledFor(logging.DEBUG) else None


def install(client: Any) -> None:
    """Log each attempt that botocore makes of this client's calls."""
    events = client.meta.events
    events.register_last('request-created.bedrock-runtime', _sent, unique_id=f'{_ATTEMPT}.sent')
    events.register('response-received.bedrock-runtime', _received, unique_id=f'{_ATTEMPT}.received')


def take_over(context: MutableMapping[str, Any], attempt: LoggedAttempt | None) -> None:
    """Log no request for the next attempt of a call: it has been sent already."""
    if attempt is not None:
        context[_SENT_BEFORE] = attempt


def _sent(request: Any, operation_name: str, **_: object) -> None:
    if not logger.isEnabledFor(logging.DEBUG):
        return
    context: MutableMapping[str, Any] = request.context
    attempt: LoggedAttempt | None = context.pop(_SENT_BEFORE, None)
    if attempt is None:
        last: LoggedAttempt | None = context.get(_ATTEMPT)
        # /model/{model id}/{operation}
        url: str = request.url
        model = unquote(urlsplit(url).path.split('/')[2])
        attempt = LoggedAttempt(operation_name, model, 1 if last is None else last.number + 1, len(request.body or b''))
    context[_ATTEMPT] = attempt


def _received(
    response_dict: Mapping[str, Any] | None, exception: BaseException | None, context: Mapping[str, Any], **_: object
) -> None:
    attempt: LoggedAttempt | None = context.get(_ATTEMPT)
    if attempt is None:
        return
    if response_dict is not None:
        attempt.answered(response_dict['status_code'], response_dict['headers'])
    elif exception is not None:
        attempt.failed(exception)
