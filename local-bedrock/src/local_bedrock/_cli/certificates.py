"""TLS with a certificate authority of the endpoint's own, for clients that refuse plain HTTP."""

from __future__ import annotations

import os
import ssl
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from local_bedrock._cli.arguments import TEMPORARY

if TYPE_CHECKING:
    import trustme

CERTIFICATE = 'ca.pem'
KEY = 'ca-key.pem'
_NAMES = ('localhost', '127.0.0.1', '::1')


@contextmanager
def served_over_tls(folder: str, host: str) -> Generator[tuple[ssl.SSLContext, Path]]:
    """Make the TLS of a server, and write the certificate of its authority to a folder.

    A folder that is named keeps the authority, its key readable for the owner alone, and the next server uses it again.
    Without a name, the folder is temporary, and the key is not written.

    Args:
        folder: The folder; empty for a temporary one.
        host: Address that the server listens on: its certificate is for that, and for localhost.

    Yields:
        The TLS, and the file that clients trust.

    Raises:
        ValueError: trustme is not installed, or the folder holds half an authority, or a key that others may read.
        OSError: The folder cannot be written.
    """
    try:
        import trustme
    except ImportError:
        raise ValueError('--tls needs trustme: install local-bedrock[tls].') from None
    if folder == TEMPORARY:
        with tempfile.TemporaryDirectory(prefix='local-bedrock-') as made:
            authority = trustme.CA(organization_name='LocalBedrock')
            certificate = Path(made, CERTIFICATE)
            authority.cert_pem.write_to_path(str(certificate))
            yield _context(authority, host), certificate
        return
    certificate, key = Path(folder, CERTIFICATE), Path(folder, KEY)
    if certificate.exists() != key.exists():
        raise ValueError(f'--tls {folder}: {CERTIFICATE} and {KEY} belong together; remove the one that is left.')
    if certificate.exists():
        if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError(f'--tls {folder}: others may read {KEY}; run chmod 600 on it.')
        authority = trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    else:
        authority = trustme.CA(organization_name='LocalBedrock')
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as file:
            file.write(authority.private_key_pem.bytes())
        authority.cert_pem.write_to_path(str(certificate))
    yield _context(authority, host), certificate


def _context(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(['http/1.1'])
    certificate = authority.issue_cert(*dict.fromkeys((*_NAMES, host)))
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType] - of pyOpenSSL, if installed
    return context
