"""A reply of the model on its way into the format of a model family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from local_bedrock._bodies.json_access import structure
from local_bedrock._model.converse_bodies import stream_events
from local_bedrock.replies import Reply
from local_bedrock.requests import RecordedRequest

LATENCY_MS = 250


@dataclass(frozen=True)
class Generation:
    """A reply to a request, in the terms of Converse."""

    reply: Reply
    request: RecordedRequest
    blocks: list[dict[str, Any]]
    """Content blocks, blobs as base64."""
    stop_reason: str
    usage: Mapping[str, Any]

    @property
    def text(self) -> str:
        """All text of the reply."""
        return ''.join(block['text'] for block in self.blocks if 'text' in block)

    @property
    def texts(self) -> list[str]:
        """The pieces in which a stream sends the text."""
        events = stream_events(self.reply, self.request, self.blocks)
        deltas = (structure(event, 'delta') for name, event in events if name == 'contentBlockDelta')
        return [delta['text'] for delta in deltas if 'text' in delta]

    @property
    def latency_ms(self) -> int:
        """Milliseconds that the invocation is said to have taken."""
        return LATENCY_MS if self.reply.latency_ms is None else self.reply.latency_ms

    @property
    def metrics(self) -> dict[str, int]:
        """The metrics that the last chunk of a stream carries."""
        metrics = {
            'inputTokenCount': self.usage['inputTokens'],
            'outputTokenCount': self.usage['outputTokens'],
            'invocationLatency': self.latency_ms,
            'firstByteLatency': self.latency_ms,
        }
        for direction in ('Read', 'Write'):
            if (tokens := self.usage.get(f'cache{direction}InputTokens')) is not None:
                metrics[f'cache{direction}InputTokenCount'] = tokens
        return metrics


class ModelFormat(Protocol):
    """The format of a model family."""

    def converse_request(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request in the terms of Converse.

        Args:
            body: The request in the format of the family.

        Raises:
            RefusedError: It is not in that format.
        """
        ...

    def response(self, generation: Generation) -> dict[str, Any]:
        """Return the body of the response to InvokeModel."""
        ...

    def chunks(self, generation: Generation) -> Iterator[dict[str, Any]]:
        """Yield the chunks of a stream, without the metrics of the last."""
        ...


def present(**members: Any) -> dict[str, Any]:
    """Return the members that are not `None`."""
    return {name: value for name, value in members.items() if value is not None}
