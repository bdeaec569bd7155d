"""Releases that an installer chooses for requirements, in an empty environment, without installing them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable

MINUTES = 10
"""Time for a resolution: where requirements exclude each other, pip tries older releases without end."""

Releases = dict[str, str]


class UnresolvedError(Exception):
    """No releases: `none` if the installer found no solution, else the time after which it was stopped."""


def ask_pip(*requirements: str) -> Releases:
    """Return the releases that pip would install, by name.

    Raises:
        UnresolvedError: It found no solution, or not in time.
    """
    command = (sys.executable, '-m', 'pip', 'install', '--dry-run', '--ignore-installed', '--quiet', '--report', '-')
    output = _output(*command, *requirements)
    installs = (install['metadata'] for install in json.loads(output)['install'])
    return {normalized(metadata['name']): metadata['version'] for metadata in installs}


def ask_uv(*requirements: str) -> Releases:
    """Return the releases that uv would install, by name.

    Raises:
        UnresolvedError: It found no solution, or not in time.
    """
    command = ('uv', 'pip', 'compile', '--quiet', '--no-header', '--no-annotate', '--python', sys.executable, '-')
    output = _output(*command, stdin='\n'.join(requirements))
    pinned = re.findall(r'^([\w.-]+)==(\S+)', output, flags=re.MULTILINE)
    return {normalized(name): version for name, version in pinned}


INSTALLERS: dict[str, Callable[..., Releases]] = {'pip': ask_pip, 'uv': ask_uv}


def normalized(name: str) -> str:
    """Return the name of a distribution as the index spells it."""
    return re.sub(r'[-_.]+', '-', name).lower()


def _output(*command: str, stdin: str = '') -> str:
    try:
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=True, timeout=60 * MINUTES
        ).stdout
    except subprocess.TimeoutExpired:
        raise UnresolvedError(f'none in {MINUTES} minutes') from None
    except subprocess.CalledProcessError as error:
        # Anything else, such as an index that does not answer, is no fact about releases.
        if not re.search(r'ResolutionImpossible|conflicting dependencies|No solution found', error.stderr):
            sys.exit(f'{" ".join(command)}:\n{error.stderr}')
        raise UnresolvedError('none') from None
