"""Frames, decoded by botocore."""

from __future__ import annotations

from typing import Any

from botocore.eventstream import EventStreamBuffer


def decoded(*frames: bytes) -> list[Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(b''.join(frames))
    return list(buffer)
