"""Calls through a model, as requests and as streams, and what they come to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from generation import eventually
from pydantic_ai import ModelRequest
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models import ModelRequestParameters

from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider
from pydantic_ai_aiobedrock.local import LocalBedrock

from .outcomes import Observed, Outcome, check, said_by, secrets_in
from .story import SEEN, TEXT, Story, content

NOVA = 'us.amazon.nova-lite-v1:0'
PATIENCE = 0.25
"""The timeouts of the suite's providers."""
HANG_SECONDS = 10.0
"""A call that takes longer than this hangs."""


@dataclass
class Caller:
    """Makes calls to an endpoint, one after another."""

    bedrock: LocalBedrock
    provider: BedrockProvider
    secrets: list[str]

    @property
    def model(self) -> BedrockConverseModel:
        return BedrockConverseModel(NOVA, provider=self.provider)

    async def call(self, *, streaming: bool, prompt: str = 'Tell me a story.') -> Observed:
        """Make a call, and say what it came to."""
        story = Story()
        rules = self.bedrock.reply(story, times=None)
        before = self.bedrock.stats().requests
        words: list[str] = []
        error = None
        try:
            async with asyncio.timeout(HANG_SECONDS):
                await (self._stream(prompt, story, words) if streaming else self._request(prompt, words))
        except Exception as raised:
            error = raised
        for rule in rules:
            rule.remove()
        for text in said_by(error):
            assert not secrets_in(text, self.secrets)
        return Observed(''.join(words), error, self.bedrock.stats().requests - before)

    async def comes_to(self, expected: Outcome, *, streaming: bool, seen: str = '') -> None:
        """Make a call, and assert that it comes to what is expected and leaves nothing behind."""
        observed = await self.call(streaming=streaming)
        check(observed, expected, text=TEXT, seen=seen, streaming=streaming)
        assert self.provider.client.pool.stats().leases == 0
        await eventually(lambda: self.bedrock.stats().in_flight == 0)

    async def _request(self, prompt: str, words: list[str]) -> None:
        response = await self.model.request([ModelRequest.user_text_prompt(prompt)], None, ModelRequestParameters())
        words.append(text_of(response))

    async def _stream(self, prompt: str, story: Story, words: list[str]) -> None:
        async with self.model.request_stream(
            [ModelRequest.user_text_prompt(prompt)], None, ModelRequestParameters()
        ) as stream:
            async for event in stream:
                words.append(content(event))
                if ''.join(words) == SEEN:
                    story.read.set()
            assert text_of(stream.get()) == ''.join(words)
            assert stream.get().finish_reason == 'stop'


def text_of(response: ModelResponse) -> str:
    """Return the text of an answer."""
    return ''.join(part.content for part in response.parts if isinstance(part, TextPart))
