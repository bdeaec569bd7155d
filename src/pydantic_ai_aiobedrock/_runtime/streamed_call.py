"""StreamedCall: a call whose answer is a stream, and which ends with that stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import EventStreamError

from pydantic_ai_aiobedrock._core.telemetry import StreamProgress
from pydantic_ai_aiobedrock._runtime.paced_call import PacedCall, Request
from pydantic_ai_aiobedrock._runtime.token_quota import used_tokens

if TYPE_CHECKING:
    from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream


class StreamedCall:
    """A call in the hands of its stream, which owns it until it is closed."""

    __slots__ = ('_call', '_measured', '_progress', '_request')

    def __init__(self, call: PacedCall, request: Request, progress: StreamProgress) -> None:
        """Take over a call whose stream has been opened."""
        self._call = call
        # Until the stream has begun: it does not hold on to the conversation that it answers.
        self._request: Request | None = request
        self._progress = progress
        self._measured = request.measured
        self._measured.stream_opened()

    def begun(self) -> None:
        """Note that the first event has come, which was no refusal."""
        self._request = None
        self._call.admitted()

    async def send_again(self, refusal: EventStreamError) -> ConverseEventStream:
        """Send the request again, whose stream began with a refusal; see `PacedCall.send_again`.

        Raises:
            botocore.exceptions.EventStreamError: The refusal, if the call is not to wait.
        """
        assert self._request is not None
        return await self._call.send_again(self._request, refusal)

    def release(self) -> None:
        """End the call with its stream, which does so once."""
        self._request = None
        if self._progress.complete:
            self._call.finished(used_tokens(self._progress.metadata))
        else:
            self._call.release()
        self._measured.stream_ended(self._progress)
