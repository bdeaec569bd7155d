"""Where AWS credentials come from, on loopback: STS, IAM Identity Center, a container's agent, instance metadata."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from local_bedrock import AccessKey, LocalBedrock, RecordedRequest, Reply
from pydantic_ai_aiobedrock import BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

MODEL = 'us.amazon.nova-lite-v1:0'
RUNS = 200


def hello(text: str = 'hello') -> dict[str, Any]:
    return {'modelId': MODEL, 'messages': [{'role': 'user', 'content': [{'text': text}]}]}


def text_of(response: dict[str, Any]) -> str:
    return response['output']['message']['content'][0]['text']


def runtime(bedrock: LocalBedrock, pool: SessionPool, **arguments: Any) -> BedrockRuntime:
    """Return a client of a LocalBedrock whose credentials botocore has to find, unless they are among the arguments."""
    own: dict[str, Any] = {'region_name': bedrock.region_name, 'base_url': bedrock.base_url, 'pool': pool}
    client = BedrockProvider(**own | arguments).client
    assert isinstance(client, BedrockRuntime)
    return client


def current(bedrock: LocalBedrock) -> AccessKey:
    """Return the access key that a LocalBedrock accepts."""
    return AccessKey(bedrock.aws_access_key_id, bedrock.aws_secret_access_key, bedrock.aws_session_token)


def write_credentials(path: Path, key: AccessKey, profile: str = 'default') -> None:
    """Write a shared credentials file."""
    token = '' if key.session_token is None else f'aws_session_token = {key.session_token}\n'
    path.write_text(
        f'[{profile}]\naws_access_key_id = {key.access_key_id}\n'
        f'aws_secret_access_key = {key.secret_access_key}\n{token}'
    )


class Gate:
    """A scripted reply that keeps requests back until it is opened."""

    def __init__(self, bedrock: LocalBedrock, text: str = 'done') -> None:
        self.opened = asyncio.Event()
        self.text = text
        self._waiting = 0
        self._arrived = asyncio.Condition()
        bedrock.reply(self._reply, times=None)

    async def _reply(self, _: RecordedRequest) -> Reply:
        if not self.opened.is_set():
            async with self._arrived:
                self._waiting += 1
                self._arrived.notify_all()
            await self.opened.wait()
        return Reply(self.text)

    async def reached_by(self, requests: int) -> None:
        """Wait until so many requests are kept back."""
        async with asyncio.timeout(60), self._arrived:
            await self._arrived.wait_for(lambda: self._waiting >= requests)


async def rotate_under(client: BedrockRuntime, bedrock: LocalBedrock, rotate: Callable[[], object]) -> None:
    """Rotate the credentials between the first and the second call of 200 runs, and see that no run is lost.

    When the rotation comes, every run has a call in flight; after it, the next call of every run is refused.
    """
    gate = Gate(bedrock)

    async def run() -> str:
        await client.converse(**hello('first'))
        return text_of(await client.converse(**hello('second')))

    runs = [asyncio.create_task(run()) for _ in range(RUNS)]
    await gate.reached_by(RUNS)
    rotate()
    gate.opened.set()
    assert await asyncio.gather(*runs) == ['done'] * RUNS
    refused = [request for request in bedrock.requests if request.status == 403]
    # The more of them are under way at once, the more are refused; the first is in any case.
    assert 1 <= len(refused) <= RUNS
    assert len(bedrock.requests) == 2 * RUNS + len(refused)
    assert {request.error_code for request in refused} == {'ExpiredTokenException'}


class CredentialSources:
    """Gives the access key that a LocalBedrock accepts at the moment, in the formats of AWS's services.

    Served on the loop of the test; botocore asks from a thread of its own.
    """

    def __init__(self, bedrock: LocalBedrock, tls: ssl.SSLContext | None = None) -> None:
        self.bedrock = bedrock
        self._tls = tls
        self.lifetime: timedelta | None = timedelta(hours=1)
        """Of the credentials from the moment at which they are given; None leaves the last expiration as it was."""
        self._expires_at = datetime.now(UTC)
        self.received = 0
        """How many requests have arrived, whatever became of them."""
        self.asked: Counter[str] = Counter()
        """How often each source has given credentials."""
        self.tokens = {'token-0'}
        """What a web identity or a sign-on may prove itself with."""
        self.failing = False
        self.available = asyncio.Event()
        """Unset, questions wait."""
        self.available.set()
        application = web.Application(middlewares=[self._count])
        application.router.add_post('/', self._sts)
        application.router.add_get('/federation/credentials', self._sso)
        application.router.add_post('/token', self._sso_oidc)
        application.router.add_get('/container', self._container)
        application.router.add_put('/latest/api/token', self._metadata_token)
        application.router.add_get('/latest/meta-data/iam/security-credentials/', self._metadata_role)
        application.router.add_get('/latest/meta-data/iam/security-credentials/role', self._metadata)
        application.router.add_get('/latest/meta-data/placement/availability-zone/', self._metadata_zone)
        self._server = TestServer(application)

    async def __aenter__(self) -> Self:
        await self._server.start_server(ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.available.set()
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url('')).rstrip('/')

    def _expiration(self) -> datetime:
        if self.lifetime is not None:
            self._expires_at = datetime.now(UTC) + self.lifetime
        return self._expires_at

    async def _ask(self, source: str) -> AccessKey:
        self.asked[source] += 1
        await self.available.wait()
        if self.failing:
            raise web.HTTPInternalServerError(text='out of order')
        return current(self.bedrock)

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.received += 1
        return await handler(request)

    async def _sts(self, request: web.Request) -> web.Response:
        form = await request.post()
        action = str(form['Action'])
        if action == 'AssumeRoleWithWebIdentity' and form['WebIdentityToken'] not in self.tokens:
            return web.Response(status=400, content_type='text/xml', text=_STS_ERROR)
        key = await self._ask(action)
        xml = _STS.format(
            action=action, key=key, expiration=self._expiration().strftime('%Y-%m-%dT%H:%M:%SZ'), role='role/session'
        )
        return web.Response(content_type='text/xml', text=xml)

    async def _sso(self, request: web.Request) -> web.Response:
        if request.headers.get('x-amz-sso_bearer_token') not in self.tokens:
            error = {'message': 'Session token not found or invalid', '__type': 'UnauthorizedException'}
            return web.json_response(error, status=401, headers={'x-amzn-ErrorType': 'UnauthorizedException'})
        key = await self._ask('sso')
        return web.json_response(
            {
                'roleCredentials': {
                    'accessKeyId': key.access_key_id,
                    'secretAccessKey': key.secret_access_key,
                    'sessionToken': key.session_token,
                    'expiration': int(self._expiration().timestamp() * 1000),
                }
            }
        )

    async def _sso_oidc(self, request: web.Request) -> web.Response:
        self.asked['sso-oidc'] += 1
        assert (await request.json())['refreshToken'] == 'refresh-0'
        return web.json_response({'accessToken': 'token-0', 'expiresIn': 3600, 'tokenType': 'Bearer'})

    async def _container(self, request: web.Request) -> web.Response:
        return web.json_response(await self._document('container'))

    async def _metadata_token(self, request: web.Request) -> web.Response:
        return web.Response(text='metadata-token')

    async def _metadata_role(self, request: web.Request) -> web.Response:
        return web.Response(text='role')

    async def _metadata(self, request: web.Request) -> web.Response:
        assert request.headers['x-aws-ec2-metadata-token'] == 'metadata-token'
        return web.json_response({'Code': 'Success', **await self._document('metadata')})

    async def _metadata_zone(self, request: web.Request) -> web.Response:
        self.asked['zone'] += 1
        return web.Response(text='us-east-1a')

    async def _document(self, source: str) -> dict[str, Any]:
        key = await self._ask(source)
        return {
            'AccessKeyId': key.access_key_id,
            'SecretAccessKey': key.secret_access_key,
            'Token': key.session_token,
            'Expiration': self._expiration().strftime('%Y-%m-%dT%H:%M:%SZ'),
        }


class CredentialProcess:
    """A `credential_process`: a program that prints what stands in a file, and counts how often it is run."""

    def __init__(self, folder: Path) -> None:
        self._document = folder / 'document.json'
        self._runs = folder / 'runs'
        self._program = folder / 'program.py'
        self._program.write_text(
            f'open({str(self._runs)!r}, "a").write("x")\n'
            f'text = open({str(self._document)!r}).read()\n'
            'if not text:\n    raise SystemExit("the vault is sealed")\n'
            'print(text)\n'
        )
        self._runs.touch()

    @property
    def command(self) -> str:
        return f'{sys.executable} -IS {self._program}'

    @property
    def runs(self) -> int:
        return len(self._runs.read_text())

    def give(self, key: AccessKey, expiration: datetime | None = None) -> None:
        """Print this access key from now on."""
        document: dict[str, Any] = {
            'Version': 1,
            'AccessKeyId': key.access_key_id,
            'SecretAccessKey': key.secret_access_key,
        }
        if key.session_token is not None:
            document['SessionToken'] = key.session_token
        if expiration is not None:
            document['Expiration'] = expiration.strftime('%Y-%m-%dT%H:%M:%SZ')
        self._document.write_text(json.dumps(document))

    def fail(self) -> None:
        """Fail from now on."""
        self._document.write_text('')


_STS = """<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-{role}</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>{key.access_key_id}</AccessKeyId><SecretAccessKey>{key.secret_access_key}</SecretAccessKey>
<SessionToken>{key.session_token}</SessionToken><Expiration>{expiration}</Expiration></Credentials>
</{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"""

_STS_ERROR = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>InvalidIdentityToken</Code><Message>The token is not valid.</Message></Error><RequestId>1</RequestId>
</ErrorResponse>"""
