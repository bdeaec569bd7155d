"""What is built on a model: wrappers, deadlines, agents as context managers; and what a model is as an object."""
# ruff: noqa: E501 - one line a case

import asyncio
import copy
from typing import Any, get_args

from pydantic_ai import Agent, ConcurrencyLimitedModel
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart
from pydantic_ai.models.bedrock import LatestBedrockModelNames
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.instrumented import InstrumentationSettings, InstrumentedModel
from pydantic_ai.models.wrapper import WrapperModel

from .cases_models import City, weather
from .programs import RUN, STREAM, observed, of_run, program, stream
from .releases import ABANDONED, BROKEN_ANSWERS, DEADLINES, FIRST_EVENT, NETWORK_ERRORS
from .replies import SERVICE_UNAVAILABLE, THROTTLING, NoResponse, Reply, Truncate
from .sides import CLAUDE, NOVA
from .spans import SpanKeeper

SLOW = Reply('One two three four.', delay_per_event=0.4, delay_before=0.0)


def for_model(name):
    return {'model': name}


def both(name, made, *, settings=None, agent=None, **row):
    """A model that is made of the side's, run at once and streamed."""

    async def body(side):
        agent_of = Agent(made(side), model_settings=settings, **(agent or {}))

        async def run():
            return of_run(await agent_of.run('Hello'))

        return {'run': await observed(run), 'stream': await observed(lambda: stream(agent_of, 'Hello'))}

    return program(name, body, rounds=2, **row)


def spans(name, *, model=NOVA, agent=None, options=None, embed=False, **row):
    """The spans of a run, its names, attributes, events and statuses."""

    async def body(side):
        outcomes = {}
        for mode in (RUN, STREAM):
            keeper = SpanKeeper()
            settings = InstrumentationSettings(tracer_provider=keeper, **(options or {}))
            instrumented = Agent(InstrumentedModel(side.model(model), settings), **(agent or {}))

            async def run(mode=mode, instrumented=instrumented):
                if mode == STREAM:
                    return await stream(instrumented, 'Hello')
                return of_run(await instrumented.run('Hello'))

            outcomes[mode] = {**await observed(run), 'spans': keeper.kept()}
        return outcomes

    return program(f'spans: {name}', body, rounds=2, **row)


def facts(name, body, **row):
    """What a model or a provider is, without a request."""

    async def told(side):
        return await observed(lambda: body(side))

    return program(f'object: {name}', told, **row)


def fallback(side, *models, **arguments):
    # What boto3 waits for in a thread must end before the test does.
    return FallbackModel(*(impatient(side, name) for name in models), **arguments)


def impatient(side, name=NOVA):
    return side.model(name, provider=side.provider(aws_read_timeout=1))


async def concurrency(side):
    """Ten runs with three at a time."""
    agent = Agent(ConcurrencyLimitedModel(side.model(), limiter=3))
    results = await asyncio.gather(*(agent.run(f'Number {n}') for n in range(10)))
    return [result.output for result in results]


async def context_manager(side):
    model = side.model()
    agent = Agent(model)
    async with agent:
        first = await agent.run('One')
        async with agent:
            second = await agent.run('Two', message_history=first.all_messages())
    third = await agent.run('Three')
    return [of_run(result) for result in (first, second, third)]


async def equality(side):
    provider = side.provider()
    one, same = side.model(NOVA, provider=provider), side.model(NOVA, provider=provider)
    return {
        'itself': one == one,
        'equal': one == same,
        'other name': one == side.model(CLAUDE, provider=provider),
        'other provider': one == side.model(NOVA),
        'other settings': one == side.model(NOVA, provider=provider, settings={'temperature': 0.5}),
        'something else': one == 'a model',
    }


async def hashing(side):
    model = side.model()
    return [hash(model) == hash(model), len({model, model})]


async def representation(side):
    return [
        repr(side.model()),
        repr(side.model(settings={'temperature': 0.5})),
        repr(side.embedding_model('amazon.titan-embed-text-v2:0')),
    ]


async def properties(side):
    model = side.model(CLAUDE, settings={'temperature': 0.5})
    return {name: getattr(model, name) for name in ('model_name', 'model_id', 'system', 'base_url', 'settings')} | {
        'label': model.label,
        'native': sorted(tool.__name__ for tool in model.supported_native_tools()),
    }


async def profile(side):
    models = (NOVA, CLAUDE, 'global.anthropic.claude-opus-5-5', 'us.meta.llama3-3-70b-instruct-v1:0')
    return [side.model(name).profile for name in models]


async def every_profile(side):
    provider = side.provider()
    names = get_args(LatestBedrockModelNames)
    return {name: [provider.model_profile(name), side.model(name, provider=provider).profile] for name in names}


async def copies(side):
    model = side.model(settings={'temperature': 0.5})
    one, deep_settings = copy.copy(model), copy.deepcopy(model.settings)
    result = await Agent(one).run('Hello')
    return {'equal': one == model, 'same class': type(one) is type(model), 'settings': deep_settings, **of_run(result)}


async def reassigned(side):
    model = side.model(provider=side.provider(aws_secret_access_key='wrong'))
    model.client = side.provider().client
    return of_run(await Agent(model).run('Hello'))


async def reassigned_provider(side):
    provider = side.provider(aws_secret_access_key='wrong')
    model = side.model(provider=provider)
    provider.client = side.provider().client
    return of_run(await Agent(model).run('Hello'))


