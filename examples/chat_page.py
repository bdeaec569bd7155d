"""A web page to chat with an agent: it shows tokens as they are generated and tools as they are called.

With no arguments it talks to LocalBedrock; with --region it talks to AWS. Then open http://127.0.0.1:8000.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from html import escape
from pathlib import Path

import uvicorn
from endpoint import MODEL, local_bedrock, options
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, StreamingResponse
from markdown_it import MarkdownIt
from pydantic import BaseModel, Field
from pydantic_ai import (
    Agent,
    AgentRunResult,
    AgentRunResultEvent,
    AgentStreamEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelAPIError,
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    UserError,
)

from local_bedrock import LocalBedrock, RecordedRequest, Reply, respond
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

CONVERSATIONS = 1000
"""Conversations that are remembered; those not continued for the longest time are forgotten."""

STORY = (
    'Once upon a time a pebble lay in a river and wished to see the sea. The river said: "I go there every day." '
    'So the pebble let go of the bank. It took ten thousand years, and when it arrived it was a grain of sand, '
    'and it had not been late for anything.'
)

PAGE = Path(__file__).with_suffix('.html').read_text()
MARKDOWN = MarkdownIt('js-default', {'linkify': False})
"""A preset that escapes HTML and refuses links of other schemes than those of the web."""


class Turn(BaseModel):
    conversation: str = Field(max_length=100)
    prompt: str = Field(min_length=1, max_length=10_000)


class Conversations:
    """What was said, by conversation."""

    def __init__(self) -> None:
        self._histories: OrderedDict[str, Sequence[ModelMessage]] = OrderedDict()

    def history(self, conversation: str) -> Sequence[ModelMessage]:
        return self._histories.get(conversation, ())

    def remember(self, conversation: str, messages: Sequence[ModelMessage]) -> None:
        self._histories[conversation] = messages
        self._histories.move_to_end(conversation)
        while len(self._histories) > CONVERSATIONS:
            self._histories.popitem(last=False)


async def temperature(city: str) -> str:  # not a plain function: Pydantic AI calls those in worker threads
    """Return the temperature in a city."""
    return f'{3 * len(city)} degrees Celsius'


def create_app(region: str | None = None, model: str = MODEL) -> FastAPI:
    provider = BedrockProvider(region_name=region)
    agent = Agent(BedrockConverseModel(model, provider=provider), tools=[temperature])
    conversations = Conversations()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with provider:
            yield

    app = FastAPI(title='Chat', lifespan=lifespan)

    @app.get('/')
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE.replace('{{model}}', escape(model)))

    @app.post('/chat')
    async def chat(turn: Turn) -> StreamingResponse:
        return StreamingResponse(lines(agent, conversations, turn), media_type='application/x-ndjson')

    return app


async def lines(agent: Agent[None, str], conversations: Conversations, turn: Turn) -> AsyncIterator[str]:
    """Yield a line of JSON for each thing that the page shows. Its Stop button cancels this generator, and the run."""
    history = list(conversations.history(turn.conversation))
    try:
        async with agent.run_stream_events(turn.prompt, message_history=history) as events:
            async for event in events:
                if isinstance(event, AgentRunResultEvent):
                    conversations.remember(turn.conversation, event.result.all_messages())
                    yield line('done', summary(event.result))
                elif (shown := what_to_show(event)) is not None:
                    yield line(*shown)
    except (ModelAPIError, UserError) as error:
        # A page for others than its developers says less.
        yield line('error', f'The model did not answer: {error}')


def summary(result: AgentRunResult[str]) -> dict[str, object]:
    """Return the answer as HTML, the tokens that it took, and its price in dollars where that is known."""
    usage = result.usage
    responses = [message for message in result.new_messages() if isinstance(message, ModelResponse)]
    try:
        cost = float(sum(response.cost().total_price for response in responses))
    except LookupError:  # the model has no known price
        cost = None
    return {
        'html': MARKDOWN.render(result.output),
        'input_tokens': usage.input_tokens,
        'output_tokens': usage.output_tokens,
        'cost': cost,
    }


def what_to_show(event: AgentStreamEvent) -> tuple[str, object] | None:
    match event:
        case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if (
            text
        ):
            return 'text', text
        case FunctionToolCallEvent(part=call):
            return 'tool_call', {'id': call.tool_call_id, 'name': call.tool_name, 'arguments': call.args_as_json_str()}
        case FunctionToolResultEvent(part=result):
            return 'tool_result', {'id': result.tool_call_id, 'content': str(result.content)}
        case _:
            return None


def line(kind: str, data: object) -> str:
    return json.dumps({'kind': kind, 'data': data}) + '\n'


def stand_in(request: RecordedRequest) -> Reply:
    """Answer for the model on LocalBedrock: by the tool if it was asked for the temperature, else by a story."""
    if re.search('warm|cold|temperature', request.last_user_text, flags=re.IGNORECASE):
        return respond(request)
    return Reply(STORY)


def main() -> int:
    parser = options(__doc__ or '')
    parser.add_argument('--host', default='127.0.0.1', help='address to listen on (default: %(default)s)')
    parser.add_argument('--port', type=int, default=8000, help='port to listen on (default: %(default)s)')
    args = parser.parse_args()
    with ExitStack() as stack:
        if not args.region:
            stack.enter_context(local_bedrock(LocalBedrock(responder=stand_in, latency=0.2, tokens_per_second=20)))
        try:
            app = create_app(args.region or os.environ['AWS_DEFAULT_REGION'], args.model)
        except UserError as error:
            parser.error(str(error))
        uvicorn.run(app, host=args.host, port=args.port)
    return 0


if __name__ == '__main__':
    sys.exit(main())
