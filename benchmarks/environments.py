"""Makes the virtual environments of the peers, and keeps them until what they hold is no longer what is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from benchmarks.contestants import WEB, Environment

ROOT = Path(__file__).parent.parent


def make(
    name: str, environment: Environment, folder: Path, say: Callable[[str], None], python_version: str | None = None
) -> Path:
    """Return the interpreter of the environment, after installing into it what it lacks.

    Args:
        name: The environment's name.
        environment: Its requirements.
        folder: The folder of all environments.
        say: A function that is told about slow steps.
        python_version: A version, such as `3.13`; that of this interpreter if omitted.

    Raises:
        RuntimeError: pip could not install it.
    """
    place = folder / (f'{name}-{python_version}' if python_version else name)
    python = place / 'bin' / 'python'
    asked = json.dumps([sys.version, _asked_for(environment), WEB, environment.without_dependencies])
    stamp = place / 'asked.json'
    if not stamp.exists() or stamp.read_text() != asked:
        say(f'making the environment of {name}')
        choice = ('--python', python_version) if python_version else ()
        _run([sys.executable, '-m', 'virtualenv', '--quiet', '--clear', *choice, str(place)])
        requirements = [str(ROOT) if each == '.' else each for each in environment.requirements]
        _run([str(python), '-m', 'pip', 'install', '--quiet', *requirements, *WEB])
        if environment.without_dependencies:
            _run([str(python), '-m', 'pip', 'install', '--quiet', '--no-deps', *environment.without_dependencies])
        stamp.write_text(asked)
    elif '.' in environment.requirements:
        say(f'installing the package into the environment of {name}')
        _run([str(python), '-m', 'pip', 'install', '--quiet', '--no-deps', '--force-reinstall', str(ROOT)])
    return python


def _asked_for(environment: Environment) -> list[str]:
    if '.' not in environment.requirements:
        return list(environment.requirements)
    # The package is installed again each time, but without what it depends on.
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    return [*environment.requirements, *project['dependencies']]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)} failed:\n{done.stdout}')
