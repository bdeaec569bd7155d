"""Releases that an installer chooses for requirements, in an empty environment, without installing them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable

SECONDS = 180
"""How long a resolution may take: where requirements exclude each other, pip tries older releases without end."""

Releases = dict[str, str]


def ask_pip(*requirements: str) -> Releases | None:
    """Return the releases that pip would install, by name, or None if it finds none, or not in time."""
    command = (sys.executable, '-m', 'pip', 'install', '--dry-run', '--ignore-installed', '--quiet', '--report', '-')
    output = _output(*command, *requirements)
    if output is None:
        return None
    installs = (install['metadata'] for install in json.loads(output)['install'])
    return {normalized(metadata['name']): metadata['version'] for metadata in installs}


def ask_uv(*requirements: str) -> Releases | None:
    """Return the releases that uv would install, by name, or None if it finds none, or not in time."""
    command = ('uv', 'pip', 'compile', '--quiet', '--no-header', '--no-annotate', '--python', sys.executable, '-')
    output = _output(*command, stdin='\n'.join(requirements))
    if output is None:
        return None
    pinned = re.findall(r'^([\w.-]+)==(\S+)', output, flags=re.MULTILINE)
    return {normalized(name): version for name, version in pinned}


INSTALLERS: dict[str, Callable[..., Releases | None]] = {'pip': ask_pip, 'uv': ask_uv}


def normalized(name: str) -> str:
    """Return the name of a distribution as the index spells it."""
    return re.sub(r'[-_.]+', '-', name).lower()


def _output(*command: str, stdin: str = '') -> str | None:
    try:
        run = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return run.stdout if run.returncode == 0 else None
