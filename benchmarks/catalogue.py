"""What is compared, over which scenarios, and what this package must reach in each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

NEWEST_ENGINE = (
    'aiobotocore==3.10.*',
    'botocore>=1.43.115,<1.43.118',
    'boto3>=1.43.115,<1.43.118',
    's3transfer==0.19.*',
)
WEB = ('fastapi', 'uvicorn')


@dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Attributes:
        requirements: What pip installs, the package itself as `.`.
        without_dependencies: What pip then installs although the rest asks for something older.
    """

    requirements: tuple[str, ...]
    without_dependencies: tuple[str, ...] = ()


ENVIRONMENTS = {
    'floor': Environment(('aiohttp', 'uvloop')),
    'aiobotocore': Environment(('aiobotocore==2.25.1', 'uvloop')),
    'aiobotocore-3': Environment(('aiobotocore==3.10.*', 'uvloop')),
    'ours': Environment(('.', 'aioboto3==15.5.0', 'uvloop')),
    'ours-newest': Environment(('.', 'aioboto3==15.5.0', 'uvloop'), NEWEST_ENGINE),
    'upstream': Environment(('pydantic-ai-slim[bedrock]',)),
    'langchain-aws': Environment(('langchain-aws',)),
    'litellm': Environment(('litellm', 'boto3', 'mcp')),
    'strands': Environment(('strands-agents',)),
    'anthropic': Environment(('anthropic[bedrock]',)),
    'anthropic-aiohttp': Environment(('anthropic[bedrock,aiohttp]',)),
}


@dataclass(frozen=True)
class Contestant:
    """A peer as it is compared: its module in `peers`, in an environment, on a loop.

    Attributes:
        name: What it is called on the command line and in the results.
        title: What it is called in tables and charts.
        module: Its module in `benchmarks.peers`.
        environment: Its virtual environment.
        uvloop: Whether it runs on uvloop.
    """

    name: str
    title: str
    module: str
    environment: str
    uvloop: bool = False


CONTESTANTS = (
    Contestant('floor', 'floor: aiohttp', 'floor', 'floor'),
    Contestant('floor-uvloop', 'floor, uvloop', 'floor', 'floor', uvloop=True),
    Contestant('aiobotocore', 'aiobotocore 2.25', 'aiobotocore', 'aiobotocore'),
    Contestant('aiobotocore-3', 'aiobotocore 3.10', 'aiobotocore', 'aiobotocore-3'),
    Contestant('aiobotocore-uvloop', 'aiobotocore 2.25, uvloop', 'aiobotocore', 'aiobotocore', uvloop=True),
    Contestant('runtime', 'this package, client', 'ours_runtime', 'ours'),
    Contestant('runtime-3', 'this package, client, aiobotocore 3.10', 'ours_runtime', 'ours-newest'),
    Contestant('ours', 'this package', 'ours', 'ours'),
    Contestant('ours-3', 'this package, aiobotocore 3.10', 'ours', 'ours-newest'),
    Contestant('ours-uvloop', 'this package, uvloop', 'ours', 'ours', uvloop=True),
    Contestant('upstream', 'pydantic-ai-slim[bedrock]', 'upstream', 'upstream'),
    Contestant('langchain-aws', 'langchain-aws', 'langchain_aws', 'langchain-aws'),
    Contestant('litellm', 'litellm', 'litellm', 'litellm'),
    Contestant('strands', 'strands-agents', 'strands', 'strands'),
    Contestant('anthropic', 'anthropic[bedrock]', 'anthropic', 'anthropic'),
    Contestant('anthropic-aiohttp', 'anthropic[bedrock], aiohttp', 'anthropic_aiohttp', 'anthropic-aiohttp'),
)
ON_UVLOOP = ('floor-uvloop', 'aiobotocore-uvloop', 'ours-uvloop')
ON_ASYNCIO = tuple(contestant.name for contestant in CONTESTANTS if not contestant.uvloop)
AT_MODEL_LEVEL = tuple(name for name in ON_ASYNCIO if not name.startswith('runtime'))


@dataclass(frozen=True)
class Threshold:
    """What one contestant must reach.

    Attributes:
        who: The contestant.
        limit: The limit, in the scenario's unit or times the figure of `than`.
        than: The contestant that it is compared with, or None for an absolute limit.
        metric: Which of the measured numbers.
        at_least: Whether the number must reach the limit, not stay below it.
    """

    who: str
    limit: float
    than: str | None = None
    metric: str = 'value'
    at_least: bool = False


Unit = Literal['ms', 's', 'KB', 'streams', '']


@dataclass(frozen=True)
class Scenario:
    """One row of the comparison.

    Attributes:
        name: What it is called on the command line and in the results.
        title: What it is called in tables and charts.
        measurement: The coroutine in `benchmarks.measurements`.
        unit: The unit of what is shown.
        arguments: What the measurement is called with.
        quick: What changes in a quick run.
        contestants: Who takes part.
        thresholds: What must be reached.
        tuned: Whether peers may raise their limits of connections; with their default settings otherwise.
        threads: How many threads peers get that make each call in one, or None for as many as they have by default.
        opens_itself: Whether the measurement makes the client.
        shared: Whether it is measured in the process that has measured others before.
        rounds: How often, where what must be reached depends on it.
        other_rounds: How often otherwise.
    """

    name: str
    title: str
    measurement: str
    unit: Unit
    arguments: dict[str, Any]
    thresholds: tuple[Threshold, ...]
    quick: dict[str, Any] = field(default_factory=dict)
    contestants: tuple[str, ...] = AT_MODEL_LEVEL
    tuned: bool = True
    threads: int | None = None
    opens_itself: bool = False
    shared: bool = False
    rounds: int = 3
    other_rounds: int = 2

    @property
    def decisive(self) -> set[str]:
        """The floor, and whoever takes part in what must be reached."""
        named = {name for each in self.thresholds for name in (each.who, each.than)}
        return {name for name in self.contestants if name in named or name.startswith('floor')}

    def rounds_of(self, contestant: str) -> int:
        """How often a contestant is measured."""
        if contestant not in self.contestants:
            return 0
        return self.rounds if contestant in self.decisive else self.other_rounds


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
    contestants: tuple[str, ...] = ('aiobotocore', *COMPARED),
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
        thresholds=(Threshold('ours', 0.95, than='aiobotocore'), Threshold('ours', 0.45, than='upstream')),
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
        thresholds=(Threshold('ours', 0.6, than='aiobotocore'),),
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
        thresholds=(Threshold('ours', 0.40, than='aiobotocore'), Threshold('ours', 0.11, than='upstream')),
        shared=True,
        rounds=5,
        other_rounds=3,
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
            arguments={'calls': 500, 'delay': 0.3, 'spread': spread},
            thresholds=(
                Threshold('ours', 0.05),
                Threshold('ours', 0.01, metric='p99'),
                Threshold('ours', 500, metric='answered', at_least=True),
            ),
            tuned=False,
        )
        for name, title, spread in (
            ('burst-lag', 'Longest loop stall while 500 calls at once are answered', 0),
            ('spread-lag', 'Longest loop stall while 500 calls over 0.75 s are answered', 0.75),
        )
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
        thresholds=(Threshold('ours', 0.02), Threshold('ours-3', 0.02)),
        tuned=False,
        opens_itself=True,
        rounds=5,
        other_rounds=3,
    ),
    Scenario(
        name='memory',
        title='Memory per open stream above an idle client',
        measurement='memory',
        unit='KB',
        arguments={'streams': 500},
        thresholds=(Threshold('ours', 40 * 1024),),
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
