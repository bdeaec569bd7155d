"""LocalBedrock beside ministack and moto: start, memory, time of a call, and what each answers.

`python emulators.py local-bedrock=/path/to/python ministack=/path/to/python moto=/path/to/python` starts each from its
own environment, asks it with boto3, and writes `EMULATORS.md` beside this file, and its table into the README. Run it
on a machine that is idle.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

PAGE = Path(__file__).with_name('EMULATORS.md')
README = Path(__file__).parents[1] / 'README.md'
BEGIN, END = '<!-- emulators -->\n', '\n<!-- /emulators -->'
STARTS = 9
CALLS = 200
SECONDS = 60
NOVA = 'us.amazon.nova-lite-v1:0'
CLAUDE = 'us.anthropic.claude-sonnet-4-20250514-v1:0'
HELLO = [{'role': 'user', 'content': [{'text': 'Hello'}]}]
SCHEMA = {'type': 'object', 'properties': {'city': {'type': 'string'}}, 'required': ['city']}
TOOLS = {'tools': [{'toolSpec': {'name': 'weather', 'inputSchema': {'json': SCHEMA}}}]}
MESSAGES = {
    'anthropic_version': 'bedrock-2023-05-31',
    'max_tokens': 100,
    'messages': [{'role': 'user', 'content': 'Hello'}],
}
Clients = Callable[..., Any]


def commands(port: int) -> Mapping[str, tuple[list[str], dict[str, str]]]:
    """Return the command and the environment of each emulator."""
    return {
        'local-bedrock': (['-m', 'local_bedrock', '--port', str(port), '--json'], {}),
        'ministack': (['-m', 'ministack'], {'GATEWAY_PORT': str(port)}),
        'moto': (['-m', 'moto.server', '-p', str(port)], {}),
    }


@contextmanager
def running(name: str, python: str) -> Generator[tuple[float, str, dict[str, str], int]]:
    """Start an emulator, and yield the seconds until its first response, its URL, its keys and its process id."""
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    arguments, extra = commands(port)[name]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(('AWS_', 'PYTHON'))} | extra
    started = time.perf_counter()
    with subprocess.Popen(
        [python, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            url = f'http://127.0.0.1:{port}'
            until_response(url, process)
            took = time.perf_counter() - started
            keys = {'AWS_ACCESS_KEY_ID': 'test', 'AWS_SECRET_ACCESS_KEY': 'test'}
            if name == 'local-bedrock':
                assert process.stdout is not None
                keys = json.loads(process.stdout.readline())['environment']
            yield took, url, keys, process.pid
        finally:
            process.terminate()
            process.communicate(timeout=SECONDS)


def until_response(url: str, process: subprocess.Popen[str]) -> None:
    """Return when a server has responded, whatever it says.

    Raises:
        RuntimeError: It ends, or says nothing for a minute.
    """
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=SECONDS):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f'{process.args} does not serve')


def clients_of(url: str, keys: Mapping[str, str]) -> Clients:
    """Return a function that makes a client of a service."""

    def make(service: str, secret: str = keys['AWS_SECRET_ACCESS_KEY']) -> Any:
        return boto3.client(
            service,
            endpoint_url=url,
            region_name='us-east-1',
            aws_access_key_id=keys['AWS_ACCESS_KEY_ID'],
            aws_secret_access_key=secret,
            config=Config(retries={'total_max_attempts': 1}, read_timeout=30),
        )

    return make


# Each returns whether the answer is that of Bedrock.


def _converse(make: Clients) -> bool:
    response = make('bedrock-runtime').converse(modelId=NOVA, messages=HELLO)
    return bool(response['output']['message']['content'][0]['text'] and response['usage']['totalTokens'])


def _stream(make: Clients) -> bool:
    events = list(make('bedrock-runtime').converse_stream(modelId=NOVA, messages=HELLO)['stream'])
    return 'messageStop' in events[-2] and events[-1]['metadata']['usage']['totalTokens'] > 0


def _tool(make: Clients) -> bool:
    response = make('bedrock-runtime').converse(modelId=NOVA, messages=HELLO, toolConfig=TOOLS)
    call = next(block['toolUse'] for block in response['output']['message']['content'] if 'toolUse' in block)
    return call['name'] == 'weather' and isinstance(call['input']['city'], str) and response['stopReason'] == 'tool_use'


def _refusal(make: Clients) -> bool:
    unanswered = [*HELLO, {'role': 'assistant', 'content': [{'toolUse': {'toolUseId': 'a', 'name': 'b', 'input': {}}}]}]
    return _refused(lambda: make('bedrock-runtime').converse(modelId=NOVA, messages=unanswered), 'ValidationException')


def _unknown_model(make: Clients) -> bool:
    return _refused(
        lambda: make('bedrock-runtime').converse(modelId='nobody.model-v1', messages=HELLO), 'ValidationException'
    )


def _signature(make: Clients) -> bool:
    client = make('bedrock-runtime', 'wrong')
    return _refused(lambda: client.converse(modelId=NOVA, messages=HELLO), 'InvalidSignatureException')


def _refused(call: Callable[[], Any], code: str) -> bool:
    try:
        call()
    except ClientError as error:
        return error.response['Error']['Code'] == code
    return False


def _count(make: Clients) -> bool:
    counted = {'converse': {'messages': HELLO}}
    response = make('bedrock-runtime').count_tokens(modelId=CLAUDE.removeprefix('us.'), input=counted)
    return response['inputTokens'] > 0


def _invoke(make: Clients) -> bool:
    body = make('bedrock-runtime').invoke_model(modelId=CLAUDE, body=json.dumps(MESSAGES))['body']
    return json.loads(body.read())['content'][0]['type'] == 'text'


def _invoke_tool(make: Clients) -> bool:
    tools = [{'name': 'weather', 'input_schema': SCHEMA}]
    body = make('bedrock-runtime').invoke_model(modelId=CLAUDE, body=json.dumps({**MESSAGES, 'tools': tools}))['body']
    return json.loads(body.read())['stop_reason'] == 'tool_use'


def _invoke_stream(make: Clients) -> bool:
    asked = {'modelId': CLAUDE, 'body': json.dumps(MESSAGES)}
    events = list(make('bedrock-runtime').invoke_model_with_response_stream(**asked)['body'])
    return json.loads(events[-1]['chunk']['bytes'])['type'] == 'message_stop'


def _embed(make: Clients) -> bool:
    asked = {'modelId': 'amazon.titan-embed-text-v2:0', 'body': json.dumps({'inputText': 'a', 'dimensions': 256})}
    return len(json.loads(make('bedrock-runtime').invoke_model(**asked)['body'].read())['embedding']) == 256


def _guardrail(make: Clients) -> bool:
    asked = {'guardrailIdentifier': 'abc', 'guardrailVersion': 'DRAFT', 'source': 'INPUT'}
    response = make('bedrock-runtime').apply_guardrail(**asked, content=[{'text': {'text': 'Hello'}}])
    return response['action'] in ('NONE', 'GUARDRAIL_INTERVENED')


def _models(make: Clients) -> bool:
    return len(make('bedrock').list_foundation_models()['modelSummaries']) > 0


def _profiles(make: Clients) -> bool:
    return len(make('bedrock').list_inference_profiles()['inferenceProfileSummaries']) > 0


def _batch(make: Clients) -> bool:
    s3, bedrock = make('s3'), make('bedrock')
    s3.create_bucket(Bucket='emulators')
    record = json.dumps({'recordId': 'R1', 'modelInput': MESSAGES})
    s3.put_object(Bucket='emulators', Key='in/a.jsonl', Body='\n'.join([record] * 100).encode())
    arn = bedrock.create_model_invocation_job(
        jobName='emulators',
        roleArn='arn:aws:iam::123456789012:role/batch',
        modelId=CLAUDE,
        inputDataConfig={'s3InputDataConfig': {'s3Uri': 's3://emulators/in/a.jsonl'}},
        outputDataConfig={'s3OutputDataConfig': {'s3Uri': 's3://emulators/out/'}},
    )['jobArn']
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if bedrock.get_model_invocation_job(jobIdentifier=arn)['status'] == 'Completed':
            break
        time.sleep(0.1)
    written = [each['Key'] for each in s3.list_objects_v2(Bucket='emulators', Prefix='out/').get('Contents', ())]
    key = next(key for key in written if key.endswith('a.jsonl.out'))
    lines = s3.get_object(Bucket='emulators', Key=key)['Body'].read().splitlines()
    return len(lines) == 100 and all('modelOutput' in json.loads(line) for line in lines)


def _caller(make: Clients) -> bool:
    return bool(make('sts').get_caller_identity()['Account'])


PROBES: Mapping[str, Callable[[Clients], bool]] = {
    'Converse': _converse,
    'ConverseStream, with usage': _stream,
    'an offered tool is called by its schema': _tool,
    'a tool call without its result is refused': _refusal,
    'an unknown model is refused': _unknown_model,
    'a wrong signature is refused': _signature,
    'CountTokens': _count,
    'InvokeModel, Claude Messages': _invoke,
    'InvokeModel, an offered tool is called': _invoke_tool,
    'InvokeModelWithResponseStream': _invoke_stream,
    'InvokeModel, Titan embeddings': _embed,
    'ApplyGuardrail, of any id (AWS knows those that were created)': _guardrail,
    'ListFoundationModels': _models,
    'ListInferenceProfiles': _profiles,
    'a batch inference job writes its output to S3': _batch,
    'STS GetCallerIdentity': _caller,
}


def probe(check: Callable[[Clients], bool], make: Clients) -> str:
    """Return the cell of a check: the answer is that of Bedrock, another, or an error."""
    try:
        return 'yes' if check(make) else 'no'
    except ClientError as error:
        return f'no: {error.response["Error"]["Code"]}'
    except (BotoCoreError, KeyError, IndexError, StopIteration, TypeError, ValueError) as error:
        return f'no: {type(error).__name__}'


def starts_of(pythons: Mapping[str, str]) -> dict[str, float]:
    """Return the seconds that emulators take to start, in turns: a busy moment of the machine meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in pythons}
    for _ in range(STARTS):
        for name, python in pythons.items():
            with running(name, python) as (took, *_):
                times[name].append(took)
    return {name: min(took) for name, took in times.items()}


