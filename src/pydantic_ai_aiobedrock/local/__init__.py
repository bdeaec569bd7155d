"""LocalBedrock: an endpoint of Amazon Bedrock on loopback, for tests, demos and benchmarks.

Models are called, and batch inference jobs run, with the S3 that those read and write.

It needs no AWS account and no pydantic-ai: any client that can be pointed at an endpoint will do.
"""

from .answers import Answer, SourceError
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
from .exchanges import UnrecordedRequestError
from .faults import (
    DropConnection,
    FailConnection,
    Fault,
    FlipBit,
    InsertEvent,
    NoResponse,
    OversizedFrame,
    SlowBody,
    SlowHeaders,
    Truncate,
    WrongChecksum,
    exception_event,
)
from .frames import StreamEvent, encode_event, encode_frame, encode_headers
from .job_control import JobControl
from .jobs import RestingStatus
from .keys import AccessKey
from .objects import ObjectStore
from .records import LocalBedrockStats, Operation, RecordedRequest
from .replies import AnyReply, Ending, EventsReply, RawReply, Reply, ReplyFunction, ToolCall
from .responder import respond
from .schemas import fill_schema
from .scripts import Rule
from .server import LocalBedrock
from .services import RuntimeOperation, Service

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
    'FailConnection',
    'Fault',
    'FlipBit',
    'InsertEvent',
    'JobControl',
    'LocalBedrock',
    'LocalBedrockStats',
    'NoResponse',
    'ObjectStore',
    'Operation',
    'OversizedFrame',
    'RawReply',
    'RecordedRequest',
    'Reply',
    'ReplyFunction',
    'RestingStatus',
    'Rule',
    'RuntimeOperation',
    'Service',
    'SlowBody',
    'SlowHeaders',
    'SourceError',
    'StreamEvent',
    'ToolCall',
    'Truncate',
    'UnrecordedRequestError',
    'WrongChecksum',
    'encode_event',
    'encode_frame',
    'encode_headers',
    'exception_event',
    'fill_schema',
    'respond',
)
