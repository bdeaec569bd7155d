"""Serve LocalBedrock from a shell: `local-bedrock`, or `python -m local_bedrock`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local_bedrock._cli.announcement import as_json, for_a_shell
from local_bedrock._cli.arguments import COMMANDS, parse
from local_bedrock.server import LocalBedrock

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _endpoint(options: argparse.Namespace, stack: ExitStack) -> tuple[LocalBedrock, Path | None]:
    """Return the endpoint, and the certificate that its clients trust if it serves HTTPS."""
    place = {'host': options.host, 'port': options.port, 'region_name': options.region}
    if options.command == 'replay':
        return LocalBedrock.replay(*options.files, **place), None
    if options.command == 'record':
        # Only recording needs AWS's credentials.
        from botocore.session import Session

        session = None if options.profile is None else Session(profile=options.profile)
        recorder = LocalBedrock.record(
            options.to,
            endpoint_url=options.endpoint_url,
            session=session,
            mask_account_ids=options.mask_account_ids,
            **place,
        )
        return recorder, None
    # The forms of their values take a moment to load.
    from local_bedrock._cli import inputs

    tls, authority = None, None
    replies = [reply for path in options.replies for reply in inputs.replies(path)]
    credentials = inputs.access_keys(options.credentials) or None
    quotas = [inputs.quota(text) for text in options.quota]
    if options.tls is not None:
        from local_bedrock._cli.certificates import served_over_tls

        tls, authority = stack.enter_context(served_over_tls(options.tls, options.host))
    bedrock = LocalBedrock(
        latency=options.latency,
        tokens_per_second=options.tokens_per_second,
        credentials=credentials,
        api_keys=options.api_key or None,
        models=options.models,
        quotas=quotas,
        tls=tls,
        **place,
    )
    for reply in replies:
        reply.put(bedrock)
    return bedrock, authority


def _announcement(bedrock: LocalBedrock, authority: Path | None, options: argparse.Namespace) -> str:
    if options.json:
        return as_json(bedrock, authority)
    # With a token and no keys of the caller's own, clients are to use the token.
    with_token = options.command == 'serve' and bool(options.api_key) and not options.credentials
    return for_a_shell(bedrock, authority, verb=COMMANDS[options.command], with_token=with_token)


@contextmanager
def _requests_logged(options: argparse.Namespace) -> Generator[None]:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter('%(asctime)s %(message)s', '%H:%M:%S'))
    log = logging.getLogger('local_bedrock')
    before = log.propagate, log.level
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(logging.WARNING if options.json or options.quiet else logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before[0]
        log.setLevel(before[1])


async def serve(endpoint: LocalBedrock, authority: Path | None, options: argparse.Namespace) -> None:
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
            sys.stdout.write(_announcement(bedrock, authority, options) + '\n')
            sys.stdout.flush()
        await stop.wait()


def _is_of_botocore(error: Exception) -> bool:
    if 'botocore' not in sys.modules:
        return False
    from botocore.exceptions import BotoCoreError

    return isinstance(error, BotoCoreError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        with ExitStack() as stack:
            endpoint, authority = _endpoint(options, stack)
            stack.enter_context(_requests_logged(options))
            asyncio.run(serve(endpoint, authority, options))
    except KeyboardInterrupt:  # pragma: no cover - Windows
        return 0
    except OSError as error:
        reason = error if error.filename is None else f'{error.filename}: {error.strerror}'
        sys.stderr.write(f'LocalBedrock cannot {options.command}: {reason}\n')
        return 1
    except Exception as error:
        if not (isinstance(error, ValueError) or _is_of_botocore(error)):
            raise
        sys.stderr.write(f'LocalBedrock cannot {options.command}: {error}\n')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
