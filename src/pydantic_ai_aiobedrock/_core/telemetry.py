"""Metrics of the pool and of the calls, through opentelemetry-api: numbers, model ids and hosts, never content.

Without an OpenTelemetry SDK the instruments do nothing. The SDK requests the pool's counts when it exports, so counting
costs a call nothing. Names and units are those of OpenTelemetry's semantic conventions where they exist.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from types import MappingProxyType
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit
from weakref import WeakSet

from botocore.exceptions import ClientError
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from pydantic_ai_aiobedrock._wire.converse_errors import ConverseStreamError

_SCOPE = 'pydantic_ai_aiobedrock'
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bucket boundaries that the conventions advise for generation; those of HTTP end at 10 s."""

_BYTES = (256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)
_ATTEMPT: str = 'pydantic_ai_aiobedrock.attempt'
_SENT_AT: str = 'pydantic_ai_aiobedrock.sent_at'


def _version() -> str:
    try:
        return version('pydantic-ai-aiobedrock')
    except PackageNotFoundError:
        # Bundlers omit the metadata of distributions.
        return ''


_meter = metrics.get_meter(_SCOPE, _version())


def _histogram(name: str, unit: str, description: str, buckets: Iterable[float] = _SECONDS) -> metrics.Histogram:
    return _meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=list(buckets))


_operation_duration = _histogram(
    'gen_ai.client.operation.duration',
    's',
    'Calls from their beginning to their end: retries, the wait for a connection, and the whole of a stream included.',
)
# Pydantic AI records `gen_ai.client.operation.time_to_first_chunk` for its runs.
_first_chunk = _histogram(
    f'{_SCOPE}.stream.time_to_first_chunk', 's', 'From the beginning of a streamed call to its first bytes.'
)
_attempt_duration = _histogram(
    'http.client.request.duration',
    's',
    'One attempt: from the signed request to the response; of a stream, to its headers.',
)
_request_size = _histogram('http.client.request.body.size', 'By', 'Size of request bodies.', _BYTES)
_response_size = _histogram('http.client.response.body.size', 'By', 'Size of response bodies; streams, too.', _BYTES)
_stream_duration = _histogram(f'{_SCOPE}.stream.duration', 's', 'From the headers of a stream until it is closed.')
_wait_time = _histogram(f'{_SCOPE}.pool.wait_time', 's', 'Wait for a client and for a free connection.')
_retries = _meter.create_counter(f'{_SCOPE}.retries', '{attempt}', 'Attempts after the first of a call.')
_throttles = _meter.create_counter(f'{_SCOPE}.throttles', '{response}', 'Responses of status 429, retried or not.')
_pool_timeouts = _meter.create_counter(f'{_SCOPE}.pool.timeouts', '{timeout}', 'Waits of a call that took too long.')
_refreshes = _meter.create_counter(
    f'{_SCOPE}.credentials.refreshes', '{refresh}', 'Times that credentials or API keys were resolved again.'
)


class PacedModel(Protocol):
    """Pacing of a model: a `PacingStats`, whose other fields are read by name."""

    @property
    def model(self) -> str:
        """The model id."""
        ...

    @property
    def family(self) -> str:
        """The kind of operation."""
        ...

    @property
    def region(self) -> str:
        """The AWS region."""
        ...


class PoolCounts(Protocol):
    """Counts of a pool: a `PoolStats`, whose other fields are read by name."""

    @property
    def in_flight(self) -> int:
        """Calls and streams that have a connection."""
        ...

    @property
    def connections(self) -> int:
        """Open connections, including idle."""
        ...

    @property
    def pacing(self) -> Sequence[PacedModel]:
        """Statistics of the models that AWS has throttled."""
        ...


class CountedPool(Protocol):
    """A pool that counts itself."""

    def stats(self) -> PoolCounts:
        """Count clients, calls and connections now."""
        ...


_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class StreamProgress:
    """Progress of a stream; it holds no reference to the stream, which may be collected meanwhile.

    Attributes:
        complete: Whether the whole answer has been read.
        metadata: The event that has the usage, empty until it has come.
        first_read_at: When the first bytes were read, on `time.perf_counter()`.
        bytes_received: Bytes of the body that have been read.
    """

    __slots__ = ('bytes_received', 'complete', 'first_read_at', 'metadata')

    def __init__(self) -> None:
        self.complete: bool = False
        self.metadata: Mapping[str, Any] = _NONE
        self.first_read_at: float | None = None
        self.bytes_received: int = 0

    def read(self, size: int) -> None:
        """Note that so many bytes have been read."""
        self.bytes_received += size
        if self.first_read_at is None:
            self.first_read_at = perf_counter()


