"""What the worker tries with a peer to see what it does, not what it costs: one coroutine per kind of behaviour."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.answers import STAMP_LENGTH, TEXT
from benchmarks.control import Control
from benchmarks.conversations import SHORT
from benchmarks.measurements import PATIENCE, Result, Seen
from benchmarks.peers import Endpoint, PeerClient

POLL = 0.2
"""Seconds between two looks at the server's counts."""
STEADY = 20
"""Looks without a change, after which none is expected any more."""
HOUR = 3600
FIRST_KEY = ('AKIAIOSFODNN7EXAMPLE', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY')
SECOND_KEY = ('AKIAI44QH8DHBEXAMPLE', 'je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY')


async def in_flight(peer: PeerClient, control: Control, *, calls: int) -> Result:
    """How many of `calls` requests that start at once are at the server at a time, while it answers none."""
    prepared = peer.prepare(SHORT)
    await peer.request(prepared)
    await control(reset=True)
    await control(gate=True)
    tasks = [asyncio.ensure_future(peer.request(prepared)) for _ in range(calls)]
    most, looks, until = 0, 0, time.monotonic() + PATIENCE
    # Looks are counted, not seconds: where the loop is busy with sending, they come late, too.
    while most < calls and looks < STEADY and time.monotonic() < until:
        await asyncio.sleep(POLL)
        seen = (await control())['max_in_flight']
        most, looks = (seen, 0) if seen > most else (most, looks + 1)
    await control(reset=True)
    done, late = await asyncio.wait(tasks, timeout=PATIENCE)
    failures = [_describe(error) for task in done if (error := task.exception()) is not None]
    for task in late:
        task.cancel()
    return {'most': most, 'calls': calls, 'answered': len(done) - len(failures), 'failure': failures[:1]}


async def stop(peer: PeerClient, control: Control, *, pause: float) -> Result:
    """Seconds from the cancellation of a stream's reader until its connection is closed, or None if it is not.

    Once while the model says something every `pause` seconds, and once while it is silent after its first words.
    """
    tries = {'talking': {'rate': 1 / pause, 'deltas': 1000}, 'silent': {'deltas': 1, 'hold': True}}
    return {
        level: {name: await _closed_after(call, peer, control, behaviour, pause) for name, behaviour in tries.items()}
        for level, call in _levels(peer).items()
    }


async def _closed_after(
    call: Callable[..., Awaitable[None]], peer: PeerClient, control: Control, behaviour: dict[str, Any], pause: float
) -> float | None:
    await control(**behaviour)
    first = asyncio.Event()
    task = asyncio.ensure_future(call(peer.prepare(SHORT), lambda _: first.set()))
    waiting = asyncio.ensure_future(first.wait())
    await asyncio.wait([task, waiting], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not first.is_set() or (await control())['streaming'] != 1:
        task.cancel()
        raise RuntimeError('the stream has not begun')
    cancelled = time.monotonic()
    task.cancel()
    # Its traceback would keep alive what the reader has left to the garbage collector.
    del task
    took: float | None = None
    # Of two more events, one at least finds nobody who waits for it.
    while took is None and time.monotonic() < cancelled + 2.5 * pause:
        await asyncio.sleep(0.02)
        if not (await control())['streaming']:
            took = time.monotonic() - cancelled
    # The threads of some peers would read on.
    await control(reset=True)
    return took


async def half(peer: PeerClient, control: Control, *, deltas: int) -> Result:
    """What comes of a stream whose response ends in good order, but without its last events: an error, or None."""
    outcomes: Result = {}
    for level, call in _levels(peer).items():
        for cut in (False, True):
            await control(reset=True)
            await control(deltas=deltas, cut=cut)
            seen = Seen()
            error = await _failure(call(peer.prepare(SHORT), seen))
            if not cut and (error or seen.length != deltas * STAMP_LENGTH):
                raise RuntimeError(f'of a whole stream came {seen.length} characters and {error}')
        outcomes[level] = {'failure': error, 'characters': seen.length, 'requests': (await control())['requests']}
    return outcomes


async def rotation(peer: PeerClient, control: Control, endpoint: Endpoint, *, credentials: str) -> Result:
    """What comes of a call after the key in the shared credentials file has been replaced, and the old one refused."""
    file = Path(credentials)
    _write(file, FIRST_KEY)
    await control(access_key=FIRST_KEY[0])
    await peer.setup(endpoint)
    await _answered(peer)
    _write(file, SECOND_KEY)
    await control(access_key=SECOND_KEY[0])
    outcome: Result = {'failure': await _failure(_answered(peer)), 'refused': (await control())['refused']}
    if outcome['failure'] is None:
        return outcome
    # What a program could do about it, short of ending.
    again: Any = type(peer)()
    await again.setup(endpoint)
    outcome['new_client'] = await _failure(_answered(again))
    await again.teardown()
    # What a cache holds may have its time.
    now = time.time
    with patch.object(time, 'time', lambda: now() + HOUR):
        outcome['later'] = await _failure(_answered(peer))
    return outcome


def _levels(peer: PeerClient) -> dict[str, Callable[..., Awaitable[None]]]:
    """The model, and the agent where the peer has one."""
    levels: dict[str, Callable[..., Awaitable[None]]] = {'model': peer.stream}
    if type(peer).agent is not type(peer).stream:
        levels['agent'] = peer.agent
    return levels


async def _answered(peer: PeerClient) -> None:
    if (text := await peer.request(peer.prepare(SHORT))) != TEXT:
        raise RuntimeError(f'answered {text!r}')


async def _failure(call: Awaitable[None]) -> str | None:
    try:
        await asyncio.wait_for(call, PATIENCE)
    except Exception as error:
        return _describe(error)
    return None


def _describe(error: BaseException) -> str:
    return f'{type(error).__name__}: {error}'.splitlines()[0][:200]


def _write(file: Path, key: tuple[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    anew = file.with_suffix('.new')
    anew.write_text(f'[default]\naws_access_key_id = {key[0]}\naws_secret_access_key = {key[1]}\n')
    anew.replace(file)


BEHAVIOURS: dict[str, Callable[..., Awaitable[Result]]] = {
    function.__name__: function for function in (in_flight, stop, half, rotation)
}
