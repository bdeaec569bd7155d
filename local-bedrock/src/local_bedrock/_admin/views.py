"""The requests seen, in the form of JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from local_bedrock.requests import RecordedRequest

LIMIT = 100
MOST = 1000
BODY_BYTES = 256 * 1024
"""Bodies beyond this size are left out of the list of requests."""
_ALL_BYTES = 16 * 1024 * 1024
_SECRET_PARAMETERS = re.compile(r'((?:X-Amz-Signature|X-Amz-Security-Token|Signature)=)[^&]*', re.IGNORECASE)


def shown(requests: Sequence[RecordedRequest]) -> bytes:
    """Return requests as a JSON array, with bodies as long as there is space for them."""
    left = _ALL_BYTES
    written: list[bytes] = []
    for request in reversed(requests):
        size = len(request.raw_body)
        with_body = size <= min(BODY_BYTES, left)
        left -= size if with_body else 0
        written.append(
            to_json(_members(request, with_body=with_body), inf_nan_mode='constants', serialize_unknown=True)
        )
    return b'[' + b',\n '.join(reversed(written)) + b']'


def _members(request: RecordedRequest, *, with_body: bool) -> dict[str, Any]:
    took = None if request.ended is None else round(1000 * (request.ended - request.started), 3)
    return {
        'operation': request.operation,
        'service': request.service,
        'model_id': request.model_id,
        'resource': request.resource,
        'method': request.method,
        'path': _SECRET_PARAMETERS.sub(r'\1***', request.path),
        'headers': dict(request.headers),
        'body': request.body if with_body and request.body else None,
        'body_bytes': len(request.raw_body),
        'last_user_text': request.last_user_text,
        'auth_scheme': request.auth_scheme,
        'attempt': request.attempt,
        'connection': request.connection,
        'request_id': request.request_id,
        'status': request.status,
        'error_code': request.error_code,
        'bytes_sent': request.bytes_sent,
        'disconnected': request.disconnected,
        'ms': took,
    }
