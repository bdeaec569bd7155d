"""Presigned URLs: the verification of a signature that stands in the query.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import parse_qsl

from local_bedrock._http.signatures import SignedRequest, check_scope, known_key, signing_key
from local_bedrock.errors import ErrorReply, RefusedError, authentication_error
from local_bedrock.keys import Keyring

_ALGORITHM = 'AWS4-HMAC-SHA256'
_LONGEST = 7 * 24 * 60 * 60


def is_presigned(request: SignedRequest) -> bool:
    """Tell if a request carries its signature in the query."""
    query = request.raw_path.partition('?')[2]
    return 'Authorization' not in request.headers and ('X-Amz-Signature=' in query or 'AWSAccessKeyId=' in query)


def verify_presigned(request: SignedRequest, keyring: Keyring, region: str, clock: Callable[[], datetime]) -> None:
    """Verify the signature of a presigned URL.

    Raises:
        RefusedError: It is not valid, or no longer.
    """
    path, _, raw_query = request.raw_path.partition('?')
    query = dict(parse_qsl(raw_query, keep_blank_values=True))
    if query.get('X-Amz-Algorithm') != _ALGORITHM:
        raise RefusedError(
            ErrorReply(
                400,
                'InvalidRequest',
                'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.',
            )
        )
    access_key_id, _, scope = query.get('X-Amz-Credential', '').partition('/')
    timestamp = query.get('X-Amz-Date', '')
    key = known_key(access_key_id, query.get('X-Amz-Security-Token'), keyring)
    check_scope(scope, timestamp, region, request.signing_name)
    try:
        signed_at = datetime.strptime(timestamp, '%Y%m%dT%H%M%SZ').replace(tzinfo=UTC)
        lasts = int(query['X-Amz-Expires'])
    except (KeyError, ValueError):
        raise _refused('X-Amz-Date and X-Amz-Expires must be a date and a number of seconds.') from None
    if not 0 < lasts <= _LONGEST:
        raise _refused('X-Amz-Expires must be less than a week (in seconds).')
    if clock() > signed_at + timedelta(seconds=lasts):
        raise RefusedError(ErrorReply(403, 'AccessDenied', 'Request has expired'))
    signed_headers = query.get('X-Amz-SignedHeaders', '').split(';')
    pairs = sorted(pair for pair in raw_query.split('&') if pair and not pair.startswith('X-Amz-Signature='))
    lines = [f'{name}:{" ".join(",".join(request.headers.getall(name, ())).split())}' for name in signed_headers]
    canonical = '\n'.join(
        (request.method, path, '&'.join(pairs), *lines, '', ';'.join(signed_headers), 'UNSIGNED-PAYLOAD')
    )
    to_sign = '\n'.join((_ALGORITHM, timestamp, scope, sha256(canonical.encode()).hexdigest()))
    secret = signing_key(key.secret_access_key, timestamp[:8], region, request.signing_name)
    expected = hmac.digest(secret, to_sign.encode(), 'sha256').hex()
    if not hmac.compare_digest(expected, query.get('X-Amz-Signature', '')):
        raise authentication_error('InvalidSignatureException', 'The signature of the URL does not match.')


def _refused(message: str) -> RefusedError:
    return RefusedError(ErrorReply(400, 'AuthorizationQueryParametersError', message))
