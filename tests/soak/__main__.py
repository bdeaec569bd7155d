"""Run the soak, and print a report; the exit status is 1 if something was not as it has to be."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

from .load import Load, task_noting_its_run
from .plans import MODEL, PACED_MODEL
from .surroundings import Keys, Server, trouble
from .vitals import CRITERION, Trend, Vitals, Watch

REGION = 'us-east-1'
SILENCE_SECONDS = 10.0
SAY_SECONDS = 30.0
SHOWN = 10

console = Console(width=max(120, Console().width))


@dataclass
class Findings:
    """What is not as it has to be."""

    wrong: list[str] = field(default_factory=list[str])
    unexplained: list[str] = field(default_factory=list[str])
    left_behind: list[str] = field(default_factory=list[str])
    trends: list[Trend] = field(default_factory=list[Trend])

    @property
    def failed(self) -> bool:
        return bool(self.wrong or self.unexplained or self.left_behind or not all(trend.flat for trend in self.trends))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m tests.soak', description='Soak the package in trouble.')
    parser.add_argument('seconds', nargs='?', type=float, default=600.0, help='how long (default: %(default)g)')
    parser.add_argument('--runs', type=int, default=200, help='runs at once (default: %(default)s)')
    parser.add_argument(
        '--seed', type=int, default=None, help='what all chance comes from (default: another each time)'
    )
    options = parser.parse_args()
    if options.seconds < 10 or options.runs < 1:
        parser.error('at least 10 seconds, and one run')
    return options


def environment(folder: Path) -> Path:
    """Hide the AWS settings of whoever runs the soak, and return the file of credentials that is used instead."""
    for name in list(os.environ):
        if name.startswith('AWS_') or name.lower().endswith('_proxy'):
            del os.environ[name]
    file = folder / 'credentials'
    os.environ |= {
        'AWS_SHARED_CREDENTIALS_FILE': str(file),
        'AWS_CONFIG_FILE': os.devnull,
        'AWS_EC2_METADATA_DISABLED': 'true',
    }
    return file


def provider(
    server: Server, pool: SessionPool, throttling: Literal['wait', 'raise'] = 'raise', **how: Any
) -> BedrockProvider:
    return BedrockProvider(
        throttling=throttling,
        region_name=REGION,
        base_url=server.base_url,
        aws_read_timeout=SILENCE_SECONDS,
        pool=pool,
        **how,
    )


async def wait(seconds: float, load: Load, watch: Watch) -> None:
    """Let time pass, and say from time to time how it goes."""
    start = time.monotonic()
    while (left := start + seconds - time.monotonic()) > 0:
        await asyncio.sleep(min(SAY_SECONDS, left))
        vitals = watch.taken[-1]
        counts = {'files': vitals.files, 'tasks': vitals.tasks, 'threads': vitals.threads, 'objects': vitals.objects}
        said = ', '.join(f'{number:,} {what}' for what, number in counts.items())
        console.print(
            f'{time.monotonic() - start:4.0f} s: {load.came.total():6,} runs, {said}, {vitals.megabytes:.1f} MiB; '
            f'{len(load.wrong)} wrong, {len(load.unexplained)} unexplained',
            highlight=False,
        )


async def settled(look: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Return what `look` still finds after some time of grace."""
    found = await look()
    for _ in range(50):
        if not found:
            break
        await asyncio.sleep(0.1)
        gc.collect()
        found = await look()
    return found


