"""LocalBedrock: an endpoint of Amazon Bedrock on loopback, for tests, demos and benchmarks.

Models are called, and batch inference jobs run, with the S3 that those read and write.

It needs no AWS account and no pydantic-ai: any client that can be pointed at an endpoint will do.
"""

from local_bedrock._batch.job import RestingStatus
from local_bedrock._batch.job_control import JobControl
from local_bedrock._model.default_model import respond
from local_bedrock._model.runtime import UnrecordedRequestError
from local_bedrock._model.schemas import fill_schema
from local_bedrock._s3.objects import ObjectStore
from local_bedrock.errors import (
    ACCESS_DENIED,
    EXPIRED_TOKEN,
    INTERNAL_SERVER_ERROR,
    MODEL_ERROR,
    MODEL_NOT_READY,
    MODEL_TIMEOUT,
    SERVICE_UNAVAILABLE,
    THROTTLING,
    TOO_MANY_TOKENS,
    TOO_MANY_TOKENS_PER_DAY,
    ErrorReply,
)
from local_bedrock.faults import (
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
from local_bedrock.frames import StreamEvent, encode_event, encode_frame, encode_headers
from local_bedrock.keys import AccessKey
from local_bedrock.quotas import Quota, Throttle
from local_bedrock.replies import AnyReply, Ending, EventsReply, RawReply, Reply, ReplyFunction, ToolCall
from local_bedrock.requests import LocalBedrockStats, Operation, RecordedRequest
from local_bedrock.response import Response, SourceError
from local_bedrock.routing import RuntimeOperation, Service
from local_bedrock.rules import Rule
from local_bedrock.server import LocalBedrock

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
    'TOO_MANY_TOKENS_PER_DAY',
    'AccessKey',
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
    'Quota',
    'RawReply',
    'RecordedRequest',
    'Reply',
    'ReplyFunction',
    'Response',
    'RestingStatus',
    'Rule',
    'RuntimeOperation',
    'Service',
    'SlowBody',
    'SlowHeaders',
    'SourceError',
    'StreamEvent',
    'Throttle',
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
