"""A simple, stable count of tokens: a word is one token for each four characters that it has begun."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from local_bedrock._bodies.json_access import structure, structures

_IMAGE_TOKENS = 1000


def count_tokens(text: str) -> int:
    """Count the tokens of a text."""
    return sum((len(word) + 3) // 4 for word in text.split())


def truncate(text: str, max_tokens: int) -> tuple[str, bool]:
    """Cut a text after so many tokens, between words, and report if anything was cut.

    The first word always stays, as a model always generates something.
    """
    end, tokens = 0, 0
    for word in text.split():
        tokens += (len(word) + 3) // 4
        if tokens > max_tokens and end:
            return text[:end], True
        end = text.index(word, end) + len(word)
    return text, tokens > max_tokens


def input_tokens(body: Mapping[str, Any]) -> int:
    """Count the tokens that a Converse request costs: its text, its tools, and a flat price for each medium."""
    blocks = structures(body, 'system')
    messages = structures(body, 'messages')
    for message in messages:
        blocks.extend(structures(message, 'content'))
    tokens = 3 * len(messages) + sum(_block_tokens(block) for block in blocks)
    if body.get('toolConfig'):
        tokens += count_tokens(to_json(body['toolConfig']).decode()) + 50
    return max(tokens, 1)


def request_tokens(body: Mapping[str, Any]) -> int:
    """Count the tokens that a CountTokens request asks for: of a Converse request or of an InvokeModel body."""
    counted = structure(body, 'input')
    if 'converse' in counted:
        return input_tokens(structure(counted, 'converse'))
    encoded = structure(counted, 'invokeModel').get('body') or ''
    return max(1, count_tokens(b64decode(encoded).decode(errors='replace')))


def _block_tokens(block: Mapping[str, Any]) -> int:
    if 'text' in block:
        return count_tokens(block['text'])
    if 'toolUse' in block:
        return 8 + count_tokens(to_json(block['toolUse'].get('input')).decode())
    if 'toolResult' in block:
        return 8 + sum(_block_tokens(part) for part in structures(block, 'toolResult', 'content'))
    if 'json' in block:
        return count_tokens(to_json(block['json']).decode())
    if 'document' in block:
        return 50 + len(structure(block, 'document', 'source').get('bytes') or '') // 6
    if 'image' in block or 'video' in block or 'audio' in block:
        return _IMAGE_TOKENS
    return 0
