"""Errors of sources of credentials that botocore lets pass as they are: of a program, of a file, of a terminal."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import CredentialRetrievalError

_NO_TERMINAL = 'it asks for an MFA code, and there is no terminal to enter it at: sign in before the program starts'


def failed_source(session: Any, credentials: Any, error: Exception) -> CredentialRetrievalError:
    """Return the error that names the source.

    Args:
        session: A session of botocore or aiobotocore.
        credentials: The credentials of its chain that failed when they were read, or None if the chain itself failed.
        error: The error of Python, or of the service that the source asked.
    """
    if credentials is not None:
        source = credentials.method
    elif 'credential_process' in session.get_scoped_config():
        source = 'custom-process'
    else:
        source = 'the AWS configuration'
    reason = _NO_TERMINAL if isinstance(error, EOFError) else _said(error)
    return CredentialRetrievalError(provider=source, error_msg=reason)


def _said(error: Exception) -> str:
    # The message of a JSONDecodeError alone, say, does not reveal that JSON was expected.
    return f'{type(error).__name__}: {error}' if isinstance(error, ValueError | KeyError) else str(error) or repr(error)
