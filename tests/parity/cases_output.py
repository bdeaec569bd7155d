"""Structured output: native, by tools, prompted; with validation that fails, and of every shape."""
# ruff: noqa: E501 - one line a case

from typing import Literal

from pydantic import BaseModel, Field
from pydantic_ai import NativeOutput, PromptedOutput, TextOutput, ToolOutput

from .cases_models import City, weather
from .programs import COUNT, RUN, STREAM, chat
from .replies import Reply, ToolCall
from .sides import CLAUDE, CLAUDE_3, NOVA

LLAMA, MISTRAL = 'us.meta.llama3-3-70b-instruct-v1:0', 'mistral.ministral-3-14b-instruct'
NATIVE = 'ConverseRequest.outputConfig'
ALL = (RUN, STREAM, COUNT)


class Person(BaseModel):
    """A person, with all that schemas have."""

    name: str = Field(min_length=1, max_length=40, description='Full name.')
    age: int = Field(ge=0, lt=150)
    role: Literal['user', 'admin'] = 'user'
    cities: list[City] = Field(default_factory=list, max_length=3)
    scores: dict[str, float] = {}
    friend: 'Person | None' = None


def shouted(text: str) -> str:
    return text.upper()


def population_of(name: str, people: int) -> int:
    """Take a city and its people."""
    return people


def output(name, output_type, model=CLAUDE, needs='', prompt='The city of "Paris"', **row):
    return chat(
        name, prompt, model=model, needs=needs, agent={'output_type': output_type, **row.pop('agent', {})}, **row
    )


def says(*texts):
    return [Reply(text) for text in texts]


def calls(**arguments):
    return Reply(tool_calls=[ToolCall('final_result', arguments, id='call_1')])


# fmt: off
CASES = (
    output('native', NativeOutput(City), needs=NATIVE, modes=ALL),
    output('native, named and described', NativeOutput(City, name='place', description='A place.'), needs=NATIVE),
    output('native, of several types', NativeOutput([City, Person]), needs=NATIVE, replies=says('{"result": {"kind": "City", "data": {"name": "Rome", "country": "Italy"}}}')),
    output('native, a rich schema', NativeOutput(Person), needs=NATIVE, replies=says('{"name": "Ada", "age": 36}')),
    output('native, Mistral', NativeOutput(Person), MISTRAL, needs=NATIVE, replies=says('{"name": "Ada", "age": 36}')),
    output('native, with a tool', NativeOutput(City), needs=NATIVE, agent={'tools': [weather]}),
    output('native, of a model that has none', NativeOutput(City), NOVA, needs=NATIVE),
    output('native, not valid at first', NativeOutput(City), needs=NATIVE, replies=says('{"name": "Rome"}', '{"name": "Rome", "country": "Italy"}')),
    output('native, never valid', NativeOutput(City), needs=NATIVE, replies=says('no', 'no', 'no')),
    output('by default', City, needs=NATIVE, modes=ALL),
    output('by default, Claude 3.5', City, CLAUDE_3, modes=ALL),
    output('by default, Nova', City, NOVA, modes=ALL),
    output('by default, Llama', City, LLAMA, modes=ALL),
    output('by default, beside text', [City, str], NOVA, modes=ALL),
    output('by default, a list', list[int], NOVA, replies=[calls(response=[1, 2, 3])]),
    output('by default, a number', int, NOVA, replies=[calls(response=7)]),
    output('by default, of several types', [City, Person], NOVA, replies=[Reply(tool_calls=[ToolCall('final_result_City', {'name': 'Rome', 'country': 'Italy'}, id='call_1')])]),
    output('tool', ToolOutput(City), modes=ALL),
    output('tool, named, described and strict', ToolOutput(City, name='place', description='A place.', strict=True), needs='ToolSpecification.strict'),
    output('tool, Nova', ToolOutput(Person), NOVA, replies=[calls(name='Ada', age=36)]),
    output('tool, not valid at first', ToolOutput(City), NOVA, replies=[calls(name='Rome'), calls(name='Rome', country='Italy')]),
    output('tool, never called', ToolOutput(City), NOVA, replies=says('No.', 'No.')),
    output('tool, called beside another', ToolOutput(City), NOVA, agent={'tools': [weather]}, replies=[Reply(tool_calls=[ToolCall('weather', {'city': 'Rome'}, id='call_1'), ToolCall('final_result', {'name': 'Rome', 'country': 'Italy'}, id='call_2')])]),
    output('prompted', PromptedOutput(City), modes=ALL, replies=says('{"name": "Rome", "country": "Italy"}')),
    output('prompted, Nova', PromptedOutput(City), NOVA, replies=says('{"name": "Rome", "country": "Italy"}')),
    output('prompted, with a template', PromptedOutput(City, template='As JSON: {schema}'), NOVA, replies=says('```json\n{"name": "Rome", "country": "Italy"}\n```')),
    output('prompted, not valid at first', PromptedOutput(City), NOVA, replies=says('Rome', '{"name": "Rome", "country": "Italy"}')),
    output('text through a function', TextOutput(shouted), NOVA),
    output('function', population_of, NOVA, replies=[calls(name='Rome', people=3)]),
    output('empty answer', str, NOVA, replies=[Reply(content=[]), Reply('At last.')]),
    output('answer that is filtered', str, NOVA, replies=[Reply('Sorry.', stop_reason='content_filtered')]),
    output('answer that is filtered and empty', str, NOVA, replies=[Reply(content=[], stop_reason='content_filtered')]),
    output('answer beyond the window', str, NOVA, replies=[Reply('And so', stop_reason='model_context_window_exceeded')]),
    output('answer beyond max_tokens and empty', str, NOVA, replies=[Reply(content=[], stop_reason='max_tokens')]),
    output('stop reason that no one knows', str, NOVA, replies=[Reply('Hi.', stop_reason='tired')]),
)
