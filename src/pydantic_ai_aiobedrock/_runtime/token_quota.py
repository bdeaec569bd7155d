"""Tokens that a request reserves of a quota, and those that it has used.

See https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

DEFAULT_MAX_TOKENS: Final = 4096
"""Tokens that AWS is taken to reserve for an answer if the request does not limit them."""

CHARACTERS_PER_TOKEN: Final = 4
_COUNTED: Final = ('inputTokens', 'cacheWriteInputTokens', 'outputTokens')


def reserved_tokens(params: Mapping[str, Any]) -> float:
    """Estimate the tokens that AWS reserves for a request: those of its input, and the most that it may generate."""
    return _characters(params) / CHARACTERS_PER_TOKEN + max_tokens(params)


def max_tokens(params: Mapping[str, Any]) -> float:
    """Return the most tokens that a request may generate."""
    limits: Any = params.get('inferenceConfig')
    limit: Any = limits.get('maxTokens') if isinstance(limits, dict) else None  # pyright: ignore
    return float(limit) if isinstance(limit, int | float) else DEFAULT_MAX_TOKENS


def used_tokens(response: Mapping[str, Any]) -> float | None:
    """Return the tokens of a quota that a Converse response has used, or None if it does not say."""
    usage: Any = response.get('usage')
    if not isinstance(usage, dict):
        return None
    counts: list[Any] = [usage.get(name) for name in _COUNTED]  # pyright: ignore
    return float(sum(count for count in counts if isinstance(count, int | float)))


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        members: Any = value.values()  # pyright: ignore
        return sum(map(_characters, members))
    if isinstance(value, list):
        items: Any = value  # pyright: ignore
        return sum(map(_characters, items))
    return 0
