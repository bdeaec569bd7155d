"""Authentication of a request: an AWS Signature Version 4, or a bearer token."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

from multidict import CIMultiDictProxy

from local_bedrock.errors import authentication_error
from local_bedrock.keys import AccessKey, AuthScheme, Keyring

_ALGORITHM = 'AWS4-HMAC-SHA256'
_TIMESTAMP = '%Y%m%dT%H%M%SZ'
_TOLERANCE = timedelta(minutes=5)
_UNSIGNED = ('UNSIGNED-PAYLOAD', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER')
_MISMATCH = (
    'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key '
    'and signing method. Consult the service documentation for details.'
)
_INVALID_TOKEN = 'The security token included in the request is invalid.'


def utc_now() -> datetime:
    """Return the time by which signatures are judged."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class SignedRequest:
    """The parts of a request that its signature covers."""

    method: str
    raw_path: str
    headers: CIMultiDictProxy[str]
    body: bytes | None
    """The body, or `None` as long as it has not been read: all but the signature is checked then."""
    signing_name: str = 'bedrock'
    """The service that it must be signed for."""


@lru_cache(maxsize=256)
def signing_key(secret: str, date: str, region: str, signing_name: str) -> bytes:
    """Return the key that signs the requests of a day to a service."""
    key = f'AWS4{secret}'.encode()
    for part in (date, region, signing_name, 'aws4_request'):
        key = hmac.digest(key, part.encode(), 'sha256')
    return key


@lru_cache(maxsize=4096)
def _canonical_path(path: str) -> str:
    # Bedrock's canonical path is encoded twice: once for the wire, once more for the signature.
    return quote(path, safe='/~')


def authenticate(request: SignedRequest, keyring: Keyring, region: str, clock: Callable[[], datetime]) -> AuthScheme:
    """Check the authentication of a request and return its scheme.

    Raises:
        RefusedError: With the answer that AWS gives, status 403.
    """
    authorization = request.headers.get('Authorization')
    if authorization is None:
        raise authentication_error('AccessDeniedException', 'Authorization header is missing', message_key='Message')
    scheme, _, parameters = authorization.partition(' ')
    if scheme == _ALGORITHM:
        _verify_signature(request, authorization, parameters, keyring, region, clock)
        return 'sigv4'
    if scheme.lower() == 'bearer':
        _verify_bearer(parameters.strip(), keyring)
        return 'bearer'
    raise authentication_error('MissingAuthenticationTokenException', 'Missing Authentication Token')


def _verify_bearer(token: str, keyring: Keyring) -> None:
    if token in keyring.expired_api_keys:
        raise authentication_error('AccessDeniedException', 'Bearer Token has expired', message_key='Message')
    if token not in keyring.api_keys:
        raise authentication_error(
            'AccessDeniedException',
            'Authentication failed: Please make sure your API Key is valid.',
            message_key='Message',
        )


def _verify_signature(
    request: SignedRequest,
    authorization: str,
    parameters: str,
    keyring: Keyring,
    region: str,
    clock: Callable[[], datetime],
) -> None:
    credential, signed_headers, signature = _parse_authorization(authorization, parameters)
    access_key_id, _, scope = credential.partition('/')
    timestamp = request.headers.get('X-Amz-Date', '')
    if not timestamp:
        raise authentication_error(
            'IncompleteSignatureException',
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
            f'Authorization={authorization}',
        )
    key = known_key(access_key_id, request.headers.get('X-Amz-Security-Token'), keyring)
    check_scope(scope, timestamp, region, request.signing_name)
    _check_time(timestamp, clock())
    _check_signed_headers(request.headers, signed_headers)
    if request.body is None:
        return
    date = timestamp[:8]
    string_to_sign = '\n'.join(
        (
            _ALGORITHM,
            timestamp,
            f'{date}/{region}/{request.signing_name}/aws4_request',
            sha256(_canonical_request(request, request.body, signed_headers).encode()).hexdigest(),
        )
    )
    secret = signing_key(key.secret_access_key, date, region, request.signing_name)
    expected = hmac.digest(secret, string_to_sign.encode(), 'sha256').hex()
    if not hmac.compare_digest(expected, signature):
        raise authentication_error('InvalidSignatureException', _MISMATCH)


