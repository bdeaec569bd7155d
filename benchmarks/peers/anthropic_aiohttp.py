"""anthropic's `AsyncAnthropicBedrock` on aiohttp."""

from __future__ import annotations

from anthropic import DefaultAioHttpClient
from benchmarks.peers import anthropic


class Peer(anthropic.Peer):
    http_client = DefaultAioHttpClient