async def cancelled(side):
    """A stream that is left after its first event."""
    async with model_request_stream(side.model(), [ModelRequest.user_text_prompt('Tell me')]) as response:
        async for _ in response:
            break
        await response.cancel()
        parts: Any = response.get().parts
        return {'text': [part.content for part in parts], 'cancelled': response.cancelled}


async def read_twice(side):
    async with model_request_stream(side.model(), [ModelRequest.user_text_prompt('Tell me')]) as response:
        once = [event async for event in response]
        return [
            len(once),
            [event async for event in response],
            response.get(),
            response.model_name,
            response.provider_name,
            response.provider_url,
        ]


async def prompted_nothing(side):
    return await model_request(side.model(), [])


async def history_of_responses(side):
    return [
        await model_request(
            side.model(name), [ModelResponse(parts=[TextPart('Hi.')]), ModelRequest.user_text_prompt('Go on')]
        )
        for name in (NOVA, CLAUDE)
    ]


async def override(side):
    agent = Agent(side.model(CLAUDE))
    with agent.override(model=side.model(NOVA)):
        return of_run(await agent.run('Hello'))


async def streamed_text(side):
    async with Agent(side.model()).run_stream('Tell me') as result:
        return [
            [text async for text in result.stream_text(delta=True, debounce_by=None)],
            result.response,
            result.is_complete,
        ]


async def streamed_output(side):
    async with Agent(side.model(), output_type=City).run_stream('The city of "Paris"') as result:
        return [await result.get_output(), result.response]


def of(name, body, **row):
    async def told(side):
        return await observed(lambda: body(side))

    return program(name, told, **row)


def throttled(request):
    return request.model_id == CLAUDE


# fmt: off
CASES = (
    both('fallback, not needed', lambda side: fallback(side, CLAUDE, NOVA)),
    both('fallback, throttled', lambda side: fallback(side, CLAUDE, NOVA), faults=[(THROTTLING, for_model(CLAUDE))]),
    both('fallback, nothing left', lambda side: fallback(side, CLAUDE, NOVA), faults=[THROTTLING]),
    both('fallback, unavailable and then throttled', lambda side: fallback(side, CLAUDE, NOVA), faults=[(SERVICE_UNAVAILABLE, for_model(CLAUDE)), (THROTTLING, for_model(NOVA))]),
    both('fallback, reset', lambda side: fallback(side, CLAUDE, NOVA), faults=[(NoResponse('reset'), for_model(CLAUDE))], since=NETWORK_ERRORS),
    both('fallback, on other errors', lambda side: fallback(side, CLAUDE, NOVA, fallback_on=(ValueError,)), faults=[(THROTTLING, for_model(CLAUDE))]),
    both('fallback, with an output type', lambda side: fallback(side, CLAUDE, NOVA), agent={'output_type': City}, faults=[(THROTTLING, for_model(CLAUDE))], needs='ConverseRequest.outputConfig'),
    both('wrapper', lambda side: WrapperModel(side.model())),
    both('concurrency limit', lambda side: ConcurrencyLimitedModel(side.model(), limiter=1)),
    of('concurrency limit of three', concurrency, in_order=False),
    spans('text'),
    spans('Claude, with settings', model=CLAUDE, agent={'model_settings': {'temperature': 0.5, 'max_tokens': 50, 'stop_sequences': ['x']}}),
    spans('tool', agent={'tools': [weather], 'instructions': 'Be brief.'}),
    spans('output type', agent={'output_type': City}),
    spans('throttled', faults=[THROTTLING]),
    spans('without content', options={'include_content': False}),
    spans('stream that breaks', faults=[Truncate(400, 'reset')], own_words=True, since=BROKEN_ANSWERS),
    both('request_timeout that suffices', lambda side: side.model(), settings={'request_timeout': 10}, since=DEADLINES),
    both('request_timeout that does not', impatient, settings={'request_timeout': 0.3}, faults=[NoResponse('hang')], since=ABANDONED),
    both('request_timeout in the middle', lambda side: side.model(CLAUDE), settings={'request_timeout': 0.6}, replies=[SLOW], since=ABANDONED),
    both('first_event_timeout that does not suffice', lambda side: side.model(), settings={'first_event_timeout': 0.3}, replies=[Reply('Hi', delay_before=0.0), Reply('Hi', delay_per_event=0.5)], since=FIRST_EVENT),
    both('fallback after a deadline', lambda side: fallback(side, CLAUDE, NOVA), settings={'request_timeout': 0.4}, faults=[(NoResponse('hang'), for_model(CLAUDE))], since=ABANDONED),
    of('agent as a context manager', context_manager),
    of('overridden model', override),
    of('run_stream, text', streamed_text),
    of('run_stream, output', streamed_output),
    of('stream that is cancelled', cancelled),
    of('stream that is read twice', read_twice),
    of('request without messages', prompted_nothing),
    of('request that starts with a response', history_of_responses),
    of('client reassigned', reassigned),
    of("provider's client reassigned", reassigned_provider),
    facts('equality', equality),
    facts('hash', hashing),
    facts('repr', representation),
    facts('properties', properties),
    facts('profile', profile, needs='ConverseRequest.outputConfig'),
    facts('profile of every name', every_profile, needs='ConverseRequest.outputConfig'),
    facts('copy', copies),
)
