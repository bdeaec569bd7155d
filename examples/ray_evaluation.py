"""Evaluate 10,000 prompts over Ray workers: one provider per worker, a file of results to resume from, and a bar.

With no arguments it runs on the cores of this machine and talks to LocalBedrock; with --region it talks to AWS. On a
cluster, start it with --address auto: the workers find their credentials there (role, profile, environment).

    pip install 'pydantic-ai-aiobedrock[aioboto3]' local-bedrock ray rich
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import ray
from endpoint import local_bedrock, options
from pydantic_ai import Agent, UserError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from local_bedrock import LocalBedrock, Quota, RecordedRequest, Reply
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

BATCH = 50
"""Prompts that a worker takes at a time: what is lost when one dies."""


def question(number: int) -> str:
    return f'What is {number} and {number}?'


def is_right(number: int, answer: str) -> bool:
    return str(2 * number) in answer


@ray.remote
class Worker:
    """An actor with an event loop, a provider and an agent of its own; each worker paces itself under the quota."""

    def __init__(self, model: BedrockConverseModel) -> None:
        # The model travels without its credentials: they are those of this process.
        self._agent = Agent(model, instructions='Answer with a number.')

    async def ask(self, number: int) -> dict[str, object]:
        """Return the result of a prompt: its error instead of an answer, if it failed."""
        try:
            result = await self._agent.run(question(number))
        except Exception as error:  # one prompt does not end the evaluation
            return {'number': number, 'error': f'{type(error).__name__}: {error}'}
        return {'number': number, 'answer': result.output, 'right': is_right(number, result.output)}


def finished(path: Path) -> dict[int, dict[str, object]]:
    """Return the results of earlier runs that have an answer; lines that are not whole are left out."""
    found: dict[int, dict[str, object]] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                result = json.loads(line)
            except ValueError:
                continue
            if 'answer' in result:
                found[result['number']] = result
    return found


def evaluate(workers: list[ray.actor.ActorHandle], numbers: list[int], output: TextIO, bar: Progress) -> Counter[str]:
    """Keep each worker busy with as many prompts as it takes at a time, write results as they come, count errors."""
    errors: Counter[str] = Counter()
    task = bar.add_task('prompts', total=len(numbers))
    left = iter(numbers)
    busy: dict[ray.ObjectRef, ray.actor.ActorHandle] = {}

    def hand_out(worker: ray.actor.ActorHandle) -> None:
        if (number := next(left, None)) is not None:
            busy[worker.ask.remote(number)] = worker

    for _ in range(BATCH):
        for worker in workers:
            hand_out(worker)
    while busy:
        [done], _ = ray.wait(list(busy), num_returns=1)
        hand_out(busy.pop(done))
        result = ray.get(done)
        errors.update([result['error']] if 'error' in result else [])
        output.write(json.dumps(result) + '\n')
        output.flush()
        bar.advance(task)
    return errors


def stand_in(request: RecordedRequest) -> Reply:
    """Answer for the model on LocalBedrock."""
    number = int(request.last_user_text.split()[2])
    return Reply(f'{2 * number}')


def main() -> int:
    parser = options(__doc__ or '')
    parser.add_argument('--prompts', type=int, default=10_000, help='how many (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='Ray workers (default: one per core)')
    parser.add_argument('--output', type=Path, default=Path('results.jsonl'), help='results, and where to resume from')
    parser.add_argument('--quota', type=float, help="LocalBedrock's quota, in requests per second (default: none)")
    parser.add_argument('--address', help='address of a Ray cluster (default: this machine)')
    args = parser.parse_args()
    console = Console()
    earlier = finished(args.output)
    numbers = [number for number in range(args.prompts) if number not in earlier]
    console.print(f'{len(earlier)} answers are in {args.output}, {len(numbers)} prompts to go', highlight=False)
    with ExitStack() as stack:
        if not args.region:
            quotas = [Quota(requests_per_second=args.quota)] if args.quota else []
            stack.enter_context(local_bedrock(LocalBedrock(responder=stand_in, latency=0.2, quotas=quotas)))
        try:
            model = BedrockConverseModel(args.model, provider=BedrockProvider(region_name=args.region))
        except UserError as error:
            parser.error(str(error))
        ray.init(args.address, num_cpus=None if args.address else args.workers, log_to_driver=False)
        stack.callback(ray.shutdown)
        worker: Any = Worker
        create = worker.options(num_cpus=1, max_concurrency=BATCH, max_restarts=1)
        workers = [create.remote(model) for _ in range(args.workers)]
        columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with args.output.open('a') as output, Progress(*columns, console=console) as bar:
            if earlier:
                output.write('\n')  # the last line of a run that was killed may not be whole
            errors = evaluate(workers, numbers, output, bar)
    results = finished(args.output)
    right = sum(bool(results[number]['right']) for number in range(args.prompts) if number in results)
    answered = sum(number in results for number in range(args.prompts))
    console.print(f'{right} of {args.prompts} right, {args.prompts - answered} without an answer', highlight=False)
    for error, times in errors.most_common(5):
        console.print(f'{times} times {error}', markup=False, highlight=False)
    return 0 if answered == args.prompts else 1


if __name__ == '__main__':
    sys.exit(main())
