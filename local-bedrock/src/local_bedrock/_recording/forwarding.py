"""AWS as a source of answers, each exchange with it recorded."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import astuple
from typing import cast
from urllib.parse import urlsplit

import aiohttp
import botocore.session
import yarl
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import BotoCoreError, NoCredentialsError, NoRegionError
from botocore.httpsession import get_cert_path
from botocore.loaders import Loader
from botocore.utils import get_environ_proxies

from local_bedrock._model.render import raw_response
from local_bedrock._recording.exchanges import Exchange, ExchangeFile, as_body
from local_bedrock.keys import AccessKey, Keyring
from local_bedrock.replies import RawReply
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response, SourceError

_RULES = 'bedrock-runtime/2023-09-30/endpoint-rule-set-1'
# A model may think for long without a word; a client that loses patience ends the request.
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=60, sock_read=3600)
_OF_ONE_CONNECTION = {
    'connection', 'content-length', 'expect', 'host', 'keep-alive', 'proxy-authorization', 'proxy-connection', 'te',
    'trailer', 'transfer-encoding', 'upgrade',
}  # fmt: skip
_MADE_ANEW = {'accept-encoding', 'authorization', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-security-token'}
_SECRET = {'authorization', 'cookie', 'set-cookie', 'x-amz-security-token'}
_NOT_SENT = _OF_ONE_CONNECTION | _MADE_ANEW | _SECRET


class Forwarder:
    """Passes requests on to AWS, signed with the caller's credentials, and records the responses."""

    def __init__(
        self,
        file: ExchangeFile,
        region_name: str | None,
        endpoint_url: str | None,
        session: botocore.session.Session | None,
    ) -> None:
        api_key = os.environ.get('AWS_BEARER_TOKEN_BEDROCK') if session is None else None
        self._session = session or botocore.session.Session()
        region = region_name or self._session.get_config_variable('region')
        if region is None:
            raise NoRegionError
        self.region_name: str = region
        self._file, self._endpoint_url = file, endpoint_url
        self._api_key = api_key
        self._credentials: Credentials | None = None

    async def open(self, keyring: Keyring) -> None:
        """Find the credentials, and let whoever has them in.

        Raises:
            BotoCoreError: There are none, or they cannot be had.
            OSError: There is no folder for the file.
        """
        tls, key = await asyncio.to_thread(self._prepare)
        if self._api_key is not None:
            keyring.api_keys.add(self._api_key)
        if key is not None:
            keyring.access_keys[key.access_key_id] = key
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=('Accept', 'Accept-Encoding', 'Content-Type', 'User-Agent'),
            timeout=_TIMEOUT,
        )

    async def close(self) -> None:
        """Close the connections to AWS."""
        await self._http.close()

    def _prepare(self) -> tuple[ssl.SSLContext, AccessKey | None]:
        folder = self._file.path.absolute().parent
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, 'There is no such folder', str(folder))
        if self._endpoint_url is None:
            loader = Loader()
            rules = EndpointProvider(loader.load_data(_RULES), loader.load_data('partitions'))
            self._endpoint_url = str(rules.resolve_endpoint(Region=self.region_name).url)
        if self._api_key is None:
            self._credentials = self._session.get_credentials()
            if self._credentials is None:
                raise NoCredentialsError
        bundle = self._session.get_config_variable('ca_bundle') or get_cert_path(True)
        return ssl.create_default_context(cafile=bundle), self._key()

    def _key(self) -> AccessKey | None:
        """Return the signer of a request now. This may refresh it, and so take its time.

        Raises:
            BotoCoreError: It cannot be refreshed.
        """
        if self._credentials is None:
            return None
        frozen = self._credentials.get_frozen_credentials()
        return AccessKey(str(frozen.access_key), str(frozen.secret_key), frozen.token)

    async def answer(self, request: RecordedRequest) -> Response:
        """Return the answer of AWS, the body of a stream as it comes.

        Raises:
            SourceError: AWS cannot be asked, or its answer not be recorded.
        """
        url = f'{cast("str", self._endpoint_url).rstrip("/")}{request.path}'
        try:
            # Off the loop, for credentials may be refreshed.
            key = await asyncio.to_thread(self._key)
            headers = self._signed(request, url, key)
            response = await self._http.request(
                request.method,
                yarl.URL(url, encoded=True),
                data=request.raw_body,
                headers=headers,
                allow_redirects=False,
                proxy=get_environ_proxies(url).get(urlsplit(url).scheme),
            )
        except (aiohttp.ClientError, TimeoutError, BotoCoreError) as error:
            raise SourceError(f'{self._endpoint_url} cannot be asked: {error!r}') from error
        headers = {name.lower(): value for name, value in response.headers.items() if name.lower() not in _SECRET}
        passed = raw_response(RawReply(b'', status=response.status, headers=headers), request)
        passed.done = response.close
        pieces = self._recorded(request, response, headers, key)
        if passed.chunked:
            passed.pieces = pieces
            return passed
        async with response:
            passed.pieces = [piece async for piece in pieces]
        return passed

    def _signed(self, request: RecordedRequest, url: str, key: AccessKey | None) -> Mapping[str, str]:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_SENT}
        if key is None:
            return {**headers, 'Authorization': f'Bearer {self._api_key}'}
        signed = AWSRequest(request.method, url, headers=headers, data=request.raw_body)
        credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
        SigV4Auth(credentials, 'bedrock', self.region_name).add_auth(signed)
        return dict(signed.headers.items())

    async def _recorded(
        self,
        request: RecordedRequest,
        response: aiohttp.ClientResponse,
        headers: Mapping[str, str],
        key: AccessKey | None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes; its end, when the exchange is in the file."""
        body = b''
        try:
            async for piece in response.content.iter_any():
                body += piece
                yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SourceError(f'{self._endpoint_url} broke its response off: {error!r}') from error
        exchange = Exchange(
            method=request.method,
            path=request.path,
            request=as_body(request.raw_body),
            status=response.status,
            headers={name: value for name, value in sorted(headers.items()) if name != 'date'},
            response=as_body(body),
        )
        secrets = [self._api_key] if key is None else [*astuple(key)]
        try:
            await asyncio.to_thread(self._file.add, exchange, [secret for secret in secrets if secret])
        except OSError as error:
            raise SourceError(f'{self._file.path} cannot be written: {error}') from error
