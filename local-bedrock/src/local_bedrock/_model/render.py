"""From a reply to the answer that goes on the wire: headers, bytes, timing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import to_json

from local_bedrock._bodies.json_access import structure
from local_bedrock._bodies.tokens import count_tokens
from local_bedrock._model.converse_bodies import converse_body, frame_event, stream_events
from local_bedrock._model.invoke.bodies import invoke_body, invoke_chunks
from local_bedrock._s3.errors import object_error
from local_bedrock._sts.identity import identity_error
from local_bedrock.errors import ErrorReply
from local_bedrock.frames import Padding, StreamEvent, encode_event
from local_bedrock.replies import AnyReply, EventsReply, RawReply, Reply
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response

_WRITTEN_BY_US = ('transfer-encoding', 'content-length', 'connection', 'date')


@dataclass(frozen=True)
class Manner:
    """The defaults of an endpoint for replies that leave them open: latency, speed, padding."""

    latency: float
    tokens_per_second: float | None
    seed: int

    def padding(self, record: RecordedRequest) -> Padding:
        """Return the padding of a stream: the same for the same request."""
        return Padding(f'{self.seed}:{record.model_id}:{len(record.raw_body)}')


def render(reply: AnyReply, record: RecordedRequest, manner: Manner) -> Response:
    """Return the answer that a reply stands for.

    Raises:
        TypeError: The reply cannot answer this operation.
    """
    if isinstance(reply, str):
        reply = Reply(reply)
    if isinstance(reply, ErrorReply):
        return error_response(reply, record)
    if isinstance(reply, RawReply):
        return raw_response(reply, record)
    if record.streaming:
        response = _stream(reply, record, manner)
    elif isinstance(reply, Reply):
        response = _whole(reply, record, manner)
    else:
        raise _cannot_answer(reply, record)
    response.delay_before += manner.latency if reply.delay_before is None else reply.delay_before
    if response.chunked:
        _delay_events(response, reply.delay_per_event)
    return response


def _stream(reply: Reply | EventsReply, record: RecordedRequest, manner: Manner) -> Response:
    padding = manner.padding(record)
    if isinstance(reply, EventsReply):
        response = stream_response(record, reply.headers)
        response.pieces = [framed(event, padding) for event in reply.events]
        response.truncate_at, response.then = reply.truncate_at, reply.then
        response.usage = next(filter(None, map(event_usage, reply.events)), None)
        return response
    response = stream_response(record, reply.headers)
    speed = reply.tokens_per_second or manner.tokens_per_second
    if record.operation == 'InvokeModelWithResponseStream':
        chunks, generation = invoke_chunks(reply, record)
        response.headers['X-Amzn-Bedrock-Content-Type'] = 'application/json'
        response.pieces = [frame_event('chunk', chunk, padding) for chunk in chunks]
        response.usage = generation.usage
        if speed:
            response.piece_interval = generation.usage['outputTokens'] / speed / len(chunks)
        return response
    events = list(stream_events(reply, record))
    response.pieces = [frame_event(name, event, padding) for name, event in events]
    response.usage = events[-1][1]['usage']
    if speed:
        response.delays = _pace(events, speed)
    return response


def _whole(reply: Reply, record: RecordedRequest, manner: Manner) -> Response:
    if record.operation == 'CountTokens' and 'inputTokens' in reply.usage:
        return json_response(record, to_json({'inputTokens': reply.usage['inputTokens']}), reply.headers)
    headers: Mapping[str, str] = {}
    if record.operation == 'Converse':
        body, usage = converse_body(reply, record)
    elif record.operation == 'InvokeModel':
        body, headers, usage = invoke_body(reply, record)
    else:
        raise _cannot_answer(reply, record)
    response = json_response(record, body, {**headers, **reply.headers})
    response.usage = usage
    if speed := reply.tokens_per_second or manner.tokens_per_second:
        response.delay_before = usage['outputTokens'] / speed
    return response


def _cannot_answer(reply: Reply | EventsReply, record: RecordedRequest) -> TypeError:
    return TypeError(f'{type(reply).__name__} cannot answer {record.operation}: use RawReply or ErrorReply')


def _delay_events(response: Response, delay: float | Sequence[float] | None) -> None:
    if isinstance(delay, Sequence):
        response.delays = _later(response.delays, delay)
    elif delay is not None:
        response.piece_interval = delay


def _later(delays: Callable[[int, bytes], float] | None, each: Sequence[float]) -> Callable[[int, bytes], float]:
    def delay(number: int, piece: bytes) -> float:
        return (each[number] if number < len(each) else 0.0) + (0.0 if delays is None else delays(number, piece))

    return delay


def _pace(events: list[tuple[str, dict[str, Any]]], speed: float) -> Callable[[int, bytes], float]:
    delays = [_event_tokens(name, event) / speed for name, event in events]
    return lambda number, _: delays[number]


def _event_tokens(name: str, event: Mapping[str, Any]) -> int:
    return max(1, sum(map(count_tokens, _texts(event['delta'])))) if name == 'contentBlockDelta' else 0


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for member in cast('Mapping[str, Any]', value).values() for text in _texts(member)]
    return []


def framed(event: StreamEvent | Mapping[str, Any] | bytes, padding: Padding) -> bytes:
    """Return the frame of an event in any of the forms in which scripts give it.

    Raises:
        ValueError: The mapping has not exactly one member, the type of the event.
    """
    if isinstance(event, bytes):
        return event
    if isinstance(event, StreamEvent):
        return encode_event(event)
    if len(event) != 1:
        raise ValueError(f'An event is a mapping of one member, its type; this one has {sorted(event)}.')
    ((name, payload),) = event.items()
    return frame_event(name, payload, padding)


def event_usage(event: StreamEvent | Mapping[str, Any] | bytes) -> Mapping[str, Any] | None:
    """Return the usage that an event reports, if it is the metadata of a stream, as a mapping."""
    return structure(event, 'metadata').get('usage') if isinstance(event, Mapping) else None


async def frames(
    events: AsyncGenerator[StreamEvent | Mapping[str, Any] | bytes, None],
    padding: Padding,
    failed: Callable[[Exception], ErrorReply],
) -> AsyncGenerator[bytes, None]:
    """Yield the frames of events of a reply function; its failure ends the stream like a failure of Bedrock."""
    try:
        async for event in events:
            yield framed(event, padding)
    except Exception as error:
        yield encode_event(StreamEvent.exception('internalServerException', failed(error).message))
    finally:
        await events.aclose()


def json_response(record: RecordedRequest, body: bytes, headers: Mapping[str, str]) -> Response:
    """Return the answer that a JSON body is."""
    common = {'Content-Type': 'application/json', 'x-amzn-RequestId': record.request_id}
    return Response(200, {**common, **headers}, (body,))


def stream_response(record: RecordedRequest, headers: Mapping[str, str]) -> Response:
    """Return an event stream that has no events yet."""
    common = {'Content-Type': 'application/vnd.amazon.eventstream', 'x-amzn-RequestId': record.request_id}
    return Response(200, {**common, **headers}, (), chunked=True)


def error_response(reply: ErrorReply, record: RecordedRequest) -> Response:
    """Return the answer that an error is."""
    if record.service == 's3':
        return object_error(reply, record)
    if record.service == 'sts':
        return identity_error(reply, record)
    headers = {
        'Content-Type': 'application/json',
        'x-amzn-RequestId': record.request_id,
        'x-amzn-ErrorType': reply.error_type,
        **reply.headers,
    }
    body = to_json({reply.message_key: reply.message})
    return Response(reply.status, headers, (body,), error_code=reply.code, delay_before=reply.delay_before or 0.0)


def unknown_operation(record: RecordedRequest) -> Response:
    """Return the answer to a path that names no operation."""
    asked = f'{record.method} {record.path.partition("?")[0]}'
    message = f'LocalBedrock has no operation for {asked}: its README lists those that it has.'
    response = error_response(ErrorReply(404, 'UnknownOperationException', message, origin='front'), record)
    if record.service != 'sts':
        # The form of AWS, whose message is null: LocalBedrock says more, where clients look for it.
        said = {'__type': 'com.amazon.coral.service#UnknownOperationException', 'message': message}
        response.pieces = (to_json({'Output': said, 'Version': '1.0', 'message': message}),)
    return response


def raw_response(reply: RawReply, record: RecordedRequest) -> Response:
    """Return the answer that a raw reply is."""
    given = {name.lower(): value for name, value in reply.headers.items()}
    headers = {name: value for name, value in reply.headers.items() if name.lower() not in _WRITTEN_BY_US}
    if 'x-amzn-requestid' not in given:
        headers['x-amzn-RequestId'] = record.request_id
    return Response(
        reply.status,
        headers,
        (reply.body,),
        chunked='chunked' in given.get('transfer-encoding', '').lower(),
        error_code=given.get('x-amzn-errortype', '').partition(':')[0] or None,
        chunk_sizes=reply.chunk_sizes,
        delay_before=reply.delay_before or 0.0,
        piece_interval=reply.delay_per_event or 0.0,
        truncate_at=reply.truncate_at,
        then=reply.then,
    )
