"""Tools: how they are offered, chosen, called and answered; strict ones, and the one that Nova runs itself."""
# ruff: noqa: E501 - one line a case

from pydantic_ai import CodeExecutionTool, ModelRetry, Tool, ToolReturn
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ToolOrOutput
from pydantic_ai.tools import ToolDefinition

from .cases_models import HISTORY, City, weather
from .programs import COUNT, RUN, STREAM, chat, direct
from .replies import EventsReply, Reply, ToolCall
from .sides import CLAUDE, CLAUDE_ADAPTIVE, NOVA, NOVA_2

LLAMA, MISTRAL, PALMYRA = (
    'us.meta.llama3-3-70b-instruct-v1:0',
    'mistral.mistral-large-3-675b-instruct',
    'us.writer.palmyra-x5-v1:0',
)
STRICT, SYSTEM_TOOL = 'ToolSpecification.strict', 'Tool.systemTool'


def population(city: str, year: int = 2020, *, exact: bool = False) -> int:
    """Tell how many people live in a city.

    Args:
        city: The city.
        year: When.
        exact: Whether to the last one.
    """
    return len(city) * year + exact


def bounded(n: int, code: str) -> str:
    """Take what a schema bounds."""
    return f'{n} {code}'


def no_arguments() -> dict[str, list[int]]:
    return {'numbers': [1, 2, 3]}


def fails() -> str:
    raise ModelRetry('Try again, with more care.')


def nothing() -> None:
    """Give nothing."""


def rich() -> ToolReturn:
    return ToolReturn(return_value='All is well.', content=['More about it.'], metadata={'kept': 'here'})


BOUNDED = Tool(bounded, strict=True)
SCHEMA = {
    'type': 'object',
    'title': 'Bounded',
    'properties': {
        'n': {'type': 'integer', 'minimum': 1, 'maximum': 9, 'description': 'A digit.'},
        'tags': {
            'type': 'array',
            'items': {'type': 'string', 'pattern': '(?=a)b'},
            'minItems': 2,
            'maxItems': 3,
            'contains': {'const': 'a'},
        },
    },
    'required': ['n'],
}
DEFINED = ToolDefinition(name='bounded', description='A tool.', parameters_json_schema=SCHEMA, strict=True)
LAX = ToolDefinition(name='lax', parameters_json_schema={'type': 'object', 'properties': {}})
OUTPUT = ToolDefinition(
    name='final_result',
    parameters_json_schema={'type': 'object', 'properties': {'x': {'type': 'integer'}}},
    kind='output',
)

ONE = Reply(tool_calls=[ToolCall('weather', {'city': 'Oslo'}, id='call_1')])
TWO = Reply(
    'Both.',
    tool_calls=[
        ToolCall('weather', {'city': 'Oslo'}, id='call_1'),
        ToolCall('population', {'city': 'Oslo'}, id='call_2'),
    ],
)
SAME = Reply(tool_calls=[ToolCall('weather', {'city': name}, id=f'call_{name}') for name in ('Oslo', 'Rome', 'Bern')])
BROKEN = Reply(tool_calls=[ToolCall('weather', '{"city": "Os', id='call_1')])
WRONG = Reply(tool_calls=[ToolCall('weather', {'town': 'Oslo'}, id='call_1')])
UNKNOWN = Reply(tool_calls=[ToolCall('no_such_tool', {}, id='call_1')])
EMPTY = Reply(tool_calls=[ToolCall('no_arguments', {}, id='call_1')])
CUT_OFF = Reply(tool_calls=[ToolCall('weather', '{"city": "O', id='call_1')], stop_reason='max_tokens')
DONE = Reply('Done.')

SNIPPET = {'snippet': 'print(6 * 7)'}
RESULT = {'stdOut': '42\n', 'stdErr': '', 'exitCode': 0, 'isError': False}


def code(result, status='success', use_id='tooluse_code'):
    return Reply(
        content=[
            {'text': 'Let me compute.'},
            {
                'toolUse': {
                    'name': 'nova_code_interpreter',
                    'toolUseId': use_id,
                    'input': SNIPPET,
                    'type': 'server_tool_use',
                }
            },
            {
                'toolResult': {
                    'toolUseId': use_id,
                    'content': result,
                    'status': status,
                    'type': 'nova_code_interpreter_result',
                }
            },
            {'text': 'It is 42.'},
        ]
    )


