"""The lists of S3: buckets, the objects in a bucket, and the uploads to it that have not ended."""

from __future__ import annotations

from urllib.parse import quote

from local_bedrock._s3.objects import StoredObject
from local_bedrock._s3.request import ObjectRequest
from local_bedrock.response import Response

_MAX_KEYS = 1000


def list_buckets(request: ObjectRequest) -> Response:
    """List the buckets that were given, created, or have objects."""
    created = '2026-01-01T00:00:00.000Z'
    buckets = [('Bucket', [('Name', name), ('CreationDate', created)]) for name in request.objects.buckets()]
    owner = [('ID', '0' * 64), ('DisplayName', 'local-bedrock')]
    return request.document('ListAllMyBucketsResult', [('Owner', owner), ('Buckets', buckets)])


def list_objects(request: ObjectRequest) -> Response:
    """List objects: ListObjectsV2, or ListObjects if the query names no type of list."""
    first_version = request.record.operation == 'ListObjects'
    query = request.query
    prefix, delimiter = query.get('prefix', ''), query.get('delimiter', '')
    most = min(int(query.get('max-keys') or _MAX_KEYS), _MAX_KEYS)
    after = query.get('continuation-token') or query.get('marker' if first_version else 'start-after', '')
    encoded = query.get('encoding-type') == 'url'

    def shown(text: str) -> str:
        return quote(text, safe='/') if encoded else text

    contents: list[tuple[str, object]] = []
    prefixes: list[str] = []
    last, truncated = '', False
    for key in request.objects.keys(request.bucket, prefix):
        head, found, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else (key, '', '')
        common = f'{prefix}{head}{delimiter}' if found else None
        # All that a common prefix stands for goes with it.
        if key <= after or (common is not None and (common in prefixes or after.startswith(common))):
            continue
        if len(contents) + len(prefixes) == most:
            truncated = True
            break
        last = common or key
        if common is not None:
            prefixes.append(common)
        else:
            contents.append(('Contents', _listed(shown(key), request.objects.stored[request.bucket, key])))
    members: list[tuple[str, object]] = [
        ('Name', request.bucket),
        ('Prefix', shown(prefix)),
        *([('Delimiter', shown(delimiter))] if delimiter else ()),
        ('MaxKeys', str(most)),
        *([('Marker', shown(after))] if first_version else [('KeyCount', str(len(contents) + len(prefixes)))]),
        ('IsTruncated', 'true' if truncated else 'false'),
        *([('EncodingType', 'url')] if encoded else ()),
        *((name, shown(query[member])) for name, member in _ECHOED if member in query),
        *([(('NextMarker', shown(last)) if first_version else ('NextContinuationToken', last))] if truncated else ()),
        *contents,
        *(('CommonPrefixes', [('Prefix', shown(common))]) for common in prefixes),
    ]
    return request.document('ListBucketResult', members)


def list_uploads(request: ObjectRequest) -> Response:
    """List the multipart uploads that were neither completed nor aborted."""
    query = request.query
    prefix = query.get('prefix', '')
    most = min(int(query.get('max-uploads') or _MAX_KEYS), _MAX_KEYS)
    after = (query.get('key-marker', ''), query.get('upload-id-marker', ''))
    found = sorted(
        (upload.key, upload_id)
        for upload_id, upload in request.objects.uploads.items()
        if upload.bucket == request.bucket and upload.key.startswith(prefix)
    )
    found = [each for each in found if each > after]
    listed = found[:most]
    truncated = len(found) > most
    encoded = query.get('encoding-type') == 'url'
    members: list[tuple[str, object]] = [
        ('Bucket', request.bucket),
        ('KeyMarker', after[0]),
        ('UploadIdMarker', after[1]),
        *([('NextKeyMarker', listed[-1][0]), ('NextUploadIdMarker', listed[-1][1])] if truncated else ()),
        ('Prefix', prefix),
        ('MaxUploads', str(most)),
        ('IsTruncated', 'true' if truncated else 'false'),
        *([('EncodingType', 'url')] if encoded else ()),
        *(
            ('Upload', [('Key', quote(key, safe='/') if encoded else key), ('UploadId', upload_id)])
            for key, upload_id in listed
        ),
    ]
    return request.document('ListMultipartUploadsResult', members)


_ECHOED = (('ContinuationToken', 'continuation-token'), ('StartAfter', 'start-after'))


def _listed(key: str, stored: StoredObject) -> list[tuple[str, object]]:
    return [
        ('Key', key),
        ('LastModified', stored.last_modified.strftime('%Y-%m-%dT%H:%M:%S.000Z')),
        ('ETag', stored.etag),
        ('Size', str(len(stored.content))),
        ('StorageClass', 'STANDARD'),
    ]
