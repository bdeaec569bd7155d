"""The requests that an endpoint remembers: the latest, within a number and a size."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from sys import getsizeof
from typing import Any, cast

from local_bedrock.requests import RecordedRequest

DEFAULT_KEEP_BYTES = 256 * 1024 * 1024
"""The memory that the bodies of the remembered requests may take by default, decoded ones included."""


class RememberedRequests(list[RecordedRequest]):
    """A list of the latest requests, from which the oldest go where there are too many or their bodies too large."""

    def __init__(self, most: int, most_bytes: int) -> None:
        super().__init__()
        self._most, self._most_bytes = most, most_bytes
        self._sizes: deque[int] = deque()
        self._bytes = 0

    def remember(self, record: RecordedRequest) -> None:
        """Add a request, which stays until the next comes, whatever its size."""
        if len(self._sizes) != len(self):
            # Tests may clear a list, or take requests out of it.
            self._sizes = deque(self._size(each) for each in self)
            self._bytes = sum(self._sizes)
        self.append(record)
        self._sizes.append(self._size(record))
        self._bytes += self._sizes[-1]
        dropped = 0
        while len(self) - dropped > self._most or (self._bytes > self._most_bytes and len(self) - dropped > 1):
            self._bytes -= self._sizes.popleft()
            dropped += 1
        del self[:dropped]

    def _size(self, record: RecordedRequest) -> int:
        return getsizeof(record.raw_body) + _memory_of(record.body, self._most_bytes)


def _memory_of(value: Any, most: int) -> int:
    """Return the memory that a decoded body takes, or some number above the most that matters."""
    size = 0
    left = [value]
    while left and size <= most:
        each = left.pop()
        size += getsizeof(each)
        if isinstance(each, Mapping):
            left.extend(cast('Mapping[str, Any]', each).values())
        elif isinstance(each, list):
            left.extend(cast('list[Any]', each))
    return size
