"""A second region for when the first has no capacity: FallbackModel over regions, on one session pool.

With no arguments it starts two LocalBedrocks, of which the first throttles every other request. On AWS:

    python examples/fallback_regions.py --regions us-east-1 us-west-2
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import ExitStack

from endpoint import MODEL
from endpoint import options as common_options
from pydantic_ai import Agent, ModelResponse
from pydantic_ai.exceptions import FallbackExceptionGroup
from pydantic_ai.models.fallback import FallbackModel
from rich.console import Console

from local_bedrock import THROTTLING, LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

RUNS = 20


def fallback_model(model: str, providers: list[BedrockProvider]) -> FallbackModel:
    models = [BedrockConverseModel(model, provider=provider) for provider in providers]
    return FallbackModel(*models)


async def run(model: str, providers: list[BedrockProvider], pool: SessionPool, console: Console) -> int:
    agent = Agent(fallback_model(model, providers), instructions='Answer in one sentence.')
    urls = {provider.base_url: provider.client.meta.region_name for provider in providers}
    answered: Counter[str] = Counter()
    failed = 0

    async def ask(number: int) -> None:
        nonlocal failed
        try:
            result = await agent.run(f'Say something about the number {number}.')
        except FallbackExceptionGroup as errors:  # no region has answered
            failed += 1
            console.print(
                f'run {number}: {"; ".join(map(str, errors.exceptions))}', style='red', markup=False, soft_wrap=True
            )
        else:
            last = result.all_messages()[-1]
            assert isinstance(last, ModelResponse)
            answered[urls.get(last.provider_url or '', '?')] += 1

    await asyncio.gather(*(ask(number) for number in range(RUNS)))
    for provider in providers:
        region = provider.client.meta.region_name
        console.print(f'{region}: {answered[region]} of {RUNS} answers', highlight=False)
    console.print(f'{pool.stats().clients} clients: {pool!r}', markup=False, highlight=False, soft_wrap=True)
    await pool.aclose()
    return 1 if failed else 0


def local_provider(bedrock: LocalBedrock, pool: SessionPool) -> BedrockProvider:
    return BedrockProvider(
        region_name=bedrock.region_name,
        base_url=bedrock.base_url,
        aws_access_key_id=bedrock.aws_access_key_id,
        aws_secret_access_key=bedrock.aws_secret_access_key,
        # The next region is nearer than a place in the queue of this one.
        throttling='raise',
        pool=pool,
    )


def main() -> int:
    parser = common_options(__doc__ or '')
    parser.set_defaults(model=MODEL)
    parser.add_argument('--regions', nargs='+', help='run on AWS, in these regions, the first one first')
    args = parser.parse_args()
    pool = SessionPool()
    with ExitStack() as stack:
        if regions := args.regions or ([args.region] if args.region else []):
            providers = [BedrockProvider(region_name=region, throttling='raise', pool=pool) for region in regions]
        else:
            first = stack.enter_context(LocalBedrock(region_name='us-east-1'))
            second = stack.enter_context(LocalBedrock(region_name='us-west-2'))
            first.fault(THROTTLING, nth=range(1, RUNS, 2))
            providers = [local_provider(first, pool), local_provider(second, pool)]
        return asyncio.run(run(args.model, providers, pool, Console()))


if __name__ == '__main__':
    sys.exit(main())