NO_INPUT = EventsReply(
    [
        {'messageStart': {'role': 'assistant'}},
        {
            'contentBlockStart': {
                'contentBlockIndex': 0,
                'start': {'toolUse': {'name': 'no_arguments', 'toolUseId': 'call_1'}},
            }
        },
        {'contentBlockStop': {'contentBlockIndex': 0}},
        {'messageStop': {'stopReason': 'tool_use'}},
        {'metadata': {'usage': {'inputTokens': 1, 'outputTokens': 2, 'totalTokens': 3}, 'metrics': {'latencyMs': 1}}},
    ]
)
SLICED = EventsReply(
    [
        {'messageStart': {'role': 'assistant'}},
        {
            'contentBlockStart': {
                'contentBlockIndex': 0,
                'start': {'toolUse': {'name': 'weather', 'toolUseId': 'call_1'}},
            }
        },
        *(
            {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'toolUse': {'input': piece}}}}
            for piece in ('', '{"ci', 'ty"', ': "Os', 'lo"}', '')
        ),
        {'contentBlockStop': {'contentBlockIndex': 0}},
        {'messageStop': {'stopReason': 'tool_use'}},
        {'metadata': {'usage': {'inputTokens': 1, 'outputTokens': 2, 'totalTokens': 3}, 'metrics': {'latencyMs': 1}}},
    ]
)


def tools(name, *offered, model=CLAUDE, prompt='Go on', **row):
    agent = {'tools': list(offered) or [weather, population], **row.pop('agent', {})}
    return chat(name, prompt, model=model, agent=agent, **row)


def choice(name, tool_choice, model=CLAUDE, output=(), text=True, history=(), thinking=None, **row):
    """A request without an agent: an agent does not take every choice."""
    settings = {'tool_choice': tool_choice, **({} if thinking is None else {'thinking': thinking})}
    messages = [*history, ModelRequest.user_text_prompt('Go on')]

    def parameters():
        return ModelRequestParameters(
            function_tools=[DEFINED, LAX],
            output_tools=list(output),
            allow_text_output=text,
            output_mode='tool' if output else 'text',
        )

    return direct(f'choice: {name}', messages, parameters, model=model, settings=settings, needs=STRICT, **row)


def answered(name, *parts, model=CLAUDE, **row):
    """A history that ends with these answers of tools."""
    calls = [ToolCallPart('weather', {'city': 'Oslo'}, part.tool_call_id) for part in parts]
    history = [ModelRequest(parts=[UserPromptPart('Hi')]), ModelResponse(parts=calls), ModelRequest(parts=list(parts))]
    return chat(name, None, model=model, history=history, agent={'tools': [weather]}, modes=(RUN, STREAM, COUNT), **row)


def interpreter(name, *replies, **row):
    return chat(
        name,
        model=NOVA_2,
        agent={'capabilities': [NativeTool(CodeExecutionTool())]},
        replies=replies,
        needs=SYSTEM_TOOL,
        **row,
    )


