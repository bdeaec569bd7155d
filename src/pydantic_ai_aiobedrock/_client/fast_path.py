"""Sends Converse and ConverseStream as requests that botocore has prepared before, with a body of their own.

botocore's work ahead of a request is the same at each call of a client, but for the body, the date, the id of the call
and the signature over them. So botocore prepares and sends the first request for a model, and later requests are
modelled on it. An attempt that fails is handed to botocore as the first of a call of its own: botocore decides whether
and when to try again, and the error to raise in the end. So it does about everything while other code is listening.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, NamedTuple

from botocore import UNSIGNED
from pydantic_core import from_json

from pydantic_ai_aiobedrock._client import attempt_log, sigv4
from pydantic_ai_aiobedrock._client.botocore_call import call_botocore
from pydantic_ai_aiobedrock._client.continued import encode_onward
from pydantic_ai_aiobedrock._client.encoding import BodyInPieces, encode
from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream
from pydantic_ai_aiobedrock._client.exchange import SignedRequest
from pydantic_ai_aiobedrock._client.listeners import Listeners
from pydantic_ai_aiobedrock._client.throttling import is_throttling
from pydantic_ai_aiobedrock._client.transport import HTTPSession
from pydantic_ai_aiobedrock._config.call_options import CallOptions
from pydantic_ai_aiobedrock._core import telemetry
from pydantic_ai_aiobedrock._wire.converse import decode_request, decode_response

REMEMBERED = 256
"""Requests that a client remembers at most, each of an operation and a model; the oldest is forgotten first."""

_HEADERS: Final = frozenset(
    {
        'Content-Type',
        'User-Agent',
        'X-Amz-Date',
        'X-Amz-Security-Token',
        'Authorization',
        'amz-sdk-invocation-id',
        'amz-sdk-request',
        'Content-Length',
    }
)
"""Headers that are known to be a request's own, or the same in every request; of any other that is not known."""

_METADATA: Final = frozenset({'RequestId', 'HostId', 'HTTPStatusCode', 'HTTPHeaders', 'RetryAttempts'})


@dataclass(slots=True)
class _Call:
    """A call that goes through botocore: to learn how it prepares it, or to have it take over after an attempt."""

    request: Any = field(default=None, repr=False)
    outcome: Any = field(default=None, repr=False)
    body: bytes | bytearray = field(default=b'', repr=False)
    invocation_id: str = ''
    sent_at: float = 0.0
    logged: attempt_log.LoggedAttempt | None = None


