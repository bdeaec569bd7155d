"""LocalBedrock: an Amazon Bedrock Runtime endpoint on loopback, for tests, demos and benchmarks.

It needs no AWS account and no pydantic-ai: any client that can be pointed at an endpoint will do.
"""

from .answers import Answer
from .errors import (
    ACCESS_DENIED,
    EXPIRED_TOKEN,
    INTERNAL_SERVER_ERROR,
    MODEL_ERROR,
    MODEL_NOT_READY,
    MODEL_TIMEOUT,
    SERVICE_UNAVAILABLE,
    THROTTLING,
    TOO_MANY_TOKENS,
    ErrorReply,
)
from .faults import (
    DropConnection,
    Fault,
    FlipBit,
    InsertEvent,
    NoResponse,
    SlowBody,
    SlowHeaders,
    Truncate,
    WrongChecksum,
    exception_event,
)
from .frames import StreamEvent, encode_event, encode_frame, encode_headers
from .records import LocalBedrockStats, Operation, RecordedRequest
from .replies import AnyReply, Ending, EventsReply, RawReply, Reply, ReplyFunction, ToolCall
from .responder import respond
from .schemas import fill_schema
from .scripts import Rule
from .server import LocalBedrock
from .signatures import AccessKey

__all__ = (
    'ACCESS_DENIED',
    'EXPIRED_TOKEN',
    'INTERNAL_SERVER_ERROR',
    'MODEL_ERROR',
    'MODEL_NOT_READY',
    'MODEL_TIMEOUT',
    'SERVICE_UNAVAILABLE',
    'THROTTLING',
    'TOO_MANY_TOKENS',
    'AccessKey',
    'Answer',
    'AnyReply',
    'DropConnection',
    'Ending',
    'ErrorReply',
    'EventsReply',
    'Fault',
    'FlipBit',
    'InsertEvent',
    'LocalBedrock',
    'LocalBedrockStats',
    'NoResponse',
    'Operation',
    'RawReply',
    'RecordedRequest',
    'Reply',
    'ReplyFunction',
    'Rule',
    'SlowBody',
    'SlowHeaders',
    'StreamEvent',
    'ToolCall',
    'Truncate',
    'WrongChecksum',
    'encode_event',
    'encode_frame',
    'encode_headers',
    'exception_event',
    'fill_schema',
    'respond',
)