# fmt: off
CASES = (
    tools('one', weather),
    tools('two', modes=(RUN, STREAM, COUNT)),
    tools('without arguments', no_arguments),
    tools('without a description', no_arguments, model=NOVA),
    tools('that gives nothing', nothing),
    tools('that gives content beside its result', rich),
    tools('that gives content beside its result, Llama', rich, model=LLAMA, replies=[Reply(tool_calls=[ToolCall('rich', {}, id='call_1')]), DONE]),
    tools('that fails', fails, replies=[Reply(tool_calls=[ToolCall('fails', {}, id='call_1')]), DONE]),
    tools('that fails, Palmyra', fails, model=PALMYRA, replies=[Reply(tool_calls=[ToolCall('fails', {}, id='call_1')]), DONE]),
    tools('called', replies=[ONE, DONE]),
    tools('called twice at once, with a text', replies=[TWO, DONE]),
    tools('called three times at once', replies=[SAME, DONE]),
    tools('called three times at once, Llama', model=LLAMA, replies=[SAME, DONE]),
    tools('called three times at once, Mistral', model=MISTRAL, replies=[SAME, DONE]),
    tools('called with JSON that breaks off', replies=[BROKEN, DONE]),
    tools('called with wrong arguments', replies=[WRONG, DONE]),
    tools('called with wrong arguments, too often', replies=[WRONG, WRONG]),
    tools('that does not exist', replies=[UNKNOWN, DONE]),
    tools('called with no arguments', no_arguments, replies=[EMPTY, DONE]),
    tools('called with no input at all', no_arguments, replies=[NO_INPUT, DONE], modes=[STREAM]),
    tools('called in slices', replies=[SLICED, DONE], modes=[STREAM]),
    tools('called, and the answer cut off', replies=[CUT_OFF, CUT_OFF]),
    tools('called, and the call malformed', replies=[Reply('Hm.', stop_reason='malformed_tool_use')]),
    tools('strict', BOUNDED, needs=STRICT),
    tools('strict, of a model that has none', BOUNDED, model=NOVA),
    tools('strict, Mistral', BOUNDED, model=MISTRAL, needs=STRICT),
    tools('many strict', *(Tool(bounded, name=f'bounded_{n}', strict=True) for n in range(21)), needs=STRICT),
    tools('serial', Tool(weather, sequential=True), replies=[SAME, DONE]),
    tools('not parallel', settings={'parallel_tool_calls': False}),
    tools('after a history without tools', history=HISTORY[:1]),
    chat('history with tools, none offered', 'Go on', history=HISTORY, model=CLAUDE),
    chat('history with tools, none offered, Nova', 'Go on', history=HISTORY, model=NOVA),
    choice('auto', 'auto'),
    choice('none', 'none'),
    choice('none, after tools', 'none', history=HISTORY),
    choice('none, after tools, Nova', 'none', model=NOVA, history=HISTORY),
    choice('none at all', []),
    choice('required', 'required'),
    choice('required, Nova', 'required', model=NOVA),
    choice('required, Llama', 'required', model=LLAMA),
    choice('required, while thinking', 'required', thinking=True),
    choice('required, while thinking, adaptive', 'required', model=CLAUDE_ADAPTIVE, thinking=True),
    choice('one tool', ['lax']),
    choice('one tool, Llama', ['lax'], model=LLAMA),
    choice('one tool, while thinking', ['lax'], thinking=True),
    choice('two tools', ['lax', 'bounded']),
    choice('a tool that is not there', ['no_such_tool'], own_words=True),
    choice('a tool that is not there and one that is', ['no_such_tool', 'lax']),
    choice('one or output', ToolOrOutput(['lax'])),
    choice('one or output, with output tools', ToolOrOutput(['lax']), output=[OUTPUT], text=False),
    choice('none, with output tools', 'none', output=[OUTPUT], text=False),
    choice('output tools alone', 'auto', output=[OUTPUT], text=False),
    choice('output tools or text', 'auto', output=[OUTPUT]),
    choice('output tools, while thinking', 'auto', output=[OUTPUT], text=False, thinking=True),
    choice('output tools, Llama', 'auto', model=LLAMA, output=[OUTPUT], text=False),
    answered('text', ToolReturnPart('weather', 'Snow.', 'call_1')),
    answered('empty text', ToolReturnPart('weather', '', 'call_1')),
    answered('object', ToolReturnPart('weather', {'sky': 'grey', 'wind': None}, 'call_1')),
    answered('object, Mistral', ToolReturnPart('weather', {'sky': 'grey', 'wind': None}, 'call_1'), model=MISTRAL),
    answered('list', ToolReturnPart('weather', [1, 'two', {'three': 3.5}], 'call_1')),
    answered('list, Mistral', ToolReturnPart('weather', [1, 'two', {'three': 3.5}], 'call_1'), model=MISTRAL),
    answered('model', ToolReturnPart('weather', City(name='Oslo', country='Norway'), 'call_1')),
    answered('nothing', ToolReturnPart('weather', None, 'call_1')),
    answered('several', ToolReturnPart('weather', 'Snow.', 'call_1'), ToolReturnPart('weather', 'Ice.', 'call_2')),
    answered('several, and a prompt', ToolReturnPart('weather', 'Snow.', 'call_1'), model=LLAMA),
    answered('a failure', ToolReturnPart('weather', 'No.', 'call_1', outcome='failed')),
    answered('a failure, Palmyra', ToolReturnPart('weather', 'No.', 'call_1', outcome='failed'), model=PALMYRA),
    answered('a denial', ToolReturnPart('weather', 'Not allowed.', 'call_1', outcome='denied')),
    answered('a retry', ToolReturnPart('weather', 'Not so.', 'call_1', outcome='retried')),
    interpreter('code interpreter', code([{'json': RESULT}])),
    interpreter('code interpreter that fails', code([{'json': {**RESULT, 'isError': True, 'exitCode': 1}}], 'error')),
    interpreter('code interpreter that gives nothing', code([], 'error'), modes=[RUN]),
    interpreter('code interpreter, in the history', DONE, history=[ModelRequest(parts=[UserPromptPart('Six times seven?')]), ModelResponse(parts=[NativeToolCallPart('code_execution', SNIPPET, 'tooluse_code', provider_name='bedrock'), NativeToolReturnPart('code_execution', RESULT, 'tooluse_code', provider_name='bedrock', provider_details={'status': 'success'}), TextPart('42.')])]),
    chat('code interpreter of another provider, in the history', history=[ModelRequest(parts=[UserPromptPart('Six times seven?')]), ModelResponse(parts=[NativeToolCallPart('code_execution', SNIPPET, 'call_code', provider_name='openai'), NativeToolReturnPart('code_execution', RESULT, 'call_code', provider_name='openai'), TextPart('42.')])]),
    chat('code interpreter of a model that has none', model=NOVA, agent={'capabilities': [NativeTool(CodeExecutionTool())]}),
)
