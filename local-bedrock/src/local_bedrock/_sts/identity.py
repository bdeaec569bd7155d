"""GetCallerIdentity: the caller that an access key stands for, and the errors of STS."""

from __future__ import annotations

from xml.sax.saxutils import escape

from local_bedrock.errors import ErrorReply
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response

ACCOUNT = '000000000000'
_NAMESPACE = 'https://sts.amazonaws.com/doc/2011-06-15/'
# The verification of signatures refuses in the words of Bedrock: the names of STS for the same.
_CODES = {
    'InvalidSignatureException': 'SignatureDoesNotMatch',
    'ExpiredTokenException': 'ExpiredToken',
    'UnrecognizedClientException': 'InvalidClientTokenId',
    'IncompleteSignatureException': 'IncompleteSignature',
    'MissingAuthenticationTokenException': 'MissingAuthenticationToken',
    'ThrottlingException': 'Throttling',
    'InternalServerException': 'InternalFailure',
    'UnknownOperationException': 'InvalidAction',
}


def caller_identity(record: RecordedRequest) -> Response:
    """Return the answer to GetCallerIdentity."""
    user = 'AIDALOCALBEDROCK'
    return _document(
        record,
        200,
        f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}"><GetCallerIdentityResult>'
        f'<Arn>arn:aws:iam::{ACCOUNT}:user/local-bedrock</Arn><UserId>{user}</UserId><Account>{ACCOUNT}</Account>'
        f'</GetCallerIdentityResult><ResponseMetadata><RequestId>{record.request_id}</RequestId></ResponseMetadata>'
        '</GetCallerIdentityResponse>',
    )


def identity_error(reply: ErrorReply, record: RecordedRequest) -> Response:
    """Return the answer that an error of STS is."""
    code = _CODES.get(reply.code, reply.code)
    fault = 'Receiver' if reply.status >= 500 else 'Sender'
    response = _document(
        record,
        reply.status,
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{fault}</Type><Code>{escape(code)}</Code>'
        f'<Message>{escape(reply.message)}</Message></Error><RequestId>{record.request_id}</RequestId>'
        '</ErrorResponse>',
    )
    response.headers |= reply.headers
    response.error_code, response.delay_before = code, reply.delay_before or 0.0
    return response


def _document(record: RecordedRequest, status: int, xml: str) -> Response:
    headers = {'x-amzn-RequestId': record.request_id, 'Content-Type': 'text/xml'}
    return Response(status, headers, (xml.encode(),))
