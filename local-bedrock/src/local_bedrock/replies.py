"""The vocabulary of scripted replies.

Each refuses arguments that are wrong with a `ValueError` when it is made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pydantic_core.core_schema import int_schema

from local_bedrock._arguments import (
    BYTES,
    HEADERS,
    MAPPING,
    MAPPINGS,
    PIECES,
    POSITIVE,
    SECONDS,
    SECONDS_OF_EACH,
    SIZES,
    TEXT,
    WHOLE,
    Checked,
    is_sequence,
    one_of,
    optional,
    satisfying,
)
from local_bedrock.errors import ErrorReply
from local_bedrock.frames import StreamEvent
from local_bedrock.requests import RecordedRequest

Ending = Literal['end', 'close', 'reset', 'hang']
"""The ending of a response that was cut short: as if it were whole (`end`), by closing the connection in good order
with the HTTP message unfinished (`close`), by a TCP reset (`reset`), or not at all (`hang`)."""

_ENDING = one_of(*get_args(Ending))
_STATUS = int_schema(strict=True, ge=100, le=599)
_CUT = optional(int_schema(strict=True, ge=-1))
_INPUT = satisfying(lambda value: isinstance(value, Mapping | str), 'a mapping, or text')
_EVENTS = satisfying(
    lambda value: is_sequence(value, (StreamEvent, Mapping, bytes)),
    'a list of events, each a StreamEvent, a mapping or the bytes of a frame',
)


@dataclass(frozen=True)
class ToolCall(Checked, name=TEXT, input=_INPUT, id=optional(TEXT), type=optional(TEXT)):
    """A tool call of the model.

    Args:
        name: The tool.
        input: Its arguments; text goes on the wire as it is, so it may be JSON that is not valid.
        id: The `toolUseId`; made up where it is not given.
        type: Set for tools that Bedrock itself runs: `server_tool_use`.

    Raises:
        ValueError: An argument is wrong.
    """

    name: str
    input: Mapping[str, Any] | str = field(default_factory=dict[str, Any])
    id: str | None = None
    type: str | None = None


_TOOL_CALLS = satisfying(lambda value: is_sequence(value, ToolCall), 'a list of ToolCall')


@dataclass(frozen=True)
class Reply(
    Checked,
    text=optional(TEXT),
    thinking=optional(TEXT),
    signature=optional(TEXT),
    redacted_thinking=optional(BYTES),
    citations=MAPPINGS,
    tool_calls=_TOOL_CALLS,
    content=optional(MAPPINGS),
    stop_reason=optional(TEXT),
    usage=MAPPING,
    trace=optional(MAPPING),
    service_tier=optional(TEXT),
    performance_latency=optional(TEXT),
    additional_fields=optional(MAPPING),
    latency_ms=optional(WHOLE),
    chunks=optional(PIECES),
    headers=HEADERS,
    delay_before=optional(SECONDS),
    delay_per_event=optional(SECONDS_OF_EACH),
    tokens_per_second=optional(POSITIVE),
):
    """An answer of the model, served as JSON or as an event stream, as requested.

    The blocks come in the order thinking, text, tool calls; `content` gives any other.

    Args:
        text: The text.
        thinking: Reasoning, sent before the text, with a signature.
        signature: The signature of the reasoning.
        redacted_thinking: Encrypted reasoning, sent before the text.
        citations: Citations of the text, as members of a `citationsContent` block.
        tool_calls: Tools to call.
        content: Content blocks as Converse returns them, instead of all of the above.
        stop_reason: Defaults to `tool_use` with tool calls, to `end_turn` without.
        usage: Members of `usage`, over the counted ones.
        trace: The guardrail or prompt router trace.
        service_tier: The tier that served the request, such as `flex`.
        performance_latency: The latency setting that served the request, such as `optimized`.
        additional_fields: The `additionalModelResponseFields`.
        latency_ms: The latency that `metrics` reports.
        chunks: The pieces in which a stream sends the text, and the text itself where that is not given; words where
            not given.
        headers: More response headers.
        delay_before: Seconds before the response starts.
        delay_per_event: Seconds before each event of a stream; several are for its first, its second and so on.
        tokens_per_second: Speed of generation: paces a stream, and delays a response that is not streamed as long.

    Raises:
        ValueError: An argument is wrong.
    """

    text: str | None = None
    thinking: str | None = field(default=None, kw_only=True)
    signature: str | None = field(default=None, kw_only=True)
    redacted_thinking: bytes | None = field(default=None, kw_only=True)
    citations: Sequence[Mapping[str, Any]] = field(default=(), kw_only=True)
    tool_calls: Sequence[ToolCall] = field(default=(), kw_only=True)
    content: Sequence[Mapping[str, Any]] | None = field(default=None, kw_only=True)
    stop_reason: str | None = field(default=None, kw_only=True)
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any], kw_only=True)
    trace: Mapping[str, Any] | None = field(default=None, kw_only=True)
    service_tier: str | None = field(default=None, kw_only=True)
    performance_latency: str | None = field(default=None, kw_only=True)
    additional_fields: Mapping[str, Any] | None = field(default=None, kw_only=True)
    latency_ms: int | None = field(default=None, kw_only=True)
    chunks: Sequence[str] | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    delay_before: float | None = field(default=None, kw_only=True)
    delay_per_event: float | Sequence[float] | None = field(default=None, kw_only=True)
    tokens_per_second: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.text is None and self.content is None and self.chunks:
            object.__setattr__(self, 'text', ''.join(self.chunks))


@dataclass(frozen=True)
class EventsReply(
    Checked,
    events=_EVENTS,
    headers=HEADERS,
    delay_before=optional(SECONDS),
    delay_per_event=optional(SECONDS_OF_EACH),
    truncate_at=_CUT,
    then=_ENDING,
):
    """An event stream, event by event.

    Args:
        events: Each a `StreamEvent`, a mapping as boto3 yields it (`{'messageStop': {'stopReason': 'end_turn'}}`), or
            the bytes of a frame. Mappings are padded as Bedrock pads them, the others sent as they are.
        headers: More response headers.
        delay_before: Seconds before the response starts.
        delay_per_event: Seconds before each event; several are for the first, the second and so on.
        truncate_at: Bytes of the body after which it is cut.
        then: How the response ends.

    Raises:
        ValueError: An argument is wrong.
    """

    events: Sequence[StreamEvent | Mapping[str, Any] | bytes]
    headers: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    delay_before: float | None = field(default=None, kw_only=True)
    delay_per_event: float | Sequence[float] | None = field(default=None, kw_only=True)
    truncate_at: int | None = field(default=None, kw_only=True)
    then: Ending = field(default='end', kw_only=True)


@dataclass(frozen=True)
class RawReply(
    Checked,
    body=BYTES,
    status=_STATUS,
    headers=HEADERS,
    chunk_sizes=SIZES,
    delay_before=optional(SECONDS),
    delay_per_event=optional(SECONDS),
    truncate_at=_CUT,
    then=_ENDING,
):
    """A response byte for byte.

    Args:
        body: The body.
        status: HTTP status.
        headers: Response headers beside `Date`, `Connection`, the length and `x-amzn-RequestId`; with
            `Transfer-Encoding: chunked` among them the body is sent in HTTP chunks, else with its length.
        chunk_sizes: Sizes of the pieces in which the body is written, over and over until it ends. Each piece is one
            HTTP chunk and one write.
        delay_before: Seconds before the response starts.
        delay_per_event: Seconds before each piece.
        truncate_at: Bytes of the body after which it is cut.
        then: How the response ends.

    Raises:
        ValueError: An argument is wrong.
    """

    body: bytes
    status: int = field(default=200, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    chunk_sizes: Sequence[int] = field(default=(), kw_only=True)
    delay_before: float | None = field(default=None, kw_only=True)
    delay_per_event: float | None = field(default=None, kw_only=True)
    truncate_at: int | None = field(default=None, kw_only=True)
    then: Ending = field(default='end', kw_only=True)


AnyReply = Reply | ErrorReply | EventsReply | RawReply | str
"""A reply; text stands for `Reply(text)`."""

ReplyFunction = Callable[
    [RecordedRequest],
    AnyReply | Awaitable[AnyReply] | AsyncIterator[StreamEvent | Mapping[str, Any] | bytes],
]
"""A function of the request, sync or async; an async generator yields the events of a stream."""


def generates_text(reply: AnyReply | ReplyFunction) -> bool:
    """Return True if a reply stands for generated text, in any format, and not for a response as such."""
    return not isinstance(reply, ErrorReply | RawReply)
