"""Frames, decoded by botocore."""

from __future__ import annotations

from botocore.eventstream import EventStreamBuffer, EventStreamMessage


def decoded(*frames: bytes) -> list[EventStreamMessage]:
    buffer = EventStreamBuffer()
    buffer.add_data(b''.join(frames))
    return list(buffer)
