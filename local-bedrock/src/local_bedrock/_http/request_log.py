"""One line of log for each request: method, operation, model or object, status and milliseconds."""

from __future__ import annotations

import logging

from local_bedrock.requests import RecordedRequest

LOG = logging.getLogger('local_bedrock')


def log_request(request: RecordedRequest) -> None:
    """Log a request that has ended, at level INFO."""
    if not LOG.isEnabledFor(logging.INFO):
        return
    status = 'no response' if request.status is None else str(request.status)
    if request.error_code is not None:
        status = f'{status} {request.error_code}'
    milliseconds = 0.0 if request.ended is None else 1000 * (request.ended - request.started)
    # A path may hold an encoded line break.
    resource = ''.join(each if each.isprintable() else '?' for each in request.resource)
    LOG.info('%s %s %s %s %.0f ms', request.method, request.operation or '-', resource or '-', status, milliseconds)
