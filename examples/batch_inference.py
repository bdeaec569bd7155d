"""A hundred prompts at half the price: agents whose requests are one batch inference job of Bedrock's.

With no arguments it talks to LocalBedrock, which runs the job at once and has an S3 of its own. On AWS, where it takes
minutes to hours, it wants a --region, a --model, the --role-arn as which Bedrock reads and writes the files, and the
--s3-uri of their folder. It needs Pydantic AI 2.62 or newer.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import ExitStack
from datetime import timedelta

from endpoint import local_bedrock, options
from pydantic_ai import Agent, ModelAPIError, UserError
from pydantic_ai.capabilities import BatchModelRequests
from rich.console import Console
from rich.progress import Progress

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BatchInference, BedrockConverseModel, BedrockProvider


async def ask_all(args: argparse.Namespace, prompts: list[str], bar: Progress) -> list[str | ModelAPIError]:
    """Answer every prompt; one that fails does so alone."""
    inference = BatchInference(role_arn=args.role_arn, s3_uri=args.s3_uri)
    every = timedelta(seconds=30 if args.region else 0.05)
    asked = bar.add_task('answers', total=len(prompts))

    async def ask(agent: Agent, prompt: str) -> str | ModelAPIError:
        try:
            return (await agent.run(prompt)).output
        except ModelAPIError as error:
            return error
        finally:
            bar.advance(asked)

    async with (
        BedrockProvider(region_name=args.region) as provider,
        BatchModelRequests(max_requests=len(prompts), max_wait=None, poll_interval=every) as batching,
    ):
        model = BedrockConverseModel(args.model, provider=provider, batch_inference=inference)
        agent = Agent(model, instructions='Answer in one sentence.', capabilities=[batching])
        return await asyncio.gather(*(ask(agent, prompt) for prompt in prompts))


def main() -> int:
    parser = options(__doc__ or '')
    parser.add_argument('--role-arn', help='the service role of batch inference')
    parser.add_argument('--s3-uri', help='the folder of the files, such as s3://my-bucket/batches/')
    parser.add_argument('--prompts', type=int, default=100, help='how many; Bedrock wants 100 or more of a job')
    args = parser.parse_args()
    if not args.region:
        args.role_arn, args.s3_uri = 'arn:aws:iam::123456789012:role/bedrock-batch', 's3://my-bucket/batches/'
    elif not (args.role_arn and args.s3_uri):
        parser.error('on AWS, --role-arn and --s3-uri are needed: your account has its own')
    console = Console()
    prompts = [f'What is remarkable about the number {number}?' for number in range(args.prompts)]
    with ExitStack() as stack:
        if not args.region:
            stack.enter_context(local_bedrock(LocalBedrock(minimum_batch_records=100)))
        bar = stack.enter_context(Progress(console=console))
        try:
            answers = asyncio.run(ask_all(args, prompts, bar))
        except (ModelAPIError, UserError) as error:
            console.print(str(error), style='red', markup=False)
            return 1
    failed = [answer for answer in answers if isinstance(answer, ModelAPIError)]
    for prompt, answer in zip(prompts[:3], answers, strict=False):
        console.print(f'{prompt} {answer}', markup=False)
    console.print(f'{len(answers) - len(failed)} answers, {len(failed)} errors')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
