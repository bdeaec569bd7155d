"""Streams of an agent that are left early, and those that their run leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from generation import EndlessGeneration, assert_given_back, assert_next_answer_is_right, eventually
from pydantic_ai import Agent, ModelRequest
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import PartDeltaEvent

from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import (
    BedrockConverseModel,
    BedrockProvider,
    SessionPool,
)

PROMPT = [ModelRequest.user_text_prompt('Tell me a story.')]


@pytest.fixture
def pool(provider: BedrockProvider) -> SessionPool:
    return provider.client.pool


async def agent_break(agent: Agent) -> None:
    async with agent.run_stream('Tell me a story.') as result:
        async for text in result.stream_text(debounce_by=None):
            if text == 'Once upon':
                break


async def agent_cancel(agent: Agent) -> None:
    async with agent.run_stream('Tell me a story.') as result:
        async for text in result.stream_text(debounce_by=None):
            if text == 'Once upon':
                await result.cancel()
        assert result.response.state == 'interrupted'


async def agent_unread(agent: Agent) -> None:
    async with agent.run_stream('Tell me a story.'):
        pass


async def agent_events_break(agent: Agent) -> None:
    async with agent.run_stream_events('Tell me a story.') as events:
        async for event in events:
            if isinstance(event, PartDeltaEvent):
                break


async def agent_iter_break(agent: Agent) -> None:
    async with agent.iter('Tell me a story.') as run:
        async for node in run:
            if Agent.is_model_request_node(node):
                async with node.stream(run.ctx) as stream:
                    async for event in stream:
                        if isinstance(event, PartDeltaEvent):
                            break
                break


async def agent_error(agent: Agent) -> None:
    async def fail() -> None:
        async with agent.run_stream('Tell me a story.') as result:
            async for text in result.stream_text(debounce_by=None):
                if text == 'Once upon':
                    raise RuntimeError('of the caller')

    with pytest.raises(RuntimeError, match='of the caller'):
        await fail()


async def direct_break(agent: Agent) -> None:
    assert isinstance(agent.model, BedrockConverseModel)
    async with model_request_stream(agent.model, PROMPT) as stream:
        async for event in stream:
            if isinstance(event, PartDeltaEvent):
                break


@pytest.mark.parametrize(
    'leave',
    [
        agent_break,
        agent_cancel,
        agent_unread,
        agent_events_break,
        agent_iter_break,
        agent_error,
        direct_break,
    ],
)
async def test_an_agents_stream_that_is_left_early_is_cut_at_once(
    bedrock: LocalBedrock,
    model: BedrockConverseModel,
    pool: SessionPool,
    endless: EndlessGeneration,
    leave: Callable[[Agent], Any],
) -> None:
    await leave(Agent(model))
    await assert_given_back(bedrock, endless, pool)
    await assert_next_answer_is_right(bedrock, model)


async def test_a_cancelled_run_cuts_its_stream(
    bedrock: LocalBedrock, model: BedrockConverseModel, pool: SessionPool, endless: EndlessGeneration
) -> None:
    run = asyncio.create_task(agent_unread(Agent(model)))
    await endless.until_started()
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run
    await assert_given_back(bedrock, endless, pool)


async def test_fifty_cancelled_streams_leave_nothing_generating(
    bedrock: LocalBedrock, model: BedrockConverseModel, pool: SessionPool
) -> None:
    generations = [EndlessGeneration() for _ in range(50)]
    bedrock.reply(*generations)
    agent = Agent(model)
    runs = [asyncio.create_task(agent_cancel(agent)) for _ in generations]
    await asyncio.gather(*runs)
    assert pool.stats().leases == 0
    await eventually(lambda: bedrock.stats().streams_generating == 0)
    assert all(generation.ended.is_set() for generation in generations)
    assert all(request.disconnected for request in bedrock.requests)
