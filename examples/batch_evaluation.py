"""Evaluate a model with Pydantic Evals: live, or with --batch as batch inference jobs at half the price.

With no arguments it talks to LocalBedrock. On AWS it needs a --region, and for --batch the --role-arn that Bedrock
assumes to read and write the files, and the --s3-uri of their folder. A batch can take hours: the --state file keeps
what has been submitted, and the same command, run again after a crash, collects it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from endpoint import local_bedrock, options
from pydantic import TypeAdapter
from pydantic_ai import ModelAPIError, ModelRequest, ModelResponse, UserError
from pydantic_ai.direct import model_request
from pydantic_ai.models.batch import Batch, BatchRequest
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EqualsExpected
from pydantic_evals.reporting import EvaluationReport
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from local_bedrock import LocalBedrock, RecordedRequest, Reply
from pydantic_ai_aiobedrock import BatchInference, BedrockConverseModel, BedrockProvider

Outcome = ModelResponse | ModelAPIError
SUMS = {f'{a} and {b}': a * b for a in range(11, 21) for b in range(12, 24)}
"""A hundred and twenty cases: Bedrock accepts no job of fewer than a hundred records."""


@dataclass
class State:
    """The batches of an evaluation, as the next process finds them."""

    run: str = field(default_factory=lambda: f'evals-{uuid.uuid4().hex[:12]}')
    """The beginning of the names of the jobs, which are the same in each process: none is submitted twice."""
    batches: dict[int, Batch] = field(default_factory=dict[int, Batch])

    @classmethod
    def load(cls, path: Path) -> State:
        """Read the state of an earlier process, or begin a new one."""
        if path.exists():
            return TypeAdapter(cls).validate_json(path.read_bytes())
        state = cls()
        state.save(path)
        return state

    def save(self, path: Path) -> None:
        """Replace the file as a whole: a crash leaves the old state or the new one."""
        new = path.with_suffix('.new')
        new.write_bytes(TypeAdapter(State).dump_json(self))
        os.replace(new, path)


def dataset() -> Dataset[str, int, None]:
    return Dataset[str, int, None](
        name='products',
        cases=[
            Case(name=name, inputs=f'What is the product of {name}?', expected_output=product)
            for name, product in SUMS.items()
        ],
        evaluators=[EqualsExpected()],
    )


def batch_requests() -> dict[str, BatchRequest]:
    """Return the request of each case, by its question."""
    return {
        str(case.inputs): BatchRequest(custom_id=str(case.name), messages=[prompt(case.inputs)])
        for case in dataset().cases
    }


def prompt(question: str) -> ModelRequest:
    return ModelRequest.user_text_prompt(question, instructions='Answer with the number alone.')


async def submit(args: argparse.Namespace, provider: BedrockProvider, state: State) -> None:
    """Submit the batches that no process has submitted yet."""
    inference = BatchInference(role_arn=args.role_arn, s3_uri=args.s3_uri, job_name_prefix=f'{state.run}-')
    model = BedrockConverseModel(args.model, provider=provider, batch_inference=inference)
    encoded = [await model.batch_encode(request) for request in batch_requests().values()]
    for number, part in enumerate(model.batch_split(encoded)):
        if number in state.batches:
            continue
        # If an earlier process was killed in here, this returns its job, or removes what it has left and starts it.
        state.batches[number] = await model.batch_create(part, idempotency_key=str(number))
        await asyncio.to_thread(state.save, args.state)


async def wait(args: argparse.Namespace, model: BedrockConverseModel, state: State, bar: Progress) -> None:
    """Wait for all batches, and show how far they are."""
    task = bar.add_task('', total=len(SUMS), failed=0)
    while True:
        for number, batch in state.batches.items():
            if batch.status != 'ended':
                state.batches[number] = await model.batch_status(batch)
        await asyncio.to_thread(state.save, args.state)
        details = [batch.provider_details or {} for batch in state.batches.values()]
        bar.update(
            task,
            description=', '.join(sorted({detail['status'] for detail in details})),
            completed=sum(detail.get('processedRecordCount', 0) for detail in details),
            failed=sum(detail.get('errorRecordCount', 0) for detail in details),
        )
        if all(batch.status == 'ended' for batch in state.batches.values()):
            return
        await asyncio.sleep(args.poll)


async def collect(model: BedrockConverseModel, state: State) -> dict[str, Outcome]:
    """Read the answer, or the error, of each question."""
    by_id = {request.custom_id: (question, request) for question, request in batch_requests().items()}
    outcomes: dict[str, Outcome] = {}
    for batch in state.batches.values():
        async for result in model.batch_iter_results(batch):
            if result.custom_id in by_id:
                question, request = by_id[result.custom_id]
                try:
                    outcomes[question] = model.batch_decode(result, request)
                except ModelAPIError as error:
                    outcomes[question] = error
    return outcomes


async def evaluate(args: argparse.Namespace, bar: Progress) -> EvaluationReport[str, int, None]:
    async with BedrockProvider(region_name=args.region) as provider:
        model = BedrockConverseModel(args.model, provider=provider)
        outcomes: dict[str, Outcome] = {}
        state = State()
        if args.batch:
            state = await asyncio.to_thread(State.load, args.state)
            await submit(args, provider, state)
            inference = BatchInference(role_arn=args.role_arn, s3_uri=args.s3_uri)
            model = BedrockConverseModel(args.model, provider=provider, batch_inference=inference)
            await wait(args, model, state, bar)
            outcomes = await collect(model, state)
        task = None if args.batch else bar.add_task('live', total=len(SUMS), failed=0)

        async def ask(question: str) -> int:
            if task is None:
                outcome = outcomes.get(question) or ModelAPIError(args.model, 'The job has no answer to this question.')
                if isinstance(outcome, ModelAPIError):
                    raise outcome
            else:
                outcome = await model_request(model, [prompt(question)])
                bar.advance(task)
            return int(outcome.text or '')

        report = await dataset().evaluate(ask, name=args.model, max_concurrency=args.concurrency, progress=False)
        if args.delete_files:
            for batch in state.batches.values():
                await model.batch_delete_files(batch)
        if args.batch:
            await asyncio.to_thread(args.state.unlink)
        return report


def stand_in(request: RecordedRequest) -> Reply:
    """Answer for the model on LocalBedrock: right, except for one case."""
    (name,) = (name for name in SUMS if f'of {name}?' in request.last_user_text)
    return Reply('42' if name == '13 and 17' else str(SUMS[name]))


def main() -> int:
    parser = options(__doc__ or '')
    parser.add_argument('--batch', action='store_true', help='run as batch inference jobs instead of live')
    parser.add_argument('--role-arn', help='the service role of batch inference')
    parser.add_argument('--s3-uri', help='the folder of the files, such as s3://my-bucket/batches/')
    parser.add_argument(
        '--state', type=Path, default=Path('batch_evaluation.json'), help='where to resume from (default: %(default)s)'
    )
    parser.add_argument('--poll', type=float, default=30, help='seconds between looks at a job (default: %(default)s)')
    parser.add_argument('--delete-files', action='store_true', help='delete the files of the jobs after the report')
    parser.add_argument('--concurrency', type=int, default=20, help='live requests at a time (default: %(default)s)')
    args = parser.parse_args()
    if not args.region:
        args.role_arn, args.s3_uri = 'arn:aws:iam::123456789012:role/bedrock-batch', 's3://my-bucket/batches/'
        args.poll = min(args.poll, 0.05)
    elif args.batch and not (args.role_arn and args.s3_uri):
        parser.error('on AWS, --batch needs --role-arn and --s3-uri: your account has its own')
    console = Console()
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn())
    with ExitStack() as stack:
        if not args.region:
            stack.enter_context(local_bedrock(LocalBedrock(responder=stand_in, minimum_batch_records=100)))
        failed = TextColumn('{task.fields[failed]} failed')
        bar = stack.enter_context(Progress(*columns, failed, TimeElapsedColumn(), console=console))
        try:
            report = asyncio.run(evaluate(args, bar))
        except (ModelAPIError, UserError) as error:
            console.print(str(error), style='red', markup=False)
            if args.batch and args.state.exists():
                console.print(f'Run the same command to go on with it; delete {args.state} to begin again.')
            return 1
        except KeyboardInterrupt:
            if args.batch:
                console.print(f'The jobs that {args.state} names go on: run the same command to collect them.')
            return 130
    right = sum(1 for case in report.cases if case.assertions['EqualsExpected'].value)
    wrong = [case for case in report.cases if not case.assertions['EqualsExpected'].value]
    for case in wrong[:10]:
        console.print(f'{case.inputs} {case.output}, not {case.expected_output}', highlight=False)
    for failure in report.failures[:10]:
        console.print(f'{failure.inputs} {failure.error_message}', highlight=False, markup=False)
    console.print(f'{right} of {len(SUMS)} right, {len(report.failures)} without an answer', highlight=False)
    return 0 if right else 1


if __name__ == '__main__':
    sys.exit(main())
