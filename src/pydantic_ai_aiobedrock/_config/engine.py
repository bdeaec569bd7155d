"""The engine, aiobotocore and the botocore under it: do the installed releases belong together?"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version

from pydantic_ai_aiobedrock.errors import EngineMismatchError


@cache
def check_engine() -> None:
    """Check that the installed botocore is a release that the installed aiobotocore allows.

    aiobotocore overrides private functions of botocore, and so allows few releases of it. Installers keep to that, but
    `pip install --upgrade boto3` only warns, and each call would then fail with a TypeError from deep inside.

    Raises:
        EngineMismatchError: It is not; the message has the command that installs releases that belong together.
    """
    from packaging.requirements import Requirement

    try:
        engine, installed = version('aiobotocore'), version('botocore')
    except PackageNotFoundError:
        # Bundlers omit the metadata of distributions.
        return
    for requirement in map(Requirement, requires('aiobotocore') or ()):
        allowed = requirement.specifier
        if requirement.name == 'botocore' and not allowed.contains(installed, prereleases=True):
            # A boto3 requires the botocore of its own number, or a later release.
            raise EngineMismatchError(
                f'aiobotocore {engine} allows botocore{allowed}, but botocore {installed} is installed. '
                f"Run: pip install 'boto3{allowed}' 'botocore{allowed}'"
            )
