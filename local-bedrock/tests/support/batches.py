"""Batch inference jobs for tests: their records, how they are created, and what they have written."""

from __future__ import annotations

import json
from typing import Any

from local_bedrock import LocalBedrock
from support.requests import NOVA, user

TITAN = 'amazon.titan-embed-text-v2:0'
ROLE = 'arn:aws:iam::123456789012:role/BatchInference'
INPUT = 's3://batches/in/records.jsonl'


def lines(*inputs: dict[str, Any], ids: bool = True) -> str:
    """Return a file of records."""
    return ''.join(
        json.dumps({**({'recordId': f'R{number}'} if ids else {}), 'modelInput': each}) + '\n'
        for number, each in enumerate(inputs)
    )


def prompts(*texts: str) -> str:
    """Return a file of records that ask by Converse."""
    return lines(*({'messages': [user(text)]} for text in texts))


def request(name: str = 'job', **members: Any) -> dict[str, Any]:
    """Return what a job of Converse is created with."""
    return {
        'jobName': name,
        'roleArn': ROLE,
        'modelId': NOVA,
        'modelInvocationType': 'Converse',
        'inputDataConfig': {'s3InputDataConfig': {'s3Uri': INPUT, 's3InputFormat': 'JSONL'}},
        'outputDataConfig': {'s3OutputDataConfig': {'s3Uri': 's3://batches/out/'}},
        **members,
    }


def from_(uri: str) -> dict[str, Any]:
    """Return the configuration of an input."""
    return {'s3InputDataConfig': {'s3Uri': uri}}


def start(client: Any, name: str = 'job', **members: Any) -> str:
    """Create a job, as far as the installed botocore knows how, and return its ARN."""
    known = client.meta.service_model.operation_model('CreateModelInvocationJob').input_shape.members
    asked = {member: value for member, value in request(name, **members).items() if member in known}
    return client.create_model_invocation_job(**asked)['jobArn']


def status(client: Any, arn: str) -> str:
    """Return the status of a job."""
    return client.get_model_invocation_job(jobIdentifier=arn)['status']


def output(bedrock: LocalBedrock, arn: str, name: str = 'records.jsonl.out') -> list[dict[str, Any]]:
    """Return the records that a job has written, by their id."""
    content = bedrock.objects.get(f's3://batches/out/{arn.rpartition("/")[2]}/{name}')
    return sorted((json.loads(line) for line in content.splitlines()), key=lambda record: record['recordId'])


def manifest(bedrock: LocalBedrock, arn: str) -> dict[str, int]:
    """Return the manifest that a job has written."""
    return json.loads(bedrock.objects.get(f's3://batches/out/{arn.rpartition("/")[2]}/manifest.json.out'))


def said(record: dict[str, Any]) -> str:
    """Return the text that a record was answered with."""
    return record['modelOutput']['output']['message']['content'][0]['text']
