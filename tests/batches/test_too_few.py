"""Requests that are too few for a job."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic_ai import Agent, UserError

from local_bedrock import THROTTLING, ErrorReply, LocalBedrock

from .jobs import OFTEN, answers, created, like, request

pytest.importorskip('pydantic_ai.models.batch', reason='This Pydantic AI has no batches yet.')


async def test_too_few_requests_are_refused_before_anything_is_uploaded(bedrock: LocalBedrock, model: Any) -> None:
    with pytest.raises(UserError, match=r'2 requests.*100 at least'):
        await created(like(model, min_records=100), 'one', 'two')
    with pytest.raises(UserError, match=r'2 requests.*1 at most'):
        await created(like(model, max_records=1), 'one', 'two')
    assert bedrock.requests == []


async def test_too_few_requests_are_sent_live_if_the_caller_allows_it(bedrock: LocalBedrock, model: Any) -> None:
    live = like(model, min_records=100, live_below_minimum=True)
    bedrock.reply(ErrorReply(400, 'ValidationException', 'No.'), when=lambda asked: asked.last_user_text == 'No')
    good, bad = await answers(live, request('a', 'Yes'), request('b', 'No'))
    assert 'Yes' in good.text
    assert 'processing' not in good.provider_details
    assert (bad.status_code, bad.body['Error']['Message']) == (400, 'No.')
    assert [each.operation for each in bedrock.requests if each.operation != 'Converse'] == ['PutObject', 'GetObject']


async def test_live_answers_can_be_collected_elsewhere(bedrock: LocalBedrock, model: Any) -> None:
    from pydantic_ai.models.batch import Batch

    live = like(model, min_records=100, live_below_minimum=True)
    handles = TypeAdapter(Batch)
    kept = handles.dump_json(await created(live, 'one', 'two'))
    batch = await model.batch_status(handles.validate_json(kept))
    assert (batch.status, batch.provider_details['successRecordCount']) == ('ended', 2)
    assert {result.custom_id for result in await model.batch_results(batch)} == {'one', 'two'}
    await model.batch_delete_files(await model.batch_cancel(batch))
    assert bedrock.objects.list() == []


async def test_failures_that_are_too_few_for_a_job_keep_their_own_error(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.reply(THROTTLING, when=lambda asked: asked.last_user_text == 'No', times=None)
    requests = [request(f'q{number}', 'No' if number == 3 else 'Yes') for number in range(5)]
    results = await answers(like(model, min_records=5), *requests)
    assert [type(each).__name__ for each in results] == [*['ModelResponse'] * 3, 'ModelRateLimitError', 'ModelResponse']
    assert results[3].status_code == 429
    assert sum(each.operation == 'CreateModelInvocationJob' for each in bedrock.requests) == 1


async def test_failures_that_are_too_few_for_a_job_are_sent_live_if_the_caller_allows_it(
    bedrock: LocalBedrock, model: Any
) -> None:
    bedrock.reply(THROTTLING, when=lambda asked: asked.last_user_text == 'No', times=1)
    requests = [request(f'q{number}', 'No' if number == 3 else 'Yes') for number in range(5)]
    results = await answers(like(model, min_records=5, live_below_minimum=True), *requests)
    assert ['Yes' in each.text for each in results] == [True, True, True, False, True]
    assert ['processing' in each.provider_details for each in results] == [True, True, True, False, True]


async def test_agents_whose_failures_are_too_few_for_a_job_get_their_own_error(
    bedrock: LocalBedrock, model: Any
) -> None:
    from pydantic_ai.capabilities import BatchModelRequests

    bedrock.reply(THROTTLING, when=lambda asked: asked.last_user_text == 'No', times=None)
    # The agents begin within this time, also on a busy machine; the request that is sent again waits for it in vain.
    wait = timedelta(seconds=2)
    batching = BatchModelRequests(max_requests=5, poll_interval=OFTEN, max_poll_interval=OFTEN, max_wait=wait)
    agent = Agent(like(model, min_records=5), capabilities=[batching])
    texts = ['Yes', 'Yes', 'No', 'Yes', 'Yes']
    results = await asyncio.gather(*(agent.run(text) for text in texts), return_exceptions=True)
    assert [type(each).__name__ for each in results] == [
        *['AgentRunResult'] * 2,
        'ModelRateLimitError',
        *['AgentRunResult'] * 2,
    ]
