"""Bedrock Runtime: answers to calls of models, which come over HTTP or stand in the input of a batch."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic_core import from_json, to_json

from local_bedrock._bodies.tokens import request_tokens
from local_bedrock._model.checks import Checks
from local_bedrock._model.invoke.without_text import invoke_without_text
from local_bedrock._model.model_ids import known
from local_bedrock._model.render import (
    Manner,
    error_response,
    event_usage,
    frames,
    json_response,
    render,
    stream_response,
)
from local_bedrock._model.validation import ServiceModel
from local_bedrock.errors import ErrorReply, serialization_error, validation_error
from local_bedrock.frames import StreamEvent, encode_event
from local_bedrock.keys import Keyring
from local_bedrock.quotas import Quotas, Reservation, ThrottledError
from local_bedrock.replies import AnyReply, ReplyFunction
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response, SourceError
from local_bedrock.rules import Script

# A guardrail lets everything pass, unless a reply says otherwise.
_UNITS = ('topicPolicy', 'contentPolicy', 'wordPolicy', 'sensitiveInformationPolicy', 'contextualGroundingPolicy')
_USAGE = {**{f'{policy}Units': 0 for policy in _UNITS}, 'sensitiveInformationPolicyFreeUnits': 0}
_PASSED: dict[str, Any] = {'action': 'NONE', 'assessments': [], 'outputs': [], 'usage': _USAGE}


class UnrecordedRequestError(LookupError):
    """No recorded exchange has this request."""


class Source(Protocol):
    """A source of responses other than a model of the endpoint: AWS, or a record of it."""

    async def open(self, keyring: Keyring) -> None:
        """Get ready, before the first request."""
        ...

    async def answer(self, request: RecordedRequest) -> Response:
        """Return the response to a request.

        Raises:
            UnrecordedRequestError: None is recorded.
            SourceError: None is available.
        """
        ...

    async def close(self) -> None:
        """Close everything that was opened, after the last request."""
        ...


@dataclass
class Runtime:
    """The models, and their answers."""

    models: Collection[str] | None
    responder: ReplyFunction
    manner: Manner
    strict_models: bool = True
    source: Source | None = None
    service_model: ServiceModel | None = None
    quotas: Quotas = field(default_factory=Quotas)
    script: Script[AnyReply | ReplyFunction] = field(default_factory=Script[AnyReply | ReplyFunction])
    failures: list[Exception] = field(default_factory=list[Exception])

    async def answer(self, record: RecordedRequest) -> Response:
        """Return the answer to a request.

        Raises:
            RefusedError: The request is not valid.
        """
        if self.source is None:
            self._check(record)
        try:
            reservation = self.quotas.admit(record)
        except ThrottledError as throttled:
            if not throttled.in_stream:
                raise
            return _throttled_stream(record, throttled.reply)
        if reservation is None:
            return await self._answer(record)
        try:
            response = await self._answer(record)
        except BaseException:
            reservation.settle(None)
            raise
        return _settling(response, reservation)

    async def _answer(self, record: RecordedRequest) -> Response:
        rule = self.script.choose(record)
        if rule is not None:
            reply = rule.action
        elif self.source is not None:
            return await self._from(self.source, record)
        elif record.operation == 'InvokeModel' and not record.generates_text:
            return json_response(record, *invoke_without_text(record.model_id, record.body))
        elif record.operation == 'ApplyGuardrail':
            return json_response(record, to_json(_PASSED), {})
        elif record.operation == 'CountTokens':
            return json_response(record, to_json({'inputTokens': request_tokens(record.body)}), {})
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
            return error_response(self.failed(error), record)

    def check_model(self, model_id: str) -> None:
        """Check that there is such a model.

        Raises:
            RefusedError: There is none.
        """
        if not known(model_id, self.models):
            raise validation_error('The provided model identifier is invalid.')

    def _check(self, record: RecordedRequest) -> None:
        if not record.body:
            record.body = decoded(record.raw_body)
        if record.operation != 'ApplyGuardrail':
            self.check_model(record.model_id)
        assert self.service_model is not None
        Checks(self.service_model, self.strict_models).check(record)

    async def _from(self, source: Source, record: RecordedRequest) -> Response:
        try:
            return await source.answer(record)
        except UnrecordedRequestError as error:
            self.failures.append(error)
            return error_response(ErrorReply(404, 'UnrecordedRequestException', str(error)), record)
        except SourceError as error:
            self.failures.append(error)
            return error_response(ErrorReply(502, 'BadGatewayException', str(error)), record)

    def _generated(self, events: AsyncGenerator[Any, None], record: RecordedRequest) -> Response:
        if record.operation != 'ConverseStream':
            raise TypeError(f'a generator of events cannot answer {record.operation}')
        response = stream_response(record, {})
        response.pieces = frames(_noting_usage(events, response), self.manner.padding(record), self.failed)
        response.delay_before = self.manner.latency
        return response

    def failed(self, error: Exception) -> ErrorReply:
        """Note that the script of a test has failed, and answer as a service does that has a bug, saying where."""
        self.failures.append(error)
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        where = f'{Path(frame.f_code.co_filename).name}, line {line}'
        return ErrorReply(500, 'InternalServerException', f'LocalBedrock could not answer: {error!r} ({where})')


def _throttled_stream(record: RecordedRequest, reply: ErrorReply) -> Response:
    response = stream_response(record, {})
    response.pieces = (encode_event(StreamEvent.exception('throttlingException', reply.message)),)
    response.error_code = reply.code
    return response


def _settling(response: Response, reservation: Reservation) -> Response:
    """Give the tokens that were not used back when the response ends."""
    done = response.done

    def settle() -> None:
        reservation.settle(response.usage)
        if done is not None:
            done()

    response.done = settle
    return response


async def _noting_usage(events: AsyncGenerator[Any, None], response: Response) -> AsyncGenerator[Any, None]:
    async with aclosing(events):
        async for event in events:
            response.usage = event_usage(event) or response.usage
            yield event


def decoded(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is, empty for no body.

    Raises:
        RefusedError: It is none.
    """
    try:
        found = from_json(body or b'{}', allow_inf_nan=False)
    except ValueError as error:
        raise serialization_error(str(error)) from None
    if not isinstance(found, dict):
        raise serialization_error('Start of structure or map expected where not found.')
    return cast('dict[str, Any]', found)
