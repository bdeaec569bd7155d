"""The scenarios of the comparison, and the goals of this package in each."""

from __future__ import annotations

from typing import Any

from benchmarks.contestants import ALONE, AT_MODEL_LEVEL, ON_ASYNCIO, ON_UVLOOP, RETRYING
from benchmarks.scenario import Scenario, Threshold

_CPU = {'concurrency': 100, 'seconds': 1.5, 'warm_up': 0.4}
_QUICK_CPU = {'seconds': 0.5, 'warm_up': 0.2}


COMPARED = ('ours', 'upstream', 'langchain-aws', 'litellm', 'strands', 'anthropic')
"""The peers whose behaviour is compared."""


def _quota(
    name: str,
    title: str,
    limit: float,
    *,
    measurement: str = 'quota',
    answered: int | None = None,
    late: float = 0.15,
    contestants: tuple[str, ...] = ('aiobotocore', *RETRYING, *COMPARED),
    **arguments: Any,
) -> Scenario:
    """Make a scenario of calls that all start at once under a quota, with a limit of the seconds that they may take."""
    return Scenario(
        name=name,
        title=title,
        measurement=measurement,
        unit='s',
        arguments=arguments,
        thresholds=(
            Threshold('ours', limit),
            Threshold('ours', answered or arguments['calls'], metric='answered', at_least=True),
            Threshold('ours', late, metric='throttled_late'),
        ),
        contestants=contestants,
        tuned=False,
        rounds=1,
        other_rounds=1,
    )


def _ideal(calls: float, rate: float, burst: float, seconds: float) -> float:
    return (calls - burst) / rate + seconds


