"""The pytest plugin of local-bedrock: a fixture that serves a LocalBedrock.

pytest loads this module wherever the package is installed. So it stands beside the package, whose import would cost
each of those test runs a moment, and imports nothing before a test asks for a fixture.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from local_bedrock import LocalBedrock


@pytest.fixture(scope='session')
def _local_bedrock_of_the_session() -> Iterator[LocalBedrock]:  # pyright: ignore[reportUnusedFunction]
    # It starts once for all tests, and a client that outlives a test finds it where it was.
    from local_bedrock import LocalBedrock

    with LocalBedrock() as bedrock:
        yield bedrock


@pytest.fixture
def local_bedrock(_local_bedrock_of_the_session: LocalBedrock) -> Iterator[LocalBedrock]:
    """A LocalBedrock: an endpoint of Amazon Bedrock on loopback, which AWS clients find for the time of the test.

    Clients of Bedrock Runtime, of Bedrock and of S3 find it, so that batch inference can be tested as a whole.
    It serves on a thread of its own, so tests may be sync or async, on any event loop. Each test has it as if it were
    new. A reply function that has raised fails the test.
    """
    bedrock = _local_bedrock_of_the_session
    with bedrock.redirect_clients():
        yield bedrock
    failures = list(bedrock.failures)
    bedrock.start_over()
    if failures:
        pytest.fail('LocalBedrock could not answer:\n' + ''.join(map(_shown, failures)), pytrace=False)


def _shown(error: Exception) -> str:
    return ''.join(traceback.format_exception(error))
