"""Serve LocalBedrock from a shell: `python -m local_bedrock`."""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import signal
import sys
from collections.abc import Sequence

from local_bedrock.server import LocalBedrock

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_COMMANDS = {'serve': 'serves', 'record': 'records', 'replay': 'replays'}


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m local_bedrock',
        description='Serve an endpoint of Amazon Bedrock on loopback.',
        epilog='Without a command: serve. Each command has a --help of its own.',
    )
    commands = parser.add_subparsers(dest='command', metavar=f'[{" | ".join(_COMMANDS)}]')
    serve = commands.add_parser('serve', description='Answer by a model that has manners, but no intelligence.')
    serve.add_argument(
        '--tokens-per-second', type=_positive, default=None, help='speed of generation (default: no limit)'
    )
    serve.add_argument('--latency', type=float, default=0.0, help='seconds before a response starts (default: none)')
    record = commands.add_parser('record', description='Pass requests on to AWS, and write each exchange to a file.')
    record.add_argument('--to', required=True, metavar='FILE', help='the file, which is begun anew')
    record.add_argument('--profile', default=None, help='profile of the AWS configuration files')
    record.add_argument(
        '--endpoint-url', default=None, metavar='URL', help="where requests go (default: the region's endpoint)"
    )
    replay = commands.add_parser('replay', description='Answer with recorded exchanges, without a network.')
    replay.add_argument('files', nargs='+', metavar='FILE', help='file that was recorded')
    for command in (serve, record, replay):
        default = '%(default)s' if command is not record else "the profile's"
        command.add_argument('--host', default='127.0.0.1', help='address to listen on (default: %(default)s)')
        command.add_argument('--port', type=int, default=0, help='port to listen on (default: a free one)')
        command.add_argument(
            '--region',
            default=None if command is record else 'us-east-1',
            help=f'region of the endpoint (default: {default})',
        )
        command.add_argument('--json', action='store_true', help='say where it serves in one line of JSON')
        command.add_argument('--quiet', action='store_true', help='say nothing')
    if not arguments or arguments[0] not in (*_COMMANDS, '-h', '--help'):
        arguments = ['serve', *arguments]
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError('must be more than 0')
    return value


def _endpoint(options: argparse.Namespace) -> LocalBedrock:
    place = {'host': options.host, 'port': options.port, 'region_name': options.region}
    if options.command == 'replay':
        return LocalBedrock.replay(*options.files, **place)
    if options.command == 'record':
        # Only recording needs AWS's credentials.
        from botocore.session import Session

        session = None if options.profile is None else Session(profile=options.profile)
        return LocalBedrock.record(options.to, endpoint_url=options.endpoint_url, session=session, **place)
    return LocalBedrock(latency=options.latency, tokens_per_second=options.tokens_per_second, **place)


def _announcement(bedrock: LocalBedrock, options: argparse.Namespace) -> str:
    environment = {**bedrock.environment, 'AWS_BEARER_TOKEN_BEDROCK': bedrock.api_key}
    if options.json:
        return json.dumps(
            {'base_url': bedrock.base_url, 'region_name': bedrock.region_name, 'environment': environment}
        )
    exports = [f'export {name}={shlex.quote(value)}' for name, value in bedrock.environment.items()]
    return '\n'.join(
        (
            f'LocalBedrock {_COMMANDS[options.command]} at {bedrock.base_url}. In another shell:',
            *exports,
            f'# or, instead of the keys: export AWS_BEARER_TOKEN_BEDROCK={shlex.quote(bedrock.api_key)}',
            'Ctrl-C stops it.',
        )
    )


async def serve(endpoint: LocalBedrock, options: argparse.Namespace) -> None:
    """Serve until a signal says to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # pragma: no cover - Windows: asyncio.run turns Ctrl-C into a cancellation
            break
    async with endpoint as bedrock:
        if not options.quiet:
            sys.stdout.write(_announcement(bedrock, options) + '\n')
            sys.stdout.flush()
        await stop.wait()


def _is_of_botocore(error: Exception) -> bool:
    if 'botocore' not in sys.modules:
        return False
    from botocore.exceptions import BotoCoreError

    return isinstance(error, BotoCoreError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        asyncio.run(serve(_endpoint(options), options))
    except KeyboardInterrupt:  # pragma: no cover - Windows
        return 0
    except OSError as error:
        what = error if error.filename is None else f'{error.filename}: {error.strerror}'
        sys.stderr.write(f'LocalBedrock cannot {options.command}: {what}\n')
        return 1
    except Exception as error:
        if not (isinstance(error, ValueError) or _is_of_botocore(error)):
            raise
        sys.stderr.write(f'LocalBedrock cannot {options.command}: {error}\n')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
