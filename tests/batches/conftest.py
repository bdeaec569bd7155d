"""The servers and models of the tests of batches."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

from .jobs import INFERENCE, MODEL


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


@pytest.fixture
def redirected(bedrock: LocalBedrock) -> Iterator[None]:
    with bedrock.redirect_clients():
        yield


@pytest.fixture
async def model(redirected: None) -> Any:
    pool = SessionPool()
    yield BedrockConverseModel(MODEL, provider=BedrockProvider(pool=pool), batch_inference=INFERENCE)
    await pool.aclose()
