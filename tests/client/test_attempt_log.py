"""The debug log of attempts has a line for each request and for each outcome, and costs next to nothing while off."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from credential_sources import MODEL, hello

from local_bedrock import SERVICE_UNAVAILABLE, THROTTLING, LocalBedrock, NoResponse
from pydantic_ai_aiobedrock import BedrockProvider
from pydantic_ai_aiobedrock._client import attempt_log
from pydantic_ai_aiobedrock._config.call_options import CallOptions
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

SENT = rf'Converse {re.escape(MODEL)}: attempt (\d) sent, (\d+) bytes'
ANSWERED = rf'Converse {re.escape(MODEL)}: attempt (\d) answered with status (\d+) after \d+\.\d ms, request id (\S+)'
FAILED = rf'Converse {re.escape(MODEL)}: attempt (\d) failed after \d+\.\d ms: (\w+)'


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('botocore.retries.standard.ExponentialBackoff.delay_amount', lambda *_: 0)


@pytest.fixture
def client(provider: BedrockProvider) -> BedrockRuntime:
    assert isinstance(provider.client, BedrockRuntime)
    return provider.client


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Switch the log on, and yield its lines, which grow."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    caplog.set_level(logging.DEBUG, attempt_log.logger.name)
    handler = Lines()
    attempt_log.logger.addHandler(handler)
    yield lines
    attempt_log.logger.removeHandler(handler)


def groups(pattern: str, line: str) -> tuple[str, ...]:
    match = re.fullmatch(pattern, line)
    assert match is not None, line
    return match.groups()


@pytest.mark.parametrize('calls_before', [0, 1], ids=['through botocore', 'on the fast path'])
async def test_a_request_and_its_response_are_a_line_each(
    client: BedrockRuntime, bedrock: LocalBedrock, lines: list[str], calls_before: int
) -> None:
    for _ in range(calls_before):
        await client.converse(**hello())
    lines.clear()
    response = await client.converse(**hello('Sesame, open.'))
    sent, answered = lines
    assert groups(SENT, sent) == ('1', str(len(bedrock.requests[-1].raw_body)))
    assert groups(ANSWERED, answered) == ('1', '200', response['ResponseMetadata']['RequestId'])


@pytest.mark.parametrize('calls_before', [0, 1], ids=['through botocore', 'on the fast path'])
async def test_a_stream_is_answered_when_its_headers_have_arrived(
    client: BedrockRuntime, lines: list[str], calls_before: int
) -> None:
    for _ in range(calls_before):
        (await client.converse_stream(**hello()))['stream'].close()
    lines.clear()
    response = await client.converse_stream(**hello())
    sent, answered = lines
    assert sent.startswith(f'ConverseStream {MODEL}: attempt 1 sent, ')
    assert answered.startswith(f'ConverseStream {MODEL}: attempt 1 answered with status 200 after ')
    async with response['stream'] as events:
        async for _ in events:
            pass
    assert len(lines) == 2


@pytest.mark.parametrize('calls_before', [0, 1], ids=['through botocore', 'on the fast path'])
async def test_attempts_of_a_call_are_numbered_and_each_is_sent_once(
    client: BedrockRuntime, bedrock: LocalBedrock, lines: list[str], calls_before: int
) -> None:
    for _ in range(calls_before):
        await client.converse(**hello())
    lines.clear()
    bedrock.fault(NoResponse(), times=1)
    bedrock.reply(SERVICE_UNAVAILABLE)
    await client.converse(**hello())
    assert [groups(SENT, line)[0] for line in lines[::2]] == ['1', '2', '3']
    assert groups(FAILED, lines[1]) == ('1', 'ConnectionClosedError')
    assert groups(ANSWERED, lines[3])[:2] == ('2', '503')
    assert groups(ANSWERED, lines[5])[:2] == ('3', '200')


@pytest.mark.parametrize('calls_before', [0, 1], ids=['through botocore', 'on the fast path'])
async def test_a_throttled_attempt_shows_its_status(
    client: BedrockRuntime, bedrock: LocalBedrock, lines: list[str], calls_before: int
) -> None:
    for _ in range(calls_before):
        await client.converse(**hello())
    lines.clear()
    bedrock.reply(THROTTLING)
    with pytest.raises(ClientError) as raised:
        await client.call('converse', hello(), CallOptions(throttling='raise'))
    sent, answered = lines
    assert groups(SENT, sent)[0] == '1'
    assert groups(ANSWERED, answered) == ('1', '429', raised.value.response['ResponseMetadata']['RequestId'])


async def test_no_line_has_anything_of_the_messages(client: BedrockRuntime, lines: list[str]) -> None:
    for _ in range(2):
        await client.converse(**hello('Sesame, open.'))
    assert len(lines) == 4
    assert not [line for line in lines if 'Sesame' in line]


async def test_while_the_log_is_off_an_attempt_asks_for_its_level_once(
    client: BedrockRuntime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, attempt_log.logger.name)
    asked: list[int] = []
    is_enabled = attempt_log.logger.isEnabledFor

    def noting(level: int) -> bool:
        asked.append(level)
        return is_enabled(level)

    monkeypatch.setattr(attempt_log.logger, 'isEnabledFor', noting)
    made: list[Any] = []
    monkeypatch.setattr(attempt_log, 'LoggedAttempt', made.append)
    for _ in range(2):
        await client.converse(**hello())
    assert asked == [logging.DEBUG] * 2
    assert made == []
