"""A request, from its first byte to the last byte of its response."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any, Protocol, cast

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from local_bedrock._batch.jobs import Jobs
from local_bedrock._batch.operations import answer_job_request
from local_bedrock._http.arrival import is_small, receive
from local_bedrock._http.presigned import is_presigned, verify_presigned
from local_bedrock._http.remembered import RememberedRequests
from local_bedrock._http.request_log import log_request
from local_bedrock._http.signatures import SignedRequest, authenticate
from local_bedrock._model.catalogue import answer_catalogue_request
from local_bedrock._model.invoke.formats import invocation_of
from local_bedrock._model.render import error_response, unknown_operation
from local_bedrock._model.runtime import Runtime, decoded
from local_bedrock._s3.objects import ObjectStore
from local_bedrock._s3.s3 import answer_object_request
from local_bedrock._sts.identity import caller_identity
from local_bedrock.errors import ErrorReply, RefusedError
from local_bedrock.faults import FailConnection, Fault, NoResponse
from local_bedrock.keys import AuthScheme, Keyring
from local_bedrock.requests import LocalBedrockStats, RecordedRequest
from local_bedrock.response import Response, SourceError, WrittenResponse, write_response
from local_bedrock.routing import CATALOGUE_OPERATIONS, Service, target
from local_bedrock.rules import Script

_ATTEMPT = re.compile(r'attempt=(\d+)')
_SECRET_HEADERS = ('x-amz-security-token',)
_NOT_RECORDED = ErrorReply(
    501,
    'NotImplementedException',
    'LocalBedrock records and replays Bedrock Runtime only: no batch inference jobs, and no S3.',
)


def _shown(headers: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
    """Return the headers without their secrets."""
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


def _unread(refused: RefusedError, record: RecordedRequest) -> Response:
    """Return the refusal of a request whose body is not read, or not to its end: its connection serves no other."""
    response = error_response(refused.reply, record)
    response.close = True
    record.error_code = response.error_code
    return response


class OwnAPI(Protocol):
    """The endpoint's own API, beside those of AWS."""

    def concerns(self, http: web.BaseRequest) -> bool:
        """Return True if a request is for this API."""
        ...

    async def handle(self, http: web.BaseRequest) -> web.Response:
        """Answer a request."""
        ...


