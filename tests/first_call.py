"""Make the first call of a fresh process, and print how long the event loop was held up at most, in milliseconds.

    python tests/first_call.py [provider | session | model | held-up]

Region, endpoint and credentials are those of the environment.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time

from pydantic_ai import Agent

from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider

BEAT_SECONDS = 0.001


class Watchdog:
    """Longest time between two beats of the loop.

    Time in which the process did not run at all, because others kept the processors busy, does not count: only work,
    on the loop or in a thread that keeps the interpreter to itself, holds the loop up. (Waiting is another matter,
    found by the guard against blocking calls in every other test.)
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._beating = asyncio.create_task(self._beat())

    async def stop(self) -> float:
        """Return the longest time, in milliseconds."""
        self._beating.cancel()
        await asyncio.wait([self._beating])
        return self.longest * 1000

    async def _beat(self) -> None:
        while True:
            wall, worked = time.perf_counter(), time.process_time()
            await asyncio.sleep(BEAT_SECONDS)
            beat = min(time.perf_counter() - wall - BEAT_SECONDS, time.process_time() - worked)
            self.longest = max(self.longest, beat)


async def first_call(how: str) -> float:
    session = None
    if how == 'session':
        # Otherwise the first call imports it, together with aiohttp.
        from aiobotocore.session import AioSession

        session = AioSession()
    provider = BedrockProvider(session=session)
    # Programs make them at import, as they do the provider.
    agent = Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider))
    # The imports leave a collection due that takes longer than anything here, and that any program has at some moment.
    gc.collect()
    watchdog = Watchdog()
    await asyncio.sleep(0.02)
    if how == 'held-up':
        end = time.process_time() + 0.03
        while time.process_time() < end:
            pass
    elif how == 'model':
        await agent.run('hello')
    else:
        await provider.client.converse(
            modelId='us.amazon.nova-lite-v1:0', messages=[{'role': 'user', 'content': [{'text': 'hello'}]}]
        )
    await asyncio.sleep(0.02)
    return await watchdog.stop()


if __name__ == '__main__':
    print(asyncio.run(first_call(sys.argv[1] if len(sys.argv) > 1 else 'provider')))
