"""Conversation: a place for the encoder to keep the JSON of a conversation, as long as its messages live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from weakref import ref

REMEMBERED: Final = 1024
"""Conversations that are remembered at most; the oldest is forgotten first."""

KEPT_BYTES: Final = 64 * 1024 * 1024
"""Memory of all their encoders together, at most, though a program may hold on to the histories of all its users."""


class Conversation:
    """A conversation that may go on.

    Attributes:
        encoded: The encoder's own state.
        size: Its bytes.
    """

    __slots__ = ('encoded', 'size')

    def __init__(self) -> None:
        self.encoded: Any = None
        self.size = 0


class Conversations:
    """Conversations by their first message, which they end with."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[ref[Any], Conversation]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, messages: Sequence[object]) -> Conversation | None:
        """Return the conversation that messages belong to; None for messages that cannot be known again.

        That a conversation begins with the same object says nothing about its content: the encoder compares it.
        """
        # The first request of a conversation is seldom long.
        if len(messages) < 3:
            return None
        key = id(messages[0])
        if (found := self._known.get(key)) is not None:
            return found[1]
        known, conversation = self._known, Conversation()
        try:
            # An id is given to another object only after the death of the first, which this hears of.
            first = ref(messages[0], lambda _: known.pop(key, None))
        except TypeError:
            return None
        known[key] = first, conversation
        if len(known) > REMEMBERED:
            known.pop(next(iter(known), key), None)
        return conversation

    def keep(self, conversation: Conversation, encoded: Any, size: int) -> None:
        """Keep the state of an encoder, and let go of the oldest beyond `KEPT_BYTES`.

        Args:
            conversation: The conversation that was encoded.
            encoded: The state.
            size: Its bytes.
        """
        grown = size > conversation.size
        conversation.encoded, conversation.size = encoded, size
        if not grown:
            return
        # Copied at once: another thread, or the end of a message, may change the dict.
        known = list(self._known.items())
        excess = sum(each.size for _, (_, each) in known) - KEPT_BYTES
        for key, (_, oldest) in known:
            if excess <= 0:
                break
            excess -= oldest.size
            self._known.pop(key, None)


conversations: Final = Conversations()