class Operation:
    """One call, from before its lease to its end. As a context manager it records how long that took."""

    __slots__ = ('_attributes', '_opened_at', '_start')

    def __init__(self, name: str, params: Mapping[str, Any], endpoint_url: str) -> None:
        """Begin to measure.

        Args:
            name: The operation, as the conventions for generative AI name it.
            params: The parameters of the call, of which only the model id is looked at.
            endpoint_url: Where it is sent.
        """
        self._start = perf_counter()
        self._opened_at: float | None = None
        self._attributes: dict[str, str | int] = {
            'gen_ai.operation.name': name,
            'gen_ai.provider.name': 'aws.bedrock',
            'gen_ai.request.model': str(params.get('modelId')),
            **server_attributes(endpoint_url),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> None:
        if self._opened_at is None:
            self._end(error)

    def stream_opened(self) -> None:
        """Let the end of the stream be the end of the operation."""
        self._opened_at = perf_counter()

    def stream_ended(self, progress: StreamProgress) -> None:
        """Record a stream, while the error that has ended it is handled, if there is one."""
        assert self._opened_at is not None
        _stream_duration.record(perf_counter() - self._opened_at, self._attributes)
        _response_size.record(progress.bytes_received, self._attributes)
        if progress.first_read_at is not None:
            _first_chunk.record(progress.first_read_at - self._start, self._attributes)
        # A stream closes itself while it raises.
        self._end(None if progress.complete else sys.exc_info()[1])

    def _end(self, error: BaseException | None) -> None:
        if error is not None:
            self._attributes['error.type'] = _error_type(error)
        _operation_duration.record(perf_counter() - self._start, self._attributes)


def lease_granted(seconds: float) -> None:
    """Record the seconds that an attempt has waited for its lease."""
    _wait_time.record(seconds)


def install(client: Any) -> None:
    """Measure each attempt of this client's calls, through the events that botocore emits around it."""
    events = client.meta.events
    # Last: when the request has been signed.
    events.register_last('request-created.bedrock-runtime', _sent, unique_id=f'{_SCOPE}.sent')
    received = partial(_received, server=server_attributes(client.meta.endpoint_url))
    events.register('response-received.bedrock-runtime', received, unique_id=f'{_SCOPE}.received')


def observe(pool: CountedPool) -> None:
    """Export the pool's counts for as long as the pool exists."""
    _pools.add(pool)


def pool_timed_out() -> None:
    """Count a call that waited in vain for a client or a connection."""
    _pool_timeouts.add(1)


def credentials_resolved(failure: str) -> None:
    """Count a resolution of credentials, or of an API key, and whether it failed; not the text of the failure."""
    _refreshes.add(1, {'error.type': '_OTHER'} if failure else {})


def _sent(request: Any, operation_name: str, **_: object) -> None:
    context: MutableMapping[str, Any] = request.context
    number = context.get(_ATTEMPT, (0,))[0] + 1
    context[_ATTEMPT] = (number, context.pop(_SENT_AT, None) or perf_counter(), len(request.body or b''))
    if number > 1:
        _retries.add(1, {'rpc.method': operation_name})


def _received(
    response_dict: Mapping[str, Any] | None,
    exception: BaseException | None,
    context: Mapping[str, Any],
    server: Mapping[str, str | int],
    **_: object,
) -> None:
    _, sent_at, request_bytes = context.get(_ATTEMPT, (0, None, 0))
    if sent_at is None:
        return
    if response_dict is not None:
        body = response_dict['body']
        response_bytes = len(body) if isinstance(body, bytes) else None
        attempt_answered(sent_at, request_bytes, response_dict['status_code'], response_bytes, server)
    elif exception is not None:
        attributes = {'http.request.method': 'POST', **server, 'error.type': _error_type(exception)}
        _attempt_duration.record(perf_counter() - sent_at, attributes)
        _request_size.record(request_bytes, attributes)


def attempt_answered(
    sent_at: float, request_bytes: int, status: int, response_bytes: int | None, server: Mapping[str, str | int]
) -> None:
    """Record an attempt that AWS answered.

    Args:
        sent_at: When it was sent, on `time.perf_counter()`.
        request_bytes: The size of the body that was sent.
        status: The status of the answer.
        response_bytes: The size of the answer's body, unless that is a stream.
        server: The `server_attributes` of where it was sent.
    """
    attributes: dict[str, str | int] = {
        'http.request.method': 'POST',
        **server,
        'http.response.status_code': status,
    }
    if status >= 400:
        attributes['error.type'] = str(status)
    if status == 429:
        _throttles.add(1, server)
    if response_bytes is not None:
        _response_size.record(response_bytes, attributes)
    _attempt_duration.record(perf_counter() - sent_at, attributes)
    _request_size.record(request_bytes, attributes)


def attempt_was_sent(context: MutableMapping[str, Any], sent_at: float) -> None:
    """Note that the next attempt of a call was sent at `sent_at`, on `time.perf_counter()`."""
    context[_SENT_AT] = sent_at


@lru_cache(maxsize=256)
def server_attributes(endpoint_url: str) -> Mapping[str, str | int]:
    """Return the attributes of a server in the conventions for HTTP."""
    url = urlsplit(endpoint_url)
    return {'server.address': url.hostname or '', 'server.port': url.port or (443 if url.scheme == 'https' else 80)}


def _error_type(error: BaseException) -> str:
    if isinstance(error, ConverseStreamError):
        return error.code or type(error).__name__
    if isinstance(error, ClientError):
        response: Any = error.response
        return response.get('Error', {}).get('Code') or type(error).__name__
    return type(error).__name__


_pools: WeakSet[CountedPool] = WeakSet()


_TRIES = 5


def _counts() -> list[PoolCounts]:
    return [_counts_of(pool) for pool in list(_pools)]


def _counts_of(pool: CountedPool) -> PoolCounts:
    # Exporters read from a thread of their own: clients may come and go during the count.
    for _ in range(_TRIES - 1):
        with suppress(RuntimeError):
            return pool.stats()
    return pool.stats()


def _sum(field: str, _: CallbackOptions) -> list[Observation]:
    return [Observation(sum(getattr(counts, field) for counts in _counts()))]


def _of_models(field: str, _: CallbackOptions) -> list[Observation]:
    return [
        Observation(
            value,
            {'gen_ai.request.model': paced.model, 'gen_ai.operation.name': paced.family, 'cloud.region': paced.region},
        )
        for counts in _counts()
        for paced in counts.pacing
        if (value := getattr(paced, field)) is not None
    ]


def _connections(_: CallbackOptions) -> list[Observation]:
    active = idle = 0
    for counts in _counts():
        used = counts.in_flight
        active, idle = active + used, idle + counts.connections - used
    return [
        Observation(active, {'http.connection.state': 'active'}),
        Observation(idle, {'http.connection.state': 'idle'}),
    ]


_meter.create_observable_up_down_counter(
    'http.client.open_connections', [_connections], '{connection}', 'Open connections, over all pools.'
)
for _name, _unit, _description, _field in (
    ('http.client.active_requests', '{request}', 'Requests and streams that have a connection.', 'in_flight'),
    (f'{_SCOPE}.pool.pending_requests', '{request}', 'Calls that wait for a client or a connection.', 'waiting'),
    (f'{_SCOPE}.pool.clients', '{client}', 'Open clients.', 'clients'),
):
    _meter.create_observable_up_down_counter(_name, [partial(_sum, _field)], _unit, _description)
for _name, _unit, _description, _field in (
    (f'{_SCOPE}.pool.clients.opened', '{client}', 'Clients opened.', 'opened'),
    (f'{_SCOPE}.pool.clients.evicted', '{client}', 'Clients closed as idle or to make room.', 'evicted'),
    (f'{_SCOPE}.pool.connections.opened', '{connection}', 'Connections opened.', 'connections_opened'),
):
    _meter.create_observable_counter(_name, [partial(_sum, _field)], _unit, _description)
for _name, _unit, _description, _field in (
    (f'{_SCOPE}.pacing.rate', '{unit}/s', 'Calls, or tokens, per second that are sent of a throttled model.', 'rate'),
    (f'{_SCOPE}.pacing.waiting', '{request}', 'Calls of a throttled model that wait to be sent.', 'waiting'),
    (f'{_SCOPE}.pacing.longest_wait', 's', 'Wait of the call at the head of that queue.', 'longest_wait'),
):
    _meter.create_observable_gauge(_name, [partial(_of_models, _field)], _unit, _description)
