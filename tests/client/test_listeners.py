"""Whoever wraps, or listens to, the calls of a client is noticed, whatever they use for it."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import wrapt
from aiobotocore.client import AioBaseClient
from aiobotocore.endpoint import AioEndpoint
from botocore.stub import Stubber
from credential_sources import runtime

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import SessionPool
from pydantic_ai_aiobedrock._client.listeners import Listeners


@pytest.fixture
async def client(bedrock: LocalBedrock) -> AsyncIterator[Any]:
    pool = SessionPool()
    with await pool.lease(runtime(bedrock, pool, aws_access_key_id='A', aws_secret_access_key='b').spec) as lease:
        yield lease.client._client
    await pool.aclose()


def wrapped_by_hand(function: Any) -> Any:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


def wrapped_by_wrapt(function: Any) -> Any:
    return wrapt.FunctionWrapper(function, lambda wrapped, instance, args, kwargs: wrapped(*args, **kwargs))


WRAPPERS = pytest.mark.parametrize('wrapped', [wrapped_by_hand, wrapped_by_wrapt])
STEPS = pytest.mark.parametrize(
    ('cls', 'name'), [(AioBaseClient, '_make_api_call'), (AioEndpoint, 'make_request'), (AioEndpoint, '_send')]
)


def test_a_client_of_the_pool_has_none(client: Any) -> None:
    assert not Listeners(client).found()


@WRAPPERS
@STEPS
def test_methods_that_are_wrapped_later_are_noticed(
    client: Any, monkeypatch: pytest.MonkeyPatch, wrapped: Any, cls: Any, name: str
) -> None:
    listeners = Listeners(client)
    monkeypatch.setattr(cls, name, wrapped(getattr(cls, name)))
    assert listeners.found()
    monkeypatch.undo()
    assert not listeners.found()


@WRAPPERS
@STEPS
def test_methods_that_are_wrapped_before_are_noticed(
    client: Any, monkeypatch: pytest.MonkeyPatch, wrapped: Any, cls: Any, name: str
) -> None:
    monkeypatch.setattr(cls, name, wrapped(getattr(cls, name)))
    with pytest.raises(LookupError):
        Listeners(client)


def test_a_method_of_the_client_alone_is_noticed(client: Any) -> None:
    listeners = Listeners(client)
    client._make_api_call = wrapped_by_hand(client._make_api_call)
    assert listeners.found()


@WRAPPERS
@pytest.mark.parametrize('name', ['converse', 'converse_stream'])
def test_an_operation_of_the_client_that_is_wrapped_is_noticed(client: Any, wrapped: Any, name: str) -> None:
    listeners = Listeners(client)
    setattr(client, name, wrapped(getattr(client, name)))
    assert listeners.found()


@pytest.mark.parametrize('wrapped', [lambda f: f, functools.partial, wrapped_by_wrapt, staticmethod])
def test_handlers_are_noticed_when_they_are_registered(client: Any, wrapped: Any) -> None:
    listeners = Listeners(client)
    assert not listeners.found()
    handler = wrapped(lambda **_: None)
    client.meta.events.register('before-call.bedrock-runtime.ConverseStream', handler)
    assert listeners.found()
    client.meta.events.unregister('before-call.bedrock-runtime.ConverseStream', handler)
    assert not listeners.found()


def test_handlers_of_other_services_are_none_of_ours(client: Any) -> None:
    listeners = Listeners(client)
    client.meta.events.register('before-call.s3', lambda **_: None)
    assert not listeners.found()


def test_botocores_own_stubber_is_noticed(client: Any) -> None:
    listeners = Listeners(client)
    with Stubber(client):
        assert listeners.found()
    assert not listeners.found()


def test_whoever_reads_botocores_debug_log_finds_every_call_there(client: Any) -> None:
    listeners = Listeners(client)
    logger = logging.getLogger('botocore')
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        assert listeners.found()
    finally:
        logger.setLevel(level)
    assert not listeners.found()