async def soak(options: argparse.Namespace, keys: Keys) -> tuple[Load, Findings, Keys, Server]:
    """Soak for so long."""
    findings, server, pool, watch = Findings(), Server(keys), SessionPool(), Watch()
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: findings.unexplained.append(f'reported by the loop: {context}')
    )
    asyncio.get_running_loop().set_task_factory(task_noting_its_run)
    sys.unraisablehook = lambda unraisable: findings.unexplained.append(f'reported by a finalizer: {unraisable}')
    try:
        await server.start()
        # What is imported stays: not to be walked through each time.
        gc.collect()
        gc.freeze()
        files, tasks = Vitals.now().files, asyncio.all_tasks()
        load = Load(
            model=BedrockConverseModel(MODEL, provider=provider(server, pool)),
            bearing=BedrockConverseModel(MODEL, provider=provider(server, pool, api_key=lambda: keys.api_key)),
            paced=BedrockConverseModel(PACED_MODEL, provider=provider(server, pool, 'wait')),
            server=server,
            seed=options.seed,
        )
        over = asyncio.Event()
        watching = asyncio.create_task(watch.run(min(2.0, options.seconds / 60)))
        troubling = asyncio.create_task(trouble(server, keys, options.seed, options.seconds, over))
        start = time.monotonic()
        await load.keep(options.runs, lambda: wait(options.seconds, load, watch))
        findings.trends = watch.trends(start, start + options.seconds)
        over.set()
        await troubling
        watching.cancel()
        await asyncio.wait([watching])

        async def under_way() -> list[str]:
            stats = pool.stats()
            found = {
                'leases': stats.leases,
                'calls in the queue of a quota': sum(pacing.waiting for pacing in stats.pacing),
                'requests at the server': (await server.expire())['in_flight'],
            }
            return [f'{number} {what}, when all runs had ended' for what, number in found.items() if number]

        findings.left_behind += await settled(under_way)
        load.throttled = sum(pacing.throttled for pacing in pool.stats().pacing)
        if not load.throttled:
            findings.unexplained.append('the quota refused nothing, although the runs exceed it')
        await pool.aclose()

        async def more_than_before() -> list[str]:
            more = Vitals.now().files - files
            found = [f'{more} file descriptors, when the pool was closed'] if more > 0 else []
            return found + [f'{task!r}, when the pool was closed' for task in asyncio.all_tasks() - tasks]

        findings.left_behind += await settled(more_than_before)
        if status := await server.stop():
            findings.unexplained.append(f'the server ended with status {status}')
    finally:
        await server.kill()
    findings.wrong += load.wrong
    findings.unexplained += load.unexplained
    return load, findings, keys, server


def report(options: argparse.Namespace, load: Load, findings: Findings, keys: Keys, server: Server) -> None:
    came = Table('what came of the runs', 'runs', title=f'{load.came.total():,} runs, {options.runs} at once')
    for what, runs in load.came.most_common():
        came.add_row(what, f'{runs:,}')
    came.add_section()
    came.add_row('faults that were met', f'{load.troubles.total():,}, of {len(load.troubles)} kinds')
    came.add_row('attempts that the quota refused', f'{load.throttled:,}')
    came.add_row('key rotations', str(keys.rotations))
    downs = [up - down for down, up in server.downs]
    came.add_row('restarts of the server', f'{len(downs)}, away for {sum(downs):.1f} s in all')
    came.add_row('tasks that Pydantic AI has left behind', str(load.stranded))
    came.columns[1].justify = 'right'
    console.print(came)
    flat = Table('median of', '1st quarter', '2nd', '3rd', '4th', 'highest', 'allowed', 'flat', title='Vitals')
    for trend in findings.trends:
        values = [*trend.quarters, trend.highest]
        flat.add_row(trend.name, *(f'{value:,.6g}' for value in values), f'+{trend.allowed:,.4g}', str(trend.flat))
    console.print(flat)
    console.print(CRITERION, highlight=False)
    for name in ('wrong', 'unexplained', 'left_behind'):
        found: list[str] = getattr(findings, name)
        console.print(f'{name.replace("_", " ")}: {len(found)}', highlight=False)
        for each in found[:SHOWN]:
            console.print(f'  {each}', highlight=False, markup=False)
    console.print(f'{"FAILED" if findings.failed else "passed"}; seed {options.seed}', highlight=False)


def main() -> int:
    options = arguments()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    console.print(f'{options.seconds:g} s at {options.runs} runs, seed {options.seed}', highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        keys = Keys(environment(Path(folder)))
        load, findings, keys, server = asyncio.run(soak(options, keys))
    report(options, load, findings, keys, server)
    return int(findings.failed)


if __name__ == '__main__':
    sys.exit(main())
