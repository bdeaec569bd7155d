"""`python -m parity.peer`: runs upstream's side of cases in an interpreter of its own, one JSON line each way.

It says its versions first; then each line that it reads names a case, the endpoint and the environment, and is answered
by what the case's program gave.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, TextIO

from .sides import Endpoint, upstream
from .table import CASES, run

MAY_DIFFER = ('AWS_', 'HOME', 'PYDANTIC_AI_', 'PARITY_')
"""The environment variables that a case may set, by how they begin."""


def shared_environment() -> dict[str, str]:
    """Return the environment variables that both sides must have in common."""
    return {name: value for name, value in os.environ.items() if name.startswith(MAY_DIFFER)}


def _adopt(environment: Mapping[str, str]) -> None:
    for name in shared_environment():
        del os.environ[name]
    os.environ.update(environment)


def _answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    _adopt(asked['environment'])
    try:
        side = upstream(Endpoint(**asked['endpoint']))
        return {'case': asked['case'], 'outcome': run(side, CASES[asked['case']])}
    except BaseException:
        return {'case': asked['case'], 'failure': traceback.format_exc()}


def main(lines: TextIO, answers: TextIO) -> None:
    """Answer until the input ends."""
    # Each case ends with a collection: what the imports have made need not be walked through again each time.
    gc.collect()
    gc.freeze()
    versions = {name: version(name) for name in ('pydantic-ai-slim', 'boto3')}
    print(json.dumps(versions), file=answers, flush=True)
    for line in lines:
        print(json.dumps(_answer(json.loads(line))), file=answers, flush=True)


if __name__ == '__main__':
    # What a case prints must not stand between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    main(sys.stdin, answers)
