"""Results of batches: answers, errors and lines that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai import UserError
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models import ModelRequestParameters

from local_bedrock import THROTTLING, ErrorReply, LocalBedrock, Reply

from .jobs import answers, created, request

pytest.importorskip('pydantic_ai.models.batch', reason='This Pydantic AI has no batches yet.')


async def test_a_record_that_fails_fails_as_the_request_would(bedrock: LocalBedrock, model: Any) -> None:
    refused = ErrorReply(400, 'ValidationException', 'Too long.')
    bedrock.reply(refused, when=lambda asked: asked.last_user_text == 'No', times=2)
    good, bad = await answers(model, request('a', 'Yes'), request('b', 'No'))
    assert 'Yes' in good.text
    with pytest.raises(ModelHTTPError) as alone:
        await model.request(request('b', 'No').messages, None, ModelRequestParameters())
    assert type(bad) is type(alone.value)
    assert (bad.status_code, bad.body['Error']) == (400, alone.value.body['Error'])


async def test_a_record_that_was_throttled_is_submitted_again(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.reply(THROTTLING, times=1)
    [response] = await answers(model, request('a', 'Hello'))
    assert 'Hello' in response.text
    bedrock.reply(THROTTLING, times=1)
    [error] = await answers(model, request('a', 'Hello'), max_resubmissions=0)
    assert (type(error).__name__, error.status_code) == ('ModelRateLimitError', 429)


@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        ('{"recordId": "two", "modelOutput": {"output"', 'it is not JSON'),
        ('"modelOutput": {}, "recordId": "two"}', 'it is not JSON'),
        ('{"recordId": "two"}', 'it has neither a modelOutput nor an error'),
        ('{"recordId": "two", "modelOutput": "no"}', 'it has neither a modelOutput nor an error'),
    ],
    ids=['its end cut', 'its beginning cut', 'empty', 'no object'],
)
async def test_a_damaged_line_costs_its_own_request_alone(
    bedrock: LocalBedrock, model: Any, line: str, reason: str
) -> None:
    batch = await model.batch_status(await created(model, 'one', 'two', 'three'))
    [output] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl.out')]
    lines = [each for each in bedrock.objects.get(output).decode().splitlines() if '"recordId":"two"' not in each]
    bedrock.objects.put(output, '\ufeff' + '\n\n'.join([lines[0], line, lines[1]]))
    results = {result.custom_id: result for result in await model.batch_results(batch)}
    for name in ('one', 'three'):
        assert f'Say {name}.' in model.batch_decode(results[name], request(name, f'Say {name}.')).text
    with pytest.raises(ModelAPIError, match=f'^Line 3 of {output} cannot be read: {reason}'):
        model.batch_decode(results['two'], request('two', 'Say two.'))


@pytest.mark.parametrize('line', ['[]', '{"modelOutput": {}}', '{"modelInput": {"recordId": "one", "x"'])
async def test_a_line_that_names_no_request_is_a_result_that_names_the_line(
    bedrock: LocalBedrock, model: Any, line: str
) -> None:
    batch = await model.batch_status(await created(model, 'one', 'two'))
    [output] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl.out')]
    bedrock.objects.put(output, line)
    [result] = await model.batch_results(batch)
    assert (result.custom_id, result.status) == (f'Line 1 of {output}', 'errored')


async def test_half_a_surrogate_pair_is_read_as_in_a_live_response(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.reply(Reply('half'), times=None)
    batch = await model.batch_status(await created(model, 'one'))
    [output] = [uri for uri in bedrock.objects.list() if uri.endswith('.jsonl.out')]
    bedrock.objects.put(output, bedrock.objects.get(output).replace(b'half', rb'\ud83d'))
    [result] = await model.batch_results(batch)
    assert model.batch_decode(result, request('one', 'Hello')).text == '\ud83d'


async def test_results_that_are_gone_are_an_error_that_says_where_they_should_be(
    bedrock: LocalBedrock, model: Any
) -> None:
    batch = await model.batch_status(await created(model, 'one'))
    await model.batch_delete_files(batch)
    assert bedrock.objects.list() == []
    with pytest.raises(ModelHTTPError, match=r's3://my-bucket/batches/.*\.jsonl\.out') as gone:
        await model.batch_results(batch)
    assert gone.value.status_code == 404
    await model.batch_delete_files(batch)


async def test_results_before_the_end_are_refused(bedrock: LocalBedrock, model: Any) -> None:
    bedrock.jobs.hold('Scheduled')
    with pytest.raises(UserError, match='has not ended'):
        await model.batch_results(await created(model, 'one'))


@pytest.mark.parametrize('status', ['succeeded', 'errored'])
@pytest.mark.parametrize('body', ['{}', '[]', '"no"'])
async def test_a_result_that_is_none_is_an_error_of_the_model(model: Any, status: Any, body: str) -> None:
    from pydantic_ai.models.batch import BatchResult

    with pytest.raises(ModelAPIError):
        model.batch_decode(BatchResult(custom_id='q', status=status, body=body), request('q', 'Hello'))
