"""`python -m local_bedrock`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.requests import NOVA, user

from local_bedrock import LocalBedrock
from local_bedrock.__main__ import main

COMMAND = (sys.executable, '-X', 'dev', '-W', 'error', '-m', 'local_bedrock')


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


async def announced(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    return json.loads(await process.stdout.readline())


async def status(base_url: str, api_key: str, text: str = 'Hello') -> int:
    async with aiohttp.ClientSession(headers={'Authorization': f'Bearer {api_key}'}) as http:
        url = f'{base_url}/model/{NOVA}/converse'
        async with http.post(url, json={'messages': [user(text)]}) as response:
            return response.status


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
async def test_it_says_where_in_one_line_of_json_and_ends_clean(number: signal.Signals) -> None:
    async with command('--json', '--region', 'eu-west-1') as process:
        said = await announced(process)
        assert said['region_name'] == 'eu-west-1'
        environment = said['environment']
        assert environment['AWS_ENDPOINT_URL_BEDROCK_RUNTIME'] == said['base_url']
        assert environment['AWS_DEFAULT_REGION'] == 'eu-west-1'
        assert environment['AWS_SECRET_ACCESS_KEY']
        assert await status(said['base_url'], environment['AWS_BEARER_TOKEN_BEDROCK']) == 200
        process.send_signal(number)
        assert await process.communicate() == (b'', b'')
        assert process.returncode == 0


async def test_it_prints_lines_for_a_shell() -> None:
    async with command('--tokens-per-second', '1000', '--latency', '0.01') as process:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(12)]
        assert lines[0].startswith('LocalBedrock serves at http://127.0.0.1:')
        assert [line.partition('=')[0] for line in lines[1:10]] == [
            'export AWS_ENDPOINT_URL_BEDROCK_RUNTIME',
            'export AWS_BEDROCK_RUNTIME_ENDPOINT',
            'export AWS_ENDPOINT_URL_BEDROCK',
            'export AWS_ENDPOINT_URL_S3',
            'export AWS_ENDPOINT_URL_STS',
            'export AWS_ACCESS_KEY_ID',
            'export AWS_SECRET_ACCESS_KEY',
            'export AWS_DEFAULT_REGION',
            'export AWS_REGION',
        ]
        assert 'export AWS_BEARER_TOKEN_BEDROCK=' in lines[10]
        assert lines[11] == 'Ctrl-C stops it.'


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


# Record and replay


async def test_exchanges_are_recorded_and_replayed(
    aws: LocalBedrock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    options = ('--to', str(file), '--region', 'us-east-1', '--endpoint-url', aws.base_url, '--json')
    async with command('record', *options) as process:
        said = await announced(process)
        assert await status(said['base_url'], said['environment']['AWS_BEARER_TOKEN_BEDROCK']) == 200
        process.terminate()
        assert await process.communicate() == (b'', b'')
        assert process.returncode == 0
    assert len(json.loads(file.read_text())) == aws.stats().requests == 1
    async with command('replay', str(file), '--json') as process:
        said = await announced(process)
        assert await status(said['base_url'], said['environment']['AWS_BEARER_TOKEN_BEDROCK']) == 200
        assert await status(said['base_url'], said['environment']['AWS_BEARER_TOKEN_BEDROCK'], 'Bye') == 404
    assert aws.stats().requests == 1


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('record', '--to', 'a.json', '--region', 'us-east-1'), 'record: Unable to locate credentials'),
        (('record', '--to', 'a.json'), 'record: You must specify a region.'),
        (('record', '--to', 'a.json', '--profile', 'none'), 'record: The config profile (none) could not be found'),
        (('record', '--to', 'none/a.json', '--region', 'us-east-1'), 'record: {}/none: There is no such folder'),
        (('replay', 'none.json'), 'replay: none.json: No such file or directory'),
        (('replay', 'empty.json'), 'replay: empty.json does not hold recorded exchanges: '),
    ],
)
def test_what_it_lacks_is_one_clear_line(
    options: Sequence[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty.json').touch()
    assert main(options) == 1
    captured = capsys.readouterr()
    assert captured.out == ''
    assert captured.err.startswith(f'LocalBedrock cannot {message.format(tmp_path)}')
    assert captured.err.count('\n') == 1


@pytest.mark.parametrize(('options', 'status'), [(['--help'], 0), (['record', '--help'], 0), (['record'], 2)])
def test_each_command_explains_itself(capsys: pytest.CaptureFixture[str], options: list[str], status: int) -> None:
    with pytest.raises(SystemExit) as exited:
        main(options)
    assert exited.value.code == status
    captured = capsys.readouterr()
    for word in ('serve', 'record', 'replay') if options == ['--help'] else ('--to',):
        assert word in captured.out + captured.err