@dataclass(frozen=True, slots=True)
class _Template:
    """A request that botocore prepared, and AWS answered.

    Its headers keep the places of the key's and the token's, without their values.
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    has_token: bool
    signature: sigv4.SignedAlike | None
    metadata: dict[str, Any]


class _Operation(NamedTuple):
    name: str
    streams: bool
    model: Any


_current: ContextVar[_Call | None] = ContextVar('current', default=None)
"""The call that this task makes through botocore."""


class FastPath:
    """The requests that botocore has prepared for a client, and the calls that are modelled on them."""

    def __init__(self, client: Any, transport: HTTPSession) -> None:
        """Take a client of Bedrock Runtime and its transport; `of` says whether it can have a fast path."""
        self._client = client
        self._transport = transport
        self._signer: Any = client._request_signer
        self._events: Any = client.meta.events
        self._listeners = Listeners(client)
        self._server = telemetry.server_attributes(client.meta.endpoint_url)
        self._templates: dict[tuple[str, str], _Template] = {}
        self._operations = {
            'converse': _operation(client, 'Converse', streams=False),
            'converse_stream': _operation(client, 'ConverseStream', streams=True),
        }

    @classmethod
    def of(cls, client: Any, transport: HTTPSession) -> FastPath | None:
        """Return the fast path of a client that has just been made, or None if all of its calls are botocore's."""
        retries: Mapping[str, Any] = client.meta.config.retries or {}
        # Each invocation of a Lambda function has a trace id of its own, which botocore sends along.
        if retries.get('mode') != 'standard' or 'AWS_LAMBDA_FUNCTION_NAME' in os.environ:
            return None
        try:
            return cls(client, transport)
        except LookupError:
            return None

    def takes(self, operation: str, params: Mapping[str, Any], options: CallOptions) -> bool:
        """Return whether a call is of the kind that is prepared here, with nobody else to take part in it."""
        return (
            operation in self._operations
            and type(params.get('modelId')) is str
            and not options.extra_headers
            and not self._listeners.found()
        )

    async def call(self, operation_name: str, params: Mapping[str, Any], options: CallOptions) -> dict[str, Any]:
        """Send a request, through botocore or modelled on an earlier request of botocore's."""
        operation = self._operations[operation_name]
        key = operation_name, params['modelId']
        if (template := self._templates.get(key)) is None:
            return await self._learn(key, params, options)
        onward = encode_onward(params, options.conversation)
        body = onward or await encode(params)
        headers = dict(template.headers)
        if (signature := template.signature) is None:
            headers['Authorization'] = await self._bearer()
        else:
            credentials = await self._signer._credentials.get_frozen_credentials()
            if bool(credentials.token) is not template.has_token or not signature.is_proven(credentials):
                return await self._learn(key, params, options)
            headers['X-Amz-Date'] = timestamp = sigv4.timestamp()
            if template.has_token:
                headers['X-Amz-Security-Token'] = credentials.token
            headers['Authorization'] = signature.authorization(credentials, timestamp, body)
        headers['amz-sdk-invocation-id'] = invocation_id = str(uuid.uuid4())
        headers['Content-Length'] = str(len(body))
        sent_at = perf_counter()
        logged = attempt_log.sent(operation.name, params['modelId'], len(body))
        outcome: Any
        if released := onward is not None and not operation.streams:
            # Hundreds of dicts and lists, which the garbage collector would walk through while the model thinks. Only
            # an attempt after this would need them.
            params['messages'].clear()
        try:
            outcome = await self._transport.send(SignedRequest(template.url, headers, body, operation.streams), options)
        except Exception as error:
            outcome = error
        if released and (isinstance(outcome, Exception) or outcome.status_code >= 300):
            params['messages'].extend(decode_request(bytes(body))['messages'])
        if options.paced and not isinstance(outcome, Exception) and outcome.status_code == 429:
            await self._raise_throttled(operation, outcome, sent_at, len(body), logged)
        if isinstance(outcome, Exception) or not 200 <= outcome.status_code < 300:
            whole = bytes(body) if isinstance(body, BodyInPieces) else body
            call = _Call(None, outcome, whole, invocation_id, sent_at, logged)
            # The traceback of an exception holds this frame.
            del outcome
            return await self._through_botocore(operation_name, params, options, call)
        if logged is not None:
            logged.answered(outcome.status_code, outcome.fields)
        return await self._answered(operation, template, outcome, sent_at, len(body))

    async def _raise_throttled(
        self,
        operation: _Operation,
        response: Any,
        sent_at: float,
        request_bytes: int,
        logged: attempt_log.LoggedAttempt | None,
    ) -> None:
        """Raise the refusal that a response is: many come at once, and botocore takes a millisecond for each.

        Raises:
            botocore.exceptions.ClientError: The refusal.
        """
        content: bytes = await response.content
        fields: dict[str, str] = response.fields
        try:
            described: Any = from_json(content)
            message = str(described.get('message', described.get('Message', '')))
        except (AttributeError, ValueError):
            return
        code = fields.get('x-amzn-errortype', '').partition(':')[0]
        if not is_throttling(code):
            return
        telemetry.attempt_answered(sent_at, request_bytes, response.status_code, len(content), self._server)
        if logged is not None:
            logged.answered(response.status_code, fields)
        parsed: Any = {
            'Error': {'Message': message, 'Code': code},
            'ResponseMetadata': {
                'RequestId': fields.get('x-amzn-requestid', ''),
                'HTTPStatusCode': response.status_code,
                'HTTPHeaders': fields,
                'MaxAttemptsReached': True,
                'RetryAttempts': 0,
            },
        }
        raise self._client.exceptions.from_code(code)(parsed, operation.name)

    async def _answered(
        self, operation: _Operation, template: _Template, response: Any, sent_at: float, request_bytes: int
    ) -> dict[str, Any]:
        """Turn a response into the dict that botocore would return."""
        fields: dict[str, str] = response.fields
        response_bytes: int | None = None
        answer: dict[str, Any]
        if operation.streams:
            answer = {'stream': ConverseEventStream(response.raw)}
        else:
            content: bytes = await response.content
            response_bytes = len(content)
            answer = decode_response(content)
            answer.pop('Error', None)
        metadata: dict[str, Any] = {}
        if 'x-amzn-requestid' in fields:
            metadata['RequestId'] = fields['x-amzn-requestid']
        elif 'x-amz-request-id' in fields:
            metadata |= {'RequestId': fields['x-amz-request-id'], 'HostId': fields.get('x-amz-id-2', '')}
        answer['ResponseMetadata'] = {
            **metadata,
            'HTTPStatusCode': response.status_code,
            'HTTPHeaders': fields,
            **template.metadata,
            'RetryAttempts': 0,
        }
        telemetry.attempt_answered(sent_at, request_bytes, response.status_code, response_bytes, self._server)
        # The quota of retries is filled up by successes.
        await self._events.emit(
            f'after-call.bedrock-runtime.{operation.name}',
            http_response=response,
            parsed=answer,
            model=operation.model,
            context={},
        )
        return answer

    async def _learn(self, key: tuple[str, str], params: Mapping[str, Any], options: CallOptions) -> dict[str, Any]:
        call = _Call()
        answer = await self._through_botocore(key[0], params, options, call)
        metadata: dict[str, Any] = answer['ResponseMetadata']
        self._templates.pop(key, None)
        if call.request is not None and not metadata['RetryAttempts']:
            if (template := _template(call.request, metadata)) is not None:
                self._templates[key] = template
            if len(self._templates) > REMEMBERED:
                del self._templates[next(iter(self._templates))]
        return answer

    async def _through_botocore(
        self, operation: str, params: Mapping[str, Any], options: CallOptions, call: _Call
    ) -> dict[str, Any]:
        token = _current.set(call)
        try:
            return await call_botocore(self._client, operation, params, options)
        finally:
            _current.reset(token)

    async def _bearer(self) -> str:
        token: Any = self._signer._auth_token
        frozen = await token.get_frozen_token() if hasattr(token, 'get_frozen_token') else token
        return f'Bearer {frozen.token}'


