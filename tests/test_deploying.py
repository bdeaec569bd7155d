"""The code of docs/deploying.md does what the page says: through a freeze and thaw of Lambda, and a SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from time import time
from types import SimpleNamespace
from typing import Any

import pytest
from credential_sources import CredentialSources
from generation import eventually

from local_bedrock import LocalBedrock, RecordedRequest

PAGE = (Path(__file__).parents[1] / 'docs' / 'deploying.md').read_text()
CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)


def block(title: str) -> str:
    [code] = re.findall(rf'^```\w+ title="{title}"\n(.*?)^```$', PAGE, flags=re.DOTALL | re.MULTILINE)
    return code


def environment(bedrock: LocalBedrock, sources: CredentialSources | None = None) -> dict[str, str]:
    """Return the environment of a container: a region, an endpoint, and where credentials are issued."""
    found = {'AWS_DEFAULT_REGION': bedrock.region_name, 'AWS_ENDPOINT_URL_BEDROCK_RUNTIME': bedrock.base_url}
    return found if sources is None else {**found, 'AWS_CONTAINER_CREDENTIALS_FULL_URI': f'{sources.url}/container'}


@pytest.fixture
def lambda_thread() -> Iterator[ThreadPoolExecutor]:
    """Yield the thread in which Lambda runs a function, beside the servers of the test."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def start(executor: ThreadPoolExecutor) -> dict[str, Any]:
    """Run the code of the function outside of its handler, and return its names."""
    names: dict[str, Any] = {'__name__': 'app'}
    await asyncio.get_running_loop().run_in_executor(executor, exec, compile(block('app.py'), 'app.py', 'exec'), names)
    return names


async def invoke(executor: ThreadPoolExecutor, function: dict[str, Any], context: Any = CONTEXT) -> str:
    event = {'prompt': 'Hello!'}
    answer = await asyncio.get_running_loop().run_in_executor(executor, function['handler'], event, context)
    return answer['answer']


@pytest.mark.parametrize(
    ('frozen', 'refused'),
    [(timedelta(minutes=1), 1), (timedelta(hours=2), 0)],
    ids=['refused before their time', 'past their expiration'],
)
async def test_a_thawed_function_replaces_closed_connections_and_expired_credentials(
    bedrock: LocalBedrock,
    lambda_thread: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
    frozen: timedelta,
    refused: int,
) -> None:
    async with CredentialSources(bedrock) as sources:
        bedrock.rotate_credentials(temporary=True)
        for name, value in environment(bedrock, sources).items():
            monkeypatch.setenv(name, value)
        function = await start(lambda_thread)
        bedrock.reply('Good morning.', 'Good evening.')
        assert await invoke(lambda_thread, function) == 'Good morning.'
        # Frozen: the loop of the function stands still while the server closes and the credentials expire.
        connections = bedrock.stats().connections
        bedrock.drop_connections()
        bedrock.rotate_credentials(temporary=True)
        later = time() + frozen.total_seconds()
        monkeypatch.setattr('pydantic_ai_aiobedrock._client.credentials.time', lambda: later)
        sources.lifetime = timedelta(hours=4)
        assert await invoke(lambda_thread, function) == 'Good evening.'
        assert bedrock.stats().connections > connections
        calls = [request.status for request in bedrock.requests if request.operation]
        assert calls.count(403) == refused
        assert calls.count(200) == 2
        await asyncio.get_running_loop().run_in_executor(lambda_thread, function['runner'].close)


