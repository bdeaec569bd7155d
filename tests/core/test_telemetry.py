"""What is measured is exported under the names of the conventions, and holds neither content nor secrets."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError, ReadTimeoutError
from credential_sources import hello
from generation import EndlessGeneration, eventually
from opentelemetry import metrics
from pydantic_ai import ModelRequest
from pydantic_ai.direct import model_request_stream
from pydantic_ai.models.instrumented import InstrumentationSettings, InstrumentedModel

from local_bedrock import SERVICE_UNAVAILABLE, THROTTLING, ErrorReply, LocalBedrock, NoResponse, Quota, exception_event
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, PoolTimeoutError, SessionPool
from pydantic_ai_aiobedrock._config.call_options import CallOptions
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime

sdk = pytest.importorskip('opentelemetry.sdk.metrics', reason='what is exported is read by the OpenTelemetry SDK')
export = pytest.importorskip('opentelemetry.sdk.metrics.export')

MODEL = 'us.amazon.nova-lite-v1:0'
REQUEST: dict[str, Any] = {'modelId': MODEL, 'messages': [{'role': 'user', 'content': [{'text': 'Sesame, open.'}]}]}
OWN = 'pydantic_ai_aiobedrock'

Points = dict[str, list[Any]]
Read = Callable[[], Points]


@pytest.fixture(scope='module')
def reader() -> Any:
    """Set the SDK up for the process, which can be done once; other tests are not concerned: nobody reads theirs."""
    delta = dict.fromkeys((sdk.Counter, sdk.Histogram), export.AggregationTemporality.DELTA)
    reader = export.InMemoryMetricReader(preferred_temporality=delta)
    metrics.set_meter_provider(sdk.MeterProvider(metric_readers=[reader], shutdown_on_exit=False))
    return reader


@pytest.fixture
def read(reader: Any) -> Read:
    """Return a function that gives what was measured since it was last called, by name."""

    def read() -> Points:
        data = reader.get_metrics_data()
        found: Points = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                if scope.scope.name == OWN:
                    found |= {metric.name: list(metric.data.data_points) for metric in scope.metrics}
        return found

    read()
    return read


@pytest.fixture
def client(provider: BedrockProvider) -> BedrockRuntime:
    assert isinstance(provider.client, BedrockRuntime)
    return provider.client


def only(points: Points, name: str) -> Any:
    (point,) = points[name]
    return point


async def test_a_call_is_measured_as_a_whole_and_by_attempt(
    client: BedrockRuntime, bedrock: LocalBedrock, read: Read
) -> None:
    await client.converse(**REQUEST)
    points = read()
    duration = only(points, 'gen_ai.client.operation.duration')
    server = {'server.address': '127.0.0.1', 'server.port': int(bedrock.base_url.rpartition(':')[2])}
    assert duration.count == 1
    assert dict(duration.attributes) == {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'aws.bedrock',
        'gen_ai.request.model': MODEL,
        **server,
    }
    attempt = only(points, 'http.client.request.duration')
    assert dict(attempt.attributes) == {'http.request.method': 'POST', 'http.response.status_code': 200, **server}
    assert 0 < attempt.sum <= duration.sum
    assert only(points, f'{OWN}.pool.wait_time').count == 1
    (recorded,) = bedrock.requests
    assert only(points, 'http.client.request.body.size').sum == len(recorded.raw_body)
    assert only(points, 'http.client.response.body.size').sum == recorded.bytes_sent


async def test_the_wait_for_a_connection_has_neither_pacing_nor_earlier_attempts_in_it(
    client: BedrockRuntime, bedrock: LocalBedrock, read: Read
) -> None:
    await client.converse(**REQUEST)
    read()
    bedrock.fault(ErrorReply(429, 'ThrottlingException', 'Not now.', headers={'Retry-After': '1'}), times=1)
    await client.converse(**REQUEST)
    wait = only(read(), f'{OWN}.pool.wait_time')
    assert wait.count == 2
    # Connections are free.
    assert wait.sum < 1


async def test_a_stream_is_measured_to_its_end(client: BedrockRuntime, bedrock: LocalBedrock, read: Read) -> None:
    response = await client.converse_stream(**REQUEST)
    assert 'gen_ai.client.operation.duration' not in read()
    async with response['stream'] as stream:
        async for _ in stream:
            pass
    points = read()
    first = only(points, f'{OWN}.stream.time_to_first_chunk')
    whole = only(points, 'gen_ai.client.operation.duration')
    assert first.count == whole.count == only(points, f'{OWN}.stream.duration').count == 1
    assert 0 < first.sum <= whole.sum
    assert 'error.type' not in whole.attributes
    assert only(points, 'http.client.response.body.size').sum == bedrock.requests[0].bytes_sent


async def test_the_time_to_the_first_chunk_of_a_run_is_a_metric_of_pydantic_ai_alone(
    provider: BedrockProvider, reader: Any, read: Read
) -> None:
    settings = InstrumentationSettings(meter_provider=metrics.get_meter_provider())
    model = InstrumentedModel(BedrockConverseModel(MODEL, provider=provider), settings)
    async with model_request_stream(model, [ModelRequest.user_text_prompt('Hi.')]) as stream:
        async for _ in stream:
            pass
    data = reader.get_metrics_data()
    scopes = [
        scope.scope.name
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == 'gen_ai.client.operation.time_to_first_chunk'
    ]
    # Older releases of it have no such metric.
    assert scopes in ([], ['pydantic-ai'])


async def test_a_stream_that_is_closed_early_is_no_error_and_measured_once(
    client: BedrockRuntime, bedrock: LocalBedrock, read: Read
) -> None:
    bedrock.reply(EndlessGeneration())
    stream = (await client.converse_stream(**REQUEST))['stream']
    await anext(stream)
    stream.close()
    stream.close()
    duration = only(read(), 'gen_ai.client.operation.duration')
    assert duration.count == 1
    assert 'error.type' not in duration.attributes


async def test_a_stream_that_nobody_holds_is_measured_too(
    client: BedrockRuntime, bedrock: LocalBedrock, read: Read
) -> None:
    bedrock.reply(EndlessGeneration())
    response = await client.converse_stream(**REQUEST)
    del response
    gc.collect()
    await eventually(lambda: client.pool.stats().leases == 0)
    assert only(read(), 'gen_ai.client.operation.duration').count == 1


async def test_the_error_of_a_stream_is_its_type(client: BedrockRuntime, bedrock: LocalBedrock, read: Read) -> None:
    bedrock.fault(exception_event('modelStreamErrorException'))
    response = await client.converse_stream(**REQUEST)
    with pytest.raises(EventStreamError):
        async for _ in response['stream']:
            pass
    assert only(read(), 'gen_ai.client.operation.duration').attributes['error.type'] == 'modelStreamErrorException'


async def test_retries_and_throttles_are_counted(client: BedrockRuntime, bedrock: LocalBedrock, read: Read) -> None:
    bedrock.fault(THROTTLING, times=1)
    bedrock.fault(SERVICE_UNAVAILABLE, times=1)
    await client.converse(**REQUEST)
    points = read()
    assert only(points, f'{OWN}.retries').value == 1
    assert only(points, f'{OWN}.throttles').value == 1
    statuses = {point.attributes['http.response.status_code'] for point in points['http.client.request.duration']}
    assert statuses == {429, 503, 200}
    assert 'error.type' not in only(points, 'gen_ai.client.operation.duration').attributes


async def test_the_queue_of_a_throttled_model_is_measured(
    client: BedrockRuntime, bedrock: LocalBedrock, read: Read
) -> None:
    bedrock.set_quotas(Quota(requests_per_second=0))
    calls = [asyncio.create_task(client.converse(**REQUEST)) for _ in range(3)]
    await eventually(lambda: sum(pacing.waiting for pacing in client.pool.stats().pacing) == 3)
    points = read()
    waiting = only(points, f'{OWN}.pacing.waiting')
    assert waiting.value == 3
    assert waiting.attributes['gen_ai.request.model'] == REQUEST['modelId']
    assert only(points, f'{OWN}.pacing.rate').value > 0
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)


async def test_the_error_of_a_call_is_the_code_of_aws(client: BedrockRuntime, read: Read) -> None:
    with pytest.raises(ClientError):
        await client.converse(modelId=MODEL, messages=[])
    points = read()
    assert only(points, 'gen_ai.client.operation.duration').attributes['error.type'] == 'ValidationException'
    assert only(points, 'http.client.request.duration').attributes['error.type'] == '400'


async def test_what_the_pools_hold_is_exported(client: BedrockRuntime, bedrock: LocalBedrock, read: Read) -> None:
    before = read()
    bedrock.reply(EndlessGeneration())
    async with (await client.converse_stream(**REQUEST))['stream']:
        during = read()
        stats = client.pool.stats()

    def change(name: str, **attributes: str) -> int:
        now, then = (
            sum(point.value for point in points[name] if attributes.items() <= dict(point.attributes).items())
            for points in (during, before)
        )
        return now - then

    assert change('http.client.active_requests') == stats.in_flight == 1
    assert change('http.client.open_connections', **{'http.connection.state': 'active'}) == stats.connections == 1
    assert change(f'{OWN}.pool.clients') == change(f'{OWN}.pool.clients.opened') == 1
    assert change(f'{OWN}.pool.pending_requests') == 0


async def test_waiting_in_vain_is_counted(client: BedrockRuntime, bedrock: LocalBedrock, read: Read) -> None:
    bedrock.reply(EndlessGeneration())
    narrow = BedrockRuntime(client.pool, replace(client.spec, max_connections=1), client.meta.endpoint_url)
    async with (await narrow.converse_stream(**REQUEST))['stream']:
        with pytest.raises(PoolTimeoutError):
            await narrow.call('converse', REQUEST, CallOptions(pool_timeout=0.01))
    points = read()
    assert only(points, f'{OWN}.pool.timeouts').value == 1
    errors = {point.attributes.get('error.type') for point in points['gen_ai.client.operation.duration']}
    assert 'PoolTimeoutError' in errors


async def test_credentials_that_are_resolved_anew_are_counted(
    bedrock: LocalBedrock, monkeypatch: pytest.MonkeyPatch, read: Read
) -> None:
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    async with BedrockProvider(pool=SessionPool()) as provider:
        await provider.client.converse(**REQUEST)
        assert f'{OWN}.credentials.refreshes' not in read()
        key = bedrock.rotate_credentials()
        monkeypatch.setenv('AWS_ACCESS_KEY_ID', key.access_key_id)
        monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', key.secret_access_key)
        await provider.client.converse(**REQUEST)
        points = read()
        assert only(points, f'{OWN}.credentials.refreshes').value == 1
        assert dict(only(points, f'{OWN}.credentials.refreshes').attributes) == {}
        bedrock.expire(key.access_key_id)
        with pytest.raises(ClientError):
            await provider.client.converse(**REQUEST)
        monkeypatch.delenv('AWS_ACCESS_KEY_ID')
        monkeypatch.delenv('AWS_SECRET_ACCESS_KEY')
        with pytest.raises(ClientError):
            await provider.client.converse(**REQUEST)
    failed = [point for point in read()[f'{OWN}.credentials.refreshes'] if 'error.type' in point.attributes]
    assert [point.value for point in failed] == [1]


async def test_no_content_and_no_secret_is_exported(client: BedrockRuntime, bedrock: LocalBedrock, reader: Any) -> None:
    bedrock.reply('The treasure is behind the door.', times=2)
    await client.converse(**REQUEST)
    async with (await client.converse_stream(**REQUEST))['stream'] as stream:
        async for _ in stream:
            pass
    exported = reader.get_metrics_data().to_json()
    assert MODEL in exported
    for secret in ('Sesame', 'treasure', bedrock.aws_access_key_id, bedrock.aws_secret_access_key, 'Authorization'):
        assert secret not in exported


async def test_a_pool_that_is_gone_is_not_exported(read: Read) -> None:
    async def held() -> int:
        return sum(point.value for point in read()[f'{OWN}.pool.clients'])

    before = await held()
    pool = SessionPool()
    await pool.aclose()
    del pool
    gc.collect()
    assert await held() == before


@pytest.mark.parametrize('operation', ['converse', 'converse_stream'])
async def test_a_call_measures_the_same_whoever_prepares_its_request(
    client: BedrockRuntime, bedrock: LocalBedrock, read: Read, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request of a client is botocore's; a failed attempt of a later call is handed to botocore."""
    monkeypatch.setattr('botocore.retries.standard.ExponentialBackoff.delay_amount', lambda *_: 0)

    async def answer() -> None:
        response = await getattr(client, operation)(**hello())
        if 'stream' in response:
            async for _ in response['stream']:
                pass

    async def measure() -> dict[str, list[Any]]:
        read()
        bedrock.fault(SERVICE_UNAVAILABLE, times=1)
        await answer()
        # Counts, for times are never the same.
        return {
            name: sorted(
                (sorted(point.attributes.items()), getattr(point, 'count', None) or point.value) for point in points
            )
            for name, points in read().items()
        }

    def look_on(**_: object) -> None: ...

    await answer()
    with await client.pool.lease(client.spec) as lease:
        events = lease.client.meta.events
    events.register('before-send', look_on)
    botocores = await measure()
    events.unregister('before-send', look_on)
    # This one is made after the first.
    await answer()
    assert await measure() == botocores
    assert botocores['pydantic_ai_aiobedrock.retries'][0][1] == 1


async def test_an_attempt_that_is_handed_to_botocore_took_as_long_as_it_did(
    client: BedrockRuntime, bedrock: LocalBedrock, read: Read
) -> None:
    options = CallOptions(max_attempts=1, read_timeout=0.1)
    await client.call('converse', hello(), options)
    read()
    bedrock.fault(NoResponse('hang'), times=1)
    with pytest.raises(ReadTimeoutError):
        await client.call('converse', hello(), options)
    attempt = only(read(), 'http.client.request.duration')
    assert attempt.sum >= 0.1
    assert attempt.attributes['error.type'] == 'ReadTimeoutError'
