"""Requests as Converse takes them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

NOVA = 'us.amazon.nova-micro-v1:0'
CLAUDE = 'us.anthropic.claude-sonnet-4-20250514-v1:0'

Post = Callable[..., Any]
MakeClient = Callable[..., Any]


def user(*content: dict[str, Any] | str) -> dict[str, Any]:
    """Return a message of the user."""
    return {'role': 'user', 'content': [{'text': block} if isinstance(block, str) else block for block in content]}


def assistant(*content: dict[str, Any] | str) -> dict[str, Any]:
    """Return a message of the model."""
    return {**user(*content), 'role': 'assistant'}


def tool(name: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a tool as Converse takes it."""
    return {'toolSpec': {'name': name, 'inputSchema': {'json': schema or {'type': 'object', 'properties': {}}}}}


def tool_use(name: str, tool_use_id: str = 'tooluse_1', **arguments: Any) -> dict[str, Any]:
    """Return a tool call of the model."""
    return {'toolUse': {'toolUseId': tool_use_id, 'name': name, 'input': arguments}}


def tool_result(text: str, tool_use_id: str = 'tooluse_1', **members: Any) -> dict[str, Any]:
    """Return what a tool has answered."""
    return {'toolResult': {'toolUseId': tool_use_id, 'content': [{'text': text}], **members}}


def encoded(value: str | bytes) -> str:
    """Return base64."""
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
