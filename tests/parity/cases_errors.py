"""Errors: of the same class, status, category and attributes, whatever AWS, the network or the user did wrong."""
# ruff: noqa: E501 - one line a case

from pydantic_ai.usage import UsageLimits

from .programs import COUNT, RUN, STREAM, chat, program
from .releases import BROKEN_ANSWERS, NETWORK_ERRORS
from .replies import (
    ACCESS_DENIED,
    EXPIRED_TOKEN,
    INTERNAL_SERVER_ERROR,
    MODEL_ERROR,
    MODEL_NOT_READY,
    MODEL_TIMEOUT,
    SERVICE_UNAVAILABLE,
    THROTTLING,
    TOO_MANY_TOKENS,
    DropConnection,
    ErrorReply,
    InsertEvent,
    NoResponse,
    RawReply,
    StreamEvent,
    Truncate,
    WrongChecksum,
    exception_event,
)
from .sides import CLAUDE, NOVA

ALL = (RUN, STREAM, COUNT)
IMPATIENT = {'aws_read_timeout': 0.4}


def answered(name, status, code, message, *, model=NOVA, modes=ALL, **members):
    """An error that AWS answers with."""
    return chat(name, model=model, modes=modes, faults=[ErrorReply(status, code, message, **members)])


def fault(name, *faults, model=NOVA, modes=(RUN, STREAM), **row):
    return chat(name, model=model, modes=modes, faults=faults, **row)


def raw(name, status, body, content_type='application/json', headers=None, modes=(RUN, STREAM), **row):
    """A response byte for byte."""
    reply = RawReply(body, status=status, headers={'Content-Type': content_type, **(headers or {})})
    return chat(name, modes=modes, replies=[reply], **row)


def in_stream(name, exception, after, message='', **row):
    return chat(name, modes=[STREAM], faults=[exception_event(exception, message, after=after)], **row)


async def closed_port(side):
    """An endpoint where nothing listens."""
    import socket

    from pydantic_ai import Agent

    from .programs import observed, of_run, stream

    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{taken.getsockname()[1]}'
        agent = Agent(side.model(provider=side.provider(base_url=url)))

        async def run():
            return of_run(await agent.run('Hello'))

        return [await observed(run), await observed(lambda: stream(agent, 'Hello'))]


KINDS = (
    'internalServerException',
    'modelStreamErrorException',
    'validationException',
    'throttlingException',
    'serviceUnavailableException',
)

