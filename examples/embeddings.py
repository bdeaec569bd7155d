"""Search by meaning: documents and a question become vectors, and the nearest document wins.

Titan takes one input per request; they are all sent at once, from the event loop. With no arguments it talks to
LocalBedrock, whose vectors mean nothing, so that the order is by chance; with --region it talks to AWS.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from endpoint import local_bedrock, options
from pydantic_ai import Embedder, ModelAPIError, UserError
from rich.console import Console
from rich.table import Table

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockEmbeddingModel, BedrockProvider

DOCUMENTS = (
    'Bedrock is the solid rock that lies under loose soil.',
    'A connection pool keeps connections open so that they can be used again.',
    'Paris is the capital of France, and its largest city.',
    'An event loop runs many tasks in one thread.',
    'Throttling refuses requests that come faster than a quota allows.',
)


def similarity(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


async def search(embedder: Embedder, question: str) -> list[tuple[float, str]]:
    documents, query = await asyncio.gather(embedder.embed_documents(DOCUMENTS), embedder.embed_query(question))
    vectors = zip(documents.embeddings, DOCUMENTS, strict=True)
    return sorted(((similarity(vector, query[0]), text) for vector, text in vectors), reverse=True)


async def run(region: str | None, model: str, question: str) -> list[tuple[float, str]]:
    async with BedrockProvider(region_name=region) as provider:
        return await search(Embedder(BedrockEmbeddingModel(model, provider=provider)), question)


def main() -> int:
    parser = options(__doc__ or '', model='amazon.titan-embed-text-v2:0')
    parser.add_argument('--question', default='What is the capital of France?')
    args = parser.parse_args()
    console = Console()
    with ExitStack() as stack:
        if not args.region:
            stack.enter_context(local_bedrock(LocalBedrock()))
        try:
            found = asyncio.run(run(args.region, args.model, args.question))
        except (ModelAPIError, UserError) as error:
            console.print(str(error), style='red', markup=False)
            return 1
    table = Table('similarity', 'document', title=args.question)
    for score, text in found:
        table.add_row(f'{score:.3f}', text)
    console.print(table)
    return 0


if __name__ == '__main__':
    sys.exit(main())
