"""No key, token, password or signature stands in a span, in a metric, in a repr, or in what an error says.

The log records of the package are looked at by every test of this suite, and so is every error that it meets.
"""

from __future__ import annotations

import asyncio
import gc
import traceback
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.exceptions import AgentRunError, ModelAPIError, UserError
from pydantic_ai.models.instrumented import InstrumentationSettings, InstrumentedModel

from local_bedrock import (
    EXPIRED_TOKEN,
    THROTTLING,
    AccessKey,
    Fault,
    LocalBedrock,
    NoResponse,
    RecordedRequest,
    Truncate,
    WrongChecksum,
    exception_event,
)
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool
from pydantic_ai_aiobedrock._client.connector import FairResponse
from pydantic_ai_aiobedrock._config.call_options import CallOptions

from .calls import NOVA, Caller, call
from .outcomes import secrets_in

PASSWORD = 'open-sesame'

WRONG_CHECKSUM = WrongChecksum(1)
EXCEPTION = exception_event('modelStreamErrorException', after=2)
FAULTS: dict[str, Fault | None] = {
    'none': None,
    'throttled': THROTTLING,
    'token expired': EXPIRED_TOKEN,
    'reset': NoResponse('reset'),
    'cut': Truncate(100, 'close'),
    'wrong checksum': WRONG_CHECKSUM,
    'exception': EXCEPTION,
}
IN_STREAMS = (WRONG_CHECKSUM, EXCEPTION)


@pytest.fixture
def spans() -> Any:
    """Return the exporter of the spans of the test, with the settings that instrument a model."""
    export = pytest.importorskip('opentelemetry.sdk.trace.export.in_memory_span_exporter')
    trace = pytest.importorskip('opentelemetry.sdk.trace')
    simple = pytest.importorskip('opentelemetry.sdk.trace.export')
    exporter = export.InMemorySpanExporter()
    provider = trace.TracerProvider()
    provider.add_span_processor(simple.SimpleSpanProcessor(exporter))
    return exporter, InstrumentationSettings(tracer_provider=provider)


@pytest.mark.parametrize('fault', FAULTS.values(), ids=FAULTS.keys())
async def test_spans_hold_no_secret(caller: Caller, spans: Any, fault: Fault | None) -> None:
    exporter, settings = spans
    model = InstrumentedModel(caller.model, settings)
    if fault is not None:
        caller.bedrock.fault(fault)
    for streaming in (False, True):
        _, error = await call(model, streaming=streaming, secrets=caller.secrets)
        assert (error is None) == (fault is None or (not streaming and fault in IN_STREAMS))
    finished = exporter.get_finished_spans()
    assert len(finished) == 2
    for span in finished:
        said = [span.to_json(), *(repr(event.attributes) for event in span.events)]
        assert not [found for text in said for found in secrets_in(text, caller.secrets)]


async def test_objects_show_no_secret(caller: Caller) -> None:
    assert (await caller.call(streaming=False)).error is None
    client = caller.provider.client
    lease = await client.pool.lease(client.spec)
    things = [caller.provider, caller.model, client, client.spec, client.pool, client.pool.stats(), lease]
    things += [lease.client.identity, lease.client]
    lease.release()
    for thing in things:
        assert not secrets_in(f'{thing} {thing!r}', caller.secrets), type(thing)


@pytest.mark.parametrize('by', ['api key', 'session token', 'access key'])
async def test_no_object_of_the_package_shows_a_secret_a_header_or_a_body_by_its_repr(
    bedrock: LocalBedrock, secrets: list[str], by: str
) -> None:
    """Debuggers, and services that collect errors, show the repr of each local variable."""
    key = bedrock.rotate_credentials(temporary=by == 'session token')
    arguments: dict[str, Any] = {
        'aws_access_key_id': key.access_key_id,
        'aws_secret_access_key': key.secret_access_key,
        'aws_session_token': key.session_token,
    }
    if by == 'api key':
        arguments = {'api_key': bedrock.api_key}
    secrets += [value for value in arguments.values() if value is not None]
    header, prompt = 'secret-of-the-header', 'body-of-the-request'
    seen: set[str] = set()
    shown: list[str] = []

    def look() -> None:
        for each in gc.get_objects():
            kind = type(each)
            # The repr of a response is aiohttp's own, and breaks one that has not arrived yet.
            if not str(kind.__module__).startswith('pydantic_ai_aiobedrock') or kind is FairResponse:
                continue
            seen.add(kind.__name__)
            # The parameters of a call are its caller's, and are shown as long as nothing is sent.
            unsaid = [header, prompt] if '._client.' in kind.__module__ else [header]
            shown.extend(f'{kind}: {found}' for found in secrets_in(repr(each), [*secrets, *unsaid]))

    def reply(_: RecordedRequest) -> str:
        look()
        return 'answer'

    bedrock.reply(reply, times=None)
    params = {'modelId': NOVA, 'messages': [{'role': 'user', 'content': [{'text': prompt}]}]}
    # Objects of earlier tests are not looked at.
    gc.collect()
    gc.freeze()
    try:
        async with BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, **arguments) as provider:
            for options in (CallOptions(), CallOptions(), CallOptions(extra_headers={'X-Header': header})):
                await provider.client.call('converse', params, options)
                look()
    finally:
        gc.unfreeze()
    assert {'_Template', '_Call', 'SignedRequest', 'CallOptions', 'ClientSpec'} <= seen
    assert not shown


