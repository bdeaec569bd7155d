"""A simple, stable count of tokens: a word is one token for each four characters that it has begun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

_IMAGE_TOKENS = 1000


def count_tokens(text: str) -> int:
    """Count the tokens of a text."""
    return sum((len(word) + 3) // 4 for word in text.split())


def truncate(text: str, max_tokens: int) -> tuple[str, bool]:
    """Cut a text after so many tokens, between words, and say whether anything was cut.

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
    blocks = list(body.get('system') or ())
    messages = body.get('messages') or ()
    for message in messages:
        blocks.extend(message.get('content') or ())
    tokens = 3 * len(messages) + sum(_block_tokens(block) for block in blocks)
    if body.get('toolConfig'):
        tokens += count_tokens(to_json(body['toolConfig']).decode()) + 50
    return max(tokens, 1)


def _block_tokens(block: Mapping[str, Any]) -> int:
    if 'text' in block:
        return count_tokens(block['text'])
    if 'toolUse' in block:
        return 8 + count_tokens(to_json(block['toolUse'].get('input')).decode())
    if 'toolResult' in block:
        return 8 + sum(_block_tokens(part) for part in block['toolResult'].get('content') or ())
    if 'json' in block:
        return count_tokens(to_json(block['json']).decode())
    if 'document' in block:
        return 50 + len((block['document'].get('source') or {}).get('bytes') or '') // 6
    if 'image' in block or 'video' in block or 'audio' in block:
        return _IMAGE_TOKENS
    return 0
