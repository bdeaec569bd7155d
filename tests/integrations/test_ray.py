"""The Ray example runs on workers of this machine, under a quota, and resumes from what it has written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('ray', reason='Ray runs the workers: nox -s integrations')
pytestmark = pytest.mark.timeout(180)

EXAMPLE = Path(__file__).parents[2] / 'examples' / 'ray_evaluation.py'


def run(*options: str) -> str:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE), '--workers', '2', *options],
        env={**os.environ, 'RAY_USAGE_STATS_ENABLED': '0'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_it_answers_every_prompt_once_under_a_quota_and_resumes(tmp_path: Path) -> None:
    results = tmp_path / 'results.jsonl'
    shown = run('--prompts', '60', '--quota', '20', '--output', str(results))
    assert '60 of 60 right, 0 without an answer' in shown
    # As if it had been stopped while it wrote: the last line is not whole.
    lines = results.read_text().splitlines()
    results.write_text('\n'.join(lines[:40]) + '\n' + lines[40][:10])
    shown = run('--prompts', '60', '--output', str(results))
    assert '40 answers are in' in shown
    assert '60 of 60 right, 0 without an answer' in shown
    answers = [json.loads(line)['number'] for line in results.read_text().splitlines() if line.endswith('}')]
    assert sorted(answers) == list(range(60))
