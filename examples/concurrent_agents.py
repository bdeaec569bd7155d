"""A hundred concurrent agents on Amazon Bedrock, on one event loop and with no worker threads.

A quarter of them answer in plain text, a quarter call a tool, a quarter give structured output, a quarter stream.
With no arguments they talk to LocalBedrock, started in another process; with --region or --profile they talk to AWS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from pydantic import BaseModel
from pydantic_ai import Agent, UserError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

CITIES = ('Paris', 'Lima', 'Oslo', 'Cairo', 'Quito', 'Hanoi', 'Dakar', 'Turin')


class City(BaseModel):
    name: str
    country: str
    population: int


@dataclass
class Measured:
    failures: list[str] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    in_flight: int = 0
    threads: int = 0


async def plain(model: BedrockConverseModel, city: str, measured: Measured) -> None:
    await Agent(model).run(f'What is {city} known for? Answer in one sentence.')


async def with_a_tool(model: BedrockConverseModel, city: str, measured: Measured) -> None:
    async def temperature(city: str) -> str:  # not a plain function: Pydantic AI calls those in worker threads
        """Return the temperature in a city."""
        return f'{3 * len(city)} degrees Celsius'

    await Agent(model, tools=[temperature]).run(f'How warm is it in {city}? Use the tool.')


async def structured(model: BedrockConverseModel, city: str, measured: Measured) -> None:
    await Agent(model, output_type=City).run(f'Describe the city of {city}.')


async def streaming(model: BedrockConverseModel, city: str, measured: Measured) -> None:
    start, first = time.perf_counter(), None
    async with Agent(model).run_stream(f'Tell a short story that happens in {city}.') as result:
        async for _ in result.stream_text(delta=True, debounce_by=None):
            first = first or time.perf_counter() - start
    if first is None:
        raise RuntimeError('the stream ended without any text')
    measured.first_tokens.append(first)


KINDS = (plain, with_a_tool, structured, streaming)


async def run_agents(args: argparse.Namespace, provider: BedrockProvider, pool: SessionPool, bar: Progress) -> Measured:
    measured = Measured()
    model = BedrockConverseModel(args.model, provider=provider)
    free = asyncio.Semaphore(args.concurrency or args.runs)
    task = bar.add_task('agents', total=args.runs)

    async def run(number: int) -> None:
        kind, city = KINDS[number % len(KINDS)], CITIES[number % len(CITIES)]
        async with free:
            try:
                await kind(model, city, measured)
            except Exception as error:
                measured.failures.append(f'run {number} ({kind.__name__}): {type(error).__name__}: {error}')
        bar.advance(task)

    watcher = asyncio.create_task(watch(measured, pool, bar))
    async with provider, asyncio.TaskGroup() as group:
        for number in range(args.runs):
            group.create_task(run(number))
    watcher.cancel()
    return measured


async def watch(measured: Measured, pool: SessionPool, bar: Progress, interval: float = 0.005) -> None:
    """Measure, until cancelled, how late the event loop wakes a task up, and what is going on meanwhile."""
    before: set[threading.Thread] = set()  # the main thread, and the one that opens the client
    while True:
        due = time.perf_counter() + interval
        await asyncio.sleep(interval)
        measured.lags.append(time.perf_counter() - due)
        threads = set(threading.enumerate())
        if leases := pool.stats().leases:
            measured.in_flight = max(measured.in_flight, leases)
            measured.threads = max(measured.threads, len(threads - before))
        elif not measured.in_flight:
            before |= threads
        if len(measured.lags) % 20 == 0:
            bar.refresh()


def report(args: argparse.Namespace, measured: Measured, seconds: float, connections: int) -> Table:
    table = Table('measured', 'value', title=f'{args.runs} agents on {args.region or args.profile or "LocalBedrock"}')
    table.columns[1].justify = 'right'
    for name, value in (
        ('runs', args.runs),
        ('failures', len(measured.failures)),
        ('wall time', f'{seconds:.2f} s'),
        ('requests in flight at most', measured.in_flight),
        ('time to first token p50', milliseconds(measured.first_tokens, 50)),
        ('time to first token p99', milliseconds(measured.first_tokens, 99)),
        ('event-loop lag p99', milliseconds(measured.lags, 99)),
        ('worker threads while requests are in flight', measured.threads),
        ('connections opened', connections),
    ):
        table.add_row(name, str(value))
    return table


def milliseconds(seconds: list[float], percentile: int) -> str:
    if not seconds:
        return '-'
    return f'{1000 * sorted(seconds)[len(seconds) * percentile // 100]:.1f} ms'


@contextmanager
def local_bedrock() -> Iterator[None]:
    """Serve a LocalBedrock in another process, and let this one find it as it finds AWS: by its environment."""
    command = [
        sys.executable,
        '-m',
        'local_bedrock',
        '--json',
        '--latency=0.3',
        '--tokens-per-second=100',
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline()
            if not line:
                raise SystemExit('LocalBedrock did not start.')
            for name in [name for name in os.environ if name.startswith('AWS_')]:
                del os.environ[name]
            os.environ |= json.loads(line)['environment'] | {'no_proxy': '127.0.0.1'}
            del os.environ['AWS_BEARER_TOKEN_BEDROCK']  # the requests are to be signed
            yield
        finally:
            server.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--region', help='run on AWS, in this region, with your own credentials')
    parser.add_argument('--profile', help='run on AWS, with this profile of your AWS configuration')
    parser.add_argument('--model', default='us.amazon.nova-lite-v1:0', help='Bedrock model id (default: %(default)s)')
    parser.add_argument('--runs', type=int, default=100, help='how many agents (default: %(default)s)')
    parser.add_argument('--concurrency', type=int, help='how many of them at a time (default: all)')
    args = parser.parse_args()
    console = Console()
    pool = SessionPool()
    # A bar that refreshes itself does so from a thread: here the threads that are counted shall be the agents' alone.
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    bar = Progress(*columns, console=console, auto_refresh=False)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with ExitStack() as stack:
            if not (args.region or args.profile):
                stack.enter_context(local_bedrock())
            provider = BedrockProvider(region_name=args.region, profile_name=args.profile, pool=pool)
            stack.enter_context(bar)
            start = time.perf_counter()
            measured = asyncio.run(run_agents(args, provider, pool, bar))
            seconds = time.perf_counter() - start
    except UserError as error:  # no region, for instance
        parser.error(str(error))
    except KeyboardInterrupt:
        console.print('Interrupted.')
        return 130
    console.print(report(args, measured, seconds, pool.stats().connections_opened))
    for failure in measured.failures[:5]:
        console.print(Text(failure, style='red'), soft_wrap=True)
    return 1 if measured.failures else 0


if __name__ == '__main__':
    sys.exit(main())
