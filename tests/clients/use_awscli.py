"""The AWS CLI as a client. It has no commands for event streams."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from conversation import (
    ANSWER,
    CLAUDE,
    MODEL,
    QUESTION,
    RECORDS,
    TOO_MUCH,
    TOOL,
    TOOL_ANSWER,
    TOOL_DESCRIPTION,
    TOOL_INPUT,
    TOOL_QUESTION,
    TOOL_RESULT,
    TOOL_SCHEMA,
    job,
    must_be,
    run,
)

AWS = str(Path(sys.executable).parent / 'aws')
TOOLS = {'tools': [{'toolSpec': {'name': TOOL, 'description': TOOL_DESCRIPTION, 'inputSchema': {'json': TOOL_SCHEMA}}}]}


def aws(*arguments: str, **options: Any) -> Any:
    """Run a command, and return the JSON that it prints."""
    named = [part for name, value in options.items() for part in (f'--{name.replace("_", "-")}', _written(value))]
    done = subprocess.run([sys.executable, AWS, *arguments, *named], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout) if done.stdout.startswith('{') else done.stdout


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def converse(*messages: Any, **options: Any) -> Any:
    return aws('bedrock-runtime', 'converse', model_id=MODEL, messages=list(messages), **options)['output']['message']


def user(*content: Any) -> dict[str, Any]:
    return {'role': 'user', 'content': list(content)}


def plain() -> None:
    must_be(converse(user({'text': QUESTION}))['content'], [{'text': ANSWER}])
    must_be(aws('sts', 'get-caller-identity')['Account'], '000000000000')
    assert aws('bedrock', 'list-foundation-models')['modelSummaries']


def tool() -> None:
    question = user({'text': TOOL_QUESTION})
    asked = converse(question, tool_config=TOOLS)
    call = asked['content'][0]['toolUse']
    must_be((call['name'], call['input']), (TOOL, TOOL_INPUT))
    result = {'toolResult': {'toolUseId': call['toolUseId'], 'content': [{'text': TOOL_RESULT}]}}
    must_be(converse(question, asked, user(result), tool_config=TOOLS)['content'], [{'text': TOOL_ANSWER}])


def invoke() -> None:
    body = {
        'anthropic_version': 'bedrock-2023-05-31',
        'max_tokens': 100,
        'messages': [{'role': 'user', 'content': QUESTION}],
    }
    with TemporaryDirectory() as folder:
        asked, said = Path(folder, 'asked.json'), Path(folder, 'said.json')
        asked.write_text(json.dumps(body))
        aws('bedrock-runtime', 'invoke-model', str(said), model_id=CLAUDE, body=f'fileb://{asked}')
        must_be(json.loads(said.read_text())['content'], [{'type': 'text', 'text': ANSWER}])


def throttled() -> None:
    try:
        converse(user({'text': TOO_MUCH}))
    except RuntimeError as error:
        must_be('ThrottlingException' in str(error), True)
    else:
        raise AssertionError('not throttled')


def batch() -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder, 'questions.jsonl')
        file.write_text(''.join(json.dumps(record) + '\n' for record in RECORDS))
        aws('s3', 'cp', str(file), 's3://my-bucket/in/questions.jsonl')
        asked = aws('bedrock', 'create-model-invocation-job', cli_input_json=job({*JOB_MEMBERS}))
        arn = asked['jobArn']
        must_be(aws('bedrock', 'get-model-invocation-job', job_identifier=arn)['status'], 'Completed')
        aws('s3', 'sync', 's3://my-bucket/out/', folder)
        (written,) = Path(folder).rglob('questions.jsonl.out')
        must_be(len(written.read_text().splitlines()), len(RECORDS))


JOB_MEMBERS = ('jobName', 'roleArn', 'modelId', 'modelInvocationType', 'inputDataConfig', 'outputDataConfig')

run('awscli', plain=plain, tool=tool, throttled=throttled, invoke=invoke, batch=batch)
