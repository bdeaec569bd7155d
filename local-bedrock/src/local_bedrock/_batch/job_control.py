"""Control of batch inference jobs by tests: hold, go on, time out, fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from local_bedrock._batch.job import RestingStatus
from local_bedrock._batch.jobs import Jobs


class JobControl:
    """Control of the batch inference jobs of an endpoint, as `LocalBedrock.jobs`."""

    def __init__(self, jobs: Jobs, act: Callable[[Callable[[], None]], None]) -> None:
        self._jobs, self._act = jobs, act

    @property
    def minimum_records(self) -> int:
        """The number of records below which a job fails; 100 on AWS."""
        return self._jobs.minimum_records

    @minimum_records.setter
    def minimum_records(self, number: int) -> None:
        self._jobs.minimum_records = number

    def hold(self, at: RestingStatus = 'InProgress', *, after: int = 0) -> None:
        """Let jobs rest in a state, until they are told to go on; those that rest in an earlier state go on to it.

        Args:
            at: The state.
            after: How many records are processed before a job rests `InProgress`.

        Raises:
            ValueError: Records are to be processed in another state.
        """
        if after and at != 'InProgress':
            raise ValueError(f'A job that is {at} processes no records.')
        self._act(partial(self._jobs.rest_at, (at, after)))

    def go_on(self) -> None:
        """Let jobs go on to their end, those that rest and those to come."""
        self._act(partial(self._jobs.rest_at, None))

    def time_out(self) -> None:
        """Let the time be over for the jobs that have not ended: they are `PartiallyCompleted` or `Expired`.

        Jobs that are `InProgress` are completed in part, as on AWS.
        """
        self._act(self._jobs.time_out)

    def fail(self, message: str) -> None:
        """Let the jobs that have not ended fail with a message."""
        self._act(partial(self._jobs.fail, message))
