"""The page of rules by model is that of the table."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_of_rules_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / 'scripts' / 'write_rules.py'))
    assert (ROOT / 'RULES.md').read_text() == script['page']()
