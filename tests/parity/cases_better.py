"""Better than upstream, on purpose: each row says what upstream does, and what this package does."""
# ruff: noqa: E501 - one line a case

import time

from pydantic_ai import Agent
from pydantic_ai.embeddings import Embedder

from .cases_streams import METADATA, START, STOP, delta, end
from .programs import RUN, STREAM, chat, observed, of_run, program
from .releases import CATEGORIES, NETWORK_ERRORS
from .replies import (
    THROTTLING,
    EventsReply,
    NoResponse,
    RawReply,
    StreamEvent,
    Truncate,
    encode_event,
    encode_frame,
    encode_headers,
)

TITAN = 'amazon.titan-embed-text-v2:0'
TEXT = (START, delta('Half an '), delta('answer'))
WHOLE = (*TEXT, end(), STOP, METADATA)
ODD_HEADER = encode_frame(
    encode_headers([(':message-type', 'event'), (':event-type', 'contentBlockDelta')]) + b'\x03odd\x0a\x00', b'{}'
)
ODD_PAYLOAD = encode_event(StreamEvent('contentBlockDelta', b'{"contentBlockIndex": 0, "del'))


def stream(name, *events, upstream, ours, faults=(), since='2.33.0'):
    """A stream of these events."""
    replies = [EventsReply(events)]
    return chat(name, modes=[STREAM], replies=replies, faults=faults, since=since, upstream=upstream, ours=ours)


def embedded(name, *faults, inputs='Hello', **row):
    async def body(side):
        embedder = Embedder(side.embedding_model(TITAN))
        return await observed(lambda: embedder.embed_documents(inputs))

    return program(name, body, faults=faults, **row)


def refused(name, arguments, upstream, ours, **row):
    """A provider that cannot work."""

    async def body(side):
        async def run():
            return of_run(
                await Agent(
                    side.model(
                        provider=side.keep(side.provider_class(**{'base_url': side.endpoint.base_url, **arguments}))
                    )
                ).run('Hello')
            )

        return await observed(run)

    return program(name, body, upstream=upstream, ours=ours, **row)


async def siblings(side):
    """Three texts at once: the first is refused while the others are waiting for their answers."""
    embedder = Embedder(side.embedding_model(TITAN, provider=side.provider(aws_read_timeout=1.5)))
    started = time.monotonic()
    outcome = await observed(lambda: embedder.embed_documents(['refused', 'waits', 'waits too']))
    when = 'at once' if time.monotonic() - started < 1 else 'when all had timed out'
    return {'error': {**outcome['error'], 'text': when}, 'warnings': []}


def is_refused(request):
    return request.body.get('inputText') == 'refused'


def waits(request):
    return not is_refused(request)


# fmt: off
CASES = (
    stream('a stream that ends without messageStop', *TEXT, upstream="'Half an answer', complete, None", ours='Model*Error: * ended before its messageStop event*'),
    stream('a stream that ends inside a frame', *WHOLE, faults=[Truncate(420)], upstream="'*', complete, None", ours='ModelAPIError: * ended * bytes into a message'),
    stream('a stream that is empty', upstream="'You said: *, complete, stop", ours='Model*Error: * ended before its messageStop event*'),
    stream('an exception that Converse has not', *TEXT, StreamEvent.exception('somethingNewException', 'Why.'), upstream='ModelAPIError: An error occurred () *', ours='ModelAPIError*: * Why.'),
    stream('the original status of a model that failed', *TEXT, StreamEvent.exception('modelStreamErrorException', 'Bad.', originalStatusCode=400, originalMessage='Why.'), upstream="ModelServerError 424 modelStreamErrorException: *'Message': 'Bad.'}}", ours="ModelServerError 424 modelStreamErrorException: *'originalStatusCode': 400, 'originalMessage': 'Why.'}", since=CATEGORIES),
    stream('a header of an unknown type', START, ODD_HEADER, *WHOLE[1:], upstream='KeyError: 10', ours='ModelAPIError: * unknown type 10'),
    stream('a payload that is not JSON', START, ODD_PAYLOAD, *WHOLE[1:], upstream="KeyError: 'contentBlockIndex'", ours='ModelAPIError: * Not a JSON object'),
    stream('a start that starts nothing', START, {'contentBlockStart': {'contentBlockIndex': 0, 'start': {}}}, *WHOLE[1:], upstream='ResponseParserError: *', ours="'Half an answer', complete, stop"),
    chat('an answer that is a list', modes=[RUN], replies=[RawReply(b'[]')], upstream='AttributeError: *', ours="ModelAPIError: Response has no 'output' field", since=CATEGORIES),
    chat('an answer that breaks off', modes=[RUN], needs='ConverseRequest.outputConfig', faults=[Truncate(20, 'close')], upstream="ModelAPIError: Response has no 'output' field", ours='ModelConnectionError: Connection was closed *', since=CATEGORIES),
    embedded('an embedding that breaks off', Truncate(20, 'reset'), upstream='ResponseStreamingError: *', ours='ModelConnectionError read: *', since=CATEGORIES),
    program('embeddings whose sibling has failed', siblings, in_order=False, faults=[(THROTTLING, {'when': is_refused}), (NoResponse('hang'), {'when': waits})], upstream='ModelRateLimitError 429 ThrottlingException: when all had timed out', ours='ModelRateLimitError 429 ThrottlingException: at once', since=CATEGORIES),
    chat('extra_headers that cannot be sent', settings={'extra_headers': {'X-Broken': 'two\nlines'}}, upstream='ModelConnectionError: *', ours='UserError: The value of `X-Broken` in `extra_headers` contains *', since=NETWORK_ERRORS),
    refused('no credentials anywhere', {'region_name': 'us-east-1'}, 'NoCredentialsError: *', 'UserError: No AWS credentials were found. *'),
    refused('a profile that is not there', {'profile_name': 'nobody', 'region_name': 'us-east-1'}, 'ProfileNotFound: *', 'UserError: * The config profile (nobody) could not be found*'),
    refused('a base_url that is none', {'base_url': 'localhost', 'region_name': 'us-east-1'}, 'ValueError: *', 'UserError: `base_url` is not the URL of an endpoint: *'),
    refused('half of an access key', {'aws_access_key_id': 'AKID', 'region_name': 'us-east-1'}, 'Model*Error 403*', 'UserError: `aws_secret_access_key` is missing*'),
    refused('a credential process that fails', {'profile_name': 'work', 'region_name': 'us-east-1'}, 'CredentialRetrievalError: *', 'UserError: * Error when retrieving credentials from custom-process*', config='[profile work]\ncredential_process = $python -c "raise SystemExit(3)"\n'),
    refused('a timeout that is no number', {'region_name': 'us-east-1'}, 'ValueError: *', 'UserError: `AWS_READ_TIMEOUT` must be a positive number of seconds*', environment={'AWS_READ_TIMEOUT': 'soon'}),
)