@dataclass
class Handler:
    """The handler of requests: the keys that it accepts, the script that it follows, the requests that it has seen."""

    region_name: str
    keyring: Keyring
    runtime: Runtime
    jobs: Jobs
    objects: ObjectStore
    clock: Callable[[], datetime]
    requests: RememberedRequests
    max_body_bytes: int
    receive_timeout: float
    own_api: OwnAPI | None = None
    faults: Script[Fault] = field(default_factory=Script[Fault])
    connection_faults: Script[FailConnection] = field(default_factory=Script[FailConnection])
    handling: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])
    connections: dict[int, int] = field(default_factory=dict[int, int])
    opened: int = 0
    arrived: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    streams_generating: int = 0

    def __post_init__(self) -> None:
        self.jobs.recorder = self.requests.remember

    def forget(self) -> None:
        """Forget the script, the faults, the requests and the failures."""
        runtime = self.runtime
        for forgotten in (runtime.script, self.faults, self.connection_faults, self.requests, runtime.failures):
            forgotten.clear()
        runtime.quotas.forget()

    def start_over(self, keyring: Keyring) -> None:
        """Forget everything; counts start again, without the requests under way."""
        self.forget()
        self.runtime.script.start_over()
        self.jobs.clear()
        self.objects.clear()
        self.runtime.quotas.start_over()
        self.keyring = keyring
        self.arrived = self.opened = self.max_in_flight = 0

    def stats(self) -> LocalBedrockStats:
        """Return the counts of this moment."""
        return LocalBedrockStats(
            requests=self.arrived,
            in_flight=self.in_flight,
            max_in_flight=self.max_in_flight,
            connections=self.opened,
            open_connections=len(self.connections),
            streams_generating=self.streams_generating,
            admitted=self.runtime.quotas.admitted,
            throttled=self.runtime.quotas.throttled,
        )

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        if self.own_api is not None and self.own_api.concerns(http):
            return await self.own_api.handle(http)
        task = cast('asyncio.Task[Any]', asyncio.current_task())
        self.handling.add(task)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        record: RecordedRequest | None = None
        try:
            try:
                body = await self._received(http)
            except RefusedError as refused:
                record = self._record(http, b'')
                response = _unread(refused, record)
            else:
                record = self._record(http, body)
                response = await self._answer(record, http, body)
            return await self._write(response, http, record)
        except SourceError as error:
            self.runtime.failures.append(error)
            return WrittenResponse(keep_alive=False)
        except ConnectionError:
            if record is not None:
                record.disconnected = True
            return WrittenResponse(keep_alive=False)
        except asyncio.CancelledError:
            if record is not None:
                record.disconnected = http.transport is None
            raise
        finally:
            self.in_flight -= 1
            self.handling.discard(task)
            if record is not None:
                record.ended = monotonic()
                log_request(record)

    async def _write(self, response: Response, http: web.BaseRequest, record: RecordedRequest) -> WrittenResponse:
        self.streams_generating += response.chunked
        try:
            return await write_response(response, http, record)
        except ConnectionError:
            raise
        except Exception as error:
            # A fault has left a function that fails, or another thing that cannot be written.
            failed = error_response(self.runtime.failed(error), record)
            record.error_code = failed.error_code
            if record.status is None:
                return await write_response(failed, http, record)
            # The connection is closed in the middle of the response.
            return WrittenResponse(keep_alive=False)
        finally:
            self.streams_generating -= response.chunked
            if response.done is not None:
                response.done()

    async def _received(self, http: web.BaseRequest) -> bytes:
        """Return the body; a large one only of a client that has a key.

        Raises:
            RefusedError: The client has none, or the body is too large or too slow.
        """
        service = target(http.method, http.raw_path, http.headers).service
        if not is_small(http):
            self._authenticate(http, service, None)
        return await receive(http, service, self.max_body_bytes, self.receive_timeout)

    def _authenticate(self, http: web.BaseRequest, service: Service, body: bytes | None) -> AuthScheme:
        signing_name = service if service in ('s3', 'sts') else 'bedrock'
        signed = SignedRequest(http.method, http.raw_path, http.headers, body, signing_name)
        if service == 's3' and is_presigned(signed):
            verify_presigned(signed, self.keyring, self.region_name, self.clock)
            return 'sigv4'
        return authenticate(signed, self.keyring, self.region_name, self.clock)

    def _record(self, http: web.BaseRequest, body: bytes) -> RecordedRequest:
        headers = http.headers
        aim = target(http.method, http.raw_path, headers, body)
        attempt = _ATTEMPT.search(headers.get('amz-sdk-request', ''))
        record = RecordedRequest(
            service=aim.service,
            operation=aim.operation,
            resource=aim.resource,
            model_id=aim.resource if aim.service == 'bedrock-runtime' and aim.operation != 'ApplyGuardrail' else '',
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
        if aim.service not in ('s3', 'sts'):
            with contextlib.suppress(RefusedError):
                record.body = decoded(body)
                record.invocation = invocation_of(record)
        self.arrived += 1
        self.requests.remember(record)
        return record

    async def _answer(self, record: RecordedRequest, http: web.BaseRequest, body: bytes) -> Response:
        try:
            response = await self._answer_or_fail(record, http, body)
        except Exception as error:
            # A condition, a fault or another function of the caller has failed.
            response = error_response(self.runtime.failed(error), record)
        record.error_code = response.error_code
        return response

    async def _answer_or_fail(self, record: RecordedRequest, http: web.BaseRequest, body: bytes) -> Response:
        fault: Fault | None = None
        try:
            if record.operation is None and record.service != 's3' and self.runtime.source is None:
                return unknown_operation(record)
            record.auth_scheme = self._authenticate(http, record.service, body)
            rule = self.faults.choose(record)
            fault = None if rule is None else rule.action
            if isinstance(fault, ErrorReply):
                response = error_response(fault, record)
            elif isinstance(fault, NoResponse):
                # No reply is used up for a response that nobody is going to see.
                response = Response(200, {}, ())
            else:
                response = await self._served(record, http.headers)
        except RefusedError as refused:
            response = error_response(refused.reply, record)
        if callable(fault):
            fault(response)
        return response

    async def _served(self, record: RecordedRequest, headers: CIMultiDictProxy[str]) -> Response:
        if record.service == 'bedrock-runtime':
            return await self.runtime.answer(record)
        if self.runtime.source is not None:
            raise RefusedError(_NOT_RECORDED)
        if record.service == 'sts':
            return caller_identity(record)
        if record.operation in CATALOGUE_OPERATIONS:
            return await answer_catalogue_request(record, self.runtime.models, self.region_name)
        if record.service == 'bedrock':
            return await answer_job_request(record, self.jobs)
        return answer_object_request(record, headers, self.objects)
