"""Quotas: the requests and tokens of a model that an endpoint admits, and a record of those that it refuses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal, cast

from pydantic_core.core_schema import float_schema

from local_bedrock._arguments import FLAG, MODEL, Checked, optional
from local_bedrock._bodies.json_access import structure
from local_bedrock._bodies.tokens import count_tokens, input_tokens
from local_bedrock.errors import THROTTLING, TOO_MANY_TOKENS, TOO_MANY_TOKENS_PER_DAY, ErrorReply, RefusedError
from local_bedrock.requests import Operation, RecordedRequest

__all__ = ('Quota', 'Quotas', 'Reservation', 'Throttle', 'ThrottledError')

Resource = Literal['requests', 'tokens', 'tokens_per_day']
"""A resource that a quota limits."""

_REFUSALS: dict[Resource, ErrorReply] = {
    'requests': THROTTLING,
    'tokens': TOO_MANY_TOKENS,
    'tokens_per_day': TOO_MANY_TOKENS_PER_DAY,
}
# AWS counts these together, whichever is called.
_METERED = ('Converse', 'ConverseStream', 'InvokeModel', 'InvokeModelWithResponseStream')
# Members of a body that bound its output, by family: Converse and Nova; Claude, Mistral, OpenAI and Cohere; Titan;
# Llama; Nova's other spelling.
_MAX_TOKENS = (
    ('inferenceConfig', 'maxTokens'),
    ('max_tokens',),
    ('textGenerationConfig', 'maxTokenCount'),
    ('max_gen_len',),
    ('inferenceConfig', 'max_new_tokens'),
)
_DEFAULT_MAX_TOKENS = 4096
_KEPT_THROTTLES = 100_000
# Sums of floats may miss a whole number by this.
_TOLERANCE = 1e-6


_PER_PERIOD = optional(float_schema(strict=True, ge=0, allow_inf_nan=False))
_BURST = optional(float_schema(strict=True, ge=1, allow_inf_nan=False))


@dataclass(frozen=True, kw_only=True)
class Quota(
    Checked,
    requests_per_second=_PER_PERIOD,
    requests_per_minute=_PER_PERIOD,
    tokens_per_second=_PER_PERIOD,
    tokens_per_minute=_PER_PERIOD,
    tokens_per_day=_PER_PERIOD,
    burst=_BURST,
    token_burst=_BURST,
    model=optional(MODEL),
    in_stream=FLAG,
):
    """The requests and tokens that each model may take: buckets that hold a burst and fill at a rate.

    As at AWS, a request reserves its input tokens and `maxTokens` when it starts (4,096 if omitted), and what it did
    not use comes back when its response ends. A refused request takes nothing. Invocations of a model count together,
    whether by Converse, ConverseStream or InvokeModel; records of batch inference jobs do not count. See
    https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html.

    Args:
        requests_per_second: Rate at which requests are admitted; 0 admits none.
        requests_per_minute: The same per minute.
        tokens_per_second: Rate at which tokens become available; 0 admits no request.
        tokens_per_minute: The same per minute.
        tokens_per_day: The same per day.
        burst: Requests that may come at once (default: those of a second, or of a minute).
        token_burst: Tokens that may be reserved at once (default: those of a second, or of a minute).
        model: Model id, or a function of it; each model has buckets of its own (default: every model).
        in_stream: Refuse ConverseStream by a `throttlingException` as the first event, instead of by status 429.

    Raises:
        ValueError: No limit is set, a rate is negative or no number, a burst is less than 1, or another argument wrong.
    """

    requests_per_second: float | None = None
    requests_per_minute: float | None = None
    tokens_per_second: float | None = None
    tokens_per_minute: float | None = None
    tokens_per_day: float | None = None
    burst: float | None = None
    token_burst: float | None = None
    model: str | Callable[[str], bool] | None = None
    in_stream: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if all(getattr(self, name) is None for name in _PERIODS):
            raise ValueError(f'A Quota needs a limit: set at least one of {", ".join(_PERIODS)}.')

    def concerns(self, model_id: str) -> bool:
        """Return True if the quota applies to a model."""
        return self.model(model_id) if callable(self.model) else self.model in (None, model_id)


# Seconds and resource of each limit.
_PERIODS: dict[str, tuple[float, Resource]] = {
    'requests_per_second': (1.0, 'requests'),
    'requests_per_minute': (60.0, 'requests'),
    'tokens_per_second': (1.0, 'tokens'),
    'tokens_per_minute': (60.0, 'tokens'),
    'tokens_per_day': (86_400.0, 'tokens_per_day'),
}


@dataclass(frozen=True)
class Throttle:
    """A request that a quota has refused."""

    at: float
    """When, on `time.monotonic()`."""
    model_id: str
    operation: Operation | None
    resource: Resource
    """The resource that was used up."""


class ThrottledError(RefusedError):
    """Raised when a quota refuses a request."""

    def __init__(self, resource: Resource, *, in_stream: bool) -> None:
        super().__init__(_REFUSALS[resource])
        self.in_stream = in_stream


class _Bucket:
    """A level that rises at a rate up to a capacity, and may fall below 0 when a request used more than reserved."""

    __slots__ = ('_at', '_capacity', '_level', '_rate')

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self._rate, self._capacity, self._level, self._at = rate, capacity, capacity, now

    def level(self, now: float) -> float:
        self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level

    def take(self, amount: float) -> None:
        self._level -= amount

    def put(self, amount: float) -> None:
        self._level = min(self._capacity, self._level + amount)

    def change(self, rate: float, capacity: float, now: float) -> None:
        self._level = min(self.level(now), capacity)
        self._rate, self._capacity = rate, capacity


@dataclass(frozen=True)
class _Limit:
    """A rate of a quota."""

    quota: Quota
    name: str
    resource: Resource
    rate: float
    capacity: float

    @property
    def key(self) -> tuple[str, object]:
        return self.name, self.quota.model


def _limits(quotas: Sequence[Quota]) -> Iterator[_Limit]:
    for quota in quotas:
        for name, (seconds, resource) in _PERIODS.items():
            per_period: float | None = getattr(quota, name)
            if per_period is None:
                continue
            bursts = {'requests': quota.burst, 'tokens': quota.token_burst, 'tokens_per_day': None}
            burst = bursts[resource] or max(per_period, 1.0)
            yield _Limit(quota, name, resource, per_period / seconds, burst if per_period else 0.0)


class Reservation:
    """The tokens that an admitted request holds until its response ends."""

    __slots__ = ('_buckets', '_input', '_reserved')

    def __init__(self, buckets: Sequence[_Bucket], input_tokens: int, reserved: int) -> None:
        self._buckets, self._input, self._reserved = buckets, input_tokens, reserved

    def settle(self, usage: Mapping[str, Any] | None) -> None:
        """Give back the tokens that were not used; a response without `usage` has used its input alone."""
        used = self._input
        if usage is not None:
            # Tokens that were read from the cache do not count.
            used = sum(usage.get(name) or 0 for name in ('inputTokens', 'cacheWriteInputTokens', 'outputTokens'))
        for bucket in self._buckets:
            bucket.put(self._reserved - used)
        self._buckets = ()


class Quotas:
    """The quotas of an endpoint, the state of their buckets, and the requests that they have refused."""

    def __init__(self, quotas: Sequence[Quota] = (), clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._initial = tuple(quotas)
        self.current: tuple[Quota, ...] = ()
        self._limits: list[_Limit] = []
        self._buckets: dict[str, list[tuple[_Limit, _Bucket]]] = {}
        self.throttles: deque[Throttle] = deque(maxlen=_KEPT_THROTTLES)
        self.admitted = self.throttled = 0
        self.set(self._initial)

    def set(self, quotas: Sequence[Quota]) -> None:
        """Replace the quotas; a limit that was there before keeps the level of its buckets, up to the new burst.

        Raises:
            ValueError: Two quotas set the same limit of the same models.
        """
        found = list(_limits(quotas))
        if len({limit.key for limit in found}) < len(found):
            raise ValueError('Two quotas set the same limit for the same models: leave one out.')
        now = self._clock()
        for model_id, metered in self._buckets.items():
            before = {limit.key: bucket for limit, bucket in metered}
            changed: list[tuple[_Limit, _Bucket]] = []
            for limit in (each for each in found if each.quota.concerns(model_id)):
                bucket = before.get(limit.key)
                if bucket is None:
                    bucket = _Bucket(limit.rate, limit.capacity, now)
                else:
                    bucket.change(limit.rate, limit.capacity, now)
                changed.append((limit, bucket))
            self._buckets[model_id] = changed
        self.current = tuple(quotas)
        self._limits = found

    def levels(self) -> dict[str, dict[str, float]]:
        """Return the requests and tokens that are left in the buckets, by model id and name of the limit."""
        now = self._clock()
        return {
            model_id: {limit.name: bucket.level(now) for limit, bucket in metered}
            for model_id, metered in self._buckets.items()
        }

    def forget(self) -> None:
        """Forget the requests that were admitted and refused."""
        self.throttles.clear()
        self.admitted = self.throttled = 0

    def start_over(self) -> None:
        """Return to the quotas of the start, with full buckets."""
        self._buckets.clear()
        self.set(self._initial)
        self.forget()

    def admit(self, request: RecordedRequest) -> Reservation | None:
        """Take a request, and the tokens that it reserves, from the buckets of its model.

        Returns:
            The reservation to settle when the response ends; `None` if no quota applies.

        Raises:
            ThrottledError: A bucket holds too little. Nothing is taken from any.
        """
        if not self._limits or request.operation not in _METERED or request.job_arn is not None:
            return None
        now = self._clock()
        metered = self._buckets.get(request.model_id)
        if metered is None:
            metered = self._buckets[request.model_id] = [
                (limit, _Bucket(limit.rate, limit.capacity, now))
                for limit in self._limits
                if limit.quota.concerns(request.model_id)
            ]
        counted = reserved = 0
        if any(limit.resource != 'requests' for limit, _ in metered):
            counted, reserved = _tokens(request)
        for limit, bucket in metered:
            wanted = 1 if limit.resource == 'requests' else reserved
            if bucket.level(now) + _TOLERANCE < wanted:
                self.throttled += 1
                self.throttles.append(Throttle(now, request.model_id, request.operation, limit.resource))
                raise ThrottledError(limit.resource, in_stream=limit.quota.in_stream and request.streaming)
        for limit, bucket in metered:
            bucket.take(1 if limit.resource == 'requests' else reserved)
        self.admitted += 1
        return Reservation([bucket for limit, bucket in metered if limit.resource != 'requests'], counted, reserved)


def _tokens(request: RecordedRequest) -> tuple[int, int]:
    """Return the tokens of the input of a request, and all that it reserves."""
    body = request.body
    converse = request.operation in ('Converse', 'ConverseStream')
    counted = input_tokens(body) if converse else max(1, sum(map(count_tokens, _texts(body))))
    if 'embed' in request.model_id:
        return counted, counted
    for *path, name in _MAX_TOKENS:
        if isinstance(most := structure(body, *path).get(name), int):
            return counted, counted + most
    return counted, counted + _DEFAULT_MAX_TOKENS


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a body in the format of a model, without media, which are base64."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, member in cast('Mapping[str, Any]', value).items():
            if name not in ('data', 'bytes'):
                yield from _texts(member)
    elif isinstance(value, list):
        for member in cast('list[Any]', value):
            yield from _texts(member)
