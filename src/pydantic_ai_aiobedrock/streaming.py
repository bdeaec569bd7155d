"""BedrockStreamedResponse: a streamed answer, iterated, cancelled and closed without a thread."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.models.bedrock import BedrockStreamedResponse as UpstreamStreamedResponse

from pydantic_ai_aiobedrock._upstream import seam
from pydantic_ai_aiobedrock._upstream.error_mapping import map_stream_errors


def events(stream: Any) -> AsyncIterator[dict[str, Any]]:
    """Return the events of a stream: this package's own, or that of a caller-supplied client."""
    # Imported with the client that opened the stream.
    from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream

    if isinstance(stream, ConverseEventStream):
        return aiter(stream)
    from pydantic_ai_aiobedrock._client.user_client import events_of

    return events_of(stream)


if TYPE_CHECKING:
    _Rebuilt = UpstreamStreamedResponse
else:
    _Rebuilt = seam.rebuilt(
        UpstreamStreamedResponse,
        {'_AsyncIteratorWrapper': events, '_map_api_errors': map_stream_errors},
        seam.STREAM_WRAPPERS,
    )


class BedrockStreamedResponse(_Rebuilt):
    """The answer of a streamed request.

    `pydantic_ai.models.bedrock.BedrockStreamedResponse` with events that are read on the event loop. Leaving
    `request_stream`, `cancel()` and `close_stream()` cut the connection at once, so that Bedrock stops generating.

    See https://ai.pydantic.dev/api/models/base/#pydantic_ai.models.StreamedResponse.
    """

    def get_stream_cancel_errors(self) -> tuple[type[BaseException], ...]:
        """Return the errors that a read may raise after `cancel()`."""
        # pydantic-ai 2.33 to 2.48 do not look for the transport's error behind the error that it is mapped to.
        return (*super().get_stream_cancel_errors(), ModelAPIError)

    async def close_stream(self) -> None:
        """Close the stream and, unless it has been read to its end, its connection. A second time is harmless."""
        seam.event_stream(self).close()
