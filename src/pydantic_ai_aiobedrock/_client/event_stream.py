"""ConverseEventStream: the events of a ConverseStream response, and the connection that they come over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import MethodType
from typing import Any, Final, NoReturn, Protocol, Self

import aiohttp
from botocore.eventstream import EventStream
from botocore.exceptions import EventStreamError, ResponseStreamingError

from pydantic_ai_aiobedrock._client.error_translation import translate_reading
from pydantic_ai_aiobedrock._client.raw_response import RawResponse
from pydantic_ai_aiobedrock._core.telemetry import StreamProgress
from pydantic_ai_aiobedrock._core.turns import turns
from pydantic_ai_aiobedrock._wire.converse import decode_event
from pydantic_ai_aiobedrock._wire.converse_errors import ConverseStreamError
from pydantic_ai_aiobedrock._wire.frames import EventStreamDecoder, Message
from pydantic_ai_aiobedrock.errors import IncompleteStreamError

_THROTTLED: Final = 'throttlingException'


class StreamOwner(Protocol):
    """The call that a stream is the answer to."""

    def begun(self) -> None:
        """Note that the first event has come, which was no refusal."""
        ...

    async def send_again(self, refusal: EventStreamError) -> ConverseEventStream:
        """Send the request again, or raise the refusal that its stream has begun with."""
        ...

    def release(self) -> None:
        """End the call; a second time is harmless."""
        ...


class ConverseEventStream(EventStream):  # pyright: ignore[reportMissingTypeArgument]
    """Iterates over the events of a ConverseStream response, as `{event type: members}`.

    The connection is the stream's until the stream has been read to its end or closed. `aclose`, leaving it as an
    async context manager, an error, and being garbage collected all close it; closed before its end, the connection is
    cut, so that Bedrock stops generating.

    See https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html.
    """

    def __init__(self, response: RawResponse | aiohttp.ClientResponse) -> None:
        """Take over the response whose body the events are read from."""
        # A botocore EventStream by class only, which instrumentations look for.
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._turns = turns().reads
        self._decoder = EventStreamDecoder()
        self._is_observed = False
        # Messages if other code observes their decoding, or else events.
        self._received: Iterator[Any] = iter(())
        self._owner: StreamOwner | None = None
        self._has_begun = False
        self._sending_again: asyncio.Task[ConverseEventStream] | None = None
        self.progress: StreamProgress = StreamProgress()
        self._ended = False
        self._closed = False

    def own(self, call: StreamOwner) -> None:
        """Keep a call, and its lease, until the stream is closed."""
        self._owner = call

    def hand_over(self) -> RawResponse | aiohttp.ClientResponse:
        """Give the response, of which nothing has been read, to another stream, and close it no more."""
        self._closed = True
        return self._response

    def __iter__(self) -> NoReturn:
        raise TypeError('The events are read with `async for`.')

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        """Wait for the next event.

        Raises:
            botocore.exceptions.EventStreamError: Bedrock sent an exception instead of an event.
            botocore.exceptions.HTTPClientError: The connection broke or fell silent, or the stream ended too early.
            EventStreamDecodeError: The bytes are not an event stream.
            ConverseDecodeError: An event is not of Converse.
        """
        while True:
            try:
                while True:
                    for event in self._received:
                        if self._is_observed:
                            event = await self._parse_event(event)
                        if event:
                            if not self._has_begun or 'messageStop' in event or 'metadata' in event:
                                self._note(event)
                            return event
                    if self._ended:
                        break
                    await self._read()
            except ConverseStreamError as error:
                refusal = EventStreamError(_parsed(error), 'ConverseStream')
                if self._has_begun or self._owner is None or error.code != _THROTTLED:
                    self.close()
                    raise refusal from error
            except BaseException:
                self.close()
                raise
            else:
                raise StopAsyncIteration
            await self._replace(self._owner, refusal)

    async def aclose(self) -> None:
        """Close the stream at once: see `close`."""
        self.close()

    def close(self) -> None:
        """Close the stream at once, and cut its connection unless the stream has been read to its end.

        A read that waits in another task fails with `ResponseStreamingError`, and so does every later read: the
        answer is not complete.
        """
        if not self._closed:
            self._closed = True
            self._received = iter(())
            self._response.close()
            if self._sending_again is not None:
                self._sending_again.cancel()
            if self._owner is not None:
                self._owner.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        # aiohttp keeps a connection alive whose response nobody reads, and the server goes on generating. A finalizer
        # may run in any thread.
        if not getattr(self, '_closed', True) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_close_late, self._response, self._owner)

    async def _parse_event(self, event: Message) -> dict[str, Any]:
        # Instrumentations of aiobotocore's streams wrap this method of theirs.
        return decode_event(event) or {}

    def _note(self, event: dict[str, Any]) -> None:
        if 'messageStop' in event:
            self.progress.complete = True
        elif 'metadata' in event:
            self.progress.metadata = event['metadata']
        if not self._has_begun:
            self._has_begun = True
            if self._owner is not None:
                self._owner.begun()

    async def _replace(self, owner: StreamOwner, refusal: EventStreamError) -> None:
        """Go on with the answer to the same request, sent again."""
        self._response.close()
        # A task, for `close` to end it: another task may close the stream meanwhile.
        self._sending_again = sending = asyncio.ensure_future(owner.send_again(refusal))
        try:
            await asyncio.wait([sending])
            self._check_open()
            other = sending.result()
        except BaseException:
            self.close()
            sending.add_done_callback(_close_unread)
            raise
        finally:
            self._sending_again = None
            # The traceback of an error holds this frame, and the task the error.
            del sending
        self._response = other.hand_over()
        self._decoder = EventStreamDecoder()
        self._received = iter(())

    def _check_open(self) -> None:
        if self._closed:
            raise ResponseStreamingError(error='the stream has been closed')

    async def _read(self) -> None:
        try:
            data = b'' if self._closed else await self._response.content.readany()
            await self._turns.take()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise translate_reading(error, str(self._response.url)) from error
        self._check_open()
        if data:
            self.progress.read(len(data))
            self._decoder.feed(data)
            parse: Any = self._parse_event
            self._is_observed = type(parse) is not MethodType or parse.__func__ is not _PARSE_EVENT
            self._received = iter(self._decoder) if self._is_observed else map(decode_event, self._decoder)
            return
        self._decoder.close()
        if not self.progress.complete:
            raise IncompleteStreamError(endpoint_url=str(self._response.url))
        self._ended = True
        self.close()


_PARSE_EVENT: Final = ConverseEventStream._parse_event  # pyright: ignore[reportPrivateUsage]


def _close_unread(sending: asyncio.Task[ConverseEventStream]) -> None:
    if not sending.cancelled() and sending.exception() is None:
        sending.result().close()


def _close_late(response: RawResponse | aiohttp.ClientResponse, owner: StreamOwner | None) -> None:
    response.close()
    if owner is not None:
        owner.release()


def _parsed(error: ConverseStreamError) -> Any:
    """The parsed response that botocore's exceptions carry, with the members that AWS adds to a model's own error."""
    parsed: dict[str, Any] = {'Error': {'Code': error.code, 'Message': error.message}}
    if error.original_status_code is not None:
        parsed['originalStatusCode'] = error.original_status_code
    if error.original_message is not None:
        parsed['originalMessage'] = error.original_message
    return parsed
