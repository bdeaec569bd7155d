"""`python -m pydantic_ai_aiobedrock.local`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from pydantic_ai_aiobedrock.local.__main__ import main

from .conftest import NOVA, user

COMMAND = (sys.executable, '-X', 'dev', '-W', 'error', '-m', 'pydantic_ai_aiobedrock.local')


@asynccontextmanager
async def command(*options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        # Reads to the end and closes the pipes.
        await process.communicate()


async def status(base_url: str, api_key: str) -> int:
    async with aiohttp.ClientSession(headers={'Authorization': f'Bearer {api_key}'}) as http:
        url = f'{base_url}/model/{NOVA}/converse'
        async with http.post(url, json={'messages': [user('Hello')]}) as response:
            return response.status


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
async def test_it_says_where_in_one_line_of_json_and_ends_clean(number: signal.Signals) -> None:
    async with command('--json', '--region', 'eu-west-1') as process:
        assert process.stdout is not None
        announced = json.loads(await process.stdout.readline())
        assert announced['region_name'] == 'eu-west-1'
        environment = announced['environment']
        assert environment['AWS_ENDPOINT_URL_BEDROCK_RUNTIME'] == announced['base_url']
        assert environment['AWS_DEFAULT_REGION'] == 'eu-west-1'
        assert environment['AWS_SECRET_ACCESS_KEY']
        assert await status(announced['base_url'], environment['AWS_BEARER_TOKEN_BEDROCK']) == 200
        process.send_signal(number)
        assert await process.communicate() == (b'', b'')
        assert process.returncode == 0


async def test_it_prints_lines_for_a_shell() -> None:
    async with command('--tokens-per-second', '1000', '--latency', '0.01') as process:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(9)]
        assert lines[0].startswith('LocalBedrock serves at http://127.0.0.1:')
        assert [line.partition('=')[0] for line in lines[1:7]] == [
            'export AWS_ENDPOINT_URL_BEDROCK_RUNTIME',
            'export AWS_BEDROCK_RUNTIME_ENDPOINT',
            'export AWS_ACCESS_KEY_ID',
            'export AWS_SECRET_ACCESS_KEY',
            'export AWS_DEFAULT_REGION',
            'export AWS_REGION',
        ]
        assert 'export AWS_BEARER_TOKEN_BEDROCK=' in lines[7]
        assert lines[8] == 'Ctrl-C stops it.'


def test_a_port_that_is_taken_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        assert main(['--port', str(port), '--quiet']) == 1
    captured = capsys.readouterr()
    assert captured.out == ''
    assert captured.err.startswith(f'LocalBedrock cannot serve: 127.0.0.1:{port}: ')
    assert 'address already in use' in captured.err.lower()
    assert captured.err.count('\n') == 1


@pytest.mark.parametrize('speed', ['0', 'fast'])
def test_a_speed_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], speed: str) -> None:
    with pytest.raises(SystemExit):
        main(['--tokens-per-second', speed])
    assert '--tokens-per-second' in capsys.readouterr().err