def _template(request: Any, metadata: Mapping[str, Any]) -> _Template | None:
    """Return the template of later requests; None for a request of an unknown kind."""
    if not request.headers.keys() <= _HEADERS or not isinstance(request.body, bytes | bytearray):
        return None
    headers = {
        name: value.decode() if isinstance(value, bytes) else str(value) for name, value in request.headers.items()
    }
    authorization = headers.get('Authorization')
    if authorization is None or headers.get('amz-sdk-request') != 'attempt=1':
        return None
    signature = None
    if not authorization.startswith('Bearer '):
        try:
            signature = sigv4.SignedAlike(request.url, headers, request.body)
        except (ValueError, KeyError):
            return None
    secrets = {'Authorization', 'X-Amz-Security-Token'} & headers.keys()
    return _Template(
        request.url,
        headers | dict.fromkeys(secrets, ''),
        'X-Amz-Security-Token' in headers,
        signature,
        {name: value for name, value in metadata.items() if name not in _METADATA},
    )


def _operation(client: Any, name: str, *, streams: bool) -> _Operation:
    events = client.meta.events
    for event, handler in (('before-call', _take_over), ('choose-signer', _leave_unsigned), ('before-send', _see)):
        events.register_first(f'{event}.bedrock-runtime.{name}', handler)
    return _Operation(name, streams, client.meta.service_model.operation_model(name))


def _take_over(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    """Go on with a request that has been sent: a handler of `before-call`."""
    call = _current.get()
    if call is not None and call.outcome is not None:
        params['body'] = call.body
        context['retries'] = {'invocation-id': call.invocation_id}
        telemetry.attempt_was_sent(context, call.sent_at)
        attempt_log.take_over(context, call.logged)


def _leave_unsigned(**_: object) -> object:
    """Ask for no credentials for a request that has been sent: a handler of `choose-signer`."""
    call = _current.get()
    return UNSIGNED if call is not None and call.outcome is not None else None


def _see(request: Any, **_: object) -> Any:
    """Keep the request, and give the outcome if it has been sent: a handler of `before-send`."""
    if (call := _current.get()) is None:
        return None
    outcome, call.outcome, call.request = call.outcome, None, request
    if not isinstance(outcome, Exception):
        return outcome
    try:
        raise outcome
    finally:
        # The traceback holds this frame.
        del outcome
