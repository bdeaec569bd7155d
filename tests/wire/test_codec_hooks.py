import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.exceptions import ClientError, ParamValidationError
from botocore.loaders import Loader, create_loader

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock._client import codec_hooks
from pydantic_ai_aiobedrock._wire.converse_errors import ConverseEncodeError

from .frames import event

MESSAGES = [{'role': 'user', 'content': [{'text': 'Hello'}]}]
ANSWER = {
    'output': {'message': {'role': 'assistant', 'content': [{'text': 'Hi'}]}},
    'stopReason': 'end_turn',
    'usage': {'inputTokens': 1, 'outputTokens': 2, 'totalTokens': 3},
    'metrics': {'latencyMs': 4},
}


@dataclass
class ScriptedServer:
    """Answers every request with the next response of a script, its last one again and again."""

    url: str = ''
    responses: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def answer(self, body: bytes | dict[str, Any], status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.responses.append((status, {'x-amzn-RequestId': 'request-id', **headers}, content))

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.bodies.append(await request.read())
        status, headers, body = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        return web.Response(
            body=body, status=status, headers={'Content-Type': 'application/json', 'Date': 'then', **headers}
        )


@lru_cache
def loader() -> Loader:
    """botocore's data, which takes longer to read than all that is tested here."""
    return create_loader()


def new_session() -> AioSession:
    session = AioSession()
    session.register_component('data_loader', loader())
    return session


class MakeClient(Protocol):
    """Opens a client of the scripted server, with the codec or without."""

    async def __call__(self, *, codec: bool, session: AioSession | None = None, attempts: int = 1) -> Any: ...


@dataclass
class Opened:
    """What a hooked client hands its stream."""

    raw: Any


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer()
    app = web.Application()
    app.router.add_route('*', '/{path:.*}', scripted.handle)
    async with TestServer(app) as site:
        scripted.url = str(site.make_url('')).rstrip('/')
        yield scripted


@pytest.fixture
async def make_client(server: ScriptedServer) -> AsyncIterator[MakeClient]:
    async with AsyncExitStack() as clients:

        async def make(*, codec: bool, session: AioSession | None = None, attempts: int = 1) -> Any:
            client = await clients.enter_async_context(
                (session or new_session()).create_client(
                    'bedrock-runtime',
                    region_name='us-east-1',
                    endpoint_url=server.url,
                    aws_access_key_id='key',
                    aws_secret_access_key='secret',
                    config=AioConfig(retries={'mode': 'standard', 'total_max_attempts': attempts}),
                )
            )
            if codec:
                codec_hooks.install(client, Opened)
            return client

        yield make


async def test_what_the_installed_service_model_lacks_reaches_the_wire(server: ScriptedServer, make_client: MakeClient):
    params = {
        'messages': [
            {'role': 'user', 'content': [{'cachePoint': {'type': 'default', 'ttl': '1h'}}, {'new': {'a': 1}}]}
        ],
        'toolConfig': {'tools': [{'toolSpec': {'name': 'a', 'strict': True}}, {'systemTool': {'name': 'b'}}]},
        'outputConfig': {'textFormat': {'type': 'json_schema'}},
        'serviceTier': {'type': 'flex'},
        'inventedToday': [1, 2],
    }
    server.answer({**ANSWER, 'serviceTier': {'type': 'flex'}, 'inventedToday': {'a': 1}})
    client = await make_client(codec=True)
    response = await client.converse(modelId='model', **params)
    assert json.loads(server.bodies[0]) == params
    assert (response['serviceTier'], response['inventedToday']) == ({'type': 'flex'}, {'a': 1})

    server.responses.clear()
    server.answer({'inputTokens': 3})
    converse = {name: params[name] for name in ('messages', 'toolConfig', 'inventedToday')}
    assert (await client.count_tokens(modelId='model', input={'converse': converse}))['inputTokens'] == 3
    assert json.loads(server.bodies[1]) == {'input': {'converse': converse}}


@pytest.mark.parametrize(
    'model', ['us.amazon.nova-lite-v1:0', 'arn:aws:bedrock:eu-west-1:1:inference-profile/eu.a/b+c']
)
async def test_the_request_is_the_one_that_botocore_makes(server: ScriptedServer, make_client: MakeClient, model: str):
    """The same path, body and headers, but for the signature and the spaces in the JSON."""
    server.answer(ANSWER)
    for codec in (False, True):
        client = await make_client(codec=codec)
        await client.converse(modelId=model, messages=MESSAGES, system=[{'text': 'Be brief'}])
        await client.count_tokens(modelId=model, input={'converse': {'messages': MESSAGES}})
    plain, plain_count, ours, ours_count = server.requests
    varying = {'Authorization', 'X-Amz-Date', 'amz-sdk-invocation-id', 'Content-Length'}
    for request, expected in ((ours, plain), (ours_count, plain_count)):
        assert (request.method, request.raw_path) == (expected.method, expected.raw_path)
        assert request.headers.getall('Content-Type') == ['application/json']
        assert [item for item in request.headers.items() if item[0] not in varying] == [
            item for item in expected.headers.items() if item[0] not in varying
        ]
    bodies = [json.loads(body) for body in server.bodies]
    assert bodies[2:] == bodies[:2]


async def test_the_response_is_the_one_that_botocore_makes(server: ScriptedServer, make_client: MakeClient):
    plain, ours = await make_client(codec=False), await make_client(codec=True)
    for body in (ANSWER, {}, b''):
        server.responses.clear()
        server.answer(body, **{'X-Amzn-Bedrock-Extra': 'Value'})
        expected = await plain.converse(modelId='model', messages=MESSAGES)
        response = await ours.converse(modelId='model', messages=MESSAGES)
        assert response == expected
        assert response['ResponseMetadata']['RequestId'] == 'request-id'
        assert response['ResponseMetadata']['HTTPHeaders']['x-amzn-bedrock-extra'] == 'Value'


async def test_a_body_cannot_pose_as_metadata_or_as_an_error(server: ScriptedServer, make_client: MakeClient):
    server.answer({**ANSWER, 'ResponseMetadata': {'RequestId': 'x'}, 'Error': {'Code': 'ThrottlingException'}})
    plain, ours = await make_client(codec=False), await make_client(codec=True)
    expected = await plain.converse(modelId='model', messages=MESSAGES)
    assert await ours.converse(modelId='model', messages=MESSAGES) == expected


@pytest.mark.parametrize(
    ('status', 'body', 'headers'),
    [
        (
            400,
            b'{"message": "The provided model identifier is invalid."}',
            {'x-amzn-ErrorType': 'ValidationException:x'},
        ),
        (400, b'{"__type": "com.amazon#ValidationException", "Message": "No"}', {}),
        (403, b'{"message": "Expired"}', {'x-amzn-ErrorType': 'ExpiredTokenException'}),
        (424, b'{"message": "Model failed", "originalStatusCode": 500}', {'x-amzn-ErrorType': 'ModelErrorException'}),
        (429, b'{"message": "Slow down"}', {'x-amzn-ErrorType': 'ThrottlingException'}),
        (500, b'', {}),
        (502, b'<html><body>Bad Gateway</body></html>', {'Content-Type': 'text/html'}),
        (503, b'not JSON', {}),
    ],
)
@pytest.mark.parametrize('operation', ['converse', 'converse_stream', 'count_tokens'])
async def test_an_error_is_the_one_that_botocore_makes(
    server: ScriptedServer,
    make_client: MakeClient,
    operation: str,
    status: int,
    body: bytes,
    headers: dict[str, str],
):
    server.answer(body, status, **headers)
    params = {'input': {'converse': {'messages': MESSAGES}}} if operation == 'count_tokens' else {'messages': MESSAGES}
    errors: list[ClientError] = []
    for codec in (False, True):
        client = await make_client(codec=codec)
        with pytest.raises(ClientError) as raised:
            await getattr(client, operation)(modelId='model', **params)
        errors.append(raised.value)
    plain, ours = errors
    assert (type(ours).__name__, str(ours), ours.response) == (type(plain).__name__, str(plain), plain.response)


async def test_a_stream_is_made_of_the_raw_response(server: ScriptedServer, make_client: MakeClient):
    sent = event('messageStart', {'role': 'assistant'})
    server.answer(sent, **{'Content-Type': 'application/vnd.amazon.eventstream'})
    plain, ours = await make_client(codec=False), await make_client(codec=True)
    expected = await plain.converse_stream(modelId='model', messages=MESSAGES)
    response = await ours.converse_stream(modelId='model', messages=MESSAGES, inventedToday=True)
    assert await response['stream'].raw.read() == sent
    assert response['ResponseMetadata'] == expected['ResponseMetadata']
    assert response.keys() == expected.keys()
    assert json.loads(server.bodies[1]) == {'messages': MESSAGES, 'inventedToday': True}
    expected['stream'].close()


async def test_invoke_model_is_left_to_botocore(server: ScriptedServer, make_client: MakeClient):
    server.answer(b'{"embedding": [1]}')
    client = await make_client(codec=True)
    response = await client.invoke_model(modelId='model', body='{"inputText": "a"}')
    assert await response['body'].read() == b'{"embedding": [1]}'
    assert server.bodies == [b'{"inputText": "a"}']
    with pytest.raises(ParamValidationError, match='inventedToday'):
        await client.invoke_model(modelId='model', body=b'', inventedToday=True)


async def test_no_other_client_of_the_session_is_affected(server: ScriptedServer, make_client: MakeClient):
    server.answer(ANSWER)
    session = new_session()
    before = await make_client(codec=False, session=session)
    await make_client(codec=True, session=session)
    for client in (before, await make_client(codec=False, session=session)):
        with pytest.raises(ParamValidationError, match='inventedToday'):
            await client.converse(modelId='model', messages=MESSAGES, inventedToday=True)


async def test_a_second_installation_changes_nothing(server: ScriptedServer, make_client: MakeClient):
    server.answer(b'')
    client = await make_client(codec=True)
    codec_hooks.install(client, lambda raw: pytest.fail('opened by the second installation'))
    response = await client.converse_stream(modelId='model', messages=MESSAGES)
    assert isinstance(response['stream'], Opened)


async def test_a_retry_sends_the_same_body(server: ScriptedServer, make_client: MakeClient):
    server.answer(b'', 503)
    server.answer(ANSWER)
    client = await make_client(codec=True, attempts=2)
    response = await client.converse(modelId='model', messages=MESSAGES, inventedToday=b'\xff\xff')
    assert response['ResponseMetadata']['RetryAttempts'] == 1
    assert server.bodies[0] == server.bodies[1]
    assert json.loads(server.bodies[0]) == {'messages': MESSAGES, 'inventedToday': '//8='}


@pytest.mark.parametrize('params', [{}, {'modelId': ''}, {'modelId': None}, {'modelId': 5}])
async def test_a_request_without_a_model_is_refused_as_botocore_refuses_it(
    server: ScriptedServer, make_client: MakeClient, params: dict[str, Any]
):
    errors: list[str] = []
    for codec in (False, True):
        client = await make_client(codec=codec)
        with pytest.raises(ParamValidationError) as raised:
            await client.converse(messages=MESSAGES, **params)
        errors.append(str(raised.value))
        with pytest.raises(ParamValidationError) as raised:
            await client.count_tokens(**params)
        errors.append(str(raised.value))
    assert errors[:2] == errors[2:]
    assert server.requests == []


async def test_a_request_that_json_cannot_carry_is_not_sent(server: ScriptedServer, make_client: MakeClient):
    client = await make_client(codec=True)
    with pytest.raises(ConverseEncodeError, match=r'messages\[0\].content is of type set'):
        await client.converse(modelId='model', messages=[{'content': {'a'}}])
    assert server.requests == []


@pytest.mark.parametrize('where', ['provide-client-params', 'provide-client-params.bedrock-runtime.Converse'])
async def test_parameters_that_another_handler_changes_are_sent_as_changed(
    server: ScriptedServer, make_client: MakeClient, where: str
):
    def change(params: dict[str, Any], **_: Any) -> None:
        params['serviceTier'] = {'type': 'flex'}

    server.answer(ANSWER)
    client = await make_client(codec=True)
    client.meta.events.register(where, change)
    await client.converse(modelId='model', messages=MESSAGES)
    assert json.loads(server.bodies[0]) == {'messages': MESSAGES, 'serviceTier': {'type': 'flex'}}


async def test_parameters_that_another_handler_puts_in_place_are_botocores_to_send(
    server: ScriptedServer, make_client: MakeClient
):
    def replace(params: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**params, 'modelId': 'another', 'system': [{'text': 'Be brief'}]}

    server.answer(ANSWER)
    client = await make_client(codec=True)
    client.meta.events.register_first('provide-client-params.bedrock-runtime.Converse', replace)
    await client.converse(modelId='model', messages=MESSAGES)
    assert server.requests[0].path == '/model/another/converse'
    assert json.loads(server.bodies[0]) == {'messages': MESSAGES, 'system': [{'text': 'Be brief'}]}


async def test_headers_that_another_handler_adds_are_sent(server: ScriptedServer, make_client: MakeClient):
    def add(params: dict[str, Any], **_: Any) -> None:
        params['headers']['X-Extra'] = 'value'

    server.answer(ANSWER)
    client = await make_client(codec=True)
    client.meta.events.register('before-call.bedrock-runtime', add)
    await client.converse(modelId='model', messages=MESSAGES)
    assert server.requests[0].headers['X-Extra'] == 'value'
    assert 'x-extra' in server.requests[0].headers['Authorization']


async def test_the_signature_covers_the_body_that_is_sent(bedrock: LocalBedrock):
    async with new_session().create_client(
        'bedrock-runtime',
        region_name=bedrock.region_name,
        endpoint_url=bedrock.base_url,
        aws_access_key_id=bedrock.aws_access_key_id,
        aws_secret_access_key=bedrock.aws_secret_access_key,
    ) as client:
        codec_hooks.install(client, Opened)
        response = await client.converse(modelId='us.amazon.nova-lite-v1:0', messages=MESSAGES)
        assert response['ResponseMetadata']['HTTPStatusCode'] == 200
        image = {'image': {'format': 'png', 'source': {'bytes': bytes(range(256))}}}
        messages = [{'role': 'user', 'content': [{'text': 'Look'}, image]}]
        counted = await client.count_tokens(
            modelId='anthropic.claude-sonnet-4-20250514-v1:0', input={'converse': {'messages': messages}}
        )
        assert counted['inputTokens'] > 0
