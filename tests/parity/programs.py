"""The programs of the table: what is done on each side, and what of it is compared."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.usage import UsageLimits

from .canonical import plain, warned
from .case import Case, Program
from .sides import NOVA, Side

RUN, STREAM, COUNT = 'run', 'stream', 'count'


async def observed(what: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """Run something, and return what came of it: a result or an error, and what was warned of."""
    outcome: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        try:
            outcome['result'] = plain(await what())
        except (Exception, BaseExceptionGroup) as error:
            outcome['error'] = plain(error)
    outcome['warnings'] = warned(caught)
    return outcome


def of_run(result: Any) -> dict[str, Any]:
    """Return what is compared of an agent's run."""
    messages = result.all_messages()
    return {
        'output': result.output,
        'messages': messages,
        'usage': result.usage() if callable(result.usage) else result.usage,
    }


async def stream(agent: Agent[Any, Any], prompt: Any, **arguments: Any) -> dict[str, Any]:
    """Run an agent whose every response is streamed; what has come before an error is kept with it."""
    events: list[Any] = []
    try:
        async with agent.iter(prompt, **arguments) as run:
            async for node in run:
                if Agent.is_model_request_node(node):
                    async with node.stream(run.ctx) as response:
                        events.extend([event async for event in _collecting(response, events)])
    except Exception as error:
        return {'events': _events(events), 'error': error}
    assert run.result is not None
    return {'events': _events(events), **of_run(run.result)}


async def _collecting(response: Any, events: list[Any]) -> Any:
    async for event in response:
        # Parts go on changing: an event is what it was when it came.
        events.append(plain(event))
        if False:
            yield


def _events(events: Sequence[Any]) -> list[Any]:
    return list(events)


def chat(
    name: str,
    prompt: Any = 'Hello there',
    *,
    model: str = NOVA,
    modes: Sequence[str] = (RUN, STREAM),
    settings: Mapping[str, Any] | None = None,
    model_settings: Mapping[str, Any] | None = None,
    profile: Any = None,
    history: Sequence[Any] | None = None,
    limits: UsageLimits | None = None,
    provider: Mapping[str, Any] | None = None,
    agent: Mapping[str, Any] | None = None,
    **columns: Any,
) -> Case:
    """A row about what an agent's run sends and makes of the answers.

    Args:
        name: What the row is about.
        prompt: The user's prompt, or a function that makes it.
        model: The model's id.
        modes: How the agent is run: at once, streamed, or at once with its tokens counted first.
        settings: Settings of the run.
        model_settings: Settings of the model.
        profile: The model's profile.
        history: The messages before the prompt.
        limits: Usage limits of the run.
        provider: Arguments of the provider.
        agent: Arguments of the agent: tools, output type, instructions.
        columns: The other columns.
    """

    async def program(side: Side) -> dict[str, Any]:
        outcomes: dict[str, Any] = {}
        shared = side.provider(**(provider or {}))
        for mode in modes:

            async def run(mode: str = mode) -> Any:
                made = side.model(model, provider=shared, settings=model_settings, profile=profile)
                asking: Agent[Any, Any] = Agent(made, **(agent or {}))
                arguments: dict[str, Any] = {
                    'model_settings': settings,
                    'message_history': list(history) if history is not None else None,
                    'usage_limits': limits,
                }
                if mode == STREAM:
                    return await stream(asking, prompt, **arguments)
                if mode == COUNT:
                    arguments['usage_limits'] = UsageLimits(
                        input_tokens_limit=1_000_000, count_tokens_before_request=True
                    )
                return of_run(await asking.run(prompt, **arguments))

            outcomes[mode] = await observed(run)
        return outcomes

    return Case(name=name, program=program, rounds=len(modes), **columns)


def program(name: str, body: Program, **columns: Any) -> Case:
    """A row about a program of its own."""
    return Case(name=name, program=body, **columns)
