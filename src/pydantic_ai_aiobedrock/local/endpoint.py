"""One request from its first byte to the last byte of its answer."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import traceback
import uuid
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, cast
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic_core import from_json, to_json

from .answers import Answer, SourceError, Written, write_answer
from .conversation import check_conversation
from .embeddings import invoke_embedding
from .errors import ErrorReply, RefusedError, serialization_error, validation_error
from .exchanges import UnrecordedRequestError
from .faults import FailConnection, Fault, NoResponse
from .identifiers import known
from .keys import Keyring
from .members import structure
from .records import Operation, RecordedRequest
from .replies import AnyReply, ReplyFunction
from .responses import Manner, error_answer, frames, json_answer, render, stream_answer, unknown_operation
from .scripts import Script
from .signatures import SignedRequest, authenticate
from .tokens import request_tokens
from .validation import ServiceModel

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


class Source(Protocol):
    """Where the answers come from, if not from a model of the endpoint's own."""

    async def open(self, keyring: Keyring) -> None:
        """Get ready, before the first request."""
        ...

    async def answer(self, request: RecordedRequest) -> Answer:
        """Return the answer to a request.

        Raises:
            UnrecordedRequestError: There is none.
            SourceError: It cannot be had.
        """
        ...

    async def close(self) -> None:
        """Close what was opened, after the last request."""
        ...


@dataclass
class Endpoint:
    """What answers: the keys that it accepts, the script that it follows, the requests that it has seen."""

    region_name: str
    keyring: Keyring
    models: Collection[str] | None
    responder: ReplyFunction
    clock: Callable[[], datetime]
    manner: Manner
    keep_requests: int
    source: Source | None = None
    service_model: ServiceModel | None = None
    script: Script[AnyReply | ReplyFunction] = field(default_factory=Script[AnyReply | ReplyFunction])
    faults: Script[Fault] = field(default_factory=Script[Fault])
    connection_faults: Script[FailConnection] = field(default_factory=Script[FailConnection])
    requests: list[RecordedRequest] = field(default_factory=list[RecordedRequest])
    failures: list[Exception] = field(default_factory=list[Exception])
    handling: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])
    connections: dict[int, int] = field(default_factory=dict[int, int])
    opened: int = 0
    arrived: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    streams_generating: int = 0

    def forget(self) -> None:
        """Forget the script, the faults, the requests and the failures."""
        for forgotten in (self.script, self.faults, self.connection_faults, self.requests, self.failures):
            forgotten.clear()

    def start_over(self, keyring: Keyring) -> None:
        """Forget everything, and count anew what is not under way."""
        self.forget()
        self.keyring = keyring
        self.arrived = self.opened = self.max_in_flight = 0

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
            self.streams_generating += answer.chunked
            try:
                return await write_answer(answer, http, record)
            finally:
                self.streams_generating -= answer.chunked
                if answer.done is not None:
                    answer.done()
        except SourceError as error:
            self.failures.append(error)
            return Written(keep_alive=False)
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
            if record.operation is None and self.source is None:
                return unknown_operation(record)
            signed = SignedRequest(http.method, http.raw_path, http.headers, body)
            record.auth_scheme = authenticate(signed, self.keyring, self.region_name, self.clock)
            rule = self.faults.choose(record)
            fault = None if rule is None else rule.action
            if isinstance(fault, ErrorReply):
                answer = error_answer(fault, record)
            elif isinstance(fault, NoResponse):
                # No reply is used up for what nobody is going to see.
                answer = Answer(200, {}, ())
            else:
                answer = await self._reply(record)
        except RefusedError as refused:
            answer = error_answer(refused.reply, record)
        if callable(fault):
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
            if 'converse' in (counted := structure(record.body, 'input')):
                check_conversation(structure(counted, 'converse'), record.model_id)
        else:
            check_conversation(record.body, record.model_id)

    async def _reply(self, record: RecordedRequest) -> Answer:
        if self.source is None:
            self._check(record)
        rule = self.script.choose(record)
        if rule is not None:
            reply = rule.action
        elif self.source is not None:
            return await self._from(self.source, record)
        elif record.operation == 'InvokeModel':
            return json_answer(record, *invoke_embedding(record.model_id, record.body))
        elif record.operation == 'CountTokens':
            return json_answer(record, to_json({'inputTokens': request_tokens(record.body)}), {})
        else:
            reply = self.responder
        try:
            if callable(reply):
                produced = reply(record)
                if isinstance(produced, AsyncGenerator):
                    return self._generated(cast('AsyncGenerator[Any, None]', produced), record)
                reply = cast('AnyReply', await produced if inspect.isawaitable(produced) else produced)
            return render(reply, record, self.manner)
        except Exception as error:
            return error_answer(self._failed(error), record)

    async def _from(self, source: Source, record: RecordedRequest) -> Answer:
        try:
            return await source.answer(record)
        except UnrecordedRequestError as error:
            self.failures.append(error)
            return error_answer(ErrorReply(404, 'UnrecordedRequestException', str(error)), record)
        except SourceError as error:
            self.failures.append(error)
            return error_answer(ErrorReply(502, 'BadGatewayException', str(error)), record)

    def _generated(self, events: AsyncGenerator[Any, None], record: RecordedRequest) -> Answer:
        if record.operation != 'ConverseStream':
            raise TypeError(f'a generator of events cannot answer {record.operation}')
        answer = stream_answer(record, {})
        answer.pieces = frames(events, self.manner.padding(record), self._failed)
        answer.delay_before = self.manner.latency
        return answer

    def _failed(self, error: Exception) -> ErrorReply:
        """Note that a scripted reply has failed, and answer as a service does that has a bug, saying where it is."""
        self.failures.append(error)
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        where = f'{Path(frame.f_code.co_filename).name}, line {line}'
        return ErrorReply(500, 'InternalServerException', f'A scripted reply failed: {error!r} ({where})')


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        decoded = from_json(body or b'{}')
    except ValueError as error:
        raise serialization_error(str(error)) from None
    if not isinstance(decoded, dict):
        raise serialization_error('Start of structure or map expected where not found.')
    return cast('dict[str, Any]', decoded)
