"""The answer that every fault of the suite happens to, and where in it each event begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import accumulate

from local_bedrock import RecordedRequest, Reply, StreamEvent, encode_event

WORDS = ('Once', ' upon', ' a', ' time.')
TEXT = ''.join(WORDS)
USAGE = {'inputTokens': 3, 'outputTokens': 4, 'totalTokens': 7}


def _delta(text: str) -> StreamEvent:
    return StreamEvent('contentBlockDelta', {'contentBlockIndex': 0, 'delta': {'text': text}})


EVENTS = (
    StreamEvent('messageStart', {'role': 'assistant'}),
    *map(_delta, WORDS),
    StreamEvent('contentBlockStop', {'contentBlockIndex': 0}),
    StreamEvent('messageStop', {'stopReason': 'end_turn'}),
    StreamEvent('metadata', {'usage': USAGE, 'metrics': {'latencyMs': 250}}),
)
FRAMES = tuple(map(encode_event, EVENTS))
OFFSETS = (0, *accumulate(map(len, FRAMES)))
"""Where each event of the stream begins, and where the last one ends."""

READ = 3
"""Events that the client has read before a fault in the middle of a stream happens: the start and two words."""
SEEN = ''.join(WORDS[: READ - 1])


class Story:
    """A scripted reply that tells the same story each time, streamed or not.

    A stream waits after its third event until the client says that it has read the words, so that what a fault does to
    the rest of the stream happens to a client that is in the middle of it.
    """

    def __init__(self) -> None:
        self.read = asyncio.Event()
        """Set by the client when it has read the words up to there."""

    def __call__(self, request: RecordedRequest) -> Reply | AsyncGenerator[bytes]:
        return self._frames() if request.streaming else Reply(TEXT, usage=USAGE)

    async def _frames(self) -> AsyncGenerator[bytes]:
        for number, frame in enumerate(FRAMES):
            if number == READ:
                await self.read.wait()
            yield frame
