"""Quotas and loads to be tried."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from .servers import Bucket, FixedWindow, Quota, SlidingWindow
from .simulation import Load


@dataclass(frozen=True)
class Scenario:
    """A quota and the loads on it.

    Attributes:
        name: What it is.
        quota: Makes the quota.
        loads: The calls of each client.
        ideal: Seconds that a client takes that knows the quota, or None where there is no such time.
        share: The share of the ideal speed that must be reached.
        refused: The share of the calls that may be refused after the first two seconds.
        network: The shortest and the longest time to the service and back, in seconds.
    """

    name: str
    quota: Callable[[], Quota]
    loads: list[Load]
    ideal: float | None
    share: float = 0.9
    refused: float = 0.15
    network: tuple[float, float] = (0.005, 0.03)


def paced(calls: float, rate: float, burst: float, seconds: float) -> float:
    return (calls - burst) / rate + seconds


def _mixed(chance: random.Random) -> float:
    return chance.choice((50.0, 100.0, 500.0, 2000.0))


def _long(chance: random.Random) -> float:
    return chance.uniform(1.0, 60.0)


def halves(now: float) -> float:
    return 50.0 if now < 10 else 25.0


def doubles(now: float) -> float:
    return 25.0 if now < 10 else 50.0


def pauses(now: float) -> float:
    return 0.0 if 10 <= now < 40 else 50.0


SCENARIOS = (
    Scenario('50/s, burst 50, 0.3 s', lambda: Bucket(50, 50), [Load(1000, 0.3)], paced(1000, 50, 50, 0.3)),
    Scenario('10/s, burst 10, 4 s', lambda: Bucket(10, 10), [Load(300, 4.0)], paced(300, 10, 10, 4.0)),
    Scenario(
        '20/s, burst 1, 1 s, near',
        lambda: Bucket(20, 1),
        [Load(400, 1.0)],
        paced(400, 20, 1, 1.0),
        network=(0.001, 0.003),
    ),
    Scenario('20/s, burst 1, 1 s, far', lambda: Bucket(20, 1), [Load(400, 1.0)], paced(400, 20, 1, 1.0), 0.75),
    Scenario(
        'tokens 3,300/s, 110 of which 12 used',
        lambda: Bucket(3300, 6600, 'tokens'),
        [Load(600, 0.5, 110.0, 12.0)],
        7.0 * 0.9,
    ),
    Scenario(
        'tokens 50,000/s, mixed sizes',
        lambda: Bucket(50_000, 50_000, 'tokens'),
        [Load(2000, 1.0, _mixed, 40.0)],
        None,
    ),
    Scenario('30/s, streams of 5 s', lambda: Bucket(30, 30), [Load(400, 5.0)], paced(400, 30, 30, 5.0)),
    Scenario(
        '40/s, two processes',
        lambda: Bucket(40, 40),
        [Load(300, 0.5), Load(300, 0.5)],
        paced(600, 40, 40, 0.5),
        0.85,
        0.3,
    ),
    Scenario('80/s, eight processes', lambda: Bucket(80, 80), [Load(200, 1.0)] * 8, paced(1600, 80, 80, 1.0), 0.8, 0.3),
    # Each has few calls, so that those that learn a low rate at first determine the time.
    Scenario(
        '40/s, eight processes of 10 calls',
        lambda: Bucket(40, 5),
        [Load(10, 0.1)] * 8,
        paced(80, 40, 5, 0.1),
        0.2,
    ),
    Scenario('nothing', lambda: Bucket(0, 0), [Load(30, 1.0)], None),
    Scenario(
        '100/s, 10,000 of 2 s', lambda: Bucket(100, 100), [Load(10_000, 2.0)], paced(10_000, 100, 100, 2.0), 0.95, 0.05
    ),
    Scenario('50/s, answers of 1 to 60 s', lambda: Bucket(50, 50), [Load(1000, _long)], None),
    Scenario('50/s that halve after 10 s', lambda: Bucket(halves, 50), [Load(1000, 0.3)], 10 + (950 - 500) / 25 + 0.3),
    Scenario('25/s that double after 10 s', lambda: Bucket(doubles, 50), [Load(1000, 0.3)], 10 + 700 / 50 + 0.3, 0.8),
    Scenario(
        '50/s with a pause of 30 s', lambda: Bucket(pauses, 50), [Load(1000, 0.3)], paced(1000, 50, 50, 30.3), 0.8, 0.3
    ),
    Scenario('600 a minute, fixed window', lambda: FixedWindow(600, 60, 20), [Load(1500, 1.0)], None),
    Scenario('600 a minute, sliding window', lambda: SlidingWindow(600, 60), [Load(1500, 1.0)], None),
    Scenario('4 a minute', lambda: Bucket(4 / 60, 4), [Load(12, 5.0)], paced(12, 4 / 60, 4, 5.0), 0.8, 5.0),
    Scenario('500/s, burst 500', lambda: Bucket(500, 500), [Load(5000, 1.0)], paced(5000, 500, 500, 1.0)),
    Scenario('50/s, 40/s come', lambda: Bucket(50, 50), [Load(1000, 0.3, spread=25)], 25.3),
)
