"""An agent behind FastAPI: answers as JSON, answers as server-sent events, health, and what the pool is doing.

With no arguments it talks to LocalBedrock; with --region it talks to AWS.

    curl localhost:8000/ask -d '{"prompt": "What is Paris known for?"}' -H 'content-type: application/json'
    curl -N localhost:8000/stream -d '{"prompt": "Tell a story."}' -H 'content-type: application/json'
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import uvicorn
from endpoint import MODEL, local_bedrock, options
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelAPIError, ModelHTTPError, UserError

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider, PoolStats, SessionPool

CONNECTIONS = 10
"""Connections that are open before the first request comes."""


class Question(BaseModel):
    prompt: str = Field(min_length=1, max_length=10_000)


class Answer(BaseModel):
    answer: str
    input_tokens: int
    output_tokens: int


def create_app(region: str | None = None, model: str = MODEL) -> FastAPI:
    """Return the application: also for `uvicorn --factory fastapi_app:create_app`, on the region of the environment."""
    pool = SessionPool()
    provider = BedrockProvider(region_name=region, pool=pool)
    agent = Agent(BedrockConverseModel(model, provider=provider), instructions='Answer in one or two sentences.')

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # The client and some connections are opened before the first request, and closed after the last.
        async with provider:
            await provider.warm_up(connections=CONNECTIONS)
            yield
        await pool.aclose(grace=5)

    app = FastAPI(title='An agent on Amazon Bedrock', lifespan=lifespan)

    @app.post('/ask')
    async def ask(question: Question) -> Answer:
        result = await agent.run(question.prompt)
        usage = result.usage
        return Answer(answer=result.output, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)

    @app.post('/stream')
    async def stream(question: Question) -> StreamingResponse:
        return StreamingResponse(
            events(agent, question.prompt), media_type='text/event-stream', headers={'cache-control': 'no-store'}
        )

    @app.get('/health')
    async def health() -> dict[str, str]:
        # It says that this process serves. It does not call Bedrock: a probe each second should cost nothing.
        return {'status': 'ok'}

    @app.get('/pool')
    async def pool_statistics() -> PoolStats:
        return pool.stats()

    @app.exception_handler(ModelAPIError)
    async def bedrock_failed(_: Request, error: ModelAPIError) -> JSONResponse:
        throttled = isinstance(error, ModelHTTPError) and error.status_code == 429
        return JSONResponse({'error': problem(error)}, status_code=503 if throttled else 502)

    return app


async def events(agent: Agent[None, str], prompt: str) -> AsyncIterator[str]:
    """Yield server-sent events: `text` for each piece, then `done`, or `error` instead of the rest.

    When the client goes away this generator is cancelled; leaving `run_stream` then cuts the connection to Bedrock,
    which stops generating.
    """
    try:
        async with agent.run_stream(prompt) as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                yield event('text', text)
            yield event('done', {'output_tokens': result.usage.output_tokens})
    except ModelAPIError as error:
        yield event('error', problem(error))


def event(name: str, data: object) -> str:
    return f'event: {name}\ndata: {json.dumps(data)}\n\n'


def problem(error: ModelAPIError) -> str:
    """Say what happened, without what AWS says of accounts and roles."""
    if isinstance(error, ModelHTTPError) and error.status_code == 429:
        return 'The model is busy. Try again in a moment.'
    return 'The model did not answer.'


def main() -> int:
    parser = options(__doc__ or '')
    parser.add_argument('--host', default='127.0.0.1', help='address to listen on (default: %(default)s)')
    parser.add_argument('--port', type=int, default=8000, help='port to listen on (default: %(default)s)')
    args = parser.parse_args()
    with ExitStack() as stack:
        if not args.region:
            stack.enter_context(local_bedrock(LocalBedrock(latency=0.2, tokens_per_second=20)))
        try:
            app = create_app(args.region or os.environ['AWS_DEFAULT_REGION'], args.model)
        except UserError as error:
            parser.error(str(error))
        uvicorn.run(app, host=args.host, port=args.port)
    return 0


if __name__ == '__main__':
    sys.exit(main())