async def test_a_function_ends_its_run_before_lambda_ends_the_function(
    bedrock: LocalBedrock, lambda_thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    function = await start(lambda_thread)
    asked = asyncio.Event()

    async def never(_: RecordedRequest) -> str:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    bedrock.reply(never)
    with pytest.raises(TimeoutError):
        await invoke(lambda_thread, function, SimpleNamespace(get_remaining_time_in_millis=lambda: 2_500))
    assert asked.is_set()
    await eventually(lambda: bedrock.stats().in_flight == 0)
    bedrock.reply('Good morning.')
    assert await invoke(lambda_thread, function) == 'Good morning.'
    await asyncio.get_running_loop().run_in_executor(lambda_thread, function['runner'].close)


async def serve(folder: Path, environment: dict[str, str]) -> tuple[asyncio.subprocess.Process, str]:
    """Serve the application of the page by the command of its Dockerfile, on a free port of loopback."""
    (folder / 'service.py').write_text(block('service.py'))
    [command] = re.findall(r'^CMD (\[.*\])$', block('Dockerfile'), flags=re.MULTILINE)
    replaced = {'0.0.0.0': '127.0.0.1', '8000': '0'}
    options = [replaced.get(option, option) for option in json.loads(command)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, '-m', *options),
        cwd=folder,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    async for line in process.stderr:
        if found := re.search(r'running on (http://[\d.:]+)', line.decode()):
            return process, found[1]
    raise AssertionError(f'the service ended with status {await process.wait()}')


async def test_a_stopped_container_lets_its_streams_end(bedrock: LocalBedrock, tmp_path: Path) -> None:
    httpx = pytest.importorskip('httpx', reason='the client of the service')
    pytest.importorskip('fastapi', reason='the service needs FastAPI')
    go_on = asyncio.Event()

    async def slowly(_: RecordedRequest) -> AsyncGenerator[dict[str, Any]]:
        yield {'messageStart': {'role': 'assistant'}}
        yield {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': 'Once upon'}}}
        await go_on.wait()
        yield {'contentBlockDelta': {'contentBlockIndex': 0, 'delta': {'text': ' a time.'}}}
        yield {'contentBlockStop': {'contentBlockIndex': 0}}
        yield {'messageStop': {'stopReason': 'end_turn'}}

    bedrock.rotate_credentials(temporary=True)
    bedrock.reply(slowly)
    async with CredentialSources(bedrock) as sources:
        process, url = await serve(tmp_path, environment(bedrock, sources))
        try:
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                assert (await client.get('/health')).json() == {'status': 'ok'}
                async with client.stream('GET', '/story', params={'about': 'a river'}) as response:
                    pieces = response.aiter_text()
                    told = await anext(pieces)
                    process.send_signal(signal.SIGTERM)
                    assert process.stderr is not None
                    async for line in process.stderr:
                        if b'Shutting down' in line:
                            break
                    go_on.set()
                    told += ''.join([piece async for piece in pieces])
            assert told == 'Once upon a time.'
            _, log = await process.communicate()
            assert b'Traceback' not in log
            # uvicorn ends by the signal that it was sent, once all is closed.
            assert process.returncode in (0, -signal.SIGTERM)
            assert b'Finished server process' in log
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert sources.asked['container'] == 1


async def test_a_container_without_credentials_ends_and_says_why(tmp_path: Path, bedrock: LocalBedrock) -> None:
    pytest.importorskip('fastapi', reason='the service needs FastAPI')
    (tmp_path / 'service.py').write_text(block('service.py'))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, '-m', 'uvicorn', 'service:app', '--port', '0'),
        cwd=tmp_path,
        env={**os.environ, **environment(bedrock), 'AWS_EC2_METADATA_DISABLED': 'true'},
        stderr=subprocess.PIPE,
    )
    _, log = await process.communicate()
    assert process.returncode == 3
    assert 'No AWS credentials were found' in log.decode()


def test_the_task_definition_names_the_port_and_outlives_the_streams() -> None:
    [container] = json.loads(block('task-definition.json'))['containerDefinitions']
    [graceful] = re.findall(r'"--timeout-graceful-shutdown", "(\d+)"', block('Dockerfile'))
    [grace] = re.findall(r'terminationGracePeriodSeconds: (\d+)', block('deployment.yaml'))
    assert int(graceful) < container['stopTimeout'] <= 120
    assert int(graceful) < int(grace)
    assert [mapping['containerPort'] for mapping in container['portMappings']] == [8000]
