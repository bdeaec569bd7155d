"""Several tenants in one process, each with credentials of its own, over one session pool.

With no arguments it talks to LocalBedrock, where each tenant has an access key. On AWS, each tenant is a profile of
your AWS configuration; one that names a `role_arn` is a role, which is assumed, and again before it expires:

    python examples/multi_tenant.py --region us-east-1 --tenants acme globex
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from endpoint import local_bedrock, options
from pydantic_ai import Agent, ModelAPIError, UserError
from rich.console import Console
from rich.table import Table

from local_bedrock import AccessKey, LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, SessionPool

QUESTIONS = ('What is Paris known for?', 'What is Lima known for?', 'What is Oslo known for?')

agent = Agent(instructions='Answer in one sentence.')


class Tenants:
    """The model of each tenant. Making one opens nothing, so they may be made at each request, too."""

    def __init__(self, region: str | None, model: str, pool: SessionPool) -> None:
        self._region, self._model, self._pool = region, model, pool

    def model(self, tenant: str) -> BedrockConverseModel:
        # Equal arguments share a client, others never do: no request of a tenant is signed by another's credentials.
        provider = BedrockProvider(profile_name=tenant, region_name=self._region, pool=self._pool)
        return BedrockConverseModel(self._model, provider=provider)


async def serve(tenants: Tenants, tenant: str, question: str) -> str:
    result = await agent.run(question, model=tenants.model(tenant))
    return result.output


async def answers(tenants: Tenants, names: list[str]) -> dict[str, list[str | BaseException]]:
    calls = [serve(tenants, name, question) for name in names for question in QUESTIONS]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    each = len(QUESTIONS)
    return {name: outcomes[each * number : each * (number + 1)] for number, name in enumerate(names)}


async def run(region: str | None, model: str, names: list[str], console: Console) -> int:
    # A hundred clients are open at most, those used least recently leave first, and an idle one after five minutes:
    # tenants may be many more than that.
    pool = SessionPool(max_clients=100, idle_timeout=300)
    found = await answers(Tenants(region, model, pool), names)
    table = Table('tenant', 'answered', 'failed', title=f'{len(names)} tenants')
    failed = 0
    for name, outcomes in found.items():
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        failed += len(errors)
        table.add_row(name, str(len(outcomes) - len(errors)), str(len(errors)))
        for error in errors[:1]:
            if not isinstance(error, ModelAPIError | UserError):
                raise error
            console.print(f'{name}: {error}', style='red', markup=False, soft_wrap=True)
    console.print(table)
    console.print(f'{pool.stats().clients} clients are open: {pool!r}', markup=False, soft_wrap=True)
    await pool.aclose()
    return 1 if failed else 0


def keys_of_tenants(bedrock: LocalBedrock, names: list[str], folder: Path) -> None:
    """Give each tenant an access key of its own, and a profile that has it."""
    lines: list[str] = []
    for name in names:
        key = AccessKey.make()
        bedrock.accept(key.access_key_id, key.secret_access_key)
        lines += [
            f'[{name}]',
            f'aws_access_key_id = {key.access_key_id}',
            f'aws_secret_access_key = {key.secret_access_key}',
        ]
    path = folder / 'credentials'
    path.write_text('\n'.join(lines))
    os.environ['AWS_SHARED_CREDENTIALS_FILE'] = str(path)


def main() -> int:
    parser = options(__doc__ or '')
    parser.add_argument('--tenants', nargs='+', default=['acme', 'globex', 'initech'], help='a profile for each')
    args = parser.parse_args()
    console = Console()
    with ExitStack() as stack:
        if not args.region:
            bedrock = stack.enter_context(local_bedrock(LocalBedrock()))
            keys_of_tenants(bedrock, args.tenants, Path(stack.enter_context(tempfile.TemporaryDirectory())))
            status = asyncio.run(run(None, args.model, args.tenants, console))
            signed_by = {request.headers['Authorization'].split('/')[0] for request in bedrock.requests}
            console.print(f'LocalBedrock has seen {len(signed_by)} different access keys.')
            return status
        return asyncio.run(run(args.region, args.model, args.tenants, console))


if __name__ == '__main__':
    sys.exit(main())
