"""Run many agents at once with one client of Bedrock, and report progress as lines of JSON on standard output.

`concurrent_agents.py` starts this file once for each client that it compares. It says `ready` after a first answer, and
starts the agents when a line comes on standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import threading
import time

from pydantic import BaseModel
from pydantic_ai import Agent, UserError
from pydantic_ai.models import Model

CITIES = ('Paris', 'Lima', 'Oslo', 'Cairo', 'Quito', 'Hanoi', 'Dakar', 'Turin')


class City(BaseModel):
    name: str
    country: str
    population: int


class Run:
    """The agents of one client: a quarter each in plain text, with a tool, with structured output, and streaming."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.first_tokens: list[float] = []

    async def agents(self, count: int, at_once: int) -> None:
        """Run so many agents, and report each that ends; seconds count from now."""
        kinds = (self.plain, self.with_a_tool, self.structured, self.streaming)
        free = asyncio.Semaphore(at_once)
        start = time.perf_counter()

        async def run(number: int) -> None:
            kind = kinds[number % len(kinds)]
            async with free:
                try:
                    await kind(CITIES[number % len(CITIES)], start)
                except Exception as error:  # one failure does not end the others
                    say('failed', f'agent {number} ({kind.__name__}): {type(error).__name__}: {error}')
                else:
                    say('answered', number)

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(run(number))

    async def plain(self, city: str, start: float) -> None:
        await Agent(self._model).run(f'What is {city} known for? Answer in one sentence.')

    async def with_a_tool(self, city: str, start: float) -> None:
        async def temperature(city: str) -> str:  # not a plain function: Pydantic AI calls those in worker threads
            """Return the temperature in a city."""
            return f'{3 * len(city)} degrees Celsius'

        await Agent(self._model, tools=[temperature]).run(f'How warm is it in {city}? Use the tool.')

    async def structured(self, city: str, start: float) -> None:
        await Agent(self._model, output_type=City).run(f'Describe the city of {city}.')

    async def streaming(self, city: str, start: float) -> None:
        first = None
        async with Agent(self._model).run_stream(f'Tell a short story that happens in {city}.') as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                first = first or time.perf_counter() - start
        if first is None:
            raise RuntimeError('the stream ended without any text')
        self.first_tokens.append(first)


def say(kind: str, data: object = None) -> None:
    sys.stdout.write(json.dumps([kind, data]) + '\n')
    sys.stdout.flush()


async def ready_model(options: argparse.Namespace) -> Model:
    """Return the model of a client whose imports, credentials and first connection are behind it."""
    if options.client == 'ours':
        from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

        provider = BedrockProvider(region_name=options.region, profile_name=options.profile)
        await provider.warm_up()
        return BedrockConverseModel(options.model, provider=provider)
    from pydantic_ai.models.bedrock import BedrockConverseModel as ThreadedModel
    from pydantic_ai.providers.bedrock import BedrockProvider as ThreadedProvider

    model = ThreadedModel(options.model, provider=ThreadedProvider(region_name=options.region))
    await Agent(model).run('Hello!')  # it has no other way to warm up
    return model


async def watch(seen: list[int], before: int, interval: float = 0.02) -> None:
    """Count, until cancelled, the threads beyond those that were there before."""
    while True:
        seen.append(threading.active_count() - before)
        await asyncio.sleep(interval)


async def measure(options: argparse.Namespace) -> None:
    before = threading.active_count()
    run = Run(await ready_model(options))
    # As a service does when it is up: collections no longer walk through the modules, which are there to stay.
    gc.collect()
    gc.freeze()
    say('ready')
    sys.stdin.readline()
    threads: list[int] = []
    watcher = asyncio.create_task(watch(threads, before))
    start, cpu = time.perf_counter(), time.process_time()
    await run.agents(options.agents, options.concurrency or options.agents)
    watcher.cancel()
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == 'darwin' else 1)
    measured = {
        'seconds': time.perf_counter() - start,
        'cpu': time.process_time() - cpu,
        'threads': max(threads),
        'kilobytes': kilobytes,
        'first_tokens': sorted(run.first_tokens),
    }
    say('ended', measured)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--client', choices=('ours', 'upstream'), default='ours', help='default: %(default)s')
    parser.add_argument('--model', default='us.amazon.nova-lite-v1:0', help='Bedrock model id (default: %(default)s)')
    parser.add_argument('--region', help='AWS region (default: that of the environment)')
    parser.add_argument('--profile', help='profile of the AWS configuration (default: that of the environment)')
    parser.add_argument('--agents', type=int, default=100, help='how many (default: %(default)s)')
    parser.add_argument('--concurrency', type=int, help='how many of them at a time (default: all)')
    options = parser.parse_args()
    try:
        asyncio.run(measure(options))
    except UserError as error:  # no region, for instance
        say('refused', str(error))
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
