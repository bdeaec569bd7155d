"""botocore's Signature Version 4, with what repeats worked out once: the key of a day, the headers of a request."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Any, Final

from botocore.auth import AUTH_TYPE_MAPS, SigV4Auth

_NAME: Final = 'pydantic-ai-aiobedrock-v4'


class RememberingSigV4Auth(SigV4Auth):
    """Signs one request, as botocore makes an instance for each."""

    _headers: Any = None

    def headers_to_sign(self, request: Any) -> Any:
        """Select the headers to be signed; botocore asks for them twice."""
        if self._headers is None:
            self._headers = super().headers_to_sign(request)
        return self._headers

    def signature(self, string_to_sign: str, request: Any) -> str:
        """Sign with the key of the day, region and service."""
        signer: Any = self
        key = _signing_key(
            signer.credentials.secret_key,
            request.context['timestamp'][:8],
            signer._region_name,
            signer._service_name,
        )
        return hmac.digest(key, string_to_sign.encode(), 'sha256').hex()


@lru_cache(maxsize=64)
def _signing_key(secret_key: str, date: str, region_name: str, service_name: str) -> bytes:
    key = f'AWS4{secret_key}'.encode()
    for part in (date, region_name, service_name, 'aws4_request'):
        key = hmac.digest(key, part.encode(), 'sha256')
    return key


def install(client: Any) -> None:
    """Have this client sign with what is above wherever botocore would sign with Signature Version 4."""
    # botocore finds its signers by name in one table, which no other client asks for this name.
    AUTH_TYPE_MAPS[_NAME] = RememberingSigV4Auth
    client.meta.events.register_last('choose-signer.bedrock-runtime', _choose)


def _choose(signature_version: str, **_: object) -> str | None:
    return _NAME if signature_version == 'v4' else None
