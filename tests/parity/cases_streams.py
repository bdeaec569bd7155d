"""Streams: what an agent sees of every event, in whatever order and pieces they come."""
# ruff: noqa: E501 - one line a case

from .cases_models import weather
from .programs import STREAM, chat
from .replies import EventsReply, Reply, SlowBody, StreamEvent, ToolCall, encode_event, encode_frame, encode_headers
from .sides import CLAUDE, NOVA

START = {'messageStart': {'role': 'assistant'}}
STOP = {'messageStop': {'stopReason': 'end_turn'}}
USAGE = {'inputTokens': 3, 'outputTokens': 5, 'totalTokens': 8}
METADATA = {'metadata': {'usage': USAGE, 'metrics': {'latencyMs': 12}}}
TOOL = {'contentBlockStart': {'contentBlockIndex': 1, 'start': {'toolUse': {'name': 'weather', 'toolUseId': 'call_1'}}}}
ARGS = {'contentBlockDelta': {'contentBlockIndex': 1, 'delta': {'toolUse': {'input': '{"city": "Oslo"}'}}}}


def delta(text, index=0, **more):
    return {'contentBlockDelta': {'contentBlockIndex': index, 'delta': {'text': text}, **more}}


def end(index=0):
    return {'contentBlockStop': {'contentBlockIndex': index}}


def of(name, *events, model=NOVA, then=(), **row):
    """A stream of these events."""
    return chat(name, model=model, modes=[STREAM], replies=[EventsReply(events), *then], **row)


def whole(name, *events, usage=METADATA, **row):
    """A stream of these events between those that begin and end each."""
    return of(name, START, *events, STOP, usage, **row)


def metadata(**usage):
    return {'metadata': {'usage': {**USAGE, **usage}, 'metrics': {'latencyMs': 12}}}


def without_content_type(name, payload):
    return encode_frame(encode_headers([(':event-type', name), (':message-type', 'event')]), payload)


# fmt: off
CASES = (
    whole('text', delta('Hello '), delta('there.'), end()),
    whole('text of one character each', *(delta(c) for c in 'Hällo 🌍'), end()),
    whole('empty deltas of text', delta(''), delta('Hello'), delta(''), end()),
    whole('nothing but empty deltas', delta(''), end(), then=[Reply('At last.')]),
    whole('leading white space', delta('\n\n'), delta('  Hello'), end()),
    whole('leading white space, Claude', delta('\n\n'), delta('  Hello'), end(), model=CLAUDE),
    whole('two blocks of text', delta('One.'), end(), delta('Two.', 1), end(1)),
    whole('blocks in no order', delta('Two.', 1), delta('One.', 0), end(1), end(0)),
    whole('blocks that do not end', delta('One.'), delta('Two.', 1)),
    whole('text and a tool', delta('Let me see.'), end(), TOOL, ARGS, end(1), then=[Reply('Done.')], agent={'tools': [weather]}),
    whole('nothing', then=[Reply('At last.')]),
    of('no start', delta('Hi.'), end(), STOP, METADATA),
    of('metadata before the stop', START, delta('Hi.'), end(), METADATA, STOP),
    of('no metadata', START, delta('Hi.'), end(), STOP),
    of('two stops', START, delta('Hi.'), end(), STOP, STOP, METADATA),
    of('stop with another reason', START, delta('Hi.'), end(), {'messageStop': {'stopReason': 'max_tokens'}}, METADATA),
    of('stop with a reason that no one knows', START, delta('Hi.'), end(), {'messageStop': {'stopReason': 'tired'}}, METADATA),
    of('stop with response fields', START, delta('Hi.'), end(), {'messageStop': {'stopReason': 'end_turn', 'additionalModelResponseFields': {'a': [1, None]}}}, METADATA),
    of('stop with a cost', START, delta('Hi.'), end(), {'messageStop': {'stopReason': 'end_turn', 'additionalModelResponseFields': {'pydantic_ai_gateway': {'cost_estimate': 0.5}, 'cost': 0.5}}}, METADATA),
    whole('unknown event', {'ping': {}}, delta('Hi.'), {'somethingNew': {'a': 1}}, end()),
    whole('unknown member', delta('Hi.', more='?'), end()),
    whole('unknown delta', {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'hologram': {'a': 1}}}}, delta('Hi.'), end()),
    whole('unknown start', {'contentBlockStart': {'contentBlockIndex': 0, 'start': {'hologram': {'a': 1}}}}, delta('Hi.'), end()),
    whole('null members', {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': 'Hi.', 'toolUse': None}}}, end()),
    whole('usage of a cache, with duplicates', delta('Hi.'), end(), usage=metadata(cacheReadInputTokens=100, cacheReadInputTokenCount=100, cacheWriteInputTokens=7, cacheWriteInputTokenCount=7)),
    whole('usage of server tools', delta('Hi.'), end(), usage=metadata(serverToolUsage={'webSearchRequests': 1})),
    whole('usage that no one knows', delta('Hi.'), end(), usage=metadata(thoughtTokens=4)),
    whole('trace', delta('Hi.'), end(), usage={'metadata': {**METADATA['metadata'], 'trace': {'promptRouter': {'invokedModelId': 'arn:x'}}}}),
    whole('no usage', delta('Hi.'), end(), usage={'metadata': {'metrics': {'latencyMs': 1}}}),
    whole('frame without a content type', without_content_type('contentBlockDelta', b'{"contentBlockIndex": 0, "delta": {"text": "Hi."}}'), end()),
    whole('frame with spaces in its JSON', encode_event(StreamEvent('contentBlockDelta', b' {"contentBlockIndex" : 0,\n"delta":{"text":"Hi."}} ')), end()),
    whole('frame with a long text', delta('word ' * 20_000), end()),
    whole('many frames', *(delta(f'{n} ') for n in range(500)), end()),
    whole('dribbled byte by byte', delta('Hello '), delta('there.'), end(), faults=[SlowBody(0, piece_size=1)]),
    whole('dribbled in sevens', delta('Hello '), delta('there.'), end(), faults=[SlowBody(0, piece_size=7)]),
    chat('words of LocalBedrock', 'Tell me', modes=[STREAM]),
    chat('tool and text, twice', 'Go', modes=[STREAM], agent={'tools': [weather]}, replies=[Reply('One.', tool_calls=[ToolCall('weather', {'city': 'Oslo'}, id='call_1')]), Reply('Two.', tool_calls=[ToolCall('weather', {'city': 'Rome'}, id='call_2')]), Reply('Done.')]),
)
