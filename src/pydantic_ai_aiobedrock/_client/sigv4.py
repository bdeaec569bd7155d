"""botocore's Signature Version 4, with what repeats worked out once: the key of a day, the headers of a request."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from time import time
from typing import Any, Final

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest

from pydantic_ai_aiobedrock._client.encoding import Body, digest_of

_AUTHORIZATION: Final = re.compile(
    r'AWS4-HMAC-SHA256 Credential=[^,]+/\d{8}/([^/,]+)/([^/,]+)/aws4_request, SignedHeaders=([^,]+), Signature=.+'
)


class SignedAlike:
    """Signs requests that are like one that botocore signed, but for their body, their date and the credentials."""

    def __init__(self, url: str, headers: Mapping[str, str], body: Body) -> None:
        """Take the request that botocore signed, a POST.

        Raises:
            ValueError: It is not signed in the way that is known here.
        """
        if (signed := _AUTHORIZATION.fullmatch(headers['Authorization'])) is None:
            raise ValueError('It has no Signature Version 4.')
        self._region, self._service, self._signed_headers = signed.groups()
        names = self._signed_headers.split(';')
        request: Any = AWSRequest(
            'POST', url, {name: value for name, value in headers.items() if name.lower() in names}, b''
        )
        nobody: Any = None
        signer: Any = SigV4Auth(nobody, self._service, self._region)
        canonical, _, _ = signer.canonical_request(request).rpartition('\n')
        dated = f'\nx-amz-date:{headers["X-Amz-Date"]}\n{_token_line(headers.get("X-Amz-Security-Token"))}'
        self._before, found, self._after = canonical.partition(dated)
        if not found:
            raise ValueError('Its date is not signed.')
        self._proof: tuple[str, str, str] | None = headers['X-Amz-Date'], digest_of(body), headers['Authorization']

    def is_proven(self, credentials: Any) -> bool:
        """Return True once it has signed that first request, with these credentials, like botocore did."""
        if self._proof is not None:
            timestamp, digest, authorization = self._proof
            if self._authorization(credentials, timestamp, digest) != authorization:
                return False
            self._proof = None
        return True

    def authorization(self, credentials: Any, timestamp: str, body: Body) -> str:
        """Return the `Authorization` of a request with this `X-Amz-Date`, and the credentials' token, if any.

        Only a request whose credentials have a token is like one whose credentials had.
        """
        return self._authorization(credentials, timestamp, digest_of(body))

    def _authorization(self, credentials: Any, timestamp: str, digest: str) -> str:
        scope = f'{timestamp[:8]}/{self._region}/{self._service}/aws4_request'
        canonical = f'{self._before}\nx-amz-date:{timestamp}\n{_token_line(credentials.token)}{self._after}\n{digest}'
        to_sign = f'AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}'
        key = _signing_key(credentials.secret_key, timestamp[:8], self._region, self._service)
        signature = hmac.digest(key, to_sign.encode(), 'sha256').hex()
        return (
            f'AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, '
            f'SignedHeaders={self._signed_headers}, Signature={signature}'
        )


def timestamp() -> str:
    """Return the `X-Amz-Date` of now."""
    return _timestamp(int(time()))


@lru_cache(maxsize=1)
def _timestamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime(SIGV4_TIMESTAMP)


def _token_line(token: str | None) -> str:
    return f'x-amz-security-token:{" ".join(token.split())}\n' if token else ''


@lru_cache(maxsize=64)
def _signing_key(secret_key: str, date: str, region_name: str, service_name: str) -> bytes:
    key = f'AWS4{secret_key}'.encode()
    for part in (date, region_name, service_name, 'aws4_request'):
        key = hmac.digest(key, part.encode(), 'sha256')
    return key
