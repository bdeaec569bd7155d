"""Quotas: admission, reservation and refusal, by a clock of the test and over HTTP."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError, EventStreamError
from multidict import CIMultiDict, CIMultiDictProxy
from support.asking import ask
from support.requests import CLAUDE, NOVA, MakeClient, user

from local_bedrock import EventsReply, LocalBedrock, Quota, RawReply, RecordedRequest, Reply
from local_bedrock.quotas import Quotas, ThrottledError

REQUESTS = 'Too many requests, please wait before trying again.'
TOKENS = 'Too many tokens, please wait before trying again.'
PER_DAY = 'Too many tokens per day, please wait before trying again.'


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def request(model: str = NOVA, operation: Any = 'Converse', max_tokens: int | None = 100, text: str = 'Hi') -> Any:
    """Return a request of 4 input tokens: one of the text, three of the message."""
    config = {} if max_tokens is None else {'inferenceConfig': {'maxTokens': max_tokens}}
    return RecordedRequest(
        operation=operation,
        model_id=model,
        method='POST',
        path='/',
        headers=CIMultiDictProxy(CIMultiDict[str]()),
        raw_body=b'',
        body={'messages': [user(text)], **config},
    )


def admitted(quotas: Quotas, count: int, **options: Any) -> int:
    """Return how many of so many requests at once are admitted."""
    passed = 0
    for _ in range(count):
        try:
            quotas.admit(request(**options))
        except ThrottledError:
            continue
        passed += 1
    return passed


def test_a_burst_passes_and_then_the_rate(clock: Clock) -> None:
    quotas = Quotas([Quota(requests_per_second=50, burst=50)], clock)
    assert admitted(quotas, 1000) == 50
    clock.now += 0.5
    assert admitted(quotas, 1000) == 25
    clock.now += 60
    assert admitted(quotas, 1000) == 50


def test_the_burst_is_that_of_the_period_unless_set(clock: Clock) -> None:
    assert admitted(Quotas([Quota(requests_per_minute=60)], clock), 100) == 60
    assert admitted(Quotas([Quota(requests_per_second=0.5)], clock), 100) == 1
    assert admitted(Quotas([Quota(requests_per_minute=600, burst=3)], clock), 100) == 3


def test_a_refused_request_takes_nothing(clock: Clock) -> None:
    quotas = Quotas([Quota(requests_per_second=10, burst=1, tokens_per_second=104)], clock)
    quotas.admit(request())
    for _ in range(5):
        with pytest.raises(ThrottledError, match=REQUESTS):
            quotas.admit(request())
    clock.now += 0.5
    # A request is there again, but half the tokens are not: what is refused for tokens keeps the request.
    with pytest.raises(ThrottledError, match=TOKENS):
        quotas.admit(request())
    assert admitted(quotas, 5, max_tokens=40) == 1


def test_each_model_has_buckets_of_its_own(clock: Clock) -> None:
    quotas = Quotas([Quota(requests_per_second=2), Quota(requests_per_second=1, burst=5, model=CLAUDE)], clock)
    assert admitted(quotas, 10) == 2
    assert admitted(quotas, 10, model='amazon.nova-lite-v1:0') == 2
    # Both quotas are of this model: the smaller holds.
    assert admitted(quotas, 10, model=CLAUDE) == 2


def test_a_quota_may_choose_its_models_by_a_function(clock: Clock) -> None:
    quotas = Quotas([Quota(requests_per_second=1, model=lambda model: 'nova' in model)], clock)
    assert admitted(quotas, 10) == 1
    assert admitted(quotas, 10, model=CLAUDE) == 10


def test_all_invocations_of_a_model_count_together(clock: Clock) -> None:
    quotas = Quotas([Quota(requests_per_second=3)], clock)
    for operation in ('Converse', 'ConverseStream', 'InvokeModel'):
        quotas.admit(request(operation=operation))
    assert admitted(quotas, 5) == 0
    assert admitted(quotas, 5, operation='CountTokens') == 5


def test_tokens_are_reserved_and_the_rest_comes_back(clock: Clock) -> None:
    quotas = Quotas([Quota(tokens_per_minute=208)], clock)
    first, second = (quotas.admit(request()) for _ in range(2))
    with pytest.raises(ThrottledError, match=TOKENS):
        quotas.admit(request())
    assert first is not None
    first.settle({'inputTokens': 4, 'outputTokens': 6, 'cacheReadInputTokens': 1000})
    assert admitted(quotas, 5, max_tokens=91) == 0
    assert admitted(quotas, 5, max_tokens=90) == 1
    assert second is not None
    second.settle(None)
    assert admitted(quotas, 5, max_tokens=97) == 0
    assert admitted(quotas, 5, max_tokens=96) == 1


def test_a_reservation_comes_back_once(clock: Clock) -> None:
    quotas = Quotas([Quota(tokens_per_minute=312)], clock)
    reservations = [quotas.admit(request()) for _ in range(3)]
    assert reservations[0] is not None
    for _ in range(5):
        reservations[0].settle(None)
    assert admitted(quotas, 5, max_tokens=96) == 1


def test_more_tokens_than_reserved_are_taken_later(clock: Clock) -> None:
    quotas = Quotas([Quota(tokens_per_second=104)], clock)
    reservation = quotas.admit(request())
    assert reservation is not None
    reservation.settle({'inputTokens': 4, 'outputTokens': 204})
    clock.now += 1.9
    assert admitted(quotas, 1) == 0
    clock.now += 0.1
    assert admitted(quotas, 1) == 1


def test_a_request_without_max_tokens_reserves_4096(clock: Clock) -> None:
    assert admitted(Quotas([Quota(tokens_per_minute=4099)], clock), 1, max_tokens=None) == 0
    assert admitted(Quotas([Quota(tokens_per_minute=4100)], clock), 1, max_tokens=None) == 1


def test_tokens_per_day_have_words_of_their_own(clock: Clock) -> None:
    quotas = Quotas([Quota(tokens_per_day=150)], clock)
    quotas.admit(request())
    with pytest.raises(ThrottledError, match=PER_DAY):
        quotas.admit(request())
    clock.now += 60
    assert admitted(quotas, 1) == 0
    clock.now += 86_400
    assert admitted(quotas, 2) == 1


def test_a_quota_can_be_halved_doubled_and_zero(clock: Clock) -> None:
    quotas = Quotas([Quota(requests_per_second=10)], clock)
    assert admitted(quotas, 100) == 10
    quotas.set([Quota(requests_per_second=20)])
    assert admitted(quotas, 100) == 0, 'a new rate does not fill the bucket'
    clock.now += 1
    assert admitted(quotas, 100) == 20
    clock.now += 1
    quotas.set([Quota(requests_per_second=5)])
    assert admitted(quotas, 100) == 5
    clock.now += 1
    quotas.set([Quota(requests_per_second=0)])
    assert admitted(quotas, 100) == 0
    quotas.set([])
    assert admitted(quotas, 100) == 100


@pytest.mark.parametrize('seed', range(3))
def test_no_window_admits_more_than_the_burst_and_the_rate(clock: Clock, seed: int) -> None:
    chance = random.Random(seed)
    quotas = Quotas([Quota(requests_per_second=7, burst=3)], clock)
    passed: list[float] = []
    for _ in range(5000):
        clock.now += chance.expovariate(40)
        passed += [clock.now] * admitted(quotas, 1)
    for first in range(0, len(passed), 10):
        for last in range(first, len(passed), 25):
            assert last - first <= 3 + 7 * (passed[last] - passed[first]) + 1e-6
    assert len(passed) >= 7 * (passed[-1] - passed[0])


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({}, 'set at least one'),
        ({'burst': 5}, 'set at least one'),
        ({'requests_per_second': -1}, 'requests_per_second=-1'),
        ({'tokens_per_minute': float('nan')}, 'tokens_per_minute=nan'),
        ({'requests_per_second': 1, 'burst': 0.5}, 'burst=0.5'),
        ({'tokens_per_second': 1, 'token_burst': 0}, 'token_burst=0'),
    ],
)
def test_a_quota_that_cannot_be_names_the_argument(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Quota(**options)


def test_two_quotas_of_the_same_limit_and_models_are_refused() -> None:
    with pytest.raises(ValueError, match='same limit for the same models'):
        LocalBedrock(quotas=[Quota(requests_per_second=1), Quota(requests_per_second=2)])


def test_a_client_gets_the_words_of_aws(served: LocalBedrock, client: Any) -> None:
    for quota, words in (
        (Quota(requests_per_second=0), REQUESTS),
        (Quota(tokens_per_minute=50), TOKENS),
        (Quota(tokens_per_day=50), PER_DAY),
    ):
        served.set_quotas(quota)
        for call in (client.converse, client.converse_stream):
            with pytest.raises(ClientError) as raised:
                call(modelId=NOVA, messages=[user('Hello')])
            error = raised.value.response
            assert error['Error'] == {'Message': words, 'Code': 'ThrottlingException'}
            assert error['ResponseMetadata']['HTTPStatusCode'] == 429
    body = {'inputText': 'Hello'}
    served.set_quotas(Quota(requests_per_second=0))
    with pytest.raises(ClientError, match=REQUESTS):
        client.invoke_model(modelId='amazon.titan-embed-text-v2:0', body=json.dumps(body))
    served.set_quotas()
    assert client.converse(modelId=NOVA, messages=[user('Hello')])['stopReason'] == 'end_turn'


def test_a_stream_can_be_refused_by_its_first_event(served: LocalBedrock, client: Any) -> None:
    served.set_quotas(Quota(requests_per_second=0, in_stream=True))
    with (
        closing(client.converse_stream(modelId=NOVA, messages=[user('Hello')])['stream']) as stream,
        pytest.raises(EventStreamError, match=REQUESTS),
    ):
        list(stream)
    with pytest.raises(ClientError, match=REQUESTS):
        client.converse(modelId=NOVA, messages=[user('Hello')])
    assert [(each.operation, each.resource) for each in served.throttles] == [
        ('ConverseStream', 'requests'),
        ('Converse', 'requests'),
    ]


def test_a_refused_request_uses_no_reply_up(served: LocalBedrock, client: Any) -> None:
    served.reply('first')
    served.set_quotas(Quota(requests_per_second=0))
    with pytest.raises(ClientError, match=REQUESTS):
        client.converse(modelId=NOVA, messages=[user('Hello')])
    served.set_quotas()
    answer = client.converse(modelId=NOVA, messages=[user('Hello')])
    assert answer['output']['message']['content'] == [{'text': 'first'}]


def test_a_request_that_is_not_valid_takes_nothing(served: LocalBedrock, client: Any) -> None:
    served.set_quotas(Quota(requests_per_minute=1))
    with pytest.raises(ClientError, match='ValidationException'):
        client.converse(modelId='no-such-model', messages=[user('Hello')])
    assert client.converse(modelId=NOVA, messages=[user('Hello')])['stopReason'] == 'end_turn'


@pytest.mark.parametrize('operation', ['converse', 'converse_stream'])
def test_tokens_come_back_when_a_response_ends(served: LocalBedrock, client: Any, operation: str) -> None:
    # Each reserves 104 and uses 10: they would be refused from the third on if nothing came back.
    served.set_quotas(Quota(tokens_per_day=240))
    served.reply(Reply('Hi', usage={'inputTokens': 4, 'outputTokens': 6}), times=None)
    for _ in range(13):
        answer = getattr(client, operation)(modelId=NOVA, messages=[user('Hi')], inferenceConfig={'maxTokens': 100})
        list(answer.get('stream', ()))
    # 110 of 240 are left: 130 of them were used by the thirteen.
    for most, fits in ((107, False), (106, True)):
        config = {'maxTokens': most}
        if fits:
            client.converse(modelId=NOVA, messages=[user('Hi')], inferenceConfig=config)
        else:
            with pytest.raises(ClientError, match=PER_DAY):
                client.converse(modelId=NOVA, messages=[user('Hi')], inferenceConfig=config)


async def generated(_: RecordedRequest) -> AsyncIterator[dict[str, Any]]:
    yield {'messageStart': {'role': 'assistant'}}
    yield {'messageStop': {'stopReason': 'end_turn'}}
    yield METADATA


METADATA = {'metadata': {'usage': {'inputTokens': 50, 'outputTokens': 50, 'totalTokens': 100}, 'metrics': {}}}


@pytest.mark.parametrize(
    ('reply', 'left'),
    [
        (EventsReply([{'messageStart': {'role': 'assistant'}}, METADATA]), 900),
        (generated, 900),
        # Nothing says what it has used, beside its input.
        (RawReply(b''), 996),
    ],
)
def test_scripted_streams_count_the_usage_that_they_report(
    served: LocalBedrock, client: Any, reply: Any, left: int
) -> None:
    served.set_quotas(Quota(tokens_per_day=1000))
    served.reply(reply, times=1)
    config = {'maxTokens': 500}
    list(client.converse_stream(modelId=NOVA, messages=[user('Hi')], inferenceConfig=config)['stream'])
    with pytest.raises(ClientError, match=PER_DAY):
        client.converse(modelId=NOVA, messages=[user('Hi')], inferenceConfig={'maxTokens': left - 3})
    client.converse(modelId=NOVA, messages=[user('Hi')], inferenceConfig={'maxTokens': left - 4})


def test_counts_and_throttles_say_how_many_were_refused_and_when(served: LocalBedrock, client: Any) -> None:
    served.set_quotas(Quota(requests_per_minute=2))
    before = time.monotonic()
    for _ in range(5):
        try:
            client.converse(modelId=NOVA, messages=[user('Hello')])
        except client.exceptions.ThrottlingException:
            continue
    stats = served.stats()
    assert (stats.admitted, stats.throttled, stats.requests) == (2, 3, 5)
    assert [each.model_id for each in served.throttles] == [NOVA] * 3
    assert all(before <= each.at <= time.monotonic() for each in served.throttles)
    served.reset()
    assert (served.stats().throttled, served.throttles) == (0, [])
    with pytest.raises(ClientError, match=REQUESTS):
        client.converse(modelId=NOVA, messages=[user('Hello')])
    served.start_over()
    client.converse(modelId=NOVA, messages=[user('Hello')])


def test_a_server_may_start_with_quotas(make_client: MakeClient) -> None:
    with LocalBedrock(quotas=[Quota(requests_per_minute=1)]) as bedrock:
        client = make_client(bedrock=bedrock)
        for _ in range(2):
            client.converse(modelId=NOVA, messages=[user('Hello')])
            with pytest.raises(ClientError, match=REQUESTS):
                client.converse(modelId=NOVA, messages=[user('Hello')])
            bedrock.start_over()


async def test_a_thousand_at_once_are_admitted_to_the_number(
    bedrock: LocalBedrock, http: aiohttp.ClientSession
) -> None:
    bedrock.set_quotas(Quota(requests_per_minute=100))
    before = time.monotonic()
    statuses = await asyncio.gather(*(ask(http, bedrock) for _ in range(1000)))
    after = time.monotonic()
    assert set(statuses) == {200, 429}
    assert 100 <= statuses.count(200) <= 100 + (after - before) * 100 / 60 + 1
    assert bedrock.stats().throttled == statuses.count(429) == len(bedrock.throttles)
