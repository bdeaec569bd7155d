"""The service and the operation that a request is for: Bedrock Runtime, Bedrock, S3 or STS, all on one port."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args
from urllib.parse import parse_qsl, unquote

Service = Literal['bedrock-runtime', 'bedrock', 's3', 'sts']

RuntimeOperation = Literal[
    'ApplyGuardrail', 'Converse', 'ConverseStream', 'CountTokens', 'InvokeModel', 'InvokeModelWithResponseStream'
]
JobOperation = Literal[
    'CreateModelInvocationJob', 'GetModelInvocationJob', 'ListModelInvocationJobs', 'StopModelInvocationJob'
]
CatalogueOperation = Literal[
    'GetFoundationModel', 'GetInferenceProfile', 'ListFoundationModels', 'ListInferenceProfiles'
]
ObjectOperation = Literal[
    'AbortMultipartUpload',
    'CompleteMultipartUpload',
    'CreateBucket',
    'CreateMultipartUpload',
    'DeleteBucket',
    'DeleteObject',
    'DeleteObjects',
    'GetObject',
    'HeadBucket',
    'HeadObject',
    'ListBuckets',
    'ListMultipartUploads',
    'ListObjects',
    'ListObjectsV2',
    'PutObject',
    'UploadPart',
]
IdentityOperation = Literal['GetCallerIdentity']
Operation = RuntimeOperation | JobOperation | CatalogueOperation | ObjectOperation | IdentityOperation

RUNTIME_OPERATIONS: tuple[RuntimeOperation, ...] = get_args(RuntimeOperation)
JOB_OPERATIONS: tuple[JobOperation, ...] = get_args(JobOperation)
CATALOGUE_OPERATIONS: tuple[CatalogueOperation, ...] = get_args(CatalogueOperation)
OPERATIONS: tuple[Operation, ...] = (
    *RUNTIME_OPERATIONS,
    *JOB_OPERATIONS,
    *CATALOGUE_OPERATIONS,
    *get_args(ObjectOperation),
    *get_args(IdentityOperation),
)

_MODEL_OPERATIONS: dict[str, RuntimeOperation] = {
    'converse': 'Converse',
    'converse-stream': 'ConverseStream',
    'count-tokens': 'CountTokens',
    'invoke': 'InvokeModel',
    'invoke-with-response-stream': 'InvokeModelWithResponseStream',
}
_CATALOGUE: dict[tuple[str, bool], CatalogueOperation] = {
    ('foundation-models', False): 'ListFoundationModels',
    ('foundation-models', True): 'GetFoundationModel',
    ('inference-profiles', False): 'ListInferenceProfiles',
    ('inference-profiles', True): 'GetInferenceProfile',
}
_GUARDRAIL = re.compile(r'/guardrail/([^/]+)/version/[^/]+/apply')
_SIGNING_NAME = re.compile(r'Credential=[^/,]*/[^/,]*/[^/,]*/([^/,]*)')
# Signs of an unsigned request to S3.
_HEADERS_OF_S3 = ('x-amz-checksum-mode', 'x-amz-sdk-checksum-algorithm', 'x-amz-content-sha256')
_BUCKET_OPERATIONS: dict[tuple[str, str], ObjectOperation] = {
    ('GET', 'list-type'): 'ListObjectsV2',
    ('GET', 'uploads'): 'ListMultipartUploads',
    ('POST', 'delete'): 'DeleteObjects',
}
_BARE_BUCKET_OPERATIONS: dict[str, ObjectOperation] = {
    'PUT': 'CreateBucket',
    'HEAD': 'HeadBucket',
    'DELETE': 'DeleteBucket',
}
_OBJECT_OPERATIONS: dict[tuple[str, str], ObjectOperation] = {
    ('POST', 'uploads'): 'CreateMultipartUpload',
    ('PUT', 'uploadId'): 'UploadPart',
    ('POST', 'uploadId'): 'CompleteMultipartUpload',
    ('DELETE', 'uploadId'): 'AbortMultipartUpload',
}
_BARE_OBJECT_OPERATIONS: dict[str, ObjectOperation] = {
    'PUT': 'PutObject',
    'GET': 'GetObject',
    'HEAD': 'HeadObject',
    'DELETE': 'DeleteObject',
}
# The name of the operation, which botocore adds to some.
_IDLE_PARAMETERS = frozenset({'x-id'})
_LISTING_PARAMETERS = frozenset({'prefix', 'marker', 'max-keys', 'delimiter', 'encoding-type'})
_PRESIGNED = re.compile(r'[?&](?:X-Amz-Credential=[^&]*%2Fs3%2Faws4_request|AWSAccessKeyId=)')
_PARAMETERS_OF_SIGNATURES = re.compile(r'X-Amz-\w|AWSAccessKeyId$|Signature$|Expires$')
# The bucket is part of the host name in requests of the virtual-hosted style.
_VIRTUAL_HOST = re.compile(r'(.+)\.(?:localhost|s3[.-][a-z0-9.-]*amazonaws\.com)(?::\d+)?')


@dataclass(frozen=True)
class Target:
    """The service, the operation and the resource that a request is for."""

    service: Service
    operation: Operation | None
    """The operation, or `None` where there is none of that kind."""
    resource: str = ''
    """The id of a model, job, inference profile or guardrail, or bucket and key with a slash between them; decoded."""


def target(method: str, raw_path: str, headers: Mapping[str, str], body: bytes = b'') -> Target:
    """Find the service from the scope of the signature, or else the path; the operation from method and path.

    Args:
        method: The HTTP method.
        raw_path: Path and query, still percent-encoded.
        headers: The headers.
        body: The body, in which a request to STS names its operation.
    """
    authorization = headers.get('Authorization', '')
    scope = _SIGNING_NAME.search(authorization)
    if scope and scope[1] == 'sts':
        asked = dict(parse_qsl(body.decode(errors='replace'))).get('Action') if method == 'POST' else None
        return Target('sts', 'GetCallerIdentity' if asked == 'GetCallerIdentity' else None)
    # A bearer token is Bedrock's, beside any other header that a client sends.
    unsigned = not authorization and any(name in headers for name in _HEADERS_OF_S3)
    if scope[1] == 's3' if scope else unsigned or _PRESIGNED.search(raw_path):
        return _object_target(method, raw_path, _VIRTUAL_HOST.fullmatch(headers.get('Host', '')))
    return _bedrock_target(method, raw_path)


@lru_cache(maxsize=4096)
def _bedrock_target(method: str, raw_path: str) -> Target:
    path = raw_path.partition('?')[0]
    if path.startswith('/model-invocation-job'):
        return _job_target(method, path)
    collection, _, identifier = path.removeprefix('/').partition('/')
    if method == 'GET' and (listed := _CATALOGUE.get((collection, bool(identifier)))) is not None:
        return Target('bedrock', listed, unquote(identifier))
    if method == 'POST' and (guardrail := _GUARDRAIL.fullmatch(path)) is not None:
        return Target('bedrock-runtime', 'ApplyGuardrail', unquote(guardrail[1]))
    prefix, _, name = path.rpartition('/')
    if not prefix.startswith('/model/'):
        return Target('bedrock-runtime', None)
    operation = _MODEL_OPERATIONS.get(name) if method == 'POST' else None
    return Target('bedrock-runtime', operation, unquote(prefix.removeprefix('/model/')))


def _job_target(method: str, path: str) -> Target:
    collection, _, rest = path.removeprefix('/').partition('/')
    identifier, _, action = rest.partition('/')
    operations: dict[tuple[str, str, bool, str], JobOperation] = {
        ('POST', 'model-invocation-job', False, ''): 'CreateModelInvocationJob',
        ('GET', 'model-invocation-job', True, ''): 'GetModelInvocationJob',
        ('GET', 'model-invocation-jobs', False, ''): 'ListModelInvocationJobs',
        ('POST', 'model-invocation-job', True, 'stop'): 'StopModelInvocationJob',
    }
    return Target('bedrock', operations.get((method, collection, bool(identifier), action)), unquote(identifier))


def _object_target(method: str, raw_path: str, virtual_host: re.Match[str] | None) -> Target:
    path, _, query = raw_path.partition('?')
    resource = unquote(path.removeprefix('/'))
    if virtual_host is not None:
        resource = f'{virtual_host[1]}/{resource}' if resource else virtual_host[1]
    bucket, _, key = resource.partition('/')
    names = [name for pair in query.split('&') if (name := pair.partition('=')[0])]
    names = [name for name in names if _PARAMETERS_OF_SIGNATURES.match(name) is None]
    if not bucket and method == 'GET':
        return Target('s3', None if set(names) - _IDLE_PARAMETERS else 'ListBuckets')
    operations = _OBJECT_OPERATIONS if key else _BUCKET_OPERATIONS
    bare = _BARE_OBJECT_OPERATIONS if key else _BARE_BUCKET_OPERATIONS
    operation: ObjectOperation | None = None
    for name in names:
        operation = operation or operations.get((method, name))
    if operation is None and method == 'GET' and not key and not set(names) - _IDLE_PARAMETERS - _LISTING_PARAMETERS:
        operation = 'ListObjects'
    if operation is None and bucket and not set(names) - _IDLE_PARAMETERS:
        operation = bare.get(method)
    return Target('s3', operation, resource)
