"""LangChain as a client: ChatBedrockConverse, sync and async, and ChatBedrock by InvokeModel."""

from __future__ import annotations

from botocore.exceptions import ClientError
from conversation import (
    ANSWER,
    CLAUDE,
    MODEL,
    QUESTION,
    TOO_MUCH,
    TOOL,
    TOOL_ANSWER,
    TOOL_DESCRIPTION,
    TOOL_INPUT,
    TOOL_QUESTION,
    TOOL_RESULT,
    TOOL_SCHEMA,
    must_be,
    run,
)
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.messages import HumanMessage, ToolMessage

chat = ChatBedrockConverse(model=MODEL)
TOOLS = [{'type': 'function', 'function': {'name': TOOL, 'description': TOOL_DESCRIPTION, 'parameters': TOOL_SCHEMA}}]


async def plain() -> None:
    must_be(chat.invoke(QUESTION).text, ANSWER)
    answer = await chat.ainvoke(QUESTION)
    must_be(answer.text, ANSWER)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata['total_tokens'] > 0


async def stream() -> None:
    must_be(''.join(chunk.text for chunk in chat.stream(QUESTION)), ANSWER)
    must_be(''.join([chunk.text async for chunk in chat.astream(QUESTION)]), ANSWER)


def tool() -> None:
    with_tools = chat.bind_tools(TOOLS)
    question = HumanMessage(TOOL_QUESTION)
    asked = with_tools.invoke([question])
    [call] = asked.tool_calls
    must_be((call['name'], call['args']), (TOOL, TOOL_INPUT))
    told = with_tools.invoke([question, asked, ToolMessage(TOOL_RESULT, tool_call_id=call['id'])])
    must_be(told.text, TOOL_ANSWER)


def throttled() -> None:
    try:
        chat.invoke(TOO_MUCH)
    except ClientError as error:
        must_be(type(error).__name__, 'ThrottlingException')
    else:
        raise AssertionError('not throttled')


def invoke() -> None:
    by_invoke = ChatBedrock(model=CLAUDE)
    must_be(by_invoke.invoke(QUESTION).text, ANSWER)
    must_be(''.join(chunk.text for chunk in by_invoke.stream(QUESTION)), ANSWER)
    with_tools, question = by_invoke.bind_tools(TOOLS), HumanMessage(TOOL_QUESTION)
    asked = with_tools.invoke([question])
    [call] = asked.tool_calls
    must_be((call['name'], call['args']), (TOOL, TOOL_INPUT))
    told = with_tools.invoke([question, asked, ToolMessage(TOOL_RESULT, tool_call_id=call['id'])])
    must_be(told.text, TOOL_ANSWER)


run('langchain-aws', plain=plain, stream=stream, tool=tool, throttled=throttled, invoke=invoke)
