"""The clients that are compared, and the virtual environments that they run in."""

from __future__ import annotations

from dataclasses import dataclass

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


ALONE = 'alone'
"""Takes part only where an agent runs."""

RETRYING = ('aiobotocore-standard', 'upstream-adaptive')
"""Take part only under quotas."""

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
    Contestant(ALONE, 'Pydantic AI without a client', 'pydantic_ai_alone', 'upstream'),
    Contestant('aiobotocore-standard', 'aiobotocore 2.25, standard retries', 'aiobotocore_standard', 'aiobotocore'),
    Contestant('upstream-adaptive', 'pydantic-ai-slim[bedrock], adaptive', 'upstream_adaptive', 'upstream'),
    Contestant('langchain-aws', 'langchain-aws', 'langchain_aws', 'langchain-aws'),
    Contestant('litellm', 'litellm', 'litellm', 'litellm'),
    Contestant('strands', 'strands-agents', 'strands', 'strands'),
    Contestant('anthropic', 'anthropic[bedrock]', 'anthropic', 'anthropic'),
    Contestant('anthropic-aiohttp', 'anthropic[bedrock], aiohttp', 'anthropic_aiohttp', 'anthropic-aiohttp'),
)
ON_UVLOOP = ('floor-uvloop', 'aiobotocore-uvloop', 'ours-uvloop')
ON_ASYNCIO = tuple(each.name for each in CONTESTANTS if not each.uvloop and each.name not in (ALONE, *RETRYING))
AT_MODEL_LEVEL = tuple(name for name in ON_ASYNCIO if not name.startswith('runtime'))
