"""An error that is mapped is freed with its last reference, without waiting for a collection of garbage."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest
from botocore.exceptions import ClientError
from pydantic_ai.exceptions import ModelHTTPError

from pydantic_ai_aiobedrock._upstream.error_mapping import map_api_errors


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def refusal() -> ClientError:
    error = {'Code': 'ValidationException', 'Message': 'a message'}
    return ClientError({'Error': error, 'ResponseMetadata': {'HTTPStatusCode': 400}}, 'Converse')


@pytest.mark.usefixtures('no_collection')
def test_an_error_that_is_mapped_is_part_of_no_cycle() -> None:
    def mapped() -> None:
        with map_api_errors('a-model'):
            raise errors.pop()

    error = refusal()
    reference, errors = weakref.ref(error), [error]
    del error
    with suppress(ModelHTTPError):
        mapped()
    assert reference() is None
