"""ConverseEventStream: the events of a ConverseStream response, and the connection that they come over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NoReturn, Self

import aiohttp
from botocore.eventstream import EventStream
from botocore.exceptions import EventStreamError, ResponseStreamingError

from pydantic_ai_aiobedrock._client.error_translation import translate_reading
from pydantic_ai_aiobedrock._client.exchange import RawResponse
from pydantic_ai_aiobedrock._core.telemetry import OwnedLease, StreamProgress
from pydantic_ai_aiobedrock._core.turns import turns
from pydantic_ai_aiobedrock._wire.converse import decode_event
from pydantic_ai_aiobedrock._wire.converse_errors import ConverseStreamError
from pydantic_ai_aiobedrock._wire.frames import EventStreamDecoder, Message
from pydantic_ai_aiobedrock.errors import IncompleteStreamError

_THROTTLED = 'throttlingException'


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
        self._messages: Iterator[Message] = iter(())
        self._lease: OwnedLease | None = None
        self._send_again: SendAgain | None = None
        self.progress: StreamProgress = StreamProgress()
        self._ended = False
        self._closed = False

    def own(self, lease: OwnedLease, send_again: SendAgain | None = None) -> None:
        """Keep a lease until the stream is closed.

        Args:
            lease: The lease of the connection.
            send_again: Sends the request again if its first event is a refusal for a quota's sake; it raises that
                refusal if the request is not to be sent again.
        """
        self._lease = lease
        self._send_again = send_again

    def hand_over(self) -> tuple[RawResponse | aiohttp.ClientResponse, EventStreamDecoder, Iterator[Message]]:
        """Give the response to another stream, and close it no more."""
        self._closed = True
        return self._response, self._decoder, self._messages

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
        try:
            while True:
                for message in self._messages:
                    if event := await self._parse_event(message):
                        self._send_again = None
                        if 'messageStop' in event:
                            self.progress.complete = True
                        return event
                if self._ended:
                    break
                await self._read()
        except ConverseStreamError as error:
            refusal = EventStreamError(_parsed(error), 'ConverseStream')
            if self._send_again is None or error.code != _THROTTLED:
                self.close()
                raise refusal from error
        except BaseException:
            self.close()
            raise
        else:
            raise StopAsyncIteration
        await self._replace(self._send_again, refusal)
        return await anext(self)

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
            self._messages = iter(())
            self._response.close()
            if self._lease is not None:
                self._lease.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        # aiohttp keeps a connection alive whose response nobody reads, and the server goes on generating. A finalizer
        # may run in any thread.
        if not getattr(self, '_closed', True) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_close_late, self._response, self._lease)

    async def _parse_event(self, event: Message) -> dict[str, Any]:
        # Instrumentations of aiobotocore's streams wrap this method of theirs.
        return decode_event(event) or {}

    async def _replace(self, send_again: SendAgain, refusal: EventStreamError) -> None:
        """Go on with the answer to the same request, sent again."""
        self._response.close()
        try:
            other = await send_again(refusal)
        except BaseException:
            self.close()
            raise
        if self._closed:
            other.close()
            raise ResponseStreamingError(error='the stream has been closed')
        self._response, self._decoder, self._messages = other.hand_over()

    async def _read(self) -> None:
        try:
            data = b'' if self._closed else await self._response.content.readany()
            await self._turns.take()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise translate_reading(error, str(self._response.url)) from error
        if self._closed:
            raise ResponseStreamingError(error='the stream has been closed')
        if data:
            self.progress.read(len(data))
            self._decoder.feed(data)
            self._messages = iter(self._decoder)
            return
        self._decoder.close()
        if not self.progress.complete:
            raise IncompleteStreamError(endpoint_url=str(self._response.url))
        self._ended = True
        self.close()


def _close_late(response: RawResponse | aiohttp.ClientResponse, lease: OwnedLease | None) -> None:
    response.close()
    if lease is not None:
        lease.release()


def _parsed(error: ConverseStreamError) -> Any:
    """The parsed response that botocore's exceptions carry, with the members that AWS adds to a model's own error."""
    parsed: dict[str, Any] = {'Error': {'Code': error.code, 'Message': error.message}}
    if error.original_status_code is not None:
        parsed['originalStatusCode'] = error.original_status_code
    if error.original_message is not None:
        parsed['originalMessage'] = error.original_message
    return parsed


SendAgain = Callable[[EventStreamError], Awaitable[ConverseEventStream]]
"""Sends a request again, and returns the stream of its answer."""