def measured(name: str, python: str, start: float) -> dict[str, str]:
    """Return the column of an emulator."""
    with running(name, python) as (_, url, keys, pid):
        make = clients_of(url, keys)
        runtime = make('bedrock-runtime')
        answers = {row: probe(check, make) for row, check in PROBES.items()}
        call = '-'
        if answers['Converse'] == 'yes':
            call = f'{1000 * statistics.median(_seconds_of_a_call(runtime) for _ in range(CALLS)):.1f}'
        memory = f'{_resident_kb(pid) / 1024:.0f}'
    code = f'from importlib.metadata import version; print(version({name!r}))'
    release = subprocess.check_output([python, '-c', code], text=True).strip()
    return {'version': release, 'start, s': f'{start:.2f}', 'ms per Converse': call, 'memory, MB': memory, **answers}


def _seconds_of_a_call(runtime: Any) -> float:
    started = time.perf_counter()
    runtime.converse(modelId=NOVA, messages=HELLO)
    return time.perf_counter() - started


def _resident_kb(pid: int) -> int:
    status = Path(f'/proc/{pid}/status').read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith('VmRSS'))


def main() -> None:
    """Measure the emulators that the arguments name, and write the table."""
    given = dict(argument.split('=', 1) for argument in sys.argv[1:])
    starts = starts_of(given)
    columns = {name: measured(name, python, starts[name]) for name, python in given.items()}
    rows = list(next(iter(columns.values())))
    table = [f'| | {" | ".join(columns)} |', f'|---|{"---|" * len(columns)}']
    table += [f'| {row} | {" | ".join(column[row] for column in columns.values())} |' for row in rows]
    text = f"""# LocalBedrock beside other emulators

Written by `nox -s emulators`, asked with boto3 {version('boto3')}. The start is the best of {STARTS}, until the first
response of any kind; the time of a call that of {CALLS}, one after another, client included; the memory is that of the
process after them. A cell says yes if the answer is the one that Bedrock gives.
The machine had {os.cpu_count()} cores and a load average of {os.getloadavg()[0]:.1f} at the end.

{chr(10).join(table)}
"""
    PAGE.write_text(text)
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(f'{before}{BEGIN}{chr(10).join(table)}{END}{rest.partition(END)[2]}')
    sys.stdout.write(text)


if __name__ == '__main__':
    main()
