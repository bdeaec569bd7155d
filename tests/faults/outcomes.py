"""What a call may come to: an answer, at which attempt, or an error, with which attributes."""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version

from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError

CATEGORIZED = tuple(map(int, version('pydantic-ai-slim').split('.')[:2])) >= (2, 62)
"""Whether the installed pydantic-ai sorts errors into categories and gives those in a stream their status.

Before that, all that can be said of an error's class is that it is a `ModelAPIError`.
"""

_SIGNATURE = re.compile(r'\b[0-9a-f]{64}\b')


@dataclass(frozen=True)
class Answered:
    """The whole answer, at this attempt."""

    attempts: int = 1


@dataclass(frozen=True)
class Raised:
    """An error.

    Args:
        kind: The class, of pydantic-ai's exceptions.
        status: The HTTP status, of errors that have one.
        code: What AWS calls it.
        cause: The class of the exception that it was raised from, where that is not upstream's own affair.
        says: Part of its text.
        attempts: Requests that were sent before it was raised.
    """

    kind: str
    status: int | None = None
    code: str | None = None
    cause: str = ''
    says: str = ''
    attempts: int = 1


Outcome = Answered | Raised


@dataclass(frozen=True)
class Observed:
    """What a call came to."""

    text: str
    error: BaseException | None
    requests: int


def answered(attempts: int) -> Answered:
    return Answered(attempts)


def refused(kind: str, status: int, code: str, *, attempts: int = 1) -> Raised:
    """An error response, or an exception in a stream."""
    return Raised(kind, status, code, 'ClientError', code, attempts)


def in_stream(kind: str, status: int | None, code: str) -> Raised:
    """An exception in a stream."""
    return Raised(kind, status, code, 'EventStreamError', code)


def broken(cause: str, *, says: str = '', attempts: int = 1) -> Raised:
    """A connection that failed."""
    kind = 'ModelTimeoutError' if 'Timeout' in cause else 'ModelConnectionError'
    return Raised(kind, cause=cause, says=says, attempts=attempts)


def undecodable(cause: str, says: str) -> Raised:
    """A response that says what it should not."""
    return Raised('ModelAPIError', cause=cause, says=says)


ANSWERED = answered(1)
RETRIED = answered(2)

RESET = broken('ConnectionClosedError', says='Connection was closed before we received a valid response')
BROKEN_OFF = broken('ResponseStreamingError', says='An error occurred while reading from response stream')
SILENT = broken('ReadTimeoutError', says='Read timeout on endpoint URL')
INCOMPLETE = broken('IncompleteStreamError', says='ended before its messageStop event: the answer is not complete')
CUT_FRAME = undecodable('EventStreamDecodeError', 'bytes into a message')
BAD_MESSAGE = undecodable('EventStreamDecodeError', 'the checksum of a message is wrong')
BAD_PRELUDE = undecodable('EventStreamDecodeError', 'the checksum of a prelude is wrong')
NOT_AN_ANSWER = Raised('ModelAPIError', says="'output'")


def always(outcome: Raised) -> Raised:
    """The same at every attempt: raised after the last."""
    return replace(outcome, attempts=3)


def check(observed: Observed, expected: Outcome, *, text: str, seen: str, streaming: bool) -> None:
    """Assert that a call came to what was expected of it.

    Args:
        observed: What it came to.
        expected: What was expected.
        text: The whole answer.
        seen: What a stream gives of it before the error.
        streaming: Whether it was a stream.
    """
    error = observed.error
    assert observed.requests == expected.attempts, error
    if isinstance(expected, Answered):
        assert (observed.text, error) == (text, None)
        return
    assert isinstance(error, ModelAPIError), repr(error)
    assert observed.text == seen
    assert not expected.cause or expected.cause in [base.__name__ for base in type(error.__cause__).__mro__]
    assert expected.says in str(error)
    if not CATEGORIZED:
        return
    assert expected.kind in [base.__name__ for base in type(error).__mro__]
    assert isinstance(error, ModelHTTPError) == (expected.status is not None)
    assert getattr(error, 'status_code', None) == expected.status
    assert error.provider_error_code == expected.code
    assert error.in_stream == (expected.cause == 'EventStreamError')
    assert streaming or not error.in_stream


def said_by(error: BaseException | None) -> Iterator[str]:
    """Yield all that an error and those behind it say: text, repr, attributes and traceback."""
    if error is None:
        return
    yield ''.join(traceback.format_exception(error))
    behind: BaseException | None = error
    while behind is not None:
        yield f'{behind} {behind!r} {vars(behind)!r}'
        behind = behind.__cause__ or behind.__context__


def secrets_in(text: str, secrets: Collection[str]) -> list[str]:
    """Return the secrets, and what may be signatures, that stand in a text."""
    return [secret for secret in secrets if secret in text] + _SIGNATURE.findall(text)