def _parse_authorization(authorization: str, parameters: str) -> tuple[str, tuple[str, ...], str]:
    found: dict[str, str] = {}
    for parameter in parameters.split(','):
        name, equals, value = parameter.strip().partition('=')
        if not equals:
            raise authentication_error(
                'IncompleteSignatureException',
                f"'{name}' not a valid key=value pair (missing equal-sign) in Authorization header: '{authorization}'.",
            )
        found[name] = value
    missing = [name for name in ('Credential', 'Signature', 'SignedHeaders') if not found.get(name)]
    if missing:
        complaints = ' '.join(f"Authorization header requires '{name}' parameter." for name in missing)
        raise authentication_error('IncompleteSignatureException', f'{complaints} Authorization={authorization}')
    return found['Credential'], tuple(found['SignedHeaders'].split(';')), found['Signature']


def known_key(access_key_id: str, session_token: str | None, keyring: Keyring) -> AccessKey:
    """Return the access key of an id.

    Raises:
        RefusedError: It is unknown or has expired, or the session token is not its own.
    """
    if access_key_id in keyring.expired_access_keys:
        raise authentication_error('ExpiredTokenException', 'The security token included in the request is expired')
    key = keyring.access_keys.get(access_key_id)
    if key is None or key.session_token != session_token:
        raise authentication_error('UnrecognizedClientException', _INVALID_TOKEN)
    return key


def check_scope(scope: str, timestamp: str, region: str, signing_name: str) -> None:
    """Check the scope of a credential.

    Raises:
        RefusedError: It is not that of the request.
    """
    parts = scope.split('/')
    if len(parts) != 4 or parts[3] != 'aws4_request':
        raise authentication_error(
            'IncompleteSignatureException',
            'Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, '
            f"got '{scope}'",
        )
    if parts[1] != region:
        raise authentication_error('InvalidSignatureException', 'Credential should be scoped to a valid region. ')
    if parts[2] != signing_name:
        raise authentication_error(
            'InvalidSignatureException', f"Credential should be scoped to correct service: '{signing_name}'. "
        )
    if parts[0] != timestamp[:8]:
        raise authentication_error(
            'InvalidSignatureException',
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{parts[0]}' "
            f"!= '{timestamp[:8]}', from '{timestamp}'.",
        )


@lru_cache(maxsize=256)
def _time_of(timestamp: str) -> datetime:
    return datetime.strptime(timestamp, _TIMESTAMP).replace(tzinfo=UTC)


def _check_time(timestamp: str, now: datetime) -> None:
    try:
        signed = _time_of(timestamp)
    except ValueError:
        raise authentication_error(
            'IncompleteSignatureException',
            f"Date must be in ISO-8601 'basic format'. Got '{timestamp}'. See http://en.wikipedia.org/wiki/ISO_8601",
        ) from None
    at = now.strftime(_TIMESTAMP)
    if signed < now - _TOLERANCE:
        earliest = (now - _TOLERANCE).strftime(_TIMESTAMP)
        raise authentication_error(
            'InvalidSignatureException',
            f'Signature expired: {timestamp} is now earlier than {earliest} ({at} - 5 min.)',
        )
    if signed > now + _TOLERANCE:
        latest = (now + _TOLERANCE).strftime(_TIMESTAMP)
        raise authentication_error(
            'InvalidSignatureException',
            f'Signature not yet current: {timestamp} is still later than {latest} ({at} + 5 min.)',
        )


def _check_signed_headers(headers: CIMultiDictProxy[str], signed: tuple[str, ...]) -> None:
    if 'host' not in signed:
        raise authentication_error(
            'InvalidSignatureException',
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization header.",
        )
    for name in headers:
        lowered = name.lower()
        if lowered.startswith('x-amz-') and lowered not in signed:
            raise authentication_error(
                'InvalidSignatureException', f"'{lowered}' must be a 'SignedHeader' in the AWS Authorization header."
            )


def _canonical_request(request: SignedRequest, body: bytes, signed_headers: tuple[str, ...]) -> str:
    path, _, query = request.raw_path.partition('?')
    pairs = sorted(pair.partition('=')[::2] for pair in query.split('&') if pair)
    canonical_query = '&'.join(f'{name}={value}' for name, value in pairs)
    headers = request.headers
    lines = [
        f'{name}:{",".join(" ".join(value.split()) for value in headers.getall(name, ()))}' for name in signed_headers
    ]
    payload_hash = sha256(body).hexdigest()
    declared = headers.get('X-Amz-Content-SHA256')
    if declared in _UNSIGNED:
        payload_hash = declared
    elif declared is not None and declared != payload_hash:
        raise authentication_error(
            'InvalidSignatureException',
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    return '\n'.join(
        (
            request.method,
            # S3 alone signs the path as it is on the wire: its keys may hold anything.
            path if request.signing_name == 's3' else _canonical_path(path),
            canonical_query,
            *lines,
            '',
            ';'.join(signed_headers),
            payload_hash,
        )
    )
