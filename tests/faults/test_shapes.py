"""A response that is whole, and not one of Converse: members are missing, or of another type."""
# ruff: noqa: E501 - one line a response

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai.exceptions import ModelAPIError
from pydantic_core import to_json

from local_bedrock import EventsReply, RawReply

from .calls import Caller
from .outcomes import Observed

START = {'messageStart': {'role': 'assistant'}}
HELLO = {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': 'Hello.'}}}
END = {'contentBlockStop': {'contentBlockIndex': 0}}
STOP = {'messageStop': {'stopReason': 'end_turn'}}
USAGE = {'inputTokens': 1, 'outputTokens': 1, 'totalTokens': 2}
METADATA = {'metadata': {'usage': USAGE, 'metrics': {'latencyMs': 1}}}


def answer(*content: Any, **members: Any) -> dict[str, Any]:
    message = {'role': 'assistant', 'content': list(content)}
    body = {
        'output': {'message': message},
        'stopReason': 'end_turn',
        'usage': USAGE,
        'metrics': {'latencyMs': 1},
        **members,
    }
    return {name: value for name, value in body.items() if value != 'missing'}


# fmt: off
RESPONSES = (
    ('no output', answer(output='missing'), "'output'"),
    ('no stop reason', answer({'text': 'Hello.'}, stopReason='missing'), "'stopReason'"),
    ('no usage', answer({'text': 'Hello.'}, usage='missing'), "'usage'"),
    ('output that is text', answer(output='text'), 'AttributeError'),
    ('output that is a list', answer(output=[]), 'AttributeError'),
    ('message that is text', answer(output={'message': 'text'}), 'TypeError'),
    ('message without content', answer(output={'message': {'role': 'assistant'}}), "'content'"),
    ('content that is a number', answer(output={'message': {'content': 5}}), 'TypeError'),
    ('block that is text', answer('text'), 'AttributeError'),
    ('block that is null', answer(None), 'AttributeError'),
    ('tool call that is text', answer({'toolUse': 'text'}), 'AttributeError'),
    ('tool call without a name', answer({'toolUse': {'toolUseId': 'a', 'input': {}}}), "'name'"),
    ('tool call without an id', answer({'toolUse': {'name': 'a', 'input': {}}}), "'toolUseId'"),
    ('tool call without input', answer({'toolUse': {'name': 'a', 'toolUseId': 'a'}}), "'input'"),
    ('reasoning that is text', answer({'reasoningContent': 'text'}), 'AttributeError'),
    ('reasoning without text', answer({'reasoningContent': {'reasoningText': {'signature': 'a'}}}), "'text'"),
    ('redacted reasoning that is not UTF-8', answer({'reasoningContent': {'redactedContent': '/w=='}}), 'UnicodeDecodeError'),
    ('redacted reasoning that is not base64', answer({'reasoningContent': {'redactedContent': 'a'}}), 'redactedContent is not base64'),
    ('usage that is a list', answer({'text': 'Hello.'}, usage=[]), 'AttributeError'),
    ('stop reason that is a list', answer({'text': 'Hello.'}, stopReason=[]), 'TypeError'),
)

EVENTS = (
    ('stop without its reason', [START, HELLO, END, {'messageStop': {}}, METADATA], "'stopReason'"),
    ('stop reason that is a list', [START, HELLO, END, {'messageStop': {'stopReason': []}}, METADATA], 'TypeError'),
    ('delta without its index', [START, HELLO, {'contentBlockDelta': {'delta': {'text': 'a'}}}, STOP, METADATA], "'contentBlockIndex'"),
    ('delta without a delta', [START, HELLO, {'contentBlockDelta': {'contentBlockIndex': 0}}, STOP, METADATA], "'delta'"),
    ('delta that is a number', [START, HELLO, {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': 5}}, STOP, METADATA], 'TypeError'),
    ('index that is a list', [START, HELLO, {'contentBlockDelta': {'contentBlockIndex': [], 'delta': {'text': 'a'}}}, STOP, METADATA], 'TypeError'),
    ('start of a block without a start', [START, HELLO, END, {'contentBlockStart': {'contentBlockIndex': 1}}, STOP, METADATA], "'start'"),
    ('tool call without a name', [START, HELLO, END, {'contentBlockStart': {'contentBlockIndex': 1, 'start': {'toolUse': {'toolUseId': 'a'}}}}, STOP, METADATA], "'name'"),
    ('input of a tool call that did not start', [START, HELLO, END, {'contentBlockDelta': {'contentBlockIndex': 1, 'delta': {'toolUse': {'input': '{}'}}}}, STOP, METADATA], 'KeyError: 1'),
    ('end of a block without its index', [START, HELLO, {'contentBlockStop': {}}, STOP, METADATA], "'contentBlockIndex'"),
    ('usage that is text', [START, HELLO, END, STOP, {'metadata': {'usage': 'text'}}], 'AttributeError'),
    ('redacted reasoning that is not UTF-8', [START, HELLO, END, {'contentBlockDelta': {'contentBlockIndex': 1, 'delta': {'reasoningContent': {'redactedContent': '/w=='}}}}, STOP, METADATA], 'UnicodeDecodeError'),
)
# fmt: on


@pytest.fixture
def auth() -> str:
    """Authentication makes no difference to what is in a response."""
    return 'bearer'


def assert_refused(observed: Observed, says: str) -> None:
    assert isinstance(observed.error, ModelAPIError), repr(observed.error)
    assert says in str(observed.error)
    assert observed.requests == 1


@pytest.mark.parametrize(('body', 'says'), [pytest.param(*case, id=name) for name, *case in RESPONSES])
async def test_a_response_that_is_not_one_of_converse_is_an_error_of_the_model(
    caller: Caller, body: dict[str, Any], says: str
) -> None:
    caller.bedrock.reply(RawReply(to_json(body), headers={'Content-Type': 'application/json'}))
    assert_refused(await caller.call(streaming=False), says)


@pytest.mark.parametrize(('events', 'says'), [pytest.param(*case, id=name) for name, *case in EVENTS])
async def test_an_event_that_is_not_one_of_converse_is_an_error_of_the_model(
    caller: Caller, events: list[dict[str, Any]], says: str
) -> None:
    caller.bedrock.reply(EventsReply(events))
    observed = await caller.call(streaming=True)
    assert observed.text == 'Hello.'
    assert_refused(observed, says)
    assert caller.provider.client.pool.stats().leases == 0
