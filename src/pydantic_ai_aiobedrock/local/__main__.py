"""Serve LocalBedrock from a shell: `python -m pydantic_ai_aiobedrock.local`."""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import signal
import sys
from collections.abc import Sequence

from .server import LocalBedrock

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m pydantic_ai_aiobedrock.local',
        description='Serve an Amazon Bedrock Runtime endpoint on loopback.',
    )
    parser.add_argument('--host', default='127.0.0.1', help='address to listen on (default: %(default)s)')
    parser.add_argument('--port', type=int, default=0, help='port to listen on (default: a free one)')
    parser.add_argument('--region', default='us-east-1', help='region of the endpoint (default: %(default)s)')
    parser.add_argument(
        '--tokens-per-second', type=_positive, default=None, help='speed of generation (default: no limit)'
    )
    parser.add_argument('--latency', type=float, default=0.0, help='seconds before a response starts (default: none)')
    parser.add_argument('--json', action='store_true', help='say where it serves in one line of JSON')
    parser.add_argument('--quiet', action='store_true', help='say nothing')
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError('must be more than 0')
    return value


def _announcement(bedrock: LocalBedrock, *, as_json: bool) -> str:
    environment = {**bedrock.environment, 'AWS_BEARER_TOKEN_BEDROCK': bedrock.api_key}
    if as_json:
        return json.dumps(
            {'base_url': bedrock.base_url, 'region_name': bedrock.region_name, 'environment': environment}
        )
    exports = [f'export {name}={shlex.quote(value)}' for name, value in bedrock.environment.items()]
    return '\n'.join(
        (
            f'LocalBedrock serves at {bedrock.base_url}. In another shell:',
            *exports,
            f'# or, instead of the keys: export AWS_BEARER_TOKEN_BEDROCK={shlex.quote(bedrock.api_key)}',
            'Ctrl-C stops it.',
        )
    )


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal says to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # pragma: no cover - Windows: asyncio.run turns Ctrl-C into a cancellation
            break
    async with LocalBedrock(
        host=options.host,
        port=options.port,
        region_name=options.region,
        latency=options.latency,
        tokens_per_second=options.tokens_per_second,
    ) as bedrock:
        if not options.quiet:
            sys.stdout.write(_announcement(bedrock, as_json=options.json) + '\n')
            sys.stdout.flush()
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _arguments(arguments)
    try:
        asyncio.run(serve(options))
    except KeyboardInterrupt:  # pragma: no cover - Windows
        return 0
    except OSError as error:
        sys.stderr.write(f'LocalBedrock cannot serve at {options.host}:{options.port}: {error.strerror or error}\n')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
