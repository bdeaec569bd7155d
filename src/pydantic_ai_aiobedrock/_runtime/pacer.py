"""Pacer: the calls of one model on one event loop, let go as `Pacing` decides."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, cast

from botocore.exceptions import ClientError

from pydantic_ai_aiobedrock._pool.paced import PacingStats
from pydantic_ai_aiobedrock._runtime.pacing import PATIENCE, Call, Pacing, Quota, Report
from pydantic_ai_aiobedrock.errors import PoolClosedError

logger: logging.Logger = logging.getLogger('pydantic_ai_aiobedrock')

_CLOSED: Final = 'The SessionPool was closed while the call waited to be sent.'


class PatienceEndedError(Exception):
    """A call has waited for too long; the message says why."""


class Pacer:
    """The calls of one model, which wait here while AWS throttles it."""

    def __init__(self, family: str, model: str, region: str) -> None:
        """Make a pacer for the running event loop."""
        self.family = family
        self.model = model
        self.region = region
        self._loop = asyncio.get_running_loop()
        self._pacing = Pacing(PATIENCE)
        self._waiters: dict[Call, asyncio.Future[None]] = {}
        self._timer: asyncio.Handle | None = None
        # uvloop's handles do not know their time.
        self._wakes_at: float | None = None
        self._announced = False
        self._closed = False
        self._latest: ClientError | None = None

    @property
    def throttling(self) -> bool:
        """True while calls are held back."""
        return self._pacing.throttling

    @property
    def is_idle(self) -> bool:
        """Nothing waits or is in flight, and nothing is known that is worth keeping."""
        return not (self._pacing.throttling or self._waiters or self._pacing.flying)

    async def admit(self, call: Call, deadline: float | None) -> None:
        """Wait until a new call may go.

        Args:
            call: The call.
            deadline: The loop's time to wait until at most, or None to wait for as long as other calls get through.

        Raises:
            PatienceEndedError: No call of the model got through for too long, or the deadline has passed.
            PoolClosedError: The pool was closed.
        """
        now = self._loop.time()
        if self._pacing.throttling:
            self._settle()
        if not self._pacing.admit(call, now):
            await self._turn(call, deadline)

    def is_early(self, call: Call) -> bool:
        """Return True for a call that is not sent yet and was let go before AWS began to throttle."""
        return self._pacing.throttling and not call.paced

    async def recall(self, call: Call, deadline: float | None) -> None:
        """Let such a call wait again until it may go; like `admit`."""
        if self._pacing.recalled(call, self._loop.time()):
            await self._turn(call, deadline)

    async def refused(
        self, call: Call, error: ClientError, quota: Quota, retry_after: float, deadline: float | None
    ) -> None:
        """Wait until a call that was throttled may go again; like `admit`."""
        # Not the error itself, whose traceback holds the conversation.
        self._latest = type(error)(cast(Any, error.response), error.operation_name)
        self._pacing.refused(call, self._loop.time(), quota, retry_after or None)
        await self._turn(call, deadline)

    def admitted(self, call: Call) -> None:
        """Note that a call got through: the headers of its answer arrived."""
        self._pacing.admitted(call, self._loop.time())

    def finished(self, call: Call, used_tokens: float | None = None) -> None:
        """Note the end of a call that got through."""
        self._pacing.finished(call, self._loop.time(), used_tokens)
        if self._waiters:
            self._settle()

    def failed(self, call: Call) -> None:
        """Note the end of a call that failed otherwise, or was cancelled."""
        self._pacing.cancelled(call, self._loop.time())
        if self._waiters:
            self._settle()

    def explained(self, ended: PatienceEndedError, refusal: ClientError | None) -> ClientError:
        """Return the error for a call that has waited for too long: a refusal, with the state of the queue added.

        Args:
            ended: The end of the wait.
            refusal: The latest refusal of the call itself, or None for that of any call.
        """
        error = refusal or self._latest
        assert error is not None
        report = self._pacing.report(self._loop.time())
        response: Any = error.response
        if response.get('ResponseMetadata', {}).get('HTTPStatusCode') == 503:
            # No quota of the account: Bedrock has not enough of the model.
            remedy = 'Try later'
        else:
            remedy = ('Lower `max_tokens`, ask' if report.quota == 'tokens' else 'Ask') + ' for a higher quota'
        message = (
            f'{response["Error"]["Message"]} (Bedrock throttles {self.model} in {self.region}: {ended}, '
            f'{report.throttled} attempts were refused, {report.waiting} calls are waiting. {remedy}, send less at '
            'once, or use another region or model.)'
        )
        described: Any = {**response, 'Error': {**response['Error'], 'Message': message}}
        return type(error)(described, error.operation_name)

    def stats(self) -> PacingStats:
        """Return the figures of now."""
        report = self._report()
        return PacingStats(
            self.model,
            self.family,
            self.region,
            report.throttling,
            report.rate,
            report.quota,
            report.throttled,
            report.waiting,
            report.longest_wait,
        )

    def close(self) -> None:
        """Fail the calls that wait, and those that would: the pool is closed."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiters, self._waiters = self._waiters, {}
        for call, waiter in waiters.items():
            self._pacing.cancelled(call, self._loop.time())
            if not waiter.done():
                waiter.set_exception(PoolClosedError(_CLOSED))

    async def _turn(self, call: Call, deadline: float | None) -> None:
        if self._closed:
            self._pacing.cancelled(call, self._loop.time())
            raise PoolClosedError(_CLOSED)
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters[call] = waiter
        self._settle()
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        except (PatienceEndedError, PoolClosedError):
            raise
        except TimeoutError:
            self._leave(call)
            raise PatienceEndedError('the `timeout` of the call ended before its turn came') from None
        except BaseException:
            self._leave(call)
            raise

    def _leave(self, call: Call) -> None:
        self._waiters.pop(call, None)
        self.failed(call)

    def _settle(self) -> None:
        """Let go the calls that are due, and set the timer for the next."""
        if self._loop.is_closed():
            return
        now = self._loop.time()
        due = self._pacing.due(now)
        for call in due.released:
            waiter = self._waiters.pop(call)
            if not waiter.done():
                waiter.set_result(None)
        for call in due.expired:
            waiter = self._waiters.pop(call)
            if not waiter.done():
                waiter.set_exception(PatienceEndedError(f'no call of it got through for {self._pacing.patience:g} s'))
        self._announce()
        wakeup = None if self._closed else self._pacing.next_wakeup(now)
        if self._timer is not None and (wakeup is None or self._timer.cancelled() or self._wakes_at != wakeup):
            self._timer.cancel()
            self._timer = None
        if wakeup is not None and self._timer is None:
            self._timer, self._wakes_at = self._loop.call_at(wakeup, self._wake), wakeup

    def _wake(self) -> None:
        self._timer = None
        self._settle()

    def _report(self) -> Report:
        return self._pacing.report(self._loop.time())

    def _announce(self) -> None:
        """Log the beginning and the end of throttling, each in one line."""
        if self._pacing.throttling and not self._announced and self._pacing.learned:
            self._announced = True
            report = self._report()
            unit = ' tokens' if report.quota == 'tokens' else ''
            logger.warning(
                'Bedrock throttles %s in %s: sending %.3g%s/s, %d waiting',
                self.model,
                self.region,
                report.rate or 0.0,
                unit,
                report.waiting,
            )
        elif self._announced and not self._pacing.throttling:
            self._announced = False
            logger.warning('Bedrock no longer throttles %s in %s', self.model, self.region)