# Errors around credentials


async def test_credentials_that_are_refused_are_not_shown(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secrets: list[str]
) -> None:
    """Their source is named, and asked again: first it has the same, then others that are refused too, then none."""
    path = tmp_path / 'credentials'
    monkeypatch.setenv('AWS_SHARED_CREDENTIALS_FILE', str(path))

    def write(key: AccessKey) -> None:
        secrets.extend([key.access_key_id, key.secret_access_key, str(key.session_token)])
        path.write_text(
            f'[default]\naws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret_access_key}\n'
            f'aws_session_token = {key.session_token}\n'
        )

    write(bedrock.rotate_credentials(temporary=True))
    provider = BedrockProvider(region_name=bedrock.region_name, base_url=bedrock.base_url, pool=SessionPool())
    model = BedrockConverseModel(NOVA, provider=provider)
    assert (await call(model, streaming=False))[1] is None
    bedrock.rotate_credentials(temporary=True)
    for change in (lambda: None, lambda: write(AccessKey.make(temporary=True)), path.unlink):
        change()
        _, error = await call(model, streaming=False, secrets=secrets)
        assert isinstance(error, ModelAPIError)
        assert 'shared-credentials-file' in str(error)
    await provider.client.pool.aclose()


KEYS = {'no Latin': 'sesame-open\u2026', 'refused': 'sesame-open'}
BROKEN_KEYS = {'line break': 'sesame-open\n', 'line break within': 'sesame\nsesame-open'}


@pytest.mark.parametrize('api_key', BROKEN_KEYS.values(), ids=BROKEN_KEYS.keys())
def test_a_key_that_is_refused_where_it_is_passed_is_not_shown(api_key: str) -> None:
    with pytest.raises(UserError, match='`api_key` of a BedrockProvider has a line break') as raised:
        BedrockProvider(region_name='us-east-1', api_key=api_key)
    assert 'sesame' not in ''.join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ('given', 'api_key'),
    [
        *(pytest.param(str, key, id=f'text, {name}') for name, key in KEYS.items()),
        *(
            pytest.param(lambda key: lambda: key, key, id=f'function, {name}')
            for name, key in {**KEYS, **BROKEN_KEYS}.items()
        ),
    ],
)
async def test_a_key_that_can_not_be_used_is_not_shown(
    bedrock: LocalBedrock, secrets: list[str], given: Callable[[str], Any], api_key: str
) -> None:
    secrets.append('sesame-open')
    provider = BedrockProvider(
        region_name=bedrock.region_name, base_url=bedrock.base_url, api_key=given(api_key), pool=SessionPool()
    )
    _, error = await call(BedrockConverseModel(NOVA, provider=provider), streaming=False, secrets=secrets)
    assert isinstance(error, AgentRunError | UserError)
    await provider.client.pool.aclose()


# Errors of a proxy


PROXIES = {
    'refuses': b'HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n',
    'does not speak HTTP': b'SSH-2.0-OpenSSH_9.6\r\n',
    'is gone': None,
    'closes': b'',
}


@pytest.mark.parametrize('answer', PROXIES.values(), ids=PROXIES.keys())
@pytest.mark.parametrize('scheme', ['http', 'https'])
async def test_the_password_of_a_proxy_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
    provider_of: Callable[[str], BedrockProvider],
    secrets: list[str],
    scheme: str,
    answer: bytes | None,
) -> None:
    secrets += [PASSWORD, b64encode(f'user:{PASSWORD}'.encode()).decode()]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'\r\n\r\n')
        writer.write(answer or b'')
        writer.close()

    server = await asyncio.start_server(handle, '127.0.0.1', 0)
    address = f'user:{PASSWORD}@127.0.0.1:{server.sockets[0].getsockname()[1]}'
    if answer is None:
        server.close()
    monkeypatch.setenv(f'{scheme.upper()}_PROXY', f'http://{address}')
    provider = provider_of(f'{scheme}://bedrock.invalid')
    _, error = await call(BedrockConverseModel(NOVA, provider=provider), streaming=False, secrets=secrets)
    assert isinstance(error, ModelAPIError)
    server.close()
