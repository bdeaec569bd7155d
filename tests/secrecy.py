"""No key, token or signature stands in what the package logs, in what an error says, or in a span, in any test."""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pydantic_ai.exceptions
import pytest

from pydantic_ai_aiobedrock import errors

try:
    from opentelemetry.sdk import trace
except ImportError:
    trace = None

SECRET = re.compile(
    # What LocalBedrock makes, and signatures.
    r'local-bedrock-(?:secret|session)-[0-9a-f]+|bedrock-api-key-local-[\w-]+|\b[0-9a-f]{64}\b'
)


@pytest.fixture(autouse=True)
def no_secret_is_told(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test when a secret is told, even if nobody has heard it."""
    told: list[str] = []

    def look(where: str, said: str) -> None:
        told.extend(f'{found} in {where}: {said[:1000]}' for found in SECRET.findall(said))

    for error in _errors():
        monkeypatch.setattr(error, '__init__', _looked_at(error.__init__, look))
    if trace is not None:
        monkeypatch.setattr(trace.Span, 'end', _span_looked_at(trace.Span.end, look))
    logger, handler = logging.getLogger('pydantic_ai_aiobedrock'), _Listener(look)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield
    logger.setLevel(level)
    logger.removeHandler(handler)
    if told:
        pytest.fail('\n'.join(told), pytrace=False)


def _errors() -> list[type[Exception]]:
    """Return the classes of the errors that users see, as far as they are made in a way of their own."""
    return [
        each
        for module in (pydantic_ai.exceptions, errors)
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Exception)
        and each.__module__ == module.__name__
        and '__init__' in vars(each)
    ]


def _looked_at(init: Callable[..., None], look: Callable[[str, str], None]) -> Callable[..., None]:
    """Make an error as ever, and look at it and at those that it comes from: they are being handled now."""

    @functools.wraps(init)
    def made(error: Exception, /, *args: Any, **kwargs: Any) -> None:
        init(error, *args, **kwargs)
        behind: BaseException | None = sys.exception()
        look(type(error).__name__, f'{error} {error!r}')
        while behind is not None:
            look(type(behind).__name__, f'{behind} {behind!r}')
            behind = behind.__cause__ or behind.__context__

    return made


def _span_looked_at(end: Callable[..., None], look: Callable[[str, str], None]) -> Callable[..., None]:
    @functools.wraps(end)
    def ended(span: Any, *args: Any, **kwargs: Any) -> None:
        end(span, *args, **kwargs)
        look('a span', span.to_json())

    return ended


class _Listener(logging.Handler):
    """Looks at each record, with its traceback if it has one."""

    def __init__(self, look: Callable[[str, str], None]) -> None:
        super().__init__(logging.DEBUG)
        self._look = look

    def emit(self, record: logging.LogRecord) -> None:
        self._look('a log record', logging.Formatter().format(record))
