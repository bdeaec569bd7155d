"""Profiles that sign in with `aws login`, which older releases of botocore pass over."""

from __future__ import annotations

from typing import Any

import botocore

from pydantic_ai_aiobedrock.errors import UnusableConfigurationError

_OF_THE_MACHINE = frozenset({'container-role', 'iam-role', None})
"""The last sources of botocore's chain, by its names, and none at all."""


def check_login_session(session: Any, source: str | None) -> None:
    """Check that the chain of credential providers did not pass over a `login_session` of the session's profile.

    Args:
        session: A session of botocore or aiobotocore.
        source: The source of the credentials that its chain found, by botocore's name, or None if it found none.

    Raises:
        UnusableConfigurationError: It did, and requests would be signed as the role of the machine.
    """
    if source not in _OF_THE_MACHINE or 'login_session' not in session.get_scoped_config():
        return
    profile = session.get_config_variable('profile') or 'default'
    raise UnusableConfigurationError(
        reason=f'The profile {profile!r} signs in with `aws login`, which botocore {botocore.__version__} does not '
        'support. Install aiobotocore 3.10 or newer with `botocore[crt]`, or name a profile with other credentials.'
    )
