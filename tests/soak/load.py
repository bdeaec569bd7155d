"""The runs: as many at once as are asked for, each judged by its plan."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.models import Model
from tests.faults.outcomes import CATEGORIZED, Answered, Outcome, Raised

from .plans import TROUBLES, Plan, looked_up
from .surroundings import Server

HANG_SECONDS = 120.0
RECOVERY_SECONDS = 15.0
"""How long after a restart a retry may be refused: botocore's bucket of tokens for retries is empty by then, and each
success puts one back."""


tasks_of_run: ContextVar[list[asyncio.Task[Any]] | None] = ContextVar('tasks_of_run', default=None)
"""The tasks that Pydantic AI has made for a run, within the run."""


def task_noting_its_run(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a task, and note it with its run if it is one of Pydantic AI's: others may serve several runs."""
    task = asyncio.Task(coroutine, loop=loop, **options)
    tasks = tasks_of_run.get()
    if tasks is not None and getattr(coroutine, '__qualname__', '').startswith('ScopedTask.'):
        tasks.append(task)
    return task


class Written(BaseModel):
    number: int
    text: str


async def look_up(key: int) -> str:
    """Look up the value of a key."""
    return looked_up(key)


class WrongAnswerError(AssertionError):
    """A run was given what is not its own."""


async def text(model: Model, plan: Plan) -> None:
    check((await Agent(model).run(plan.prompt)).output, plan.answer)


async def tool(model: Model, plan: Plan) -> None:
    agent = Agent(model, tools=[look_up])
    check((await agent.run(plan.prompt)).output, f'{plan.answer} {looked_up(plan.number)}')


async def structured(model: Model, plan: Plan) -> None:
    agent = Agent(model, output_type=Written)
    check((await agent.run(plan.prompt)).output, Written(number=plan.number, text=plan.answer))


async def stream(model: Model, plan: Plan) -> None:
    said = ''
    async with Agent(model).run_stream(plan.prompt) as streamed:
        async for said in streamed.stream_text(debounce_by=None):
            if not plan.answer.startswith(said):
                raise WrongAnswerError(f'{said!r} is no beginning of {plan.answer!r}')
    check(said, plan.answer)


async def left(model: Model, plan: Plan) -> None:
    """Leave a stream in the middle."""
    async with Agent(model).run_stream(plan.prompt) as streamed:
        async for said in streamed.stream_text(debounce_by=None):
            if not plan.answer.startswith(said):
                raise WrongAnswerError(f'{said!r} is no beginning of {plan.answer!r}')
            if 2 * len(said) > len(plan.answer):
                break


RUNS: dict[str, Callable[[Model, Plan], Coroutine[Any, Any, None]]] = {
    'text': text,
    'tool': tool,
    'structured': structured,
    'stream': stream,
    'left': left,
}


def check(answer: object, expected: object) -> None:
    if answer != expected:
        raise WrongAnswerError(f'{answer!r} instead of {expected!r}')


def is_expected(error: Exception, expected: Outcome) -> bool:
    """Whether an error is the one that a fault has to come to."""
    if isinstance(expected, Answered) or not isinstance(error, ModelAPIError):
        return False
    return not CATEGORIZED or (
        expected.kind in [base.__name__ for base in type(error).__mro__]
        and getattr(error, 'status_code', None) == expected.status
        and expected.code in (None, error.provider_error_code)
    )


@dataclass
class Load:
    """Keeps so many runs going, and counts what comes of them."""

    model: Model
    bearing: Model
    """The model whose requests bear an API key."""
    paced: Model
    """The model that has a quota."""
    server: Server
    seed: int
    came: Counter[str] = field(default_factory=Counter[str])
    troubles: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    unexplained: list[str] = field(default_factory=list[str])
    throttled: int = 0
    """Attempts that the quota refused."""
    stranded: int = 0
    """Tasks that Pydantic AI forgets when a run is cancelled just as it begins, whatever its model. They are ended
    here: they would wait for ever, and hide what this package might leave."""

    def __post_init__(self) -> None:
        self._numbers = count()

    async def keep(self, runs: int, until: Callable[[], Awaitable[None]]) -> None:
        """Keep so many runs going until something has come about, then let them end."""
        self._over = False
        workers = [asyncio.create_task(self._work()) for _ in range(runs)]
        await until()
        self._over = True
        await asyncio.gather(*workers)

    async def _work(self) -> None:
        while not self._over:
            plan = Plan.make(self.seed, next(self._numbers))
            self.came[await self._run(plan)] += 1
            if plan.trouble is not None:
                self.troubles[plan.trouble] += 1

    async def _run(self, plan: Plan) -> str:
        """Make a run, and return what came of it."""
        start = time.monotonic()
        tasks: list[asyncio.Task[Any]] = []
        tasks_of_run.set(tasks)
        model = self.paced if plan.paced else self.bearing if plan.api_key else self.model
        run = asyncio.create_task(RUNS[plan.kind](model, plan))
        cancel = None
        if plan.cancel_after is not None:
            cancel = asyncio.get_running_loop().call_later(plan.cancel_after, run.cancel)
        done, _ = await asyncio.wait({run}, timeout=HANG_SECONDS)
        if cancel is not None:
            cancel.cancel()
        if not done:
            run.cancel()
            await asyncio.wait({run}, timeout=5)
            self.unexplained.append(f'{plan}: hangs')
            return 'hung'
        if run.cancelled():
            for task in tasks:
                self.stranded += task.cancel()
            if plan.cancel_after is None:
                self.unexplained.append(f'{plan}: cancelled by nobody')
            return 'cancelled'
        error = run.exception()
        if error is None:
            return self._answered(plan)
        if isinstance(error, WrongAnswerError):
            self.wrong.append(f'{plan}: {error}')
            return 'wrong answer'
        if isinstance(error, Exception) and (why := self._explained(error, plan, start)):
            return why
        self.unexplained.append(f'{plan}: {error!r} from {error.__cause__!r}')
        return 'unexplained error'

    def _answered(self, plan: Plan) -> str:
        expected = plan.outcome
        if isinstance(expected, Answered):
            return 'answered' if expected.attempts == 1 else 'answered after a retry'
        if plan.kind == 'left':
            return 'left before the fault'
        if plan.times == 'once':
            # The attempt that was to meet it was lost, with its connection, before it came to that.
            return 'answered without the fault'
        self.wrong.append(f'{plan}: an answer, where {expected} was to come')
        return 'wrong answer'

    def _explained(self, error: Exception, plan: Plan, start: float) -> str:
        """Say what an error comes from, or nothing."""
        now = time.monotonic()
        if is_expected(error, plan.outcome):
            return 'failed as planned'
        if self.server.was_down(start, now) and is_expected(error, Raised('ModelAPIError')):
            return 'failed by a restart'
        retries_used_up = self.server.was_down(start, now, grace=RECOVERY_SECONDS)
        if plan.trouble is not None and retries_used_up and is_expected(error, TROUBLES[plan.trouble].always):
            return 'not tried again, soon after a restart'
        return ''
