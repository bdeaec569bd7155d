"""boto3 as a client."""

from __future__ import annotations

import json
from typing import Any

import boto3
from conversation import (
    ANSWER,
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

client: Any = boto3.client('bedrock-runtime')
TOOLS = {'tools': [{'toolSpec': {'name': TOOL, 'description': TOOL_DESCRIPTION, 'inputSchema': {'json': TOOL_SCHEMA}}}]}


def user(*content: Any) -> dict[str, Any]:
    return {'role': 'user', 'content': list(content)}


def plain() -> None:
    response = client.converse(modelId=MODEL, messages=[user({'text': QUESTION})])
    must_be(response['output']['message'], {'role': 'assistant', 'content': [{'text': ANSWER}]})
    must_be(response['stopReason'], 'end_turn')
    assert response['usage']['totalTokens'] > 0


def stream() -> None:
    events = list(client.converse_stream(modelId=MODEL, messages=[user({'text': QUESTION})])['stream'])
    deltas = [event['contentBlockDelta']['delta']['text'] for event in events if 'contentBlockDelta' in event]
    must_be(''.join(deltas), ANSWER)
    must_be(events[-2], {'messageStop': {'stopReason': 'end_turn'}})
    assert len(deltas) > 1


def tool() -> None:
    messages = [user({'text': TOOL_QUESTION})]
    asked = client.converse(modelId=MODEL, messages=messages, toolConfig=TOOLS)['output']['message']
    call = asked['content'][0]['toolUse']
    must_be((call['name'], call['input']), (TOOL, TOOL_INPUT))
    streamed = client.converse_stream(modelId=MODEL, messages=messages, toolConfig=TOOLS)['stream']
    deltas = [event['contentBlockDelta']['delta'] for event in streamed if 'contentBlockDelta' in event]
    must_be(json.loads(''.join(delta['toolUse']['input'] for delta in deltas)), TOOL_INPUT)
    result = {'toolResult': {'toolUseId': call['toolUseId'], 'content': [{'text': TOOL_RESULT}]}}
    told = client.converse(modelId=MODEL, messages=[*messages, asked, user(result)], toolConfig=TOOLS)
    must_be(told['output']['message']['content'], [{'text': TOOL_ANSWER}])


def throttled() -> None:
    try:
        client.converse(modelId=MODEL, messages=[user({'text': TOO_MUCH})])
    except client.exceptions.ThrottlingException as error:
        must_be(error.response['ResponseMetadata']['HTTPStatusCode'], 429)
    else:
        raise AssertionError('not throttled')


def batch() -> None:
    s3: Any = boto3.client('s3')
    bedrock: Any = boto3.client('bedrock')
    lines = ''.join(json.dumps(record) + '\n' for record in RECORDS)
    s3.put_object(Bucket='my-bucket', Key='in/questions.jsonl', Body=lines.encode())
    operation = bedrock.meta.service_model.operation_model('CreateModelInvocationJob')
    arn = bedrock.create_model_invocation_job(**job(operation.input_shape.members))['jobArn']
    must_be(bedrock.get_model_invocation_job(jobIdentifier=arn)['status'], 'Completed')
    must_be([each['jobArn'] for each in bedrock.list_model_invocation_jobs()['invocationJobSummaries']], [arn])
    found = s3.list_objects_v2(Bucket='my-bucket', Prefix='out/')['Contents']
    (key,) = (each['Key'] for each in found if each['Key'].endswith('questions.jsonl.out'))
    written = s3.get_object(Bucket='my-bucket', Key=key)['Body'].read().splitlines()
    must_be(len(written), len(RECORDS))
    message = json.loads(written[0])['modelOutput']['output']['message']
    must_be(message, {'role': 'assistant', 'content': [{'text': ANSWER}]})


run('boto3', plain=plain, stream=stream, tool=tool, throttled=throttled, batch=batch)
