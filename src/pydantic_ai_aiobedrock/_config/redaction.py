"""URLs as they may be shown: without user names, passwords, queries and fragments."""

from __future__ import annotations

import re
from typing import Final

_SCHEME: Final = re.compile(r'(?:(?:https?|socks\w*):)?//', re.IGNORECASE)
_MASK: Final = '***'


def redact_url(url: str) -> str:
    """Return a URL, well-formed or not, as it may be shown.

    A password that was not percent-encoded may contain any delimiter. Therefore everything between a known scheme and
    the last `@` is taken for user name and password.
    """
    scheme = found.group() if (found := _SCHEME.match(url)) else ''
    _, at, address = url[len(scheme) :].rpartition('@')
    shown, *left_out = re.split('([?#])', address, maxsplit=1)
    query = f'{left_out[0]}{_MASK}' if left_out else ''
    return f'{scheme}{_MASK if at else ""}{at}{shown}{query}'


def redact_urls(text: str) -> str:
    """Return a message that may contain URLs as it may be shown."""
    text = re.sub(rf'({_SCHEME.pattern}).*@', rf'\1{_MASK}@', text, flags=_SCHEME.flags)
    return re.sub(r'\S*@', _redacted_word, text)


def _redacted_word(word: re.Match[str]) -> str:
    before, slashes, _ = word.group().partition('//')
    is_url = re.fullmatch(r'\W*(?:https?|socks\w*):|\W*', before, re.IGNORECASE)
    return f'{before}{slashes}{_MASK}@' if slashes and is_url else f'{_MASK}@'