SCENARIOS = (
    Scenario(
        name='request',
        title='CPU per request, one short turn, 100 at a time',
        measurement='request_cpu',
        unit='ms',
        arguments={'long': False, **_CPU},
        quick=_QUICK_CPU,
        contestants=(*ON_ASYNCIO, *ON_UVLOOP),
        thresholds=(
            Threshold('ours', 2.5, than='floor'),
            Threshold('ours', 0.95, than='aiobotocore'),
            Threshold('ours', 0.45, than='upstream'),
        ),
        shared=True,
        rounds=5,
        other_rounds=3,
    ),
    Scenario(
        name='history',
        title='CPU per request with 200 messages of 2 KB and 20 tools',
        measurement='request_cpu',
        unit='ms',
        arguments={'long': True, **_CPU},
        quick=_QUICK_CPU,
        contestants=(*ON_ASYNCIO, *ON_UVLOOP),
        thresholds=(Threshold('ours', 5, than='floor'), Threshold('ours', 0.3, than='aiobotocore')),
        shared=True,
        rounds=5,
        other_rounds=3,
    ),
    Scenario(
        name='stream',
        title='CPU per stream of 200 deltas',
        measurement='stream_cpu',
        unit='ms',
        arguments={'deltas': 200, **_CPU},
        quick=_QUICK_CPU,
        contestants=(*ON_ASYNCIO, *ON_UVLOOP),
        thresholds=(
            Threshold('ours', 3.5, than='floor'),
            Threshold('ours', 0.28, than='aiobotocore'),
            Threshold('ours', 0.075, than='upstream'),
        ),
        shared=True,
        rounds=5,
        other_rounds=3,
    ),
    Scenario(
        name='agent',
        title='CPU per run of an agent, 100 at a time',
        measurement='agent_cpu',
        unit='ms',
        arguments=_CPU,
        quick=_QUICK_CPU,
        contestants=('ours', 'upstream', ALONE),
        thresholds=(Threshold('ours', 0.5, than='upstream'),),
        shared=True,
        rounds=5,
    ),
    Scenario(
        name='agent-stream',
        title='CPU per delta that an agent streams',
        measurement='agent_stream_cpu',
        unit='ms',
        arguments={'deltas': 200, **_CPU},
        quick=_QUICK_CPU,
        contestants=('ours', 'upstream', ALONE),
        thresholds=(Threshold('ours', 0.5, than='upstream'),),
        shared=True,
        rounds=5,
    ),
    Scenario(
        name='burst',
        title='500 calls at once, default settings, answered after 0.5 s',
        measurement='burst',
        unit='s',
        arguments={'calls': 500, 'delay': 0.5},
        thresholds=(
            Threshold('ours', 1.5),
            Threshold('ours', 500, metric='in_flight', at_least=True),
            Threshold('ours', 500, metric='answered', at_least=True),
        ),
        tuned=False,
        other_rounds=1,
    ),
    *(
        Scenario(
            name=name,
            title=title,
            measurement='burst_lag',
            unit='ms',
            arguments={'calls': 500, 'delay': 0.3, 'spread': spread, 'settled': settled},
            thresholds=(
                Threshold('ours', 0.05),
                Threshold('ours', 0.01, metric='p99'),
                Threshold('ours', 500, metric='answered', at_least=True),
            ),
            tuned=False,
        )
        for name, title, spread, settled in (
            ('burst-lag', 'Longest loop stall while 500 calls at once are answered', 0, False),
            (
                'burst-lag-frozen',
                'Longest loop stall, 500 calls at once, after `gc.freeze()`',
                0,
                True,
            ),
            ('spread-lag', 'Longest loop stall while 500 calls over 0.75 s are answered', 0.75, False),
        )
    ),
    Scenario(
        name='burst-health',
        title='FastAPI /health p99 while 500 runs of agents come at once',
        measurement='burst_health',
        unit='ms',
        arguments={'calls': 500, 'delay': 0.3, 'rate': 100},
        contestants=(*AT_MODEL_LEVEL, ALONE),
        thresholds=(
            Threshold('ours', 0.05),
            Threshold('ours', 0.05, metric='since_first_request'),
            Threshold('ours', 500, metric='answered', at_least=True),
        ),
        tuned=False,
    ),
    _quota(
        'quota-50',
        '1,000 calls at once, quota of 50/s',
        _ideal(1000, 50, 50, 0.3) / 0.9,
        calls=1000,
        delay=0.3,
        quota=50,
        burst=50,
    ),
    _quota(
        'quota-10',
        '300 calls of 4 s at once, quota of 10/s',
        _ideal(300, 10, 10, 4) / 0.9,
        calls=300,
        delay=4,
        quota=10,
        burst=10,
    ),
    _quota(
        'quota-20',
        '400 calls of 1 s at once, quota of 20/s without a burst',
        _ideal(400, 20, 1, 1) / 0.9,
        calls=400,
        delay=1,
        quota=20,
        burst=1,
    ),
    _quota(
        'quota-tokens',
        '600 calls at once, quota of tokens',
        7,
        calls=600,
        delay=0.5,
        quota=3300,
        burst=6600,
        reserved=110,
        used=12,
    ),
    _quota(
        'quota-streams',
        '400 streams at once, quota of 30/s',
        _ideal(400, 30, 30, 0.3) / 0.9,
        calls=400,
        delay=0.3,
        quota=30,
        burst=30,
        streams=True,
    ),
    _quota(
        'quota-shared',
        'Two processes of 300 calls each, quota of 40/s',
        _ideal(600, 40, 40, 0.3) / 0.85,
        measurement='quota_shared',
        answered=600,
        late=0.3,
        contestants=('ours', 'upstream'),
        calls=300,
        delay=0.3,
        quota=40,
        burst=40,
    ),
    _quota(
        'quota-10000',
        '10,000 calls of 2 s at once, quota of 100/s',
        _ideal(10_000, 100, 100, 2) / 0.95,
        late=0.05,
        contestants=('ours',),
        calls=10_000,
        delay=2,
        quota=100,
        burst=100,
    ),
    Scenario(
        name='paced',
        title='Delivery delay p99, 500 streams of 20 events/s on one core',
        measurement='paced',
        unit='ms',
        arguments={'streams': 500, 'rate': 20, 'ramp': 2, 'seconds': 9},
        quick={'seconds': 6},
        thresholds=(Threshold('ours', 0.025), Threshold('ours', 500, metric='kept_pace', at_least=True)),
        threads=1000,
    ),
    Scenario(
        name='paced-unfrozen',
        title='Delivery delay p99, 500 streams of 20 events/s, without `gc.freeze()`',
        measurement='paced',
        unit='ms',
        arguments={'streams': 500, 'rate': 20, 'ramp': 2, 'seconds': 9, 'settled': False},
        quick={'seconds': 6},
        contestants=('floor', 'aiobotocore', 'ours'),
        thresholds=(Threshold('ours', 0.01), Threshold('ours', 500, metric='kept_pace', at_least=True)),
    ),
    Scenario(
        name='paced-1000',
        title='Delivery delay p99, 1,000 streams of 20 events/s on one core, uvloop',
        measurement='paced',
        unit='ms',
        arguments={'streams': 1000, 'rate': 20, 'ramp': 3, 'seconds': 10},
        quick={'seconds': 8},
        contestants=(*ON_UVLOOP, 'ours'),
        thresholds=(Threshold('ours-uvloop', 0.1), Threshold('ours-uvloop', 1000, metric='kept_pace', at_least=True)),
    ),
    Scenario(
        name='health',
        title='FastAPI /health p99 while 300 agents stream 20 events/s',
        measurement='health',
        unit='ms',
        arguments={'streams': 300, 'rate': 20, 'ramp': 1.5, 'seconds': 6},
        quick={'seconds': 3},
        thresholds=(Threshold('ours', 0.05), Threshold('ours', 300, metric='streaming', at_least=True)),
        threads=1000,
    ),
    Scenario(
        name='first-call',
        title='Longest loop stall, first call of a process',
        measurement='first_call',
        unit='ms',
        arguments={},
        thresholds=(Threshold('ours', 0.01), Threshold('ours-3', 0.01)),
        tuned=False,
        opens_itself=True,
        rounds=5,
        other_rounds=3,
    ),
    Scenario(
        name='cold-start',
        title='From the start of a process to its first answer',
        measurement='cold_start',
        unit='s',
        arguments={},
        contestants=('floor', 'aiobotocore', 'ours', 'ours-3', 'upstream', 'langchain-aws', 'litellm', 'strands'),
        thresholds=(Threshold('ours', 1, than='upstream'),),
        tuned=False,
        opens_itself=True,
        rounds=5,
    ),
    Scenario(
        name='attachments',
        title='Longest loop stall while 4 documents of 15 MB are sent',
        measurement='attachments',
        unit='ms',
        arguments={'calls': 4, 'size': 15_000_000},
        contestants=('aiobotocore', 'runtime', 'ours', 'upstream'),
        thresholds=(Threshold('ours', 0.03),),
        tuned=False,
    ),
    Scenario(
        name='memory',
        title='Memory per open stream above an idle client',
        measurement='memory',
        unit='KB',
        arguments={'streams': 500},
        thresholds=(Threshold('ours', 30 * 1024),),
        threads=1000,
    ),
    Scenario(
        name='growth',
        title='Memory growth per 1,000 requests, over 100,000',
        measurement='memory_growth',
        unit='KB',
        arguments={'calls': 100_000, 'concurrency': 100},
        quick={'calls': 5_000},
        contestants=('floor', 'aiobotocore', 'ours'),
        thresholds=(Threshold('ours', 10 * 1024),),
        rounds=1,
        other_rounds=1,
    ),
    Scenario(
        name='cancelled',
        title='20 streams cancelled: still generating at the server after 0.2 s',
        measurement='cancelled',
        unit='streams',
        arguments={'streams': 20, 'rate': 20, 'wait': 0.2},
        thresholds=(Threshold('ours', 0), Threshold('ours-3', 0)),
        threads=1000,
    ),
)


def _behaviour(name: str, title: str, arguments: dict[str, Any], *, opens_itself: bool = False) -> Scenario:
    return Scenario(
        name=name,
        title=title,
        measurement=name.replace('-', '_'),
        unit='',
        arguments=arguments,
        thresholds=(),
        contestants=COMPARED,
        tuned=False,
        opens_itself=opens_itself,
        other_rounds=1,
    )


BEHAVIOURS = (
    _behaviour('in-flight', 'in flight at once, default settings', {'calls': 1500}),
    _behaviour('stop', 'a cancelled stream stops the generation', {'pause': 2}),
    _behaviour('half', 'a stream that ends before its last event', {'deltas': 3}),
    _behaviour('rotation', 'access key rotated in `~/.aws/credentials`', {}, opens_itself=True),
)
"""Of which not the cost is measured, but what happens."""
