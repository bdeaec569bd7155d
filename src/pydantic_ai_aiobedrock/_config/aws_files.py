"""Versions of the AWS configuration and credentials files, to notice that they were changed."""

from __future__ import annotations

import os

_FILES = (('AWS_CONFIG_FILE', '~/.aws/config'), ('AWS_SHARED_CREDENTIALS_FILE', '~/.aws/credentials'))

FileVersion = tuple[str, int, int, int]


def file_versions() -> tuple[FileVersion, ...]:
    """Return the version of each file at this moment: its path, modification time (ns), size and inode."""
    return tuple(_version(os.environ.get(variable) or default) for variable, default in _FILES)


def _version(path: str) -> FileVersion:
    # Expanded like botocore does it.
    path = os.path.expanduser(os.path.expandvars(path))
    try:
        status = os.stat(path)
    except OSError:
        return path, 0, 0, 0
    return path, status.st_mtime_ns, status.st_size, status.st_ino
