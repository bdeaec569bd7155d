"""A job reads the files that it is told of, and writes one for each of them."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest
from support.batches import INPUT, from_, lines, manifest, output, prompts, said, start
from support.requests import user

from local_bedrock import LocalBedrock, RawReply

OUT = 's3://batches/out/'


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


def run(client: Any, **members: Any) -> dict[str, Any]:
    return client.get_model_invocation_job(jobIdentifier=start(client, **members))


def test_a_folder_gives_a_file_of_output_for_each_of_the_input(converse: Any, served: LocalBedrock) -> None:
    served.objects.put('s3://batches/in/one.jsonl', prompts('one'))
    served.objects.put('s3://batches/in/deep/er/two.jsonl', prompts('two', 'three'))
    served.objects.put('s3://batches/in/readme.txt', 'no records')
    served.objects.put('s3://batches/into/else.jsonl', 'not asked for')
    for number, uri in enumerate(('s3://batches/in', 's3://batches/in/')):
        arn = run(converse, name=f'job-{number}', inputDataConfig=from_(uri))['jobArn']
        folder = f'{OUT}{arn.rpartition("/")[2]}'
        assert served.objects.list(f'{folder}/') == [
            f'{folder}/deep/er/two.jsonl.out',
            f'{folder}/manifest.json.out',
            f'{folder}/one.jsonl.out',
        ]
        assert 'one' in said(output(served, arn, 'one.jsonl.out')[0])
        assert len(output(served, arn, 'deep/er/two.jsonl.out')) == 2
        assert manifest(served, arn)['totalRecordCount'] == 3


def test_a_whole_bucket_may_be_the_input_and_the_output(converse: Any, served: LocalBedrock) -> None:
    served.objects.put('s3://inputs/one.jsonl', prompts('one'))
    job = run(
        converse,
        inputDataConfig=from_('s3://inputs'),
        outputDataConfig={'s3OutputDataConfig': {'s3Uri': 's3://outputs'}},
    )
    folder = f's3://outputs/{job["jobArn"].rpartition("/")[2]}'
    assert served.objects.list('s3://outputs/') == [f'{folder}/manifest.json.out', f'{folder}/one.jsonl.out']


def test_a_record_without_an_id_is_given_one(converse: Any, served: LocalBedrock) -> None:
    served.objects.put(INPUT, lines({'messages': [user('one')]}, {'messages': [user('two')]}, ids=False) + '\n\n')
    ids = [record['recordId'] for record in output(served, run(converse)['jobArn'])]
    assert len({*ids}) == 2
    assert {(len(record_id), record_id.isalnum()) for record_id in ids} == {(11, True)}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"modelInput": {}}\nnonsense\n', f'Line 2 of {INPUT} is not JSON'),
        ('[]\n', f'Line 1 of {INPUT} is not a record: it has no modelInput'),
        ('{"recordId": "1"}\n', 'no modelInput'),
        ('{"modelInput": "text"}\n', 'no modelInput'),
        ('{"recordId": 1, "modelInput": {}}\n', 'its recordId is not a string'),
        ('', 'contains less records (0)'),
    ],
)
def test_input_of_another_form_fails_the_job(converse: Any, served: LocalBedrock, content: str, message: str) -> None:
    served.objects.put(INPUT, content)
    job = run(converse)
    assert job['status'] == 'Failed'
    assert message in job['message']
    assert served.objects.list(OUT) == []
    assert served.failures == []


@pytest.mark.parametrize('uri', [INPUT, 's3://batches/in/', 's3://batches'])
def test_input_that_is_not_there_fails_the_job(converse: Any, served: LocalBedrock, uri: str) -> None:
    job = run(converse, inputDataConfig=from_(uri))
    assert (job['status'], job['message']) == ('Failed', f'There is no .jsonl file at {uri}.')


@pytest.mark.parametrize('which', ['input', 'output'])
def test_a_bucket_that_is_not_there_fails_the_job(converse: Any, s3: Any, served: LocalBedrock, which: str) -> None:
    served.objects.put(INPUT, prompts('one'))
    s3.delete_bucket(Bucket='gone')
    place = {'input': {'inputDataConfig': from_('s3://gone/in/')}}.get(
        which, {'outputDataConfig': {'s3OutputDataConfig': {'s3Uri': 's3://gone/out/'}}}
    )
    job = run(converse, **place)
    assert (job['status'], job['message']) == ('Failed', f'The S3 bucket gone of the {which} does not exist.')


def test_a_raw_reply_is_the_output_of_a_record(converse: Any, served: LocalBedrock) -> None:
    served.objects.put(INPUT, prompts('one', 'two', 'three'))
    body = json.dumps({'anything': 1, 'usage': {'inputTokens': 7, 'outputTokens': 5}}).encode()
    served.reply(RawReply(body), RawReply(b'down', status=500), RawReply(b'text'))
    arn = run(converse)['jobArn']
    first, second, third = output(served, arn)
    assert first['modelOutput']['anything'] == 1
    assert second['error'] == {'errorCode': 500, 'errorMessage': 'down'}
    assert third['modelOutput'] == 'text'
    assert (manifest(served, arn)['inputTokenCount'], manifest(served, arn)['outputTokenCount']) == (7, 5)


def test_what_cannot_answer_a_record_is_its_error_and_among_the_failures(converse: Any, served: LocalBedrock) -> None:
    served.objects.put(INPUT, prompts('one', 'two'))
    served.reply(lambda request: 1 / 0)  # type: ignore[arg-type]
    first, second = output(served, run(converse)['jobArn'])
    assert first['error']['errorCode'] == 500
    assert 'ZeroDivisionError' in first['error']['errorMessage']
    assert 'modelOutput' in second
    assert [type(error) for error in served.failures] == [ZeroDivisionError]
