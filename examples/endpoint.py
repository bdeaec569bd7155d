"""Where the examples send their requests: to AWS with `--region`, else to a LocalBedrock that they start themselves."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from local_bedrock import LocalBedrock

MODEL = 'us.amazon.nova-lite-v1:0'


def options(description: str, model: str = MODEL) -> argparse.ArgumentParser:
    """Return the options that all examples have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('--region', help='run on AWS, in this region, with your own credentials')
    parser.add_argument('--model', default=model, help='Bedrock model id (default: %(default)s)')
    return parser


@contextmanager
def local_bedrock(bedrock: LocalBedrock) -> Iterator[LocalBedrock]:
    """Serve a LocalBedrock in a thread, and let this process find it as it finds AWS: by its environment."""
    with bedrock:
        for name in [name for name in os.environ if name.startswith('AWS_')]:
            del os.environ[name]
        os.environ |= bedrock.environment | {'no_proxy': '127.0.0.1'}
        yield bedrock
