"""The whole table, by name."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from typing import Any

from . import (
    cases_auth,
    cases_better,
    cases_caching,
    cases_embeddings,
    cases_errors,
    cases_media,
    cases_models,
    cases_output,
    cases_settings,
    cases_streams,
    cases_thinking,
    cases_tools,
    cases_wrappers,
)
from .canonical import plain
from .case import Case
from .sides import Side

GROUPS = {
    'settings': cases_settings.CASES,
    'models': cases_models.CASES,
    'thinking': cases_thinking.CASES,
    'caching': cases_caching.CASES,
    'tools': cases_tools.CASES,
    'output': cases_output.CASES,
    'media': cases_media.CASES,
    'errors': cases_errors.CASES,
    'streams': cases_streams.CASES,
    'embeddings': cases_embeddings.CASES,
    'auth': cases_auth.CASES,
    'wrappers': cases_wrappers.CASES,
    'better': cases_better.CASES,
}

CASES = {f'{group}: {case.name}': case for group, cases in GROUPS.items() for case in cases}
assert len(CASES) == sum(map(len, GROUPS.values())), 'two cases have one name'


def run(side: Side, case: Case) -> Any:
    """Run a case's program on a side, on a loop of its own, and return what is compared as JSON has it."""
    try:
        return asyncio.run(_run(side, case))
    finally:
        if side.name == 'upstream':
            # boto3 leaves connections to the collector, and a worker thread keeps what it has raised until it ends.
            for thread in threading.enumerate():
                if thread.name.startswith('AnyIO worker thread'):
                    thread.join(timeout=5)
            gc.collect()


async def _run(side: Side, case: Case) -> Any:
    try:
        return json.loads(json.dumps(plain(await case.program(side))))
    finally:
        side.close()
