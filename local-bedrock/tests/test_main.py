"""`python -m local_bedrock`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.requests import NOVA, user

from local_bedrock import LocalBedrock
from local_bedrock.__main__ import main

SLOW_STEP = re.compile(rb'Executing <.* took \d+\.\d+ seconds')
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


def said_lines(stderr: bytes) -> list[str]:
    # asyncio's debug mode notes each step that a busy machine makes slow.
    return [line.decode() for line in stderr.splitlines() if not SLOW_STEP.fullmatch(line)]


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
        stdout, stderr = await process.communicate()
        assert stdout == b''
        assert said_lines(stderr) == []
        assert process.returncode == 0


async def printed(process: asyncio.subprocess.Process) -> list[str]:
    """Return the lines for a shell."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or lines[-1] != 'Ctrl-C stops it.':
        lines.append((await process.stdout.readline()).decode().rstrip())
    return lines


def in_a_shell(lines: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a shell after it has run the lines."""
    script = '\n'.join((*lines[1:-1], 'env -0'))
    ran = subprocess.run(['sh', '-ec', script], env=dict(environment), check=True, capture_output=True, text=True)
    return dict(variable.split('=', 1) for variable in ran.stdout.split('\0') if variable)


async def test_it_prints_lines_for_a_shell() -> None:
    async with command('--tokens-per-second', '1000', '--latency', '0.01') as process:
        lines = await printed(process)
        assert lines[0].startswith('LocalBedrock serves at http://127.0.0.1:')
        assert [line.partition('=')[0] for line in lines[2:11]] == [
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
        assert lines[13].startswith('# or, instead of the keys: export AWS_BEARER_TOKEN_BEDROCK=')
        assert lines[14:] == ['Ctrl-C stops it.']


async def test_the_lines_take_misleading_variables_out_of_the_shell_and_proxies_out_of_the_way() -> None:
    before = {
        'PATH': os.environ['PATH'],
        'AWS_PROFILE': 'production',
        'AWS_SESSION_TOKEN': 'of-another-key',
        'AWS_BEARER_TOKEN_BEDROCK': 'of-production',
        'NO_PROXY': 'intranet',
    }
    async with command('--credentials', 'AKIDTEST:secret/of+test') as process:
        after = in_a_shell(await printed(process), before)
    assert not after.keys() & {'AWS_PROFILE', 'AWS_SESSION_TOKEN', 'AWS_BEARER_TOKEN_BEDROCK'}
    assert (after['AWS_ACCESS_KEY_ID'], after['AWS_SECRET_ACCESS_KEY']) == ('AKIDTEST', 'secret/of+test')
    assert (after['NO_PROXY'], after['no_proxy']) == ('127.0.0.1,intranet', '127.0.0.1')


async def test_a_session_token_and_an_api_key_that_were_set_are_exported() -> None:
    before = {'PATH': os.environ['PATH']}
    async with command('--credentials', 'AKIDTEST:secret:token-of-the-test') as process:
        after = in_a_shell(await printed(process), before)
        assert after['AWS_SESSION_TOKEN'] == 'token-of-the-test'
        assert 'AWS_BEARER_TOKEN_BEDROCK' not in after
    async with command('--api-key', 'key-of-the-test') as process:
        after = in_a_shell(await printed(process), before)
        assert after['AWS_BEARER_TOKEN_BEDROCK'] == 'key-of-the-test'
        assert await status(after['AWS_ENDPOINT_URL_BEDROCK_RUNTIME'], 'key-of-the-test') == 200
        assert await status(after['AWS_ENDPOINT_URL_BEDROCK_RUNTIME'], 'another') == 403


async def test_the_line_of_json_names_the_variables_to_unset_and_the_hosts_without_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('NO_PROXY', 'intranet')
    async with command('--json') as process:
        said = await announced(process)
    assert {'AWS_PROFILE', 'AWS_SESSION_TOKEN'} <= set(said['unset'])
    assert not set(said['unset']) & said['environment'].keys()
    assert said['environment']['NO_PROXY'] == 'intranet,127.0.0.1'


async def test_each_request_is_logged_in_one_line() -> None:
    async with command('--models', NOVA, '--quota', f'{NOVA}=requests_per_minute:1') as process:
        environment = in_a_shell(
            [line.removeprefix('# or, instead of the keys: ') for line in await printed(process)], os.environ
        )
        url, key = environment['AWS_ENDPOINT_URL_BEDROCK_RUNTIME'], environment['AWS_BEARER_TOKEN_BEDROCK']
        assert [await status(url, key), await status(url, key)] == [200, 429]
        process.terminate()
        _, stderr = await process.communicate()
    first, second = said_lines(stderr)
    assert re.fullmatch(rf'\d\d:\d\d:\d\d POST Converse {re.escape(NOVA)} 200 \d+ ms', first)
    assert re.fullmatch(rf'\d\d:\d\d:\d\d POST Converse {re.escape(NOVA)} 429 ThrottlingException \d+ ms', second)


async def test_it_serves_https_with_an_authority_that_it_writes(tmp_path: Path) -> None:
    folder = tmp_path / 'authority'
    written = b''
    for _ in range(2):
        async with command('--tls', str(folder), '--json') as process:
            said = await announced(process)
            assert said['base_url'].startswith('https://127.0.0.1:')
            assert said['environment']['AWS_CA_BUNDLE'] == str(folder / 'ca.pem')
            trusted = ssl.create_default_context(cafile=folder / 'ca.pem')
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as http,
                http.get(f'{said["base_url"]}/health') as response,
            ):
                assert (await response.json())['status'] == 'ok'
        written = (folder / 'ca.pem').read_bytes()
    # The second server has used the authority of the first.
    assert (folder / 'ca.pem').read_bytes() == written
    assert stat.S_IMODE((folder / 'ca-key.pem').stat().st_mode) == 0o600


async def test_a_temporary_authority_leaves_no_key_and_is_removed_at_the_end() -> None:
    async with command('--tls', '--json') as process:
        said = await announced(process)
        authority = Path(said['environment']['AWS_CA_BUNDLE'])
        assert [path.name for path in authority.parent.iterdir()] == ['ca.pem']
        process.terminate()
        await process.communicate()
    assert not authority.parent.exists()


async def test_replies_of_a_file_are_answered_and_come_back_with_a_reset(tmp_path: Path) -> None:
    file = tmp_path / 'replies.jsonl'
    file.write_text('{"error": "ServiceUnavailableException"}\n\n"Paris"\n')
    async with command('--replies', str(file), '--json') as process:
        said = await announced(process)
        url, key = said['base_url'], said['environment']['AWS_BEARER_TOKEN_BEDROCK']
        for _ in range(2):
            assert [await status(url, key) for _ in range(2)] == [503, 200]
            async with aiohttp.ClientSession() as http, http.post(f'{url}/_local/reset') as response:
                assert response.status == 200


def test_a_port_that_is_taken_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        assert main(['--port', str(port), '--quiet']) == 1
    # The program that called it logs as before.
    log = logging.getLogger('local_bedrock')
    assert (log.handlers, log.propagate, log.level) == ([], True, logging.NOTSET)
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
        stdout, stderr = await process.communicate()
        assert stdout == b''
        assert said_lines(stderr) == []
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
        (('--replies', 'none.json'), 'serve: none.json: No such file or directory'),
        (('--replies', 'empty.json'), 'serve: empty.json: not JSON, '),
        (('--replies', 'wrong.json'), 'serve: wrong.json: replies[1].text: input should be a valid string.'),
        (('--replies', 'wrong.jsonl'), 'serve: wrong.jsonl, line 3: txt: there is no such field; '),
        (('--credentials', 'AKID:'), 'serve: --credentials: must be ACCESS_KEY:SECRET or ACCESS_KEY:SECRET:TOKEN.'),
        (('--credentials', 'empty.json'), 'serve: --credentials empty.json: there is no access key in the file.'),
        (('--credentials', 'wrong.json'), 'serve: --credentials wrong.json, line 1: must be ACCESS_KEY:SECRET or '),
        (('--quota', 'a=b'), 'serve: --quota a=b: must be MODEL=LIMIT:NUMBER,...'),
        (('--quota', '*=rpm:5'), 'serve: --quota *=rpm:5: rpm: there is no such field; the fields are requests_per_'),
        (('--tls', 'half'), 'serve: --tls half: ca.pem and ca-key.pem belong together; remove the one that is left.'),
        (('--tls', 'open'), 'serve: --tls open: others may read ca-key.pem; run chmod 600 on it.'),
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
    for name in ('empty.json', 'half/ca.pem', 'open/ca.pem', 'open/ca-key.pem'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch(0o644)
    (tmp_path / 'wrong.json').write_text('["a", {"text": 5}]')
    (tmp_path / 'wrong.jsonl').write_text('"a"\n\n{"txt": 5}\n')
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
