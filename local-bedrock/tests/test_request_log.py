"""One line of log for each request."""

from __future__ import annotations

import logging
import re

import aiohttp
import pytest
import yarl
from support.requests import NOVA, Post

from local_bedrock import LocalBedrock, NoResponse


async def test_method_operation_model_status_and_milliseconds_are_logged(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, 'local_bedrock')
    await post()
    assert re.fullmatch(rf'POST Converse {re.escape(NOVA)} 200 \d+ ms', caplog.messages[0])


async def test_a_request_without_response_is_logged(
    bedrock: LocalBedrock, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, 'local_bedrock')
    bedrock.fault(NoResponse('close'))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await post()
    assert caplog.messages[0].startswith(f'POST Converse {NOVA} no response ')


async def test_an_encoded_line_break_starts_no_line(
    bedrock: LocalBedrock, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, 'local_bedrock')
    async with http.post(yarl.URL(f'{bedrock.base_url}/model/a%0Ab/converse', encoded=True)) as response:
        await response.read()
    assert caplog.messages[0].startswith('POST Converse a?b 403 AccessDeniedException ')


async def test_nothing_is_logged_unless_asked_for(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, 'local_bedrock')
    await post()
    assert caplog.messages == []
