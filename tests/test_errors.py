"""The errors of the package travel between processes, as those of Celery, multiprocessing and Ray do."""

from __future__ import annotations

import pickle
from typing import Any, cast

import pytest

from pydantic_ai_aiobedrock import errors
from pydantic_ai_aiobedrock._config.client_spec import NotRenewedError
from pydantic_ai_aiobedrock._wire import converse_errors, frames

ARGUMENTS: dict[str, dict[str, Any]] = {
    'IncompleteStreamError': {'endpoint_url': 'https://bedrock.example', 'error': 'ended'},
    'OpeningError': {'endpoint_url': 'https://bedrock.example', 'reason': 'a reason'},
    'PoolTimeoutError': {'endpoint_url': 'https://bedrock.example', 'pool_timeout': 3, 'reason': 'a reason'},
    'UnreadableResponseError': {'endpoint_url': 'https://bedrock.example', 'error': 'a line too long'},
    'UnusableConfigurationError': {'reason': 'a reason'},
    'WriteTimeoutError': {'endpoint_url': 'https://bedrock.example', 'seconds': 3},
}
"""Of errors of botocore's kind, which take nothing else."""


def of_the_package() -> list[Exception]:
    made: list[Exception] = [converse_errors.ConverseStreamError('code', 'message', 424, 'of the model')]
    for module in (errors, converse_errors, frames):
        for cls in vars(module).values():
            if isinstance(cls, type) and issubclass(cls, Exception) and cls.__module__ == module.__name__:
                make = cast(Any, cls)
                if cls is not converse_errors.ConverseStreamError:
                    made.append(make(**ARGUMENTS[cls.__name__]) if cls.__name__ in ARGUMENTS else make('a message'))
    return [*made, NotRenewedError('a message')]


@pytest.mark.parametrize('error', of_the_package(), ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
