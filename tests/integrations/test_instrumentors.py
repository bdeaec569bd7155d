"""OpenTelemetry's instrumentors, and OpenLLMetry's and OpenInference's of Bedrock, see each call to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_bedrock import LocalBedrock, Reply

PROGRAM = Path(__file__).with_name('instrumented.py')
BOTOCORE = 'opentelemetry.instrumentation.botocore:AiobotocoreInstrumentor'
AIOHTTP = 'opentelemetry.instrumentation.aiohttp_client:AioHttpClientInstrumentor'
OPENLLMETRY = 'opentelemetry.instrumentation.bedrock:BedrockInstrumentor'
OPENINFERENCE = 'openinference.instrumentation.bedrock:BedrockInstrumentor'


@pytest.mark.parametrize('instrumentor', [BOTOCORE, AIOHTTP, OPENLLMETRY, OPENINFERENCE])
def test_each_call_works_and_is_a_span_that_ends(instrumentor: str, bedrock: LocalBedrock) -> None:
    pytest.importorskip(instrumentor.partition(':')[0], reason='the instrumentor is not installed')
    bedrock.reply(
        Reply('Hello you.', chunks=['Hello', ' you.'], usage={'outputTokens': 7}),
        when=lambda request: request.operation != 'InvokeModel',
        times=None,
    )
    done = subprocess.run(
        [sys.executable, str(PROGRAM), instrumentor],
        env=os.environ | bedrock.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    lines = [tuple(line) for line in json.loads(done.stdout.splitlines()[-1])]
    assert [(call, said) for call, said, *_ in lines] == [
        ('converse', 'Hello you.'),
        ('converse', 'Hello you.'),
        ('run', 'Hello you.'),
        ('stream', 'Hello you.'),
        ('stream', 'Hello you.'),
        ('leave', 'Hello'),
        ('embed', 'float'),
        ('embed', 'float'),
        ('refuse', 'ModelNotFoundError'),
    ]
    assert [(call, started, ended) for call, _, started, ended, _ in lines] == [(call, 1, 1) for call, *_ in lines]
    if instrumentor in (OPENLLMETRY, OPENINFERENCE):
        # That of botocore knows of the tokens only with boto3.
        assert [tokens for call, *_, tokens in lines if call in ('converse', 'run', 'stream')] == [[7]] * 5
