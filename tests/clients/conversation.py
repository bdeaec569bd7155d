"""The conversation of every client, and the answers that it must get.

It needs nothing but Python: there is nothing else everywhere.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

MODEL = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'us.anthropic.claude-sonnet-4-20250514-v1:0'
QUESTION = 'What is the capital of France?'
ANSWER = 'The capital of France is Paris.'
TOOL = 'get_weather'
TOOL_DESCRIPTION = 'Tell the weather in a city.'
TOOL_SCHEMA = {'type': 'object', 'properties': {'city': {'type': 'string'}}, 'required': ['city']}
TOOL_QUESTION = 'What is the weather in Paris?'
TOOL_INPUT = {'city': 'Paris'}
TOOL_RESULT = 'Rain, 9 degrees.'
TOOL_ANSWER = 'Take an umbrella.'
TOO_MUCH = 'One question too many?'
CHECKS = ('plain', 'stream', 'tool', 'throttled')
OF_SOME = ('invoke', 'batch', 'http2')
"""Checks of some clients: InvokeModel, if their other checks are by Converse, batch inference, HTTP/2."""
NO_STREAMS = ('awscli',)
"""Clients without event streams."""

ROLE = 'arn:aws:iam::123456789012:role/bedrock-batch'
RECORDS = [
    {'recordId': f'R{number}', 'modelInput': {'messages': [{'role': 'user', 'content': [{'text': QUESTION}]}]}}
    for number in range(100)
]


def job(known: object) -> dict[str, Any]:
    """Return what a batch inference job is created with, in the format that the client knows by its `known` members."""
    asked: dict[str, Any] = {
        'jobName': 'clients',
        'roleArn': ROLE,
        'modelId': MODEL,
        'modelInvocationType': 'Converse',
        'inputDataConfig': {'s3InputDataConfig': {'s3Uri': 's3://my-bucket/in/questions.jsonl'}},
        'outputDataConfig': {'s3OutputDataConfig': {'s3Uri': 's3://my-bucket/out/'}},
    }
    members: Any = known
    return {name: value for name, value in asked.items() if name in members}


def run(distribution: str, **checks: Callable[[], Any]) -> None:
    """Make every check, and print the result of each: empty, or the error."""
    wanted = set(CHECKS) - ({'stream'} if distribution in NO_STREAMS else set())
    assert wanted <= set(checks) <= {*CHECKS, *OF_SOME}
    warnings.simplefilter('ignore')
    came: dict[str, str] = {}
    for name, check in checks.items():
        try:
            made = check()
            if inspect.isawaitable(made):
                asyncio.run(_awaited(made))
            came[name] = ''
        except BaseException:
            came[name] = traceback.format_exc()
    sys.stdout.write('\n' + json.dumps({'version': version(distribution), 'came': came}) + '\n')


def base_url() -> str:
    """Return the URL of the endpoint, for clients that do not read it from the environment."""
    return os.environ['AWS_ENDPOINT_URL_BEDROCK_RUNTIME']


async def _awaited(made: Any) -> None:
    await made


def must_be(said: object, expected: object) -> None:
    """Fail unless two things are equal."""
    if said != expected:
        raise AssertionError(f'{said!r} instead of {expected!r}')
