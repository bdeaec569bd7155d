"""Pacer: the calls of one model on one event loop, let go as `Pacing` decides."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from botocore.exceptions import ClientError

from pydantic_ai_aiobedrock._pool.paced import PacingStats
from pydantic_ai_aiobedrock._runtime.pacing import PATIENCE, Call, Pacing, Quota, Report
from pydantic_ai_aiobedrock.errors import PoolClosedError

logger: logging.Logger = logging.getLogger('pydantic_ai_aiobedrock')


class PatienceEndedError(Exception):
    """No call of the model got through for too long."""


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
        self._latest: ClientError | None = None

    @property
    def throttling(self) -> bool:
        """True while calls are held back."""
        return self._pacing.throttling

    @property
    def is_idle(self) -> bool:
        """Nothing waits or is in flight, and nothing is known that is worth keeping."""
        return not (self._pacing.throttling or self._waiters or self._pacing.flying)

    async def admit(self, call: Call, timeout: float | None) -> None:
        """Wait until a new call may go.

        Args:
            call: The call.
            timeout: Seconds to wait at most, or None for as long as other calls get through.

        Raises:
            PatienceEndedError: No call of the model got through for too long.
        """
        now = self._loop.time()
        if self._pacing.throttling:
            self._settle()
        if not self._pacing.admit(call, now):
            await self._turn(call, timeout)

    def is_early(self, call: Call) -> bool:
        """Return True for a call that is not sent yet and was let go before AWS began to throttle."""
        return self._pacing.throttling and not call.paced

    async def recall(self, call: Call, timeout: float | None) -> None:
        """Let such a call wait again until it may go; like `admit`."""
        if self._pacing.recalled(call):
            await self._turn(call, timeout)

    async def refused(
        self, call: Call, error: ClientError, quota: Quota, retry_after: float, timeout: float | None
    ) -> None:
        """Wait until a call that was throttled may go again; like `admit`."""
        self._latest = error
        self._pacing.refused(call, self._loop.time(), quota, retry_after or None)
        await self._turn(call, timeout)

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

    def explained(self, error: ClientError | None) -> ClientError:
        """Return the error for a call whose patience has ended, with the state of the queue in its message."""
        error = error or self._latest
        assert error is not None
        report = self._pacing.report(self._loop.time())
        response: Any = error.response
        message = (
            f'{response["Error"]["Message"]} (Bedrock throttles {self.model} in {self.region}: no call of it got '
            f'through for {self._pacing.patience:g} s, {report.throttled} attempts were refused, {report.waiting} '
            'calls are waiting. Ask for a higher quota, send less at once, or use another region or model.)'
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
        """Fail the calls that wait: the pool is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiters, self._waiters = self._waiters, {}
        for call, waiter in waiters.items():
            self._pacing.cancelled(call, self._loop.time())
            if not waiter.done():
                waiter.set_exception(PoolClosedError('The SessionPool was closed while the call waited to be sent.'))

    async def _turn(self, call: Call, timeout: float | None) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters[call] = waiter
        self._settle()
        try:
            if timeout is None:
                await waiter
            else:
                async with asyncio.timeout(timeout):
                    await waiter
        except (PatienceEndedError, PoolClosedError):
            raise
        except TimeoutError:
            self._leave(call)
            raise PatienceEndedError from None
        except BaseException:
            self._leave(call)
            raise

    def _leave(self, call: Call) -> None:
        self._waiters.pop(call, None)
        self.failed(call)

    def _settle(self) -> None:
        """Let go the calls that are due, and set the timer for the next."""
        now = self._loop.time()
        due = self._pacing.due(now)
        for call in due.released:
            waiter = self._waiters.pop(call)
            if not waiter.done():
                waiter.set_result(None)
        for call in due.expired:
            waiter = self._waiters.pop(call)
            if not waiter.done():
                waiter.set_exception(PatienceEndedError())
        self._announce()
        wakeup = self._pacing.next_wakeup(now)
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
