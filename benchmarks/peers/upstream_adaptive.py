"""pydantic-ai's own Bedrock model over boto3 in its adaptive mode, which paces calls, with 10 attempts."""

from __future__ import annotations

from benchmarks.peers import upstream
from botocore.config import Config


class Peer(upstream.Peer):
    retries = Config(retries={'mode': 'adaptive', 'total_max_attempts': 10})
