"""The arguments of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

COMMANDS = {'serve': 'serves', 'record': 'records', 'replay': 'replays'}
TEMPORARY = ''
"""The value of `--tls` without a folder."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; without a command they are those of `serve`.

    Raises:
        SystemExit: They are wrong, or ask for help.
    """
    parser = argparse.ArgumentParser(
        prog='local-bedrock',
        description='Serve an endpoint of Amazon Bedrock on loopback.',
        epilog='Without a command: serve. Each command has a --help of its own.',
    )
    commands = parser.add_subparsers(dest='command', metavar=f'[{" | ".join(COMMANDS)}]')
    serve = commands.add_parser(
        'serve',
        description='Answer with scripted replies, or else like a model that has manners, but no intelligence.',
    )
    _add_serving(serve)
    record = commands.add_parser('record', description='Pass requests on to AWS, and write each exchange to a file.')
    record.add_argument('--to', required=True, metavar='FILE', help='the file, which is written from the beginning')
    record.add_argument('--profile', default=None, help='profile of the AWS configuration files')
    record.add_argument(
        '--endpoint-url', default=None, metavar='URL', help="where requests go (default: the region's endpoint)"
    )
    record.add_argument(
        '--mask-account-ids', action='store_true', help='write 123456789012 instead of the account ids in ARNs'
    )
    replay = commands.add_parser('replay', description='Answer with recorded exchanges, without a network.')
    replay.add_argument('files', nargs='+', metavar='FILE', help='file that was recorded')
    for command in (serve, record, replay):
        _add_place(command, "the profile's" if command is record else '%(default)s')
    record.set_defaults(region=None)
    if not arguments or arguments[0] not in (*COMMANDS, '-h', '--help'):
        arguments = ['serve', *arguments]
    return parser.parse_args(arguments)


def _add_serving(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        '--tokens-per-second', type=_positive, default=None, help='speed of generation (default: no limit)'
    )
    serve.add_argument('--latency', type=float, default=0.0, help='seconds before a response starts (default: none)')
    serve.add_argument(
        '--replies',
        action='append',
        default=[],
        metavar='FILE',
        help='replies to script, as JSON or JSON Lines in the format of POST /_local/replies; may be repeated',
    )
    serve.add_argument(
        '--credentials',
        action='append',
        default=[],
        metavar='KEY',
        help='access key to accept, as ACCESS_KEY:SECRET[:TOKEN], or a file with such lines, which keeps secrets out '
        'of the list of processes; may be repeated (default: a key made for the occasion)',
    )
    serve.add_argument(
        '--api-key',
        action='append',
        default=[],
        metavar='TOKEN',
        help='bearer token to accept; may be repeated (default: a token made for the occasion)',
    )
    serve.add_argument(
        '--models', nargs='+', default=None, metavar='ID', help='models that exist (default: those of known families)'
    )
    serve.add_argument(
        '--quota',
        action='append',
        default=[],
        metavar='MODEL=LIMITS',
        help='limits of a model, * for each model, such as "*=requests_per_minute:60,tokens_per_minute:100000"; '
        'may be repeated',
    )
    serve.add_argument(
        '--tls',
        nargs='?',
        const=TEMPORARY,
        default=None,
        metavar='FOLDER',
        help='serve HTTPS with a certificate authority in ca.pem of this folder, made if it is not there '
        '(without FOLDER: a temporary one)',
    )


def _add_place(command: argparse.ArgumentParser, region: str) -> None:
    command.add_argument('--host', default='127.0.0.1', help='address to listen on (default: %(default)s)')
    command.add_argument('--port', type=int, default=0, help='port to listen on (default: a free one)')
    command.add_argument('--region', default='us-east-1', help=f'region of the endpoint (default: {region})')
    command.add_argument(
        '--json', action='store_true', help='report the address in one line of JSON, and log no requests'
    )
    command.add_argument('--quiet', action='store_true', help='print nothing, and log no requests')


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError('must be more than 0')
    return value
