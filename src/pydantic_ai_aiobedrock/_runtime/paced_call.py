"""PacedCall: a call from its place in the queue to its end, sent again while AWS throttles it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError, EventStreamError

from pydantic_ai_aiobedrock._config.call_options import CallOptions
from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._core import telemetry
from pydantic_ai_aiobedrock._core.turns import turns
from pydantic_ai_aiobedrock._pool.loop_pool import Lease
from pydantic_ai_aiobedrock._pool.session_pool import SessionPool
from pydantic_ai_aiobedrock._runtime.auth_retry import send
from pydantic_ai_aiobedrock._runtime.pacer import Pacer, PatienceEndedError
from pydantic_ai_aiobedrock._runtime.pacing import Call
from pydantic_ai_aiobedrock._runtime.token_quota import max_tokens, reserved_tokens

if TYPE_CHECKING:
    from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream


MAX_WAIT_SECONDS: Final = 60
"""A model is left alone no longer than this, even if AWS asks for more with `Retry-After`."""


@dataclass(slots=True)
class Request:
    """A request that can be sent again.

    Attributes:
        pool: The pool to lease clients from.
        spec: The recipe of the client.
        operation: The client's method.
        params: The parameters of the operation, also for the tokens that AWS reserves.
        options: The options of the call. Its `pool_timeout` bounds its waits before all of its attempts together;
            without it, a call waits for as long as other calls get through.
        measured: The measurement of the whole call.
        began: The loop's time at its beginning.
    """

    pool: SessionPool
    spec: ClientSpec
    operation: str
    params: Mapping[str, Any] = field(repr=False)
    options: CallOptions
    measured: telemetry.Operation
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time(), init=False)

    @property
    def deadline(self) -> float | None:
        """The loop's time after which the call waits no more, or None."""
        timeout = self.options.pool_timeout
        return None if timeout is None else self.began + timeout

    async def take_lease(self) -> Lease:
        """Wait for a lease."""
        asked_at = perf_counter()
        lease = await self.pool.lease(self.spec, self.options.pool_timeout, self.began)
        telemetry.lease_granted(perf_counter() - asked_at)
        return lease

    async def send(self, lease: Lease) -> dict[str, Any]:
        """Send the request with a lease."""
        return await send(lease, self.operation, self.params, self.options)


class PacedCall:
    """A call, which owns its lease until it is released.

    A throttled attempt gives its lease back, and waits in the queue of its model. Without a pacer the first throttled
    attempt is the last. The request is an argument of each method: a stream that has begun holds on to its call, but
    not to the conversation that it answers.
    """

    __slots__ = ('_call', '_lease', '_pacer')

    def __init__(self, pacer: Pacer | None) -> None:
        """Take the pacer of the model, or None to raise at once."""
        self._pacer = pacer
        self._lease: Lease | None = None
        self._call: Call | None = None

    async def send(self, request: Request) -> dict[str, Any]:
        """Send the call, for the first time."""
        pacer = self._pacer
        if pacer is not None:
            tokens = reserved_tokens if pacer.throttling else max_tokens
            call = Call(tokens(request.params))
            try:
                await pacer.admit(call, request.deadline)
            except PatienceEndedError as error:
                raise pacer.explained(error, None) from error
            self._call = call
        return await self._attempts(request)

    async def send_again(self, request: Request, error: EventStreamError) -> ConverseEventStream:
        """Send a streamed call again whose first event was a refusal, and return the new stream."""
        # Imported with the client that sent this.
        from pydantic_ai_aiobedrock._client.throttling import throttle_of

        if self._pacer is None or (throttle := throttle_of(error)) is None or throttle.is_final:
            raise error
        self._give_lease_back()
        try:
            await self._wait(request, error, throttle.resource, throttle.retry_after)
            return (await self._attempts(request))['stream']
        except BaseException:
            self.release()
            raise

    def admitted(self) -> None:
        """Note that the call got through: its answer has begun."""
        if self._pacer is not None and self._call is not None:
            self._pacer.admitted(self._call)

    def finished(self, used_tokens: float | None) -> None:
        """End the call, whose answer is complete, with the tokens that it has used."""
        self._give_lease_back()
        call, self._call = self._call, None
        if call is not None and self._pacer is not None:
            self._pacer.finished(call, used_tokens)

    def release(self) -> None:
        """End the call, wherever it is; a second time is harmless."""
        self._give_lease_back()
        call, self._call = self._call, None
        if call is not None and self._pacer is not None:
            self._pacer.failed(call)

    async def _attempts(self, request: Request) -> dict[str, Any]:
        while True:
            self._lease = lease = await request.take_lease()
            await turns().sends.take()
            if self._pacer is not None and self._call is not None and self._pacer.is_early(self._call):
                # The throttling became known while the call waited for a connection.
                self._give_lease_back()
                await self._recalled(self._pacer, self._call, request.deadline)
                continue
            try:
                response = await request.send(lease)
            except ClientError as error:
                from pydantic_ai_aiobedrock._client.throttling import throttle_of

                throttle = throttle_of(error)
                if throttle is None or throttle.is_final or self._pacer is None:
                    raise
                self._give_lease_back()
                await self._wait(request, error, throttle.resource, throttle.retry_after)
            else:
                # The first event of a stream may be a refusal.
                if request.operation != 'converse_stream':
                    self.admitted()
                return response

    async def _recalled(self, pacer: Pacer, call: Call, deadline: float | None) -> None:
        self._call = None
        try:
            await pacer.recall(call, deadline)
        except PatienceEndedError as error:
            raise pacer.explained(error, None) from error
        self._call = call

    async def _wait(self, request: Request, refusal: ClientError, resource: Any, retry_after: float) -> None:
        pacer, call = self._pacer, self._call
        assert pacer is not None
        assert call is not None
        self._call = None
        call.tokens = reserved_tokens(request.params)
        try:
            await pacer.refused(call, refusal, resource, min(retry_after, MAX_WAIT_SECONDS), request.deadline)
        except PatienceEndedError as error:
            raise pacer.explained(error, refusal) from error
        self._call = call

    def _give_lease_back(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()
