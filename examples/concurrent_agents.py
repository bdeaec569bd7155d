"""Three hundred concurrent agents on Amazon Bedrock, beside the same agents on Pydantic AI's own threaded client.

A quarter of them answer in plain text, a quarter call a tool, a quarter give structured output, a quarter stream. With
no arguments each client talks to a LocalBedrock that takes 2 s to the first token and writes 20 tokens per second, like
a model at AWS; then this package does it again under a quota. With --region or --profile the agents of this package run
on AWS, with your own credentials.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from endpoint import MODEL
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from local_bedrock import LocalBedrock, LocalBedrockStats, Quota, Reply

TOKENS_PER_SECOND = 20


class RefusedError(Exception):
    """A client that cannot start, such as for want of a region."""


@dataclass
class Contestant:
    """A client in a process of its own, and all that is known of its agents so far."""

    title: str
    client: str
    quota: Quota | None = None
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)
    seen: LocalBedrockStats | None = None
    """Counts of the endpoint, where that is LocalBedrock."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, kind: str, data: Any) -> None:
        match kind:
            case 'answered':
                self.answered += 1
            case 'failed':
                self.failures.append(data)
            case 'ended':
                self.measured = data
            case 'refused':
                raise RefusedError(data)


@asynccontextmanager
async def started(
    contestant: Contestant, args: argparse.Namespace, environment: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the process of a client, which waits for a line, and end it in any case."""
    program = Path(__file__).with_name('run_agents.py')
    options = ['--client', contestant.client, '--agents', str(args.runs), '--model', args.model]
    for name in ('region', 'profile', 'concurrency'):
        if (value := getattr(args, name)) is not None:
            options += [f'--{name}', str(value)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), *options, stdin=PIPE, stdout=PIPE, env=environment
    )
    try:
        yield process
    except BaseException:
        # Not process.kill(), which takes the exit status of a process that has just ended away from asyncio.
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        raise
    finally:
        await process.wait()


async def messages(process: asyncio.subprocess.Process) -> AsyncIterator[tuple[str, Any]]:
    assert process.stdout is not None
    async for line in process.stdout:
        kind, data = json.loads(line)
        yield kind, data


async def compete(contestant: Contestant, args: argparse.Namespace, bar: Progress) -> None:
    """Run the agents of a client against an endpoint of its own, once it is ready and `go` is set."""
    task = bar.add_task(contestant.title, total=args.runs, start=False)
    async with AsyncExitStack() as stack:
        environment, bedrock = dict(os.environ), None
        if not on_aws(args):
            bedrock = await stack.enter_async_context(
                LocalBedrock(latency=args.latency, tokens_per_second=TOKENS_PER_SECOND)
            )
            environment = {name: value for name, value in environment.items() if not name.startswith('AWS_')}
            if contestant.client == 'upstream':
                bedrock.reply(Reply('Hello!', delay_before=0))  # to its call ahead of the clock
            environment |= bedrock.environment | {'no_proxy': '127.0.0.1', 'NO_PROXY': '127.0.0.1'}
        process = await stack.enter_async_context(started(contestant, args, environment))
        async for kind, data in messages(process):
            if kind == 'ready':
                contestant.ready.set()
                await contestant.go.wait()
                if bedrock and contestant.quota:
                    bedrock.set_quotas(contestant.quota)
                bar.start_task(task)
                process.stdin.write(b'go\n')
            contestant.note(kind, data)
            bar.update(task, completed=contestant.answered + len(contestant.failures))
            if bedrock:
                contestant.seen = bedrock.stats()
        bar.stop_task(task)
    contestant.ended.set()


async def compete_all(contestants: list[Contestant], args: argparse.Namespace, bar: Progress) -> None:
    """Start all that run without a quota at once, and the others when the first of those has ended."""
    async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
        for contestant in contestants:
            group.create_task(compete(contestant, args, bar))
        for contestant in contestants:
            await contestant.ready.wait()
        if args.seconds is not None:
            limit.reschedule(asyncio.get_running_loop().time() + args.seconds)
        for contestant in contestants:
            if contestant.quota is None:
                contestant.go.set()
        await contestants[0].ended.wait()
        for contestant in contestants:
            contestant.go.set()


def on_aws(args: argparse.Namespace) -> bool:
    return bool(args.region or args.profile)


def line_up(args: argparse.Namespace) -> list[Contestant]:
    if on_aws(args):
        return [Contestant('this package', 'ours')]
    return [
        Contestant('this package', 'ours'),
        Contestant("Pydantic AI's own", 'upstream'),
        Contestant(f'this package, quota of {args.quota:g}/s', 'ours', Quota(requests_per_second=args.quota)),
    ]


def report(args: argparse.Namespace, contestants: list[Contestant]) -> Table:
    title = f'{args.runs} agents at once on {args.region or args.profile or "LocalBedrock"}'
    table = Table('', *(contestant.title for contestant in contestants), title=title)
    for column in table.columns[1:]:
        column.justify = 'right'
    for name, shown in (
        ('answered', lambda contestant: str(contestant.answered)),
        ('failed', lambda contestant: str(len(contestant.failures))),
        ('seconds until all had answered', lambda contestant: measured(contestant, 'seconds', '.1f')),
        ('seconds to the first token, median', lambda contestant: first_token(contestant, 50)),
        ('seconds to the first token, p99', lambda contestant: first_token(contestant, 99)),
        ('calls in flight at most', lambda contestant: counted(contestant, 'max_in_flight')),
        ('calls that the quota refused', lambda contestant: counted(contestant, 'throttled')),
        ('worker threads at most', lambda contestant: measured(contestant, 'threads', 'd')),
        ('seconds of CPU', lambda contestant: measured(contestant, 'cpu', '.1f')),
        ('memory at most, MB', lambda contestant: measured(contestant, 'kilobytes', '.0f', 1 / 1024)),
    ):
        table.add_row(name, *map(shown, contestants))
    return table


def measured(contestant: Contestant, name: str, form: str, factor: float = 1) -> str:
    if not contestant.measured:
        return 'not ended'
    value = contestant.measured[name]
    return format(value if factor == 1 else value * factor, form)


def first_token(contestant: Contestant, percentile: int) -> str:
    times = contestant.measured.get('first_tokens')
    return f'{times[len(times) * percentile // 100]:.1f}' if times else '-'


def counted(contestant: Contestant, name: str) -> str:
    return '-' if contestant.seen is None else str(getattr(contestant.seen, name))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--region', help='run on AWS, in this region, with your own credentials')
    parser.add_argument('--profile', help='run on AWS, with this profile of your AWS configuration')
    parser.add_argument('--model', default=MODEL, help='Bedrock model id (default: %(default)s)')
    parser.add_argument('--runs', type=int, default=300, help='how many agents (default: %(default)s)')
    parser.add_argument('--concurrency', type=int, help='how many of them at a time (default: all)')
    parser.add_argument('--seconds', type=float, help='time limit (default: 40 s on LocalBedrock, none on AWS)')
    local = parser.add_argument_group('LocalBedrock')
    local.add_argument('--latency', type=float, default=2.0, help='seconds to the first token (default: %(default)s)')
    local.add_argument('--quota', type=float, default=50.0, help='requests per second (default: %(default)s)')
    args = parser.parse_args()
    if args.seconds is None and not on_aws(args):
        args.seconds = 40.0
    return args


def main() -> int:
    args = arguments()
    console = Console()
    contestants = line_up(args)
    if not on_aws(args):
        ours, theirs = (f'{name} {version(name)}' for name in ('pydantic-ai-aiobedrock', 'pydantic-ai-slim'))
        console.print(
            f'{ours} beside {theirs}, each with a LocalBedrock of its own: {args.latency:g} s to the first token, '
            f'{TOKENS_PER_SECOND} tokens/s.\n'
            'Both start at the same time; the run under a quota starts when the first has ended.',
            highlight=False,
        )
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with Progress(*columns, console=console) as bar:
            asyncio.run(compete_all(contestants, args, bar))
    except ExceptionGroup as group:
        refused = group.subgroup(RefusedError)
        if refused is None:
            raise
        console.print(Text(str(refused.exceptions[0]), style='red'), soft_wrap=True)
        return 2
    except TimeoutError:
        console.print(f'Stopped after {args.seconds:g} s.')
    except KeyboardInterrupt:
        console.print('Interrupted.')
        return 130
    console.print(report(args, contestants))
    for failure in [failure for contestant in contestants for failure in contestant.failures][:5]:
        console.print(Text(failure, style='red'), soft_wrap=True)
    ours = [contestant for contestant in contestants if contestant.client == 'ours']
    return 0 if all(contestant.measured and not contestant.failures for contestant in ours) else 1


if __name__ == '__main__':
    sys.exit(main())
