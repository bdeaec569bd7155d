"""One changed import: the same program with upstream's classes and with this package's.

`PARITY_PEER_PYTHON` names an interpreter with the same pydantic-ai-slim and a current boto3, where upstream then runs.
Without it upstream runs here, and what the installed boto3 is too old for is skipped.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from pydantic_ai_aiobedrock.local import LocalBedrock, RecordedRequest, Reply, respond

from .canonical import differences, numbered, request, without_texts
from .case import Case
from .peer import shared_environment
from .sides import Endpoint, Side, ours, upstream
from .table import CASES, run_on

Observe = Callable[[str], Any]
"""Runs a case's program by its name, and returns its outcome."""


@dataclass
class Peer:
    """Upstream in another interpreter."""

    process: subprocess.Popen[str]
    endpoint: Endpoint

    def __call__(self, name: str) -> Any:
        answer = self.ask({'case': name, 'endpoint': asdict(self.endpoint), 'environment': shared_environment()})
        if 'failure' in answer:
            pytest.fail(f'the peer failed:\n{answer["failure"]}', pytrace=False)
        return answer['outcome']

    def ask(self, question: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + '\n')
        self.process.stdin.flush()
        return self.hear()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(f'the peer ended with status {self.process.wait()}', pytrace=False)
        return json.loads(line)


@pytest.fixture(autouse=True)
def no_blocking_call() -> None:
    """Let a client be opened as it may: what it blocks is the matter of other tests."""


def _respond(request: RecordedRequest) -> Reply:
    """Answer as LocalBedrock does, but with the same ids of tool calls to both sides."""
    reply = respond(request)
    calls = [
        replace(call, id=f'tooluse_{len(request.messages)}_{index}') for index, call in enumerate(reply.tool_calls)
    ]
    return replace(reply, tool_calls=calls)


@pytest.fixture(scope='module')
def local_bedrock() -> Iterator[LocalBedrock]:
    with LocalBedrock(responder=_respond) as bedrock:
        yield bedrock


@pytest.fixture(scope='module')
def endpoint(local_bedrock: LocalBedrock) -> Endpoint:
    return Endpoint(
        base_url=local_bedrock.base_url,
        region_name=local_bedrock.region_name,
        aws_access_key_id=local_bedrock.aws_access_key_id,
        aws_secret_access_key=local_bedrock.aws_secret_access_key,
        api_key=local_bedrock.api_key,
    )


@pytest.fixture(scope='module')
def peer(endpoint: Endpoint) -> Iterator[Peer | None]:
    python = os.environ.get('PARITY_PEER_PYTHON')
    if not python:
        yield None
        return
    command = [python, '-m', f'{__package__}.peer']
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    ) as process:
        peer = Peer(process, endpoint)
        there, here = peer.hear()['pydantic-ai-slim'], version('pydantic-ai-slim')
        assert there == here, f'the peer has pydantic-ai-slim {there}, this interpreter {here}'
        yield peer
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def environment(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], None]:
    """Return what sets the environment and the AWS files of a case."""

    def set_up(case: Case) -> None:
        fields = asdict(endpoint)
        # The two sides retry by different rules: where that is the matter, the case says so.
        for name, value in {'AWS_MAX_ATTEMPTS': '1', **case.environment}.items():
            monkeypatch.setenv(name, value.format(**fields))
        Path(os.environ['AWS_CONFIG_FILE']).write_text(case.config.format(**fields))
        Path(os.environ['AWS_SHARED_CREDENTIALS_FILE']).write_text(case.credentials.format(**fields))

    return set_up


def _run_here(side: Side, name: str) -> Any:
    return asyncio.run(run_on(side, CASES[name]))


def _observe(bedrock: LocalBedrock, case: Case, run: Callable[[], Any]) -> dict[str, Any]:
    """Run one side, and return its outcome with what LocalBedrock has seen of it."""
    bedrock.reset()
    bedrock.reply(*case.replies * case.rounds)
    for fault in case.faults:
        bedrock.fault(fault)
    outcome = run()
    if case.own_words:
        outcome = without_texts(outcome)
    requests = [request(recorded) for recorded in bedrock.requests if recorded.attempt == 1]
    if not case.in_order:
        requests.sort(key=lambda sent: json.dumps(sent, sort_keys=True))
    assert not bedrock.failures
    return numbered({'ids': [seen.request_id for seen in bedrock.requests], 'requests': requests, 'outcome': outcome})


@cache
def _installed_botocore_has(member: str) -> bool:
    shape, _, name = member.partition('.')
    described = Loader().load_service_model('bedrock-runtime', 'service-2')['shapes'].get(shape, {})
    return name in described.get('members', {})


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split('.')[:3])


@pytest.mark.parametrize('name', CASES)
def test_the_same_program_sends_and_gets_the_same(
    name: str,
    local_bedrock: LocalBedrock,
    endpoint: Endpoint,
    peer: Peer | None,
    environment: Callable[[Case], None],
) -> None:
    case = CASES[name]
    if _release(version('pydantic-ai-slim')) < _release(case.since):
        pytest.skip(f'pydantic-ai-slim has this from {case.since} on')
    if case.needs and peer is None and not _installed_botocore_has(case.needs):
        pytest.skip(f'boto3 is too old for upstream: it has no {case.needs}, and there is no peer')
    environment(case)
    run_upstream = (lambda: peer(name)) if peer is not None else lambda: _run_here(upstream(endpoint), name)
    expected = _observe(local_bedrock, case, run_upstream)
    actual = _observe(local_bedrock, case, lambda: _run_here(ours(endpoint), name))
    assert expected['requests'] or not actual['requests']
    if found := differences(expected, actual):
        pytest.fail('\n'.join(found), pytrace=False)
