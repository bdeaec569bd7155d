"""Processes that are killed in the middle of a batch: the next goes on, and nothing is lost, doubled or left behind."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import ssl
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Literal, cast

import pytest

from local_bedrock import LocalBedrock, NoResponse, Truncate

from . import resumable
from .resumable import NAMES

pytest.importorskip('pydantic_ai.models.batch', reason='This Pydantic AI has no batches yet.')

PATIENCE = 200
"""Seconds that a process may take to reach a point, on a machine that is busy."""

pytestmark = pytest.mark.timeout(2 * PATIENCE)

MANY_PARTS = 4 * 1024 * 1024
"""Bytes of each of the five requests of a batch that is uploaded in three parts."""


@dataclass(frozen=True)
class At:
    """A point of the life of a batch: a request that the server holds, or a step of the process."""

    operation: str = ''
    when: Literal['before', 'after', 'in the middle of the answer of'] = 'before'
    """Whether the server has carried the request out, and whether it has begun to answer."""
    nth: int = 1
    step: str = ''
    """The step of the process, which has made all before it; default: the request is all that is waited for."""
    size: int = 1

    def __str__(self) -> str:
        return ' '.join(filter(None, (self.step, self.operation and f'{self.when} {self.operation} {self.nth}')))


POINTS = (
    At('ListModelInvocationJobs'),
    At('ListMultipartUploads'),
    At('CreateMultipartUpload', size=MANY_PARTS),
    At('CreateMultipartUpload', 'after', size=MANY_PARTS),
    *(At('UploadPart', when, nth, size=MANY_PARTS) for nth in (1, 2, 3) for when in ('before', 'after')),
    At('CompleteMultipartUpload', size=MANY_PARTS),
    At('CompleteMultipartUpload', 'after', size=MANY_PARTS),
    At('PutObject'),
    At('PutObject', 'after'),
    At('CreateModelInvocationJob'),
    At('CreateModelInvocationJob', 'after'),
    At('CreateModelInvocationJob', 'in the middle of the answer of'),
    At(step='submitted'),
    At(step='handle saved'),
    At('GetModelInvocationJob'),
    At('GetModelInvocationJob', 'after', 3),
    At('GetObject'),
    At('GetObject', 'in the middle of the answer of', step='result 2', size=MANY_PARTS),
    At(step='result 1'),
    At(step='result 4'),
    At(step='collected'),
    *(At('DeleteObject', when, nth) for nth in (1, 2, 3) for when in ('before', 'after')),
    At(step='files deleted'),
)


@dataclass(frozen=True)
class HeldBefore(NoResponse):
    """Hold a request without carrying it out."""

    then: Literal['reset', 'close', 'hang'] = 'hang'
    held: Event = field(default_factory=Event)

    def __call__(self, response: Any) -> None:
        super().__call__(response)
        self.held.set()


@dataclass(frozen=True)
class HeldAfter(Truncate):
    """Carry a request out, and hold its answer, or the rest of it."""

    held: Event = field(default_factory=Event)

    def __call__(self, response: Any) -> None:
        super().__call__(response)
        self.held.set()


@pytest.fixture
def tls(trusted_tls: ssl.SSLContext) -> ssl.SSLContext:
    return trusted_tls


def test_at_least_twenty_points_are_tried() -> None:
    assert len({str(point) for point in POINTS}) == len(POINTS) >= 20


@pytest.mark.parametrize('point', POINTS, ids=str)
def test_the_batch_of_a_killed_process_is_finished_by_the_next(
    bedrock: LocalBedrock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: At
) -> None:
    for name, value in bedrock.environment.items():
        monkeypatch.setenv(name, value)
    if point.operation == 'GetModelInvocationJob':
        bedrock.jobs.hold('InProgress', after=2)
    killed_at(point, bedrock, tmp_path)
    bedrock.jobs.go_on()

    asyncio.run(resumable.run(tmp_path, point.size))

    [job] = bedrock.jobs._jobs.known.values()  # pyright: ignore[reportPrivateUsage]
    assert (job.request['jobName'], job.status) == ('pydantic-ai-a-run', 'Completed')
    answered = Counter(request.record_id for request in bedrock.requests if request.record_id)
    assert answered == Counter(NAMES)
    results = [json.loads(line) for line in (tmp_path / 'results.jsonl').read_text().splitlines()]
    assert Counter(name for name, _ in results) == Counter(NAMES)
    assert all(f'Say {name}.' in text for name, text in results)
    assert [path.name for path in tmp_path.iterdir()] == ['results.jsonl']
    assert bedrock.objects.list() == []
    assert bedrock.objects.uploads == {}


def killed_at(point: At, bedrock: LocalBedrock, folder: Path) -> None:
    """Start a process, and kill it when it and the server have come to a point."""
    rule: Any = None
    held = Event()
    if point.operation:
        # Of a file of results, some of them; of an answer about a job, not all of its hundred bytes.
        at = {'before': -1, 'after': -1}.get(point.when, 3 * point.size if point.step else 20)
        fault = HeldBefore(held=held) if point.when == 'before' else HeldAfter(at, 'hang', held)
        rule = bedrock.fault(fault, operation=cast(Any, point.operation), nth=point.nth, times=1)
    processes = multiprocessing.get_context('forkserver')
    # Each process begins with the program imported.
    processes.set_forkserver_preload([resumable.__name__])
    steps, sender = processes.Pipe(duplex=False)
    process = processes.Process(
        target=resumable.main, args=(folder, point.size, dict(os.environ), point.step, sender), daemon=True
    )
    process.start()
    sender.close()
    with steps:
        try:
            while point.step and steps.recv() != point.step:
                pass
            if point.operation:
                assert held.wait(PATIENCE)
            assert process.is_alive()
        finally:
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
            process.close()
    if rule is not None:
        assert rule.used == 1
