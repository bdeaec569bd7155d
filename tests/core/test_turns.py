"""The turns of the event loop are shared out: in order, to everybody, and to nobody who has left."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from pydantic_ai_aiobedrock._core.turns import Turns, turns


async def test_the_first_of_a_turn_do_not_wait() -> None:
    turns = Turns(2)
    for _ in range(2):
        taking = turns.take()
        with pytest.raises(StopIteration):
            taking.send(None)


async def test_tasks_go_on_in_their_order_a_few_in_each_turn_of_the_loop() -> None:
    turns = Turns(3)
    went_on: list[int] = []
    by_turn: list[int] = []

    async def task(number: int) -> None:
        await turns.take()
        went_on.append(number)

    tasks = [asyncio.create_task(task(number)) for number in range(20)]
    while len(went_on) < 20:
        before = len(went_on)
        await asyncio.sleep(0)
        by_turn.append(len(went_on) - before)
    await asyncio.gather(*tasks)
    assert went_on == list(range(20))
    assert max(by_turn) <= 3


async def test_a_task_that_is_cancelled_in_the_queue_takes_no_turn() -> None:
    turns = Turns(1)
    going, leaving, staying = (asyncio.create_task(turns.take()) for _ in range(3))
    await asyncio.sleep(0)
    assert (going.done(), leaving.done()) == (True, False)
    leaving.cancel()
    async with asyncio.timeout(5):
        await staying
    assert leaving.cancelled()


async def test_the_turns_of_a_quiet_loop_wake_nobody() -> None:
    turns = Turns(1)
    await turns.take()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not turns._scheduled


def test_a_loop_that_has_ended_is_not_kept() -> None:
    async def main() -> weakref.ref[asyncio.AbstractEventLoop]:
        async def encode() -> None:
            async with turns().encodings:
                await asyncio.sleep(0)

        await asyncio.gather(*(turns().reads.take() for _ in range(100)), encode(), encode())
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(main())
    gc.collect()
    assert loop() is None
