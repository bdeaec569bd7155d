"""One changed import: the same program with upstream's classes and with this package's.

`PARITY_PEER_PYTHON` names an interpreter with the same pydantic-ai-slim and a current boto3, where upstream then runs;
`nox -s tests` makes one. Without it upstream runs here, and what the installed boto3 is too old for is skipped.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import pytest
import trustme
from botocore.loaders import Loader

from local_bedrock import AccessKey, LocalBedrock, RecordedRequest, Reply, respond

from .canonical import differences, in_short, numbered, request, without_texts
from .case import Case
from .peer import shared_environment
from .sides import Endpoint, ours, upstream
from .sts import SecurityTokenService
from .table import CASES, run

ACCESS_KEYS = {
    'AKIDPARITY': 'parity-secret',
    'AKIDTEMPORARY': AccessKey('AKIDTEMPORARY', 'temporary-secret', 'temporary-token'),
}
API_KEY = 'parity-api-key'


@dataclass
class Peer:
    """Upstream in another interpreter."""

    process: subprocess.Popen[str]

    def run(self, name: str, endpoint: Endpoint) -> Any:
        assert self.process.stdin is not None
        question = {'case': name, 'endpoint': asdict(endpoint), 'environment': shared_environment()}
        self.process.stdin.write(json.dumps(question) + '\n')
        self.process.stdin.flush()
        # There may be the late answer to a question that has timed out.
        while (answer := self.hear())['case'] != name:
            pass
        if 'failure' in answer:
            pytest.fail(f'the peer failed:\n{answer["failure"]}', pytrace=False)
        return answer['outcome']

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
def plain_bedrock() -> Iterator[LocalBedrock]:
    with LocalBedrock(responder=_respond, credentials=ACCESS_KEYS, api_keys=[API_KEY]) as bedrock:
        yield bedrock


@pytest.fixture(scope='module')
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope='module')
def tls_bedrock(authority: trustme.CA) -> Iterator[LocalBedrock]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('127.0.0.1').configure_cert(context)
    with LocalBedrock(responder=_respond, credentials=ACCESS_KEYS, api_keys=[API_KEY], tls=context) as bedrock:
        yield bedrock


@pytest.fixture
def local_bedrock(
    case: Case,
    plain_bedrock: LocalBedrock,
    tls_bedrock: LocalBedrock,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> LocalBedrock:
    if not case.tls:
        return plain_bedrock
    authority.cert_pem.write_to_path(str(tmp_path / 'ca.pem'))
    monkeypatch.setenv('AWS_CA_BUNDLE', str(tmp_path / 'ca.pem'))
    return tls_bedrock


@pytest.fixture
def endpoint(local_bedrock: LocalBedrock) -> Endpoint:
    return Endpoint(
        base_url=local_bedrock.base_url,
        region_name=local_bedrock.region_name,
        aws_access_key_id=local_bedrock.aws_access_key_id,
        aws_secret_access_key=local_bedrock.aws_secret_access_key,
        api_key=local_bedrock.api_key,
    )


@pytest.fixture
def case(name: str) -> Case:
    case = CASES[name]
    if _release(version('pydantic-ai-slim')) < _release(case.since):
        pytest.skip(f'pydantic-ai-slim has this from {case.since} on')
    if case.needs and 'PARITY_PEER_PYTHON' not in os.environ and not _installed_botocore_has(case.needs):
        pytest.skip(f'boto3 is too old for upstream: it has no {case.needs}, and there is no peer')
    return case


NEWEST = 'ConverseTokensRequest.toolConfig'
"""What the service model of the default engine lacks, and upstream sends whenever it counts the tokens of tools."""


@pytest.fixture(scope='module')
def peer() -> Iterator[Peer | None]:
    python = os.environ.get('PARITY_PEER_PYTHON')
    if not python:
        yield None
        return
    command = [python, '-m', f'{__package__}.peer']
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    ) as process:
        peer = Peer(process)
        there, here = peer.hear()['pydantic-ai-slim'], version('pydantic-ai-slim')
        assert there == here, f'the peer has pydantic-ai-slim {there}, this interpreter {here}'
        yield peer
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope='module')
def sts() -> Iterator[SecurityTokenService]:
    with SecurityTokenService() as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.01,))
        thread.start()
        yield service
        service.shutdown()
        thread.join()


@pytest.fixture
def environment(
    case: Case, endpoint: Endpoint, sts: SecurityTokenService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Set the environment variables and the AWS files of the case."""
    fields = {**asdict(endpoint), 'python': sys.executable, 'folder': str(tmp_path), 'sts_url': sts.url}
    (tmp_path / 'token').write_text('a web identity token')
    # By default the two sides retry by different rules.
    for name, value in {'AWS_RETRY_MODE': 'standard', 'AWS_MAX_ATTEMPTS': '1', **case.environment}.items():
        monkeypatch.setenv(name, Template(value).substitute(fields))
    Path(os.environ['AWS_CONFIG_FILE']).write_text(Template(case.config).substitute(fields))
    Path(os.environ['AWS_SHARED_CREDENTIALS_FILE']).write_text(Template(case.credentials).substitute(fields))


