"""Evaluate an agent with Pydantic Evals: many cases at once, no more than so many, a progress bar and a report.

With no arguments it talks to LocalBedrock; with --region it talks to AWS.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from dataclasses import dataclass

from endpoint import local_bedrock, options
from pydantic import BaseModel
from pydantic_ai import Agent, UserError
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Evaluator, EvaluatorContext, MaxDuration
from pydantic_evals.reporting import EvaluationReport
from rich.console import Console

from local_bedrock import LocalBedrock, RecordedRequest, Reply, ToolCall
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

CAPITALS = {
    'Cairo': 'Egypt',
    'Dakar': 'Senegal',
    'Hanoi': 'Vietnam',
    'Lima': 'Peru',
    'Oslo': 'Norway',
    'Paris': 'France',
    'Quito': 'Ecuador',
    'Tunis': 'Tunisia',
}
MISTAKEN = 'Quito'
"""What the stand-in for a model gets wrong: an evaluation in which nothing fails shows little."""


class City(BaseModel):
    name: str
    country: str


@dataclass
class SameCountry(Evaluator[str, City, None]):
    def evaluate(self, ctx: EvaluatorContext[str, City, None]) -> bool:
        return ctx.expected_output is not None and ctx.output.country == ctx.expected_output.country


def dataset() -> Dataset[str, City, None]:
    return Dataset[str, City, None](
        name='capitals',
        cases=[
            Case(
                name=city,
                inputs=f'Which country is {city} the capital of?',
                expected_output=City(name=city, country=country),
            )
            for city, country in CAPITALS.items()
        ],
        evaluators=[SameCountry(), MaxDuration(seconds=30)],
    )


async def evaluate(
    region: str | None, model: str, concurrency: int, *, progress: bool
) -> EvaluationReport[str, City, None]:
    async with BedrockProvider(region_name=region) as provider:
        agent = Agent(BedrockConverseModel(model, provider=provider), output_type=City)

        async def ask(question: str) -> City:
            return (await agent.run(question)).output

        return await dataset().evaluate(ask, name=model, max_concurrency=concurrency, progress=progress)


def stand_in(request: RecordedRequest) -> Reply:
    """Answer for the model on LocalBedrock: right, but for one case."""
    question = request.last_user_text
    (city,) = (name for name in CAPITALS if name in question)
    country = 'Peru' if city == MISTAKEN else CAPITALS[city]
    (tool,) = request.tools
    return Reply(tool_calls=[ToolCall(tool, {'name': city, 'country': country})])


def main() -> int:
    parser = options(__doc__ or '')
    parser.add_argument('--concurrency', type=int, default=4, help='cases at a time (default: %(default)s)')
    parser.add_argument('--require', type=float, default=0.8, help='share of right answers, or exit with status 1')
    args = parser.parse_args()
    console = Console()
    with ExitStack() as stack:
        if not args.region:
            stack.enter_context(local_bedrock(LocalBedrock(responder=stand_in, latency=0.2)))
        try:
            report = asyncio.run(evaluate(args.region, args.model, args.concurrency, progress=console.is_terminal))
        except UserError as error:
            parser.error(str(error))
    console.print(report.console_table(include_input=False, include_output=True, include_durations=True))
    right = sum(1 for case in report.cases if case.assertions['SameCountry'].value)
    console.print(f'{right} of {len(CAPITALS)} right, {len(report.failures)} without an answer', highlight=False)
    return 0 if right >= args.require * len(CAPITALS) else 1


if __name__ == '__main__':
    sys.exit(main())
