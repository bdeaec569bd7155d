"""The programs of the table: what is done on each side, and what of it is compared."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import ModelRequestParameters
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
        'usage': result.usage,
    }


async def stream(agent: Agent[Any, Any], prompt: Any, **arguments: Any) -> dict[str, Any]:
    """Run an agent whose every response is streamed; what has come before an error is kept with it."""
    events: list[Any] = []
    try:
        async with agent.iter(prompt, **arguments) as run:
            async for node in run:
                if Agent.is_model_request_node(node):
                    async with node.stream(run.ctx) as response:
                        async for event in response:
                            # Parts go on changing: an event is what it was when it came.
                            events.append(plain(event))  # noqa: PERF401 - what came before an error is kept
    except Exception as error:
        return {'events': events, 'error': error}
    assert run.result is not None
    return {'events': events, **of_run(run.result)}


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


def direct(
    name: str,
    messages: Sequence[Any] = (),
    parameters: Callable[[], ModelRequestParameters] = ModelRequestParameters,
    *,
    model: str = NOVA,
    modes: Sequence[str] = (RUN, STREAM, COUNT),
    settings: Mapping[str, Any] | None = None,
    **columns: Any,
) -> Case:
    """A row about one request of a model without an agent.

    Args:
        name: What the row is about.
        messages: The messages; a greeting where none are given.
        parameters: Makes the request's parameters.
        model: The model's id.
        modes: Whether the model answers at once, streams its answer, or counts the tokens of the request.
        settings: Settings of the request.
        columns: The other columns.
    """
    asked = list(messages) or [ModelRequest.user_text_prompt('Hello there')]

    async def program(side: Side) -> dict[str, Any]:
        made = side.model(model)
        outcomes: dict[str, Any] = {}

        async def run() -> Any:
            return await model_request(made, asked, model_settings=settings, model_request_parameters=parameters())

        async def streamed() -> Any:
            events: list[Any] = []
            async with model_request_stream(
                made, asked, model_settings=settings, model_request_parameters=parameters()
            ) as response:
                events.extend([plain(event) async for event in response])
            return {'events': events, 'response': response.get(), 'usage': response.usage}

        async def count() -> Any:
            return await made.count_tokens(asked, settings, parameters())

        how = {RUN: run, STREAM: streamed, COUNT: count}
        for mode in modes:
            outcomes[mode] = await observed(how[mode])
        return outcomes

    return Case(name=name, program=program, rounds=len(modes), **columns)
