"""The bodies that come to S3: out of their chunks, and checked against the checksums that come with them."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import md5, sha1, sha256

from local_bedrock._s3.checksums import crc32c_of, crc64nvme_of
from local_bedrock._s3.errors import object_refusal
from local_bedrock._s3.objects import crc32_of

_CHUNKED = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'
_CHUNK = re.compile(rb'([0-9a-fA-F]+)(?:;[^\r\n]*)?\r\n')
# CRC32C and CRC64NVME are not in Python's library: they take some tenths of a second for each MB.
_CHECKSUMS: dict[str, Callable[[bytes], str]] = {
    'crc32': crc32_of,
    'crc32c': crc32c_of,
    'crc64nvme': crc64nvme_of,
    'sha1': lambda content: b64encode(sha1(content, usedforsecurity=False).digest()).decode(),
    'sha256': lambda content: b64encode(sha256(content).digest()).decode(),
}


def payload(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return the content that a body brings.

    Raises:
        RefusedError: It is not whole, or does not match its checksums.
    """
    declared = headers.get('x-amz-content-sha256', '')
    if declared.startswith('STREAMING-') and declared != _CHUNKED:
        raise object_refusal(
            501, 'NotImplemented', f'LocalBedrock takes {_CHUNKED} and whole payloads, but not {declared}.'
        )
    trailer: dict[str, str] = {}
    content = body
    if declared == _CHUNKED:
        content, trailer = _unchunked(body)
        if (length := headers.get('x-amz-decoded-content-length')) != str(len(content)):
            raise object_refusal(
                400, 'IncompleteBody', f'The request body is {len(content)} bytes, its header says {length}.'
            )
    for name, checksum in _CHECKSUMS.items():
        given = headers.get(f'x-amz-checksum-{name}') or trailer.get(f'x-amz-checksum-{name}')
        if given is not None and given != checksum(content):
            raise object_refusal(
                400, 'BadDigest', f'The {name.upper()} you specified did not match the calculated checksum.'
            )
    digest = headers.get('Content-MD5')
    if digest is not None and digest != b64encode(md5(content, usedforsecurity=False).digest()).decode():
        raise object_refusal(400, 'BadDigest', 'The Content-MD5 you specified did not match what we received.')
    return content


def _unchunked(body: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the content of the chunks, and the headers that follow the last of them."""
    pieces: list[bytes] = []
    at = 0
    while (head := _CHUNK.match(body, at)) is not None:
        size = int(head[1], 16)
        at = head.end()
        if size == 0:
            lines = body[at:].decode('latin-1').split('\r\n')
            return b''.join(pieces), {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(':') for line in lines)
                if name
            }
        pieces.append(body[at : at + size])
        at += size + 2
    raise object_refusal(400, 'IncompleteBody', 'The request body terminated unexpectedly.')
