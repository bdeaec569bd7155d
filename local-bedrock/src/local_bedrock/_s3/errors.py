"""The errors that S3 answers with, in its words: XML, and other names for the refusals of Bedrock."""

from __future__ import annotations

from xml.sax.saxutils import escape

from local_bedrock.errors import ErrorReply, RefusedError
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response

# Refusals of the verification of signatures, by the beginning of code and message, with the error of S3.
_IN_WORDS_OF_S3: tuple[tuple[str, str, int, str, str], ...] = (
    (
        'InvalidSignatureException',
        'Signature ',
        403,
        'RequestTimeTooSkewed',
        'The difference between the request time and the current time is too large.',
    ),
    (
        'InvalidSignatureException',
        'Credential should be scoped to a valid region',
        400,
        'AuthorizationHeaderMalformed',
        'The authorization header is malformed; the region is wrong.',
    ),
    (
        'InvalidSignatureException',
        "The provided 'x-amz-content-sha256'",
        400,
        'XAmzContentSHA256Mismatch',
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
    (
        'InvalidSignatureException',
        '',
        403,
        'SignatureDoesNotMatch',
        'The request signature we calculated does not match the signature you provided. Check your key and signing '
        'method.',
    ),
    ('ExpiredTokenException', '', 400, 'ExpiredToken', 'The provided token has expired.'),
    (
        'UnrecognizedClientException',
        '',
        403,
        'InvalidAccessKeyId',
        'The AWS Access Key Id you provided does not exist in our records.',
    ),
    ('IncompleteSignatureException', '', 400, 'AuthorizationHeaderMalformed', ''),
    ('AccessDeniedException', '', 403, 'AccessDenied', 'Access Denied'),
    ('MissingAuthenticationTokenException', '', 403, 'AccessDenied', 'Access Denied'),
    ('NotImplementedException', '', 501, 'NotImplemented', ''),
    ('ThrottlingException', '', 503, 'SlowDown', 'Please reduce your request rate.'),
    ('ServiceUnavailableException', '', 503, 'ServiceUnavailable', ''),
    ('InternalServerException', '', 500, 'InternalError', 'We encountered an internal error. Please try again.'),
)


def object_refusal(status: int, code: str, message: str) -> RefusedError:
    """Refuse a request to S3."""
    return RefusedError(ErrorReply(status, code, message))


def object_error(reply: ErrorReply, record: RecordedRequest) -> Response:
    """Return the response of an error of S3; an error of Bedrock becomes an error of S3."""
    status, code, message = reply.status, reply.code, reply.message
    for bedrocks, beginning, s3_status, s3_code, s3_message in _IN_WORDS_OF_S3:
        if code == bedrocks and message.startswith(beginning):
            status, code, message = s3_status, s3_code, s3_message or message
            break
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>'
        f'<Resource>{escape("/" + record.resource)}</Resource><RequestId>{record.request_id}</RequestId>'
        f'<HostId>{record.request_id}</HostId></Error>'
    ).encode()
    # The response to HEAD has no body, and so reports nothing but its status.
    pieces = () if record.method == 'HEAD' else (body,)
    headers = {'Content-Type': 'application/xml', 'x-amz-request-id': record.request_id, **reply.headers}
    return Response(status, headers, pieces, error_code=code, delay_before=reply.delay_before or 0.0)
