"""One request from its first byte to the last byte of its answer."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from time import monotonic
from typing import Any, cast
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic_core import from_json, to_json

from .answers import Answer, Written, write_answer
from .conversation import check_conversation
from .embeddings import invoke_embedding
from .errors import ErrorReply, RefusedError, serialization_error, validation_error
from .faults import Fault
from .frames import Padding, StreamEvent, encode_event
from .identifiers import known
from .records import Operation, RecordedRequest
from .rendering import converse_body, frame_event, stream_events
from .replies import AnyReply, EventsReply, RawReply, Reply, ReplyFunction
from .scripts import Script
from .signatures import Keyring, SignedRequest, authenticate
from .tokens import count_tokens, input_tokens
from .validation import ServiceModel

logger = logging.getLogger('pydantic_ai_aiobedrock.local')

_OPERATIONS: dict[str, Operation] = {
    'converse': 'Converse',
    'converse-stream': 'ConverseStream',
    'count-tokens': 'CountTokens',
    'invoke': 'InvokeModel',
}
_ATTEMPT = re.compile(r'attempt=(\d+)')
_SECRET_HEADERS = ('x-amz-security-token',)


@lru_cache(maxsize=4096)
def _route(path: str) -> tuple[Operation | None, str]:
    prefix, _, operation = path.partition('?')[0].rpartition('/')
    if not prefix.startswith('/model/'):
        return None, ''
    return _OPERATIONS.get(operation), unquote(prefix.removeprefix('/model/'))


def _shown(headers: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
    """Return the headers without what is secret in them."""
    shown = CIMultiDict(headers)
    if (authorization := shown.get('Authorization')) is not None:
        scheme = authorization.partition(' ')[0]
        shown['Authorization'] = re.sub(r'Signature=\w+', 'Signature=***', authorization)
        if scheme.lower() == 'bearer':
            shown['Authorization'] = f'{scheme} ***'
    for name in _SECRET_HEADERS:
        if name in shown:
            shown[name] = '***'
    return CIMultiDictProxy(shown)


@dataclass
class Endpoint:
    """What answers: the keys that it accepts, the script that it follows, the requests that it has seen."""

    region_name: str
    keyring: Keyring
    models: Collection[str] | None
    responder: ReplyFunction
    clock: Callable[[], datetime]
    latency: float
    tokens_per_second: float | None
    seed: int
    keep_requests: int
    service_model: ServiceModel | None = None
    script: Script[AnyReply | ReplyFunction] = field(default_factory=Script[AnyReply | ReplyFunction])
    faults: Script[Fault] = field(default_factory=Script[Fault])
    requests: list[RecordedRequest] = field(default_factory=list[RecordedRequest])
    failures: list[Exception] = field(default_factory=list[Exception])
    handling: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])
    connections: dict[int, int] = field(default_factory=dict[int, int])
    arrived: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    streams_generating: int = 0

    async def handle(self, http: web.BaseRequest) -> Written:
        """Answer one request."""
        task = cast('asyncio.Task[Any]', asyncio.current_task())
        self.handling.add(task)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        record: RecordedRequest | None = None
        try:
            body = await http.content.read()
            record = self._record(http, body)
            answer = await self._answer(record, http, body)
            if answer.chunked:
                self.streams_generating += 1
            try:
                return await write_answer(answer, http, record)
            finally:
                if answer.chunked:
                    self.streams_generating -= 1
        except ConnectionError:
            if record is not None:
                record.disconnected = True
            return Written(keep_alive=False)
        except asyncio.CancelledError:
            if record is not None:
                record.disconnected = http.transport is None
            raise
        finally:
            self.in_flight -= 1
            self.handling.discard(task)
            if record is not None:
                record.ended = monotonic()

    def _record(self, http: web.BaseRequest, body: bytes) -> RecordedRequest:
        operation, model_id = _route(http.raw_path)
        headers = http.headers
        attempt = _ATTEMPT.search(headers.get('amz-sdk-request', ''))
        record = RecordedRequest(
            operation=operation if http.method == 'POST' else None,
            model_id=model_id,
            method=http.method,
            path=http.raw_path,
            headers=_shown(headers),
            raw_body=body,
            attempt=int(attempt[1]) if attempt else 1,
            invocation_id=headers.get('amz-sdk-invocation-id'),
            connection=self.connections.get(id(http.protocol), 0),
            in_flight=self.in_flight,
            started=monotonic(),
            request_id=str(uuid.uuid4()),
        )
        # Conditions of faults may look at the body of a request that is refused later for what it is.
        with contextlib.suppress(RefusedError):
            record.body = _decoded(body)
        self.arrived += 1
        self.requests.append(record)
        if len(self.requests) > self.keep_requests:
            del self.requests[0]
        return record

    async def _answer(self, record: RecordedRequest, http: web.BaseRequest, body: bytes) -> Answer:
        fault: Fault | None = None
        try:
            if record.operation is None:
                return _unknown_operation(record)
            signed = SignedRequest(http.method, http.raw_path, http.headers, body)
            record.auth_scheme = authenticate(signed, self.keyring, self.region_name, self.clock)
            rule = self.faults.choose(record)
            fault = None if rule is None else rule.action
            answer = _error_answer(fault, record) if isinstance(fault, ErrorReply) else await self._reply(record)
        except RefusedError as refused:
            answer = _error_answer(refused.reply, record)
        if fault is not None and not isinstance(fault, ErrorReply):
            fault(answer)
        record.error_code = answer.error_code
        return answer

    def _check(self, record: RecordedRequest) -> None:
        if not record.body:
            record.body = _decoded(record.raw_body)
        if not known(record.model_id, self.models):
            raise validation_error('The provided model identifier is invalid.')
        if record.operation == 'InvokeModel':
            return
        assert self.service_model is not None
        assert record.operation is not None
        self.service_model.check(record.operation, record.body)
        if record.operation == 'CountTokens':
            conversation = (record.body.get('input') or {}).get('converse')
            if conversation is not None:
                check_conversation(conversation, record.model_id)
        else:
            check_conversation(record.body, record.model_id)

    async def _reply(self, record: RecordedRequest) -> Answer:
        self._check(record)
        rule = self.script.choose(record)
        if rule is None:
            if record.operation == 'InvokeModel':
                return _json_answer(record, *invoke_embedding(record.model_id, record.body))
            if record.operation == 'CountTokens':
                return _json_answer(record, to_json({'inputTokens': _count(record.body)}), {})
            reply: AnyReply | ReplyFunction = self.responder
        else:
            reply = rule.action
        if callable(reply):
            produced = await self._call(reply, record)
            if not isinstance(produced, str | Reply | ErrorReply | EventsReply | RawReply):
                return self._generated(produced, record)
            reply = produced
        return self._render(reply, record)

    async def _call(self, function: ReplyFunction, record: RecordedRequest) -> AnyReply | AsyncIterator[Any]:
        try:
            produced = function(record)
            if inspect.isawaitable(produced):
                produced = await produced
        except RefusedError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        return cast('AnyReply | AsyncIterator[Any]', produced)

    def _failed(self, error: Exception) -> RefusedError:
        """Note that a reply function has failed, and refuse the request as a service does that has a bug."""
        self.failures.append(error)
        logger.error('a reply function failed', exc_info=error)
        return RefusedError(ErrorReply(500, 'InternalServerException', f'The reply function raised {error!r}'))

    def _render(self, reply: AnyReply, record: RecordedRequest) -> Answer:
        if isinstance(reply, str):
            reply = Reply(reply)
        if isinstance(reply, ErrorReply):
            return _error_answer(reply, record)
        if isinstance(reply, RawReply):
            return _raw_answer(reply, record)
        if isinstance(reply, EventsReply):
            answer = self._stream_answer(record, reply.headers)
            padding = self._padding(record)
            answer.pieces = [_framed(event, padding) for event in reply.events]
            answer.truncate_at, answer.then = reply.truncate_at, reply.then
        elif record.operation == 'ConverseStream':
            answer = self._stream_answer(record, reply.headers)
            padding = self._padding(record)
            answer.pieces = [frame_event(name, event, padding) for name, event in stream_events(reply, record)]
            answer.delays = self._pace(reply, record)
        elif record.operation == 'Converse':
            body, tokens = converse_body(reply, record)
            answer = _json_answer(record, body, reply.headers)
            speed = reply.tokens_per_second or self.tokens_per_second
            answer.delay_before = tokens / speed if speed else 0.0
        else:
            raise self._failed(TypeError(f'{type(reply).__name__} cannot answer {record.operation}: use RawReply'))
        answer.delay_before += self.latency if reply.delay_before is None else reply.delay_before
        if reply.delay_per_event is not None and answer.chunked:
            answer.piece_interval = reply.delay_per_event
        return answer

    def _pace(self, reply: Reply, record: RecordedRequest) -> Callable[[int, bytes], float] | None:
        speed = reply.tokens_per_second or self.tokens_per_second
        if not speed:
            return None
        costs = [_tokens_of(name, event) / speed for name, event in stream_events(reply, record)]
        return lambda number, _: costs[number]

    def _padding(self, record: RecordedRequest) -> Padding:
        return Padding(f'{self.seed}:{record.model_id}:{len(record.raw_body)}')

    def _stream_answer(self, record: RecordedRequest, headers: Mapping[str, str]) -> Answer:
        common = {'Content-Type': 'application/vnd.amazon.eventstream', 'x-amzn-RequestId': record.request_id}
        return Answer(200, {**common, **headers}, (), chunked=True)

    def _generated(self, events: AsyncIterator[Any], record: RecordedRequest) -> Answer:
        if record.operation != 'ConverseStream' or not isinstance(events, AsyncGenerator):
            raise self._failed(
                TypeError(
                    f'a reply function answered {record.operation} with {type(events).__name__}, not with a reply'
                )
            )
        answer = self._stream_answer(record, {})
        answer.pieces = self._frames(cast('AsyncGenerator[Any, None]', events), record)
        answer.delay_before = self.latency
        return answer

    async def _frames(self, events: AsyncGenerator[Any, None], record: RecordedRequest) -> AsyncGenerator[bytes, None]:
        padding = self._padding(record)
        async with aclosing(events):
            try:
                async for event in events:
                    yield _framed(event, padding)
            except Exception as error:
                refused = self._failed(error)
                yield encode_event(StreamEvent.exception('internalServerException', refused.reply.message))


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        decoded = from_json(body or b'{}')
    except ValueError as error:
        raise serialization_error(str(error)) from None
    if not isinstance(decoded, dict):
        raise serialization_error('Start of structure or map expected where not found.')
    return cast('dict[str, Any]', decoded)


def _count(body: Mapping[str, Any]) -> int:
    request = body.get('input') or {}
    if 'converse' in request:
        return input_tokens(request['converse'])
    return max(count_tokens(str((request.get('invokeModel') or {}).get('body', ''))), 1)


def _tokens_of(name: str, event: Mapping[str, Any]) -> int:
    if name != 'contentBlockDelta':
        return 0
    return max(1, count_tokens(' '.join(_texts(event['delta']))))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for member in cast('Mapping[str, Any]', value).values() for text in _texts(member)]
    return []


def _framed(event: StreamEvent | Mapping[str, Any] | bytes, padding: Padding) -> bytes:
    if isinstance(event, bytes):
        return event
    if isinstance(event, StreamEvent):
        return encode_event(event)
    (name, payload), *others = event.items()
    if others:
        raise ValueError(f'an event has one member, its type: {sorted(event)}')
    return frame_event(name, payload, padding)


def _json_answer(record: RecordedRequest, body: bytes, headers: Mapping[str, str]) -> Answer:
    common = {'Content-Type': 'application/json', 'x-amzn-RequestId': record.request_id}
    return Answer(200, {**common, **headers}, (body,))


def _raw_answer(reply: RawReply, record: RecordedRequest) -> Answer:
    given = {name.lower(): name for name in reply.headers}
    ours = ('transfer-encoding', 'content-length', 'connection', 'date')
    headers = {name: value for name, value in reply.headers.items() if name.lower() not in ours}
    if 'x-amzn-requestid' not in given:
        headers['x-amzn-RequestId'] = record.request_id
    chunked = 'transfer-encoding' in given and 'chunked' in reply.headers[given['transfer-encoding']].lower()
    return Answer(
        reply.status,
        headers,
        (reply.body,),
        chunked=chunked,
        chunk_sizes=reply.chunk_sizes,
        delay_before=reply.delay_before or 0.0,
        piece_interval=reply.delay_per_event or 0.0,
        truncate_at=reply.truncate_at,
        then=reply.then,
    )


def _error_answer(reply: ErrorReply, record: RecordedRequest) -> Answer:
    headers = {
        'Content-Type': 'application/json',
        'x-amzn-RequestId': record.request_id,
        'x-amzn-ErrorType': reply.error_type,
        **reply.headers,
    }
    body = to_json({reply.message_key: reply.message})
    return Answer(reply.status, headers, (body,), error_code=reply.code, delay_before=reply.delay_before or 0.0)


def _unknown_operation(record: RecordedRequest) -> Answer:
    answer = _error_answer(ErrorReply(404, 'UnknownOperationException', '', origin='front'), record)
    answer.pieces = (
        b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException","message":null},"Version":"1.0"}',
    )
    return answer
