"""Calls through a model, as requests and as streams, and what they come to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from generation import eventually
from pydantic_ai import ModelRequest
from pydantic_ai.messages import ModelResponse, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models import Model, ModelRequestParameters

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

from .outcomes import Observed, Outcome, check, said_by, secrets_in
from .story import SEEN, TEXT, Story

NOVA = 'us.amazon.nova-lite-v1:0'
PATIENCE = 0.4
"""The timeouts of the suite's providers, but where a test says otherwise."""
HANG_SECONDS = 60.0
"""A call that takes longer than this hangs."""


async def call(
    model: Model,
    *,
    streaming: bool,
    secrets: Collection[str] = (),
    prompt: str = 'Tell me a story.',
    seen: Callable[[str], object] = len,
    within: float = HANG_SECONDS,
) -> tuple[str, Exception | None]:
    """Make a call, and return the text that it gave and the error that it ended with, if it did.

    Args:
        model: The model to call.
        streaming: Whether the answer is streamed.
        secrets: What the error may not say.
        prompt: What the user says.
        seen: Called with the text so far at each event of a stream.
        within: Seconds after which the call counts as hanging.
    """
    messages = [ModelRequest.user_text_prompt(prompt)]
    text = ''
    try:
        async with asyncio.timeout(within):
            if not streaming:
                text = text_of(await model.request(messages, None, ModelRequestParameters()))
            else:
                async with model.request_stream(messages, None, ModelRequestParameters()) as stream:
                    async for event in stream:
                        text += content(event)
                        seen(text)
                    assert text_of(stream.get()) == text
    except AssertionError:
        raise
    except Exception as error:
        for said in said_by(error):
            assert not secrets_in(said, secrets)
        return text, error
    return text, None


def text_of(response: ModelResponse) -> str:
    """Return the text of an answer."""
    return ''.join(part.content for part in response.parts if isinstance(part, TextPart))


def content(event: object) -> str:
    """Return the text that an event of a stream adds."""
    match event:
        case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ''


@dataclass
class Caller:
    """Makes calls to a LocalBedrock, one after another."""

    bedrock: LocalBedrock
    provider: BedrockProvider
    secrets: list[str]

    @property
    def model(self) -> BedrockConverseModel:
        return BedrockConverseModel(NOVA, provider=self.provider)

    async def call(self, *, streaming: bool) -> Observed:
        """Ask for the story, and say what the call came to."""
        story = Story()

        def seen(text: str) -> None:
            if text == SEEN:
                story.read.set()

        rules = self.bedrock.reply(story, times=None)
        before = self.bedrock.stats().requests
        text, error = await call(self.model, streaming=streaming, secrets=self.secrets, seen=seen)
        for rule in rules:
            rule.remove()
        return Observed(text, error, self.bedrock.stats().requests - before)

    async def comes_to(self, expected: Outcome, *, streaming: bool, seen: str = '') -> None:
        """Make a call, and assert that it comes to what is expected and leaves nothing behind."""
        observed = await self.call(streaming=streaming)
        check(observed, expected, text=TEXT, seen=seen, streaming=streaming)
        assert self.provider.client.pool.stats().leases == 0
        await eventually(lambda: self.bedrock.stats().in_flight == 0)
