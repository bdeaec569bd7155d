"""The service of docs/deploying.md in the workers of gunicorn and uvicorn: each opens a client of its own."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from local_bedrock import LocalBedrock

httpx = pytest.importorskip('httpx', reason='the client of the service')
PAGE = (Path(__file__).parents[2] / 'docs' / 'deploying.md').read_text()
pytestmark = pytest.mark.timeout(180)


def command(server: str) -> list[str]:
    [line] = re.findall(rf'^({server} service:app .*)$', PAGE, flags=re.MULTILINE)
    return shlex.split(line)


@asynccontextmanager
async def serving(folder: Path, bedrock: LocalBedrock, command: list[str]) -> AsyncIterator[None]:
    [service] = re.findall(r'^```py title="service.py"\n(.*?)^```$', PAGE, flags=re.DOTALL | re.MULTILINE)
    (folder / 'service.py').write_text(service)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, '-m', *command), cwd=folder, env={**os.environ, **bedrock.environment}, start_new_session=True
    )
    try:
        yield
        process.terminate()
        await process.wait()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@pytest.mark.parametrize('server', ['uvicorn', 'gunicorn'])
async def test_workers_answer_and_share_no_connection(server: str, tmp_path: Path, bedrock: LocalBedrock) -> None:
    pytest.importorskip('fastapi', reason='the service needs FastAPI')
    pytest.importorskip(server, reason=f'{server} runs the workers: nox -s integrations')
    if server == 'gunicorn':
        pytest.importorskip('uvicorn_worker', reason='the worker class of gunicorn: nox -s integrations')
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    at = ['--port', str(port)] if server == 'uvicorn' else ['--bind', f'127.0.0.1:{port}']
    workers = 4
    async with serving(tmp_path, bedrock, [*command(server), *at]):
        async with asyncio.timeout(120):
            # Each worker opens 10 connections ahead of its requests.
            while bedrock.stats().connections < 10 * workers:
                await asyncio.sleep(0.05)
        async with httpx.AsyncClient(base_url=f'http://127.0.0.1:{port}', trust_env=False, timeout=60) as client:
            tasks = [client.get('/story', params={'about': f'the number {n}'}) for n in range(40)]
            answers = await asyncio.gather(*tasks)
        assert {answer.status_code for answer in answers} == {200}
        assert all('You said' in answer.text for answer in answers)
        assert bedrock.failures == []