def _observe(bedrock: LocalBedrock, case: Case, run: Callable[[], Any]) -> dict[str, Any]:
    """Run one side, and return its outcome with what LocalBedrock has seen of it."""
    bedrock.reset()
    bedrock.reply(*[*case.replies] * case.rounds)
    for fault in case.faults:
        action, conditions = fault if isinstance(fault, tuple) else (fault, {})
        bedrock.fault(action, **conditions)
    outcome = run()
    if case.own_words:
        outcome = without_texts(outcome)
    # A retry is the same request once more.
    first_attempts = {recorded.invocation_id: recorded for recorded in reversed(bedrock.requests)}
    requests = [request(recorded) for recorded in reversed(first_attempts.values())]
    if not case.in_order:
        requests.sort(key=lambda sent: json.dumps(sent, sort_keys=True))
    assert not bedrock.failures
    ids = [recorded.request_id for recorded in reversed(first_attempts.values())]
    return numbered({'ids': ids, 'requests': requests, 'outcome': outcome})


@cache
def _installed_botocore_has(member: str) -> bool:
    shape, _, name = member.partition('.')
    described = Loader().load_service_model('bedrock-runtime', 'service-2')['shapes'].get(shape, {})
    return name in described.get('members', {})


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split('.')[:3])


@pytest.mark.parametrize('name', [name for name, case in CASES.items() if not case.ours])
def test_sends_and_gets_the_same(
    name: str,
    case: Case,
    local_bedrock: LocalBedrock,
    endpoint: Endpoint,
    peer: Peer | None,
    environment: None,
    sts: SecurityTokenService,
) -> None:
    sts.asked.clear()
    expected, actual = _on_both_sides(name, case, local_bedrock, endpoint, peer)
    half = len(sts.asked) // 2
    assert sts.asked[:half] == sts.asked[half:]
    assert bool(half) == case.sts
    if found := differences(expected, actual):
        pytest.fail('\n'.join(found), pytrace=False)


@pytest.mark.parametrize('name', [name for name, case in CASES.items() if case.ours])
def test_differs_on_purpose(
    name: str, case: Case, local_bedrock: LocalBedrock, endpoint: Endpoint, peer: Peer | None, environment: None
) -> None:
    upstream_does, ours_does = _on_both_sides(name, case, local_bedrock, endpoint, peer)
    for does, said in ((upstream_does, case.upstream), (ours_does, case.ours)):
        if not fnmatchcase(found := in_short(does['outcome']), said):
            pytest.fail(f'expected {said}\nfound {found}', pytrace=False)


def _on_both_sides(
    name: str, case: Case, bedrock: LocalBedrock, endpoint: Endpoint, peer: Peer | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    def run_upstream() -> Any:
        return peer.run(name, endpoint) if peer is not None else run(upstream(endpoint), case)

    expected = _observe(bedrock, case, run_upstream)
    if peer is None and not _installed_botocore_has(NEWEST) and 'Unknown parameter in ' in json.dumps(expected):
        pytest.skip('boto3 is too old for what upstream sends here, and there is no peer')
    return expected, _observe(bedrock, case, lambda: run(ours(endpoint), case))
