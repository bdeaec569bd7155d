"""Raw aiobotocore with the retries that AWS advises: three attempts, with a quota of retries."""

from __future__ import annotations

from aiobotocore.config import AioConfig
from benchmarks.peers import aiobotocore


class Peer(aiobotocore.Peer):
    retries = AioConfig(retries={'mode': 'standard'})