# fmt: off
CASES = (
    fault('throttled', THROTTLING, modes=ALL),
    fault('throttled by tokens', TOO_MANY_TOKENS),
    fault('internal error', INTERNAL_SERVER_ERROR, modes=ALL),
    fault('unavailable', SERVICE_UNAVAILABLE, modes=ALL),
    fault('model timed out', MODEL_TIMEOUT),
    fault('model failed', MODEL_ERROR),
    fault('model not ready', MODEL_NOT_READY),
    fault('access denied', ACCESS_DENIED, modes=ALL),
    fault('token expired', EXPIRED_TOKEN),
    fault('throttled, on Claude', THROTTLING, model=CLAUDE),
    answered('with Retry-After', 429, 'ThrottlingException', 'Wait.', headers={'Retry-After': '7'}),
    answered('validation', 400, 'ValidationException', 'Malformed input request, please reformat your input and try again.'),
    answered('context window', 400, 'ValidationException', 'Input is too long for requested model.'),
    answered('context window, Claude', 400, 'ValidationException', 'prompt is too long: 200001 tokens > 200000 maximum', model=CLAUDE),
    answered('data retention', 400, 'ValidationException', 'The data retention mode of this account is not allowed for this model.', model=CLAUDE),
    answered('schema too complex', 400, 'ValidationException', 'The model returned the following errors: The compiled grammar is too large.', model=CLAUDE),
    answered('schema too complex, of another model', 400, 'ValidationException', 'The compiled grammar is too large.'),
    answered('quota', 400, 'ServiceQuotaExceededException', 'Your account has reached its quota.'),
    answered('not found', 404, 'ResourceNotFoundException', 'Could not resolve the foundation model.'),
    answered('conflict', 409, 'ConflictException', 'Not now.'),
    answered('too large', 413, 'RequestEntityTooLargeException', 'Too large.'),
    answered('overloaded', 529, 'OverloadedException', 'Overloaded.'),
    answered('code that no one knows', 418, 'TeapotException', 'Short and stout.'),
    answered('legacy code with a suffix', 400, 'com.amazon#ValidationException:http://x', 'No.'),
    answered('without a message', 500, 'InternalServerException', ''),
    raw('page of a proxy', 502, b'<html>Bad gateway</html>', 'text/html'),
    raw('empty body of an error', 503, b''),
    raw('JSON that is no object, of an error', 400, b'["no"]'),
    raw('message under another name', 403, b'{"Message": "Not you."}', headers={'x-amzn-ErrorType': 'AccessDeniedException:'}),
    raw('type in the body', 400, b'{"__type": "com.amazon.coral.service#ValidationException", "message": "No."}'),
    raw('success with an empty body', 200, b'', modes=[RUN], since=BROKEN_ANSWERS),
    raw('success with another body', 200, b'{"a": 1}', modes=[RUN], since=BROKEN_ANSWERS),
    raw('success that is no JSON', 200, b'not json', modes=[RUN], since=BROKEN_ANSWERS),
    raw('moved', 301, b'', headers={'Location': 'http://127.0.0.1:1/'}),
    chat('model that is not there', model='no.such-model', modes=ALL),
    chat('model that is nearly there', model='anthropic.claude-sonnet-4-5', modes=(RUN, STREAM)),
    chat('model with a slash', model='arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0 x', modes=(RUN, STREAM)),
    chat('wrong secret', provider={'aws_secret_access_key': 'wrong'}, modes=ALL),
    chat('unknown key', provider={'aws_access_key_id': 'AKIDUNKNOWN'}, modes=ALL),
    chat('wrong region', provider={'region_name': 'eu-central-1'}, modes=ALL),
    chat('wrong API key', provider={'api_key': 'wrong'}, modes=ALL, tls=True, own_words=True),
    chat('request that Bedrock refuses', '', modes=ALL),
    program('nothing listens', closed_port, own_words=True, since=NETWORK_ERRORS),
    fault('reset before the headers', NoResponse('reset'), modes=ALL, own_words=True, since=NETWORK_ERRORS),
    fault('closed before the headers', NoResponse('close'), modes=ALL, own_words=True, since=NETWORK_ERRORS),
    fault('silence before the headers', NoResponse('hang'), provider=IMPATIENT, own_words=True, since=NETWORK_ERRORS),
    fault('reset in the body', Truncate(20, 'reset'), own_words=True, since=BROKEN_ANSWERS),
    fault('closed in the body', Truncate(20, 'close'), modes=[STREAM], own_words=True, since=BROKEN_ANSWERS),
    fault('silence in the body', Truncate(20, 'hang'), provider=IMPATIENT, own_words=True, since=BROKEN_ANSWERS),
    fault('reset after some events', Truncate(400, 'reset'), modes=[STREAM], own_words=True, since=BROKEN_ANSWERS),
    fault('closed after some events', Truncate(400, 'close'), modes=[STREAM], own_words=True, since=BROKEN_ANSWERS),
    fault('silence after some events', Truncate(400, 'hang'), modes=[STREAM], provider=IMPATIENT, own_words=True, since=BROKEN_ANSWERS),
    # Whether the next call finds that out before it sends is chance, and the error of a count says how often it was sent.
    fault('connection dropped after the answer', DropConnection(), environment={'AWS_MAX_ATTEMPTS': '3'}),
    fault('wrong checksum', WrongChecksum(1), modes=[STREAM], own_words=True, since=BROKEN_ANSWERS),
    fault('wrong checksum of a prelude', WrongChecksum(1, 'prelude'), modes=[STREAM], own_words=True, since=BROKEN_ANSWERS),
    fault('bytes that are no frame', InsertEvent(b'not a frame, but long enough to be one', 1), modes=[STREAM], own_words=True, since=BROKEN_ANSWERS),
    *(in_stream(f'in a stream: {kind} at first', kind, 0) for kind in KINDS),
    *(in_stream(f'in a stream: {kind} after some events', kind, 3) for kind in KINDS),
    in_stream('in a stream: context window', 'validationException', 1, 'Input is too long for requested model.'),
    in_stream('in a stream, of a run that is not streamed', 'throttlingException', 2, model=CLAUDE),
    fault('in a stream: error of an unknown code', InsertEvent(StreamEvent.error('SomethingBroke', 'Sorry.'), 2, end=True), modes=[STREAM]),
    chat('usage limit before the request', limits=UsageLimits(request_limit=0)),
    chat('usage limit of input tokens', 'word ' * 50, limits=UsageLimits(input_tokens_limit=10, count_tokens_before_request=True)),
    chat('usage limit of output tokens', limits=UsageLimits(output_tokens_limit=1)),
    chat('usage limit of all tokens', limits=UsageLimits(total_tokens_limit=5)),
)
