"""The engine, aiobotocore and the botocore under it: do the installed releases belong together?"""

from __future__ import annotations

import operator
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from pydantic_ai_aiobedrock.errors import EngineMismatchError

_RELEASE: Final = re.compile(r'\d+(?:\.\d+)*')
_COMPARISON: Final = re.compile(r'\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)*)\s*')
_OPERATORS: Final = {'<': operator.lt, '<=': operator.le, '>': operator.gt, '>=': operator.ge}


@cache
def check_engine() -> None:
    """Check that the installed botocore is a release that the installed aiobotocore allows.

    aiobotocore overrides private functions of botocore, and so allows few releases of it. Installers keep to that, but
    `pip install --upgrade boto3` only warns, and each call would then fail with a TypeError from deep inside.

    Raises:
        EngineMismatchError: It is not; the message has the command that installs releases that belong together.
    """
    try:
        engine, installed = version('aiobotocore'), version('botocore')
    except PackageNotFoundError:
        # Bundlers omit the metadata of distributions.
        return
    requirements = requires('aiobotocore') or ()
    of_botocore = [requirement for requirement in requirements if requirement.startswith('botocore')]
    if of_botocore and all(plainly_allows(requirement, 'botocore', installed) for requirement in of_botocore):
        return
    from packaging.requirements import Requirement

    for requirement in map(Requirement, requirements):
        allowed = requirement.specifier
        if requirement.name == 'botocore' and not allowed.contains(installed, prereleases=True):
            # A boto3 requires the botocore of its own number, or a later release.
            raise EngineMismatchError(
                f'aiobotocore {engine} allows botocore{allowed}, but botocore {installed} is installed. '
                f"Run: pip install 'boto3{allowed}' 'botocore{allowed}'"
            )


def plainly_allows(requirement: str, name: str, installed: str) -> bool:
    """Return True for a requirement that consists of bounds, all of which a release keeps.

    False says nothing: `packaging`, which takes long to import, knows the rest.
    """
    bounds = requirement.removeprefix(name).strip().removeprefix('(').removesuffix(')')
    if bounds == requirement or not _RELEASE.fullmatch(installed):
        return False
    found = [_COMPARISON.fullmatch(bound) for bound in bounds.split(',')]
    return all(match and _OPERATORS[match[1]](_release(installed), _release(match[2])) for match in found)


def _release(number: str) -> tuple[int, ...]:
    release = [int(part) for part in number.split('.')]
    # 1.40 and 1.40.0 are the same release.
    while release and not release[-1]:
        release.pop()
    return tuple(release)
