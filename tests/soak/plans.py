"""What a run asks for, what it meets, and what has to come of it. Both processes know this."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Literal

from tests.faults.outcomes import ANSWERED, BAD_MESSAGE, RESET, RETRIED, Outcome, Raised, in_stream, refused

from local_bedrock import (
    INTERNAL_SERVER_ERROR,
    MODEL_ERROR,
    MODEL_TIMEOUT,
    SERVICE_UNAVAILABLE,
    THROTTLING,
    DropConnection,
    Fault,
    FlipBit,
    InsertEvent,
    NoResponse,
    RecordedRequest,
    SlowBody,
    SlowHeaders,
    StreamEvent,
    Truncate,
    WrongChecksum,
    exception_event,
)

Kind = Literal['text', 'tool', 'structured', 'stream', 'left']
Times = Literal['once', 'always']

KINDS: tuple[Kind, ...] = ('text', 'tool', 'structured', 'stream', 'stream', 'left')
STREAMS = ('stream', 'left')
IN_TROUBLE = 0.1
CANCELLED = 0.08
API_KEYS = 0.5
PACED = 0.3

MODEL = 'us.amazon.nova-lite-v1:0'
PACED_MODEL = 'us.amazon.nova-micro-v1:0'
"""The model that has a quota, which the runs that ask it exceed; those meet no other trouble."""

REQUESTS_PER_SECOND = 15

BROKEN = Raised('ModelConnectionError')
SILENT = Raised('ModelTimeoutError')
NOT_WHOLE = Raised('ModelAPIError')


@dataclass(frozen=True)
class Trouble:
    """A fault, and what comes of it if it happens to the first attempt only, and to every one."""

    fault: Fault
    once: Outcome
    always: Outcome


def trouble(fault: Fault, once: Outcome, always: Outcome | None = None) -> Trouble:
    return Trouble(fault, once, once if always is None else always)


BEFORE_THE_RESPONSE = {
    'throttled': trouble(THROTTLING, refused('ModelRateLimitError', 429, 'ThrottlingException')),
    'internal error': trouble(
        INTERNAL_SERVER_ERROR, RETRIED, refused('ModelServerError', 500, 'InternalServerException')
    ),
    'unavailable': trouble(
        SERVICE_UNAVAILABLE, RETRIED, refused('ModelUnavailableError', 503, 'ServiceUnavailableException')
    ),
    'model timed out': trouble(MODEL_TIMEOUT, refused('ModelHTTPError', 408, 'ModelTimeoutException')),
    'model failed': trouble(MODEL_ERROR, refused('ModelHTTPError', 424, 'ModelErrorException')),
    'slow headers': trouble(SlowHeaders(0.02), ANSWERED),
    'reset': trouble(NoResponse('reset'), RETRIED, RESET),
    'closed': trouble(NoResponse('close'), RETRIED, RESET),
    'connection dropped afterwards': trouble(DropConnection(), ANSWERED),
}
IN_A_BODY = {
    'slow body': trouble(SlowBody(0.005, 64), ANSWERED),
    'body reset': trouble(Truncate(20, 'reset'), RETRIED, RESET),
    'body closed': trouble(Truncate(40, 'close'), RETRIED, RESET),
    'body cut': trouble(Truncate(30, 'end'), NOT_WHOLE),
}
IN_A_STREAM = {
    'slow stream': trouble(SlowBody(0.002, 64), ANSWERED),
    'stream reset': trouble(Truncate(300, 'reset'), BROKEN),
    'stream reset before its first event': trouble(Truncate(5, 'reset'), BROKEN),
    'stream closed': trouble(Truncate(420, 'close'), BROKEN),
    'stream silent': trouble(Truncate(350, 'hang'), SILENT),
    'stream cut': trouble(Truncate(333, 'end'), NOT_WHOLE),
    'wrong checksum': trouble(WrongChecksum(3), BAD_MESSAGE),
    'flipped bit': trouble(FlipBit(-20, 2), BAD_MESSAGE),
    'throttled in the middle': trouble(
        exception_event('throttlingException', after=3), in_stream('ModelRateLimitError', 429, 'throttlingException')
    ),
    'failed in the middle': trouble(
        exception_event('modelStreamErrorException', after=2),
        in_stream('ModelServerError', 424, 'modelStreamErrorException'),
    ),
    'error in the middle': trouble(
        InsertEvent(StreamEvent.error('SomethingBroke', 'Sorry.'), 2, end=True),
        in_stream('ModelAPIError', None, 'SomethingBroke'),
    ),
    'unknown event': trouble(InsertEvent(StreamEvent('somethingNew', {'a': 1}), 2), ANSWERED),
}
TROUBLES = {**BEFORE_THE_RESPONSE, **IN_A_BODY, **IN_A_STREAM}
OF_REQUESTS = tuple({**BEFORE_THE_RESPONSE, **IN_A_BODY})
OF_STREAMS = tuple({**BEFORE_THE_RESPONSE, **IN_A_STREAM})


@dataclass(frozen=True)
class Plan:
    """One run."""

    number: int
    kind: Kind
    words: int
    pause: float
    """Seconds before the response."""
    pace: float
    """Seconds before each event of a stream."""
    trouble: str | None
    times: Times
    cancel_after: float | None
    """Seconds after which the run is cancelled."""
    api_key: bool
    """Whether it bears an API key; else its requests are signed."""
    paced: bool
    """Whether it asks the model that has a quota."""

    @classmethod
    def make(cls, seed: int, number: int) -> Plan:
        """Make the plan of a run: the same for the same seed and number."""
        chance = random.Random(f'{seed}:{number}')
        kind = chance.choice(KINDS)
        met = chance.random() < IN_TROUBLE
        plan = cls(
            number=number,
            kind=kind,
            words=chance.randint(3, 40),
            pause=chance.uniform(0.0, 2.0),
            pace=chance.uniform(0.01, 0.1),
            trouble=chance.choice(OF_STREAMS if kind in STREAMS else OF_REQUESTS) if met else None,
            times=chance.choice(('once', 'always')),
            cancel_after=chance.uniform(0.0, 3.0) if chance.random() < CANCELLED else None,
            api_key=chance.random() < API_KEYS,
            paced=chance.random() < PACED,
        )
        return replace(plan, trouble=None, api_key=False) if plan.paced else plan

    @property
    def prompt(self) -> str:
        """What the run asks, which says all of the plan."""
        return json.dumps(asdict(self))

    @property
    def answer(self) -> str:
        """What it has to be answered, and no other run."""
        return ' '.join(f'{self.number}/{word}' for word in range(self.words))

    @property
    def outcome(self) -> Outcome:
        """What has to come of it, if nothing happens to the whole of the server."""
        if self.trouble is None:
            return ANSWERED
        met = TROUBLES[self.trouble]
        return met.once if self.times == 'once' else met.always

    def meets(self, trouble: str, request: RecordedRequest) -> bool:
        """Whether this fault happens to this request: never to the second of a run, the one after a tool's result."""
        if trouble != self.trouble or request.tool_results:
            return False
        return self.times == 'always' or request.attempt == 1


@lru_cache(maxsize=1024)
def plan_of(prompt: str) -> Plan:
    """Return the plan that a prompt says."""
    return Plan(**json.loads(prompt))


def looked_up(key: int) -> str:
    """Return what the tool of a run says."""
    return f'value-{key * 7919 % 1_000_003}'
