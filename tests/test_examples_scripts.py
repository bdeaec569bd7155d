"""The examples that run and end: with no arguments on LocalBedrock, with --region as on AWS."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local_bedrock import AccessKey, LocalBedrock, RecordedRequest

EXAMPLES = Path(__file__).parents[1] / 'examples'


def run(
    example: str, *options: str, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    skip_without_needs(example)
    return subprocess.run(
        command(example, *options),
        env={**os.environ, 'COLUMNS': '160', **(environment or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def skip_without_needs(example: str) -> None:
    if example in ('evaluate', 'batch_evaluation'):
        pytest.importorskip('pydantic_evals', reason=f'{example}.py needs Pydantic Evals')
    if example in ('batch_inference', 'batch_evaluation'):
        pytest.importorskip('pydantic_ai.models.batch', reason='this Pydantic AI has no batches yet')


def command(example: str, *options: str) -> list[str]:
    return [sys.executable, '-W', 'always::ResourceWarning', str(EXAMPLES / f'{example}.py'), *options]


@pytest.mark.parametrize(
    ('example', 'shown'),
    [
        ('batch_evaluation', '119 of 120 right, 0 without an answer'),
        ('batch_inference', r'(?s)What is remarkable about the number 0\? You said.*100 answers, 0 errors'),
        ('embeddings', r'(?s)What is the capital of France\?.*Paris is the capital'),
        ('evaluate', '7 of 8 right, 0 without an answer'),
        ('fallback_regions', r'us-east-1: 10 of 20 answers\nus-west-2: 10 of 20 answers\n2 clients'),
        ('multi_tenant', r'(?s)3 clients are open.*LocalBedrock has seen 3 different access keys'),
    ],
)
def test_an_example_runs_with_no_arguments_and_leaves_nothing_open(example: str, shown: str) -> None:
    ran = run(example)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(shown, ran.stdout), ran.stdout
    assert ran.stderr == ''


@pytest.mark.parametrize('example', ['embeddings', 'evaluate', 'fallback_regions'])
def test_with_a_region_an_example_uses_the_credentials_of_the_caller(example: str, bedrock: LocalBedrock) -> None:
    model = 'cohere.embed-v4:0' if example == 'embeddings' else 'us.amazon.nova-micro-v1:0'
    # Not every answer is the right one here, so what counts is who was asked.
    run(example, '--region', bedrock.region_name, '--model', model, environment=bedrock.environment)
    assert bedrock.requests
    assert {request.model_id for request in bedrock.requests} == {model}
    assert {request.auth_scheme for request in bedrock.requests} == {'sigv4'}
    assert {request.status for request in bedrock.requests} == {200}


def test_on_aws_batch_inference_has_the_callers_role_and_bucket(bedrock: LocalBedrock) -> None:
    ran = run('batch_inference', '--region', bedrock.region_name, environment=bedrock.environment)
    assert (ran.returncode, bedrock.requests) == (2, [])
    assert '--role-arn and --s3-uri are needed' in ran.stderr
    # Where the model is unknown, nobody waits for the job.
    asked = ('--region', bedrock.region_name, '--model', 'nobody.no-model-v1:0')
    place = ('--role-arn', 'arn:aws:iam::111122223333:role/batch', '--s3-uri', 's3://a-bucket/of-mine/')
    ran = run('batch_inference', *asked, *place, environment=bedrock.environment)
    assert (ran.returncode, '0 answers, 100 errors' in ran.stdout) == (1, True)
    [created] = [request for request in bedrock.requests if request.operation == 'CreateModelInvocationJob']
    assert created.body['roleArn'] == 'arn:aws:iam::111122223333:role/batch'
    assert created.body['outputDataConfig']['s3OutputDataConfig']['s3Uri'] == 's3://a-bucket/of-mine/'


PLACE = ('--role-arn', 'arn:aws:iam::111122223333:role/batch', '--s3-uri', 's3://a-bucket/of-mine/')


def test_an_evaluation_in_batches_is_the_live_one_at_half_the_price(tmp_path: Path) -> None:
    ran = run('batch_evaluation', '--batch', cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r'Completed .* 120/120 0 failed', ran.stdout), ran.stdout
    assert '119 of 120 right, 0 without an answer' in ran.stdout
    assert ran.stderr == ''
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('killed_at', ['PutObject', 'CreateModelInvocationJob', 'GetModelInvocationJob'])
def test_an_evaluation_that_is_killed_is_resumed_by_the_next_process(
    bedrock: LocalBedrock, tmp_path: Path, killed_at: str
) -> None:
    skip_without_needs('batch_evaluation')
    options = ('--batch', '--region', bedrock.region_name, *PLACE, '--poll', '0.05', '--delete-files')
    bedrock.jobs.hold('InProgress')
    environment = {**os.environ, **bedrock.environment}
    with subprocess.Popen(command('batch_evaluation', *options), env=environment, cwd=tmp_path) as killed:
        while not any(request.operation == killed_at for request in bedrock.requests):
            assert killed.poll() is None
            time.sleep(0.005)
        killed.kill()
    assert [path.name for path in tmp_path.iterdir()] == ['batch_evaluation.json']
    bedrock.jobs.go_on()
    ran = run('batch_evaluation', *options, environment=bedrock.environment, cwd=tmp_path)
    assert '120/120' in ran.stdout, ran.stdout + ran.stderr
    assert len({request.body['jobName'] for request in created_jobs(bedrock)}) == 1
    assert '0 without an answer' in ran.stdout or 'invalid literal for int' in ran.stdout
    assert list(tmp_path.iterdir()) == []
    assert bedrock.objects.list('s3://a-bucket/') == []


def created_jobs(bedrock: LocalBedrock) -> list[RecordedRequest]:
    return [request for request in bedrock.requests if request.operation == 'CreateModelInvocationJob']


def test_on_aws_each_tenant_is_a_profile(bedrock: LocalBedrock, tmp_path: Path) -> None:
    credentials = tmp_path / 'credentials'
    lines: list[str] = []
    for name in ('one', 'two'):
        key = AccessKey.make()
        bedrock.accept(key.access_key_id, key.secret_access_key)
        lines += [
            f'[{name}]',
            f'aws_access_key_id = {key.access_key_id}',
            f'aws_secret_access_key = {key.secret_access_key}',
        ]
    credentials.write_text('\n'.join(lines))
    environment = {
        'AWS_SHARED_CREDENTIALS_FILE': str(credentials),
        'AWS_ENDPOINT_URL_BEDROCK_RUNTIME': bedrock.base_url,
    }
    ran = run('multi_tenant', '--region', bedrock.region_name, '--tenants', 'one', 'two', environment=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    signers = [request.headers['Authorization'].split('/')[0] for request in bedrock.requests]
    assert {signers.count(signer) for signer in signers} == {3}
    assert len(set(signers)) == 2


def test_a_tenant_without_a_profile_is_said_and_fails_the_example() -> None:
    ran = run('multi_tenant', '--region', 'us-east-1', '--tenants', 'nobody')
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert 'nobody: The config profile (nobody) could not be found' in ran.stdout
    assert 'Traceback' not in ran.stderr


def test_an_evaluation_that_is_not_good_enough_fails() -> None:
    ran = run('evaluate', '--require', '0.9')
    assert ran.returncode == 1, ran.stdout + ran.stderr


def test_when_no_region_answers_the_example_says_so() -> None:
    with LocalBedrock() as bedrock:
        bedrock.revoke(bedrock.aws_access_key_id)
        ran = run('fallback_regions', '--region', bedrock.region_name, environment=bedrock.environment)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert len(re.findall(r'^run \d+: .*UnrecognizedClientException', ran.stdout, flags=re.MULTILINE)) == 20
    assert 'Traceback' not in ran.stderr
