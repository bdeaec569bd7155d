"""The objects of S3, in memory: buckets, keys, and uploads that come in parts."""

from __future__ import annotations

import re
import uuid
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5
from zlib import crc32

_BUCKET = re.compile(r'(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9-]|\.(?![.-])){1,61}[a-z0-9]')
_URI = re.compile(r's3://([^/]+)(?:/(.*))?', re.DOTALL)


@dataclass(frozen=True)
class StoredObject:
    """An object, with the properties that S3 reports."""

    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers that were given with it, as they are returned: its type, its metadata."""
    etag: str = ''
    """Quoted, as on the wire; of the content where not given."""
    checksum: str = ''
    """CRC32 in base64; of the content where not given, else of the checksums of the parts."""
    last_modified: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        if not self.etag:
            object.__setattr__(self, 'etag', f'"{md5(self.content, usedforsecurity=False).hexdigest()}"')
        if not self.checksum:
            object.__setattr__(self, 'checksum', crc32_of(self.content))

    @property
    def checksum_type(self) -> str:
        """The type of the checksum: of the content, or of the checksums of the parts."""
        return 'COMPOSITE' if '-' in self.checksum else 'FULL_OBJECT'


@dataclass
class MultipartUpload:
    """An object that comes in parts."""

    bucket: str
    key: str
    headers: Mapping[str, str]
    parts: dict[int, StoredObject] = field(default_factory=dict[int, StoredObject])

    def joined(self, numbers: Collection[int]) -> StoredObject:
        """Return the object that these parts make."""
        parts = [self.parts[number] for number in numbers]
        digest = md5(b''.join(bytes.fromhex(part.etag.strip('"')) for part in parts), usedforsecurity=False)
        checksums = b''.join(crc32(part.content).to_bytes(4, 'big') for part in parts)
        return StoredObject(
            b''.join(part.content for part in parts),
            self.headers,
            f'"{digest.hexdigest()}-{len(parts)}"',
            f'{crc32_of(checksums)}-{len(parts)}',
        )


class ObjectStore:
    """The objects of an S3, by their URI, as `LocalBedrock.objects`."""

    def __init__(self, buckets: Collection[str] | None = None) -> None:
        self._given = None if buckets is None else frozenset(buckets)
        self.clear()

    def __repr__(self) -> str:
        return f'<ObjectStore: {len(self.stored)} objects>'

    def put(self, uri: str, content: bytes | str) -> None:
        """Store an object at `s3://bucket/key`, instead of the object that is there.

        Raises:
            ValueError: The URI names no object.
            KeyError: There is no such bucket.
        """
        bucket, key = parsed(uri)
        if not key:
            raise ValueError(f'{uri} names no object: after the bucket comes a key.')
        if not self.has_bucket(bucket):
            raise KeyError(f's3://{bucket}')
        self.stored[bucket, key] = StoredObject(content.encode() if isinstance(content, str) else content)

    def get(self, uri: str) -> bytes:
        """Return the content that is stored at `s3://bucket/key`.

        Raises:
            ValueError: The URI is not of S3.
            KeyError: There is no such object.
        """
        try:
            return self.stored[parsed(uri)].content
        except KeyError:
            raise KeyError(uri) from None

    def list(self, prefix: str = 's3://') -> list[str]:
        """Return the URIs of the objects, in order; of those that begin with a prefix, if it is given."""
        uris = sorted(f's3://{bucket}/{key}' for bucket, key in list(self.stored))
        return [uri for uri in uris if uri.startswith(prefix)]

    # Requests

    def has_bucket(self, bucket: str) -> bool:
        """Return True if a bucket exists; by default, each valid bucket is there until it is deleted."""
        if bucket in self._created:
            return True
        if bucket in self._deleted:
            return False
        return valid_bucket(bucket) if self._given is None else bucket in self._given

    def buckets(self) -> list[str]:
        """Return the buckets that were given, created, or have objects, in order."""
        found = {*(self._given or ()), *self._created, *(bucket for bucket, _ in list(self.stored))}
        return sorted(found - self._deleted)

    def create_bucket(self, bucket: str) -> None:
        """Let a bucket exist."""
        self._created.add(bucket)
        self._deleted.discard(bucket)

    def delete_bucket(self, bucket: str) -> None:
        """Let a bucket be gone."""
        self._created.discard(bucket)
        self._deleted.add(bucket)

    def keys(self, bucket: str, prefix: str = '') -> list[str]:
        """Return the keys of a bucket that begin with a prefix, in order."""
        return sorted(key for found, key in list(self.stored) if found == bucket and key.startswith(prefix))

    def begin_upload(self, bucket: str, key: str, headers: Mapping[str, str]) -> str:
        """Begin an object that comes in parts, and return the id of the upload."""
        upload_id = uuid.uuid4().hex
        self.uploads[upload_id] = MultipartUpload(bucket, key, headers)
        return upload_id

    def clear(self) -> None:
        """Forget all objects and uploads, and the changes of buckets."""
        self.stored: dict[tuple[str, str], StoredObject] = {}
        self.uploads: dict[str, MultipartUpload] = {}
        self._created: set[str] = set()
        self._deleted: set[str] = set()


def crc32_of(content: bytes) -> str:
    """Return the CRC32 of a content as S3 writes it."""
    return b64encode(crc32(content).to_bytes(4, 'big')).decode()


def valid_bucket(bucket: str) -> bool:
    """Return True if a bucket may have this name."""
    return _BUCKET.fullmatch(bucket) is not None


def parsed(uri: str) -> tuple[str, str]:
    """Return bucket and key of a URI.

    Raises:
        ValueError: The URI is not of S3.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f'{uri!r} is no URI of S3: s3://bucket/key is one.')
    return match[1], match[2] or ''
