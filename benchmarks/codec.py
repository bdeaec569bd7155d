"""Time the wire codec against botocore's, in memory: `python -m benchmarks.codec`.

Each line is measured in turn in every round, and what is printed is the median of the rounds. For a whole call, a
handler of botocore's `before-send` event answers in place of a server: the CPU is the client's alone.

The last line is a call that is measured by the package's telemetry, without an OpenTelemetry SDK, beside the same call
that is not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from statistics import median
from struct import pack
from time import process_time
from typing import Any, NamedTuple
from zlib import crc32

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.session import AioSession
from benchmarks.pinning import pin
from botocore.eventstream import EventStreamBuffer
from botocore.loaders import create_loader
from botocore.model import ServiceModel
from botocore.parsers import EventStreamJSONParser, create_parser
from botocore.serialize import create_serializer

from pydantic_ai_aiobedrock._client import codec_hooks
from pydantic_ai_aiobedrock._core import telemetry
from pydantic_ai_aiobedrock._wire.converse import decode_event, decode_response, encode_request
from pydantic_ai_aiobedrock._wire.frames import EventStreamDecoder

LOADER = create_loader()
MODEL = ServiceModel(LOADER.load_service_model('bedrock-runtime', 'service-2'), 'bedrock-runtime')
CONVERSE = MODEL.operation_model('Converse')
STREAM = MODEL.operation_model('ConverseStream').output_shape.members['stream']

TEXT = ('Amsterdam is the capital of the Netherlands. "Is it?" It is.\n' * 40)[:2000]
SHORT = {'modelId': 'us.amazon.nova-lite-v1:0', 'messages': [{'role': 'user', 'content': [{'text': 'Hello'}]}]}
LONG = {
    'modelId': 'us.amazon.nova-lite-v1:0',
    'system': [{'text': TEXT}],
    'messages': [
        {'role': ('user', 'assistant')[number % 2], 'content': [{'text': f'{number} {TEXT}'}]} for number in range(200)
    ],
    'inferenceConfig': {'maxTokens': 1000, 'temperature': 0.5},
    'toolConfig': {
        'tools': [
            {
                'toolSpec': {
                    'name': f'tool_{number}',
                    'description': 'Looks something up, and says where it found it.',
                    'inputSchema': {
                        'json': {
                            'type': 'object',
                            'properties': {
                                f'argument_{index}': {'type': 'string', 'description': 'What to look for'}
                                for index in range(6)
                            },
                            'required': ['argument_0'],
                            'additionalProperties': False,
                        }
                    },
                }
            }
            for number in range(20)
        ]
    },
}
IMAGE = {
    **SHORT,
    'messages': [
        {'role': 'user', 'content': [{'image': {'format': 'png', 'source': {'bytes': bytes(range(256)) * 4096}}}]}
    ],
}
ANSWER = json.dumps(
    {
        'metrics': {'latencyMs': 268},
        'output': {'message': {'content': [{'text': TEXT}], 'role': 'assistant'}},
        'stopReason': 'end_turn',
        'usage': {'inputTokens': 7, 'outputTokens': 30, 'totalTokens': 37},
    }
).encode()


class Row(NamedTuple):
    """Two functions that do the same for so many units, events or calls."""

    name: str
    units: int
    ours: Callable[[], Any]
    others: Callable[[], Any]


def frame(event_type: str, members: dict[str, Any]) -> bytes:
    headers = {':event-type': event_type, ':content-type': 'application/json', ':message-type': 'event'}
    block = b''.join(
        pack('>B', len(name)) + name.encode() + pack('>BH', 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    payload = json.dumps(members, separators=(',', ':')).encode()
    prelude = pack('>II', 16 + len(block) + len(payload), len(block))
    message = prelude + pack('>I', crc32(prelude)) + block + payload
    return message + pack('>I', crc32(message))


def delta(number: int) -> bytes:
    text = ' capital of the Netherlands'[: number % 25 + 1]
    padding = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'[: number % 53]
    return frame('contentBlockDelta', {'contentBlockIndex': 0, 'delta': {'text': text}, 'p': padding})


FRAMES = [
    frame('messageStart', {'p': 'abc', 'role': 'assistant'}),
    *map(delta, range(200)),
    frame('contentBlockStop', {'contentBlockIndex': 0, 'p': 'abcdefgh'}),
    frame('messageStop', {'p': 'abcde', 'stopReason': 'end_turn'}),
    frame('metadata', {'metrics': {'latencyMs': 9}, 'p': 'ab', 'usage': {'inputTokens': 1, 'outputTokens': 2}}),
]


def our_stream(pieces: list[bytes]) -> int:
    decoder, events = EventStreamDecoder(), 0
    for piece in pieces:
        decoder.feed(piece)
        for message in decoder:
            events += decode_event(message) is not None
    decoder.close()
    return events


def botocores_stream(pieces: list[bytes]) -> int:
    buffer, parser, events = EventStreamBuffer(), EventStreamJSONParser(), 0
    for piece in pieces:
        buffer.add_data(piece)
        for message in buffer:
            events += bool(parser.parse(message.to_response_dict(), STREAM))
    return events


def botocores_body(params: dict[str, Any]) -> bytes:
    return create_serializer('rest-json').serialize_to_request(params, CONVERSE)['body']


def botocores_response(body: bytes) -> dict[str, Any]:
    response = {'status_code': 200, 'headers': {}, 'body': body, 'context': {'operation_name': 'Converse'}}
    return create_parser('rest-json').parse(response, CONVERSE.output_shape)


def pieces_of(size: int) -> list[bytes]:
    stream = b''.join(FRAMES)
    return [stream[start : start + size] for start in range(0, len(stream), size)]


class Answered:
    """The raw response of a call that `before-send` has answered."""

    async def read(self) -> bytes:
        return ANSWER


@asynccontextmanager
async def client_without_network() -> AsyncIterator[Any]:
    session = AioSession()
    session.register_component('data_loader', LOADER)
    async with session.create_client(
        'bedrock-runtime', region_name='us-east-1', aws_access_key_id='key', aws_secret_access_key='secret'
    ) as client:

        def answer(request: Any, **_: Any) -> AioAWSResponse:
            return AioAWSResponse(request.url, 200, {'content-type': 'application/json'}, Answered())

        client.meta.events.register('before-send.bedrock-runtime', answer)
        yield client


async def main(rounds: int, as_json: bool) -> None:
    async with (
        client_without_network() as plain,
        client_without_network() as hooked,
        client_without_network() as measured_client,
    ):
        codec_hooks.install(hooked, lambda raw: raw)
        codec_hooks.install(measured_client, lambda raw: raw)
        telemetry.install(measured_client)
        rows = [
            *event_rows(),
            *body_rows(),
            *[row async for row in call_rows(hooked, plain)],
            Row('telemetry', 1, lambda: with_telemetry(measured_client), lambda: hooked.converse(**SHORT)),
        ]
        figures = await medians(rows, rounds)
    versions = {name: version(name) for name in ('botocore', 'aiobotocore', 'pydantic-ai-aiobedrock')}
    if as_json:
        print(json.dumps({'versions': versions, 'rounds': rounds, 'microseconds': figures}))
        return
    print(f'{", ".join(f"{name} {number}" for name, number in versions.items())}: µs of CPU, median of {rounds}\n')
    print(f'{"":36}{"ours":>10}{"botocore":>10}{"ratio":>8}')
    for name, (ours, others) in figures.items():
        print(f'{name:36}{ours:10.2f}{others:10.2f}{ours / others:8.2f}')


def event_rows() -> Iterator[Row]:
    for name, pieces in (
        ('one chunk', pieces_of(1 << 20)),
        ('a chunk per event', FRAMES),
        ('chunks of 100 bytes', pieces_of(100)),
    ):
        assert our_stream(pieces) == botocores_stream(pieces) == len(FRAMES)
        yield Row(f'event, {name}', len(FRAMES), partial(our_stream, pieces), partial(botocores_stream, pieces))


def body_rows() -> Iterator[Row]:
    for name, params in (('short', SHORT), ('200 messages, 20 tools', LONG), ('image of 1 MiB', IMAGE)):
        assert json.loads(encode_request(params)) == json.loads(botocores_body(params))
        yield Row(f'encode, {name}', 1, partial(encode_request, params), partial(botocores_body, params))
    yield Row('decode', 1, partial(decode_response, ANSWER), partial(botocores_response, ANSWER))


async def call_rows(hooked: Any, plain: Any) -> AsyncIterator[Row]:
    for name, params in (('short', SHORT), ('200 messages, 20 tools', LONG)):
        assert (await hooked.converse(**params))['output'] == (await plain.converse(**params))['output']
        yield Row(f'whole call, {name}', 1, partial(hooked.converse, **params), partial(plain.converse, **params))


async def with_telemetry(client: Any) -> None:
    with telemetry.Operation('chat', SHORT, client.meta.endpoint_url):
        telemetry.lease_granted(0.0)
        await client.converse(**SHORT)


async def medians(rows: list[Row], rounds: int) -> dict[str, tuple[float, float]]:
    """Give the median of the rounds for both sides of each row, in microseconds."""
    times: dict[str, tuple[list[float], list[float]]] = {row.name: ([], []) for row in rows}
    for _ in range(rounds):
        for row in rows:
            for taken, function in zip(times[row.name], (row.ours, row.others), strict=True):
                taken.append(await per_unit(function, row.units))
    return {name: (median(ours), median(others)) for name, (ours, others) in times.items()}


async def per_unit(function: Callable[[], Any], units: int, seconds: float = 0.05) -> float:
    """Repeat a function for about `seconds`, and give its CPU time per unit, in microseconds."""
    repeats, start = 0, process_time()
    while (taken := process_time() - start) < seconds:
        result = function()
        if isinstance(result, Awaitable):
            await result
        repeats += 1
    return taken / repeats / units * 1e6


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--cpu', type=int)
    parser.add_argument('--json', action='store_true')
    arguments = parser.parse_args()
    pin(arguments.cpu)
    asyncio.run(main(arguments.rounds, arguments.json))
