"""`python -m pydantic_ai_aiobedrock doctor`: a report on reaching Bedrock from here, with remedies for its problems."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version

from pydantic_ai_aiobedrock._doctor.doctor import MODEL, examine


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0 if all is well, 1 if something is wrong. (A wrong option ends with 2.)
    """
    parser = argparse.ArgumentParser(prog='python -m pydantic_ai_aiobedrock', description=__doc__)
    shown = f'pydantic-ai-aiobedrock {version("pydantic-ai-aiobedrock")}'
    parser.add_argument('--version', action='version', version=shown)
    commands = parser.add_subparsers(dest='command', required=True)
    doctor = commands.add_parser(
        'doctor',
        help='say what was resolved, make one call and one stream, and say what is wrong',
        description='Say what was resolved, make one call and one stream, and say what is wrong. No secret is shown. '
        'The exit status is 0 if all is well, and 1 if something is wrong.',
    )
    doctor.add_argument('--region', help='AWS region (default: what the environment and the AWS configuration say)')
    doctor.add_argument('--profile', help='profile of the AWS configuration (default: AWS_PROFILE, or the default one)')
    doctor.add_argument('--model', default=MODEL, help='Bedrock model id (default: %(default)s)')
    doctor.add_argument('--json', action='store_true', help='write the report as JSON')
    doctor.add_argument('--version', action='version', version=shown)
    options = parser.parse_args(arguments)
    # The report says what botocore would write to standard error with a traceback.
    logging.getLogger('botocore').addHandler(logging.NullHandler())
    report = examine(options.region, options.model, options.profile)
    sys.stdout.write((json.dumps(report.as_dict(), indent=2) if options.json else report.as_text().rstrip()) + '\n')
    return 0 if report.healthy else 1


if __name__ == '__main__':
    sys.exit(main())
