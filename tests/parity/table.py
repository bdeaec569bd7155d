"""The whole table, by name."""

from __future__ import annotations

import json
from typing import Any

from . import cases_caching, cases_media, cases_models, cases_output, cases_settings, cases_thinking, cases_tools
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
}

CASES = {f'{group}: {case.name}': case for group, cases in GROUPS.items() for case in cases}
assert len(CASES) == sum(map(len, GROUPS.values())), 'two cases have one name'


async def run_on(side: Side, case: Case) -> Any:
    """Run a case's program on a side, and return what is compared as JSON has it."""
    try:
        return json.loads(json.dumps(plain(await case.program(side))))
    finally:
        side.close()
