from __future__ import annotations

from typing import Any

import pytest
from moved_clock import clock as clock

from pydantic_ai_aiobedrock._client.transport import HTTPSession


@pytest.fixture
def sent_by(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The makers of the requests that were sent: 'botocore', or 'prepared' for those made after one of botocore's."""
    makers: list[str] = []
    send = HTTPSession.send

    async def noting_send(self: HTTPSession, request: Any, *options: Any) -> Any:
        makers.append('prepared' if type(request).__module__.startswith('pydantic_ai_aiobedrock') else 'botocore')
        return await send(self, request, *options)

    monkeypatch.setattr(HTTPSession, 'send', noting_send)
    return makers


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('botocore.retries.standard.ExponentialBackoff.delay_amount', lambda *_: 0)
