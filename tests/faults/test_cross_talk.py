"""A thousand calls at once, one in twenty of them in trouble: each gets its own answer, or its own error."""

from __future__ import annotations

import asyncio
import random

import pytest
from pydantic_ai.exceptions import ModelAPIError

from local_bedrock import (
    INTERNAL_SERVER_ERROR,
    MODEL_ERROR,
    THROTTLING,
    DropConnection,
    ErrorReply,
    Fault,
    FlipBit,
    NoResponse,
    RecordedRequest,
    Reply,
    SlowBody,
    Truncate,
    WrongChecksum,
    exception_event,
)

from .calls import Caller, call

CALLS = 1000
IN_TROUBLE = 0.05
FAULTS: tuple[Fault, ...] = (
    THROTTLING,
    INTERNAL_SERVER_ERROR,
    MODEL_ERROR,
    NoResponse('reset'),
    NoResponse('close'),
    Truncate(30, 'reset'),
    Truncate(150, 'close'),
    Truncate(500, 'end'),
    WrongChecksum(2),
    FlipBit(40, 3),
    exception_event('throttlingException', after=3),
    exception_event('modelStreamErrorException', after=1),
    SlowBody(0.001, 100),
    DropConnection(),
)


def answer_to(prompt: str) -> str:
    """Return words that no other prompt is answered with, few or many."""
    size = random.Random(prompt).randint(1, 20)
    return ' '.join(f'{prompt}/{number}' for number in range(size))


class Crowd:
    """Answers no call before most of them are there."""

    def __init__(self) -> None:
        self._there = 0
        self._enough = asyncio.Event()

    async def __call__(self, request: RecordedRequest) -> Reply | ErrorReply:
        self._there += 1
        if self._there > CALLS * 0.9:
            self._enough.set()
        await self._enough.wait()
        prompt = request.last_user_text
        if prompt.endswith('7'):
            return ErrorReply(400, 'ValidationException', f'No answer to {prompt}.')
        return Reply(answer_to(prompt), delay_before=random.Random(prompt).random() / 10)


@pytest.fixture
def auth() -> str:
    """Sign the calls: signatures differ from call to call."""
    return 'SigV4'


@pytest.fixture
def patience() -> float:
    """Let no call run out of time: a thousand at once take some."""
    return 60


async def test_a_thousand_calls_at_once_get_their_own_answers_and_errors(caller: Caller) -> None:
    bedrock, model = caller.bedrock, caller.model
    bedrock.reply(Crowd(), times=None)
    for seed, fault in enumerate(FAULTS):
        bedrock.fault(fault, probability=IN_TROUBLE / len(FAULTS), seed=seed)
    prompts = [f'call-{number}' for number in range(CALLS)]
    came = await asyncio.gather(
        *(call(model, streaming=number % 2 == 0, prompt=prompt, within=60) for number, prompt in enumerate(prompts))
    )
    answers = failures = 0
    for prompt, (text, error) in zip(prompts, came, strict=True):
        if prompt.endswith('7') and f'No answer to {prompt}.' in str(error):
            assert text == ''
        elif error is None:
            assert text == answer_to(prompt)
            answers += 1
        else:
            assert isinstance(error, ModelAPIError)
            assert 'No answer' not in str(error)
            assert answer_to(prompt).startswith(text)
            failures += 1
    assert answers > CALLS * 0.8
    assert failures > 5
    assert bedrock.stats().max_in_flight > CALLS * 0.9
    stats = caller.provider.client.pool.stats()
    assert (stats.clients, stats.opened, stats.leases) == (1, 1, 0)
