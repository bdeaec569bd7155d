"""S3, as far as files for Bedrock need it: buckets, objects, lists and uploads in parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from urllib.parse import parse_qsl, quote
from xml.etree import ElementTree

from multidict import CIMultiDictProxy

from local_bedrock._s3.errors import object_refusal
from local_bedrock._s3.objects import MultipartUpload, ObjectStore, StoredObject, valid_bucket
from local_bedrock._s3.payloads import payload
from local_bedrock._s3.xml import Members, children, document, text_of
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response

_KEPT = re.compile(r'(?i)content-(type|disposition|language|encoding)|cache-control|expires|x-amz-meta-.*')
_RANGE = re.compile(r'bytes=(\d*)-(\d*)')
_MAX_KEYS = 1000
_SMALLEST_PART = 5 * 1024 * 1024


class _Request:
    """A request, with what the operations ask of it."""

    def __init__(self, record: RecordedRequest, headers: CIMultiDictProxy[str], objects: ObjectStore) -> None:
        self.record, self.headers, self.objects = record, headers, objects
        self.bucket, _, self.key = record.resource.partition('/')
        self.query = dict(parse_qsl(record.path.partition('?')[2], keep_blank_values=True))

    def answer(self, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Return an answer without a body."""
        return Response(status, {**(headers or {}), **self._identity}, ())

    def document(self, name: str, members: Members) -> Response:
        """Return an answer that is an XML document."""
        return Response(200, {'Content-Type': 'application/xml', **self._identity}, (document(name, members),))

    @property
    def _identity(self) -> dict[str, str]:
        return {
            'x-amz-request-id': self.record.request_id,
            'x-amz-id-2': self.record.request_id,
            'Server': 'AmazonS3',
        }

    @property
    def payload(self) -> bytes:
        """The content of the body."""
        return payload(self.record.raw_body, self.headers)

    @property
    def kept_headers(self) -> dict[str, str]:
        """The headers that stay with an object."""
        kept = {name: value for name, value in self.headers.items() if _KEPT.fullmatch(name)}
        encoding = next((name for name in kept if name.lower() == 'content-encoding'), None)
        if encoding is not None:
            # That is how it travelled, not what it is.
            codings = [coding for coding in kept.pop(encoding).replace(' ', '').split(',') if coding != 'aws-chunked']
            if codings:
                kept[encoding] = ','.join(codings)
        return kept

    @property
    def found(self) -> StoredObject:
        """The object that the path names."""
        try:
            return self.objects.stored[self.bucket, self.key]
        except KeyError:
            raise object_refusal(404, 'NoSuchKey', 'The specified key does not exist.') from None

    @property
    def upload(self) -> MultipartUpload:
        """The upload that the query names."""
        upload = self.objects.uploads.get(self.query['uploadId'])
        if upload is None or (upload.bucket, upload.key) != (self.bucket, self.key):
            raise object_refusal(
                404,
                'NoSuchUpload',
                'The specified upload does not exist. The upload ID may be invalid, or the upload may have been '
                'aborted or completed.',
            )
        return upload


def answer_object_request(record: RecordedRequest, headers: CIMultiDictProxy[str], objects: ObjectStore) -> Response:
    """Answer a request to S3.

    Raises:
        RefusedError: With S3's error.
    """
    if record.operation is None:
        raise object_refusal(
            501, 'NotImplemented', f'LocalBedrock has no such operation of S3: {record.method} {record.path}'
        )
    request = _Request(record, headers, objects)
    if record.operation != 'CreateBucket' and not objects.has_bucket(request.bucket):
        raise object_refusal(404, 'NoSuchBucket', 'The specified bucket does not exist')
    return _OPERATIONS[record.operation](request)


def _create_bucket(request: _Request) -> Response:
    if not valid_bucket(request.bucket):
        raise object_refusal(400, 'InvalidBucketName', 'The specified bucket is not valid.')
    request.objects.create_bucket(request.bucket)
    return request.answer(headers={'Location': f'/{request.bucket}'})


def _head_bucket(request: _Request) -> Response:
    return request.answer()


def _delete_bucket(request: _Request) -> Response:
    if request.objects.keys(request.bucket):
        raise object_refusal(409, 'BucketNotEmpty', 'The bucket you tried to delete is not empty')
    request.objects.delete_bucket(request.bucket)
    return request.answer(204)


def _put_object(request: _Request) -> Response:
    if 'x-amz-copy-source' in request.headers:
        raise object_refusal(501, 'NotImplemented', 'LocalBedrock copies no objects.')
    if request.headers.get('If-None-Match') == '*' and (request.bucket, request.key) in request.objects.stored:
        raise _failed_condition()
    stored = StoredObject(request.payload, request.kept_headers)
    request.objects.stored[request.bucket, request.key] = stored
    return request.answer(headers=_checksums(stored))


def _checksums(stored: StoredObject) -> dict[str, str]:
    return {
        'ETag': stored.etag,
        'x-amz-checksum-crc32': stored.checksum,
        'x-amz-checksum-type': stored.checksum_type,
    }


def _get_object(request: _Request) -> Response:
    stored = request.found
    if request.headers.get('If-Match', stored.etag).strip('"') not in ('*', stored.etag.strip('"')):
        raise _failed_condition()
    headers = {
        'Content-Type': 'binary/octet-stream',
        'Last-Modified': format_datetime(stored.last_modified, usegmt=True),
        'ETag': stored.etag,
        'Accept-Ranges': 'bytes',
        **stored.headers,
    }
    answer = request.answer(headers=headers)
    content = stored.content
    wanted = _RANGE.fullmatch(request.headers.get('Range', ''))
    if wanted is not None and (wanted[1] or wanted[2]):
        start, end = _extent(wanted, len(content))
        answer.status = 206
        answer.headers['Content-Range'] = f'bytes {start}-{end - 1}/{len(content)}'
        content = content[start:end]
    elif request.headers.get('x-amz-checksum-mode') == 'ENABLED':
        answer.headers |= _checksums(stored)
    if request.record.method == 'HEAD':
        answer.length = len(content)
    elif content:
        answer.pieces = (content,)
    return answer


def _extent(wanted: re.Match[str], size: int) -> tuple[int, int]:
    """Return where a range begins and ends."""
    if wanted[1]:
        start, end = int(wanted[1]), min(int(wanted[2] or size) + 1, size)
    else:
        start, end = max(size - int(wanted[2]), 0), size
    if start >= end:
        raise object_refusal(416, 'InvalidRange', 'The requested range is not satisfiable')
    return start, end


def _delete_object(request: _Request) -> Response:
    request.objects.stored.pop((request.bucket, request.key), None)
    return request.answer(204)


def _delete_objects(request: _Request) -> Response:
    asked = _parsed(request)
    keys = [text_of(each, 'Key') for each in children(asked, 'Object')]
    for key in keys:
        request.objects.stored.pop((request.bucket, key), None)
    quiet = text_of(asked, 'Quiet') == 'true'
    return request.document('DeleteResult', [('Deleted', [('Key', key)]) for key in keys if not quiet])


def _list_objects(request: _Request) -> Response:
    query = request.query
    prefix, delimiter = query.get('prefix', ''), query.get('delimiter', '')
    most = min(int(query.get('max-keys') or _MAX_KEYS), _MAX_KEYS)
    after = query.get('continuation-token') or query.get('start-after', '')
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
        ('KeyCount', str(len(contents) + len(prefixes))),
        ('IsTruncated', 'true' if truncated else 'false'),
        *([('EncodingType', 'url')] if encoded else ()),
        *((name, shown(query[member])) for name, member in _ECHOED if member in query),
        *([('NextContinuationToken', last)] if truncated else ()),
        *contents,
        *(('CommonPrefixes', [('Prefix', shown(common))]) for common in prefixes),
    ]
    return request.document('ListBucketResult', members)


_ECHOED = (('ContinuationToken', 'continuation-token'), ('StartAfter', 'start-after'))


def _listed(key: str, stored: StoredObject) -> list[tuple[str, object]]:
    return [
        ('Key', key),
        ('LastModified', stored.last_modified.strftime('%Y-%m-%dT%H:%M:%S.000Z')),
        ('ETag', stored.etag),
        ('Size', str(len(stored.content))),
        ('StorageClass', 'STANDARD'),
    ]


def _create_upload(request: _Request) -> Response:
    upload_id = request.objects.begin_upload(request.bucket, request.key, request.kept_headers)
    members = [('Bucket', request.bucket), ('Key', request.key), ('UploadId', upload_id)]
    return request.document('InitiateMultipartUploadResult', members)


def _upload_part(request: _Request) -> Response:
    part = StoredObject(request.payload)
    request.upload.parts[int(request.query['partNumber'])] = part
    return request.answer(headers={'ETag': part.etag, 'x-amz-checksum-crc32': part.checksum})


def _complete_upload(request: _Request) -> Response:
    upload = request.upload
    asked = [(int(text_of(each, 'PartNumber')), text_of(each, 'ETag')) for each in children(_parsed(request), 'Part')]
    numbers = [number for number, _ in asked]
    for number, etag in asked:
        if number not in upload.parts or upload.parts[number].etag.strip('"') != etag.strip('"'):
            raise object_refusal(
                400,
                'InvalidPart',
                'One or more of the specified parts could not be found. The part may not have been uploaded, or the '
                "specified entity tag may not match the part's entity tag.",
            )
    if not numbers or numbers != sorted(set(numbers)):
        raise object_refusal(400, 'InvalidPartOrder', 'The list of parts was not in ascending order.')
    if any(len(upload.parts[number].content) < _SMALLEST_PART for number in numbers[:-1]):
        raise object_refusal(400, 'EntityTooSmall', 'Your proposed upload is smaller than the minimum allowed size')
    stored = upload.joined(numbers)
    request.objects.stored[request.bucket, request.key] = stored
    del request.objects.uploads[request.query['uploadId']]
    members = [
        ('Location', f'/{request.bucket}/{request.key}'),
        ('Bucket', request.bucket),
        ('Key', request.key),
        ('ETag', stored.etag),
        ('ChecksumCRC32', stored.checksum),
        ('ChecksumType', stored.checksum_type),
    ]
    return request.document('CompleteMultipartUploadResult', members)


def _abort_upload(request: _Request) -> Response:
    _ = request.upload
    del request.objects.uploads[request.query['uploadId']]
    return request.answer(204)


def _parsed(request: _Request) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(request.payload)
    except ElementTree.ParseError:
        raise object_refusal(
            400,
            'MalformedXML',
            'The XML you provided was not well-formed or did not validate against our published schema',
        ) from None


def _failed_condition() -> Exception:
    return object_refusal(412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold')


_OPERATIONS: Mapping[str, Callable[[_Request], Response]] = {
    'AbortMultipartUpload': _abort_upload,
    'CompleteMultipartUpload': _complete_upload,
    'CreateBucket': _create_bucket,
    'CreateMultipartUpload': _create_upload,
    'DeleteBucket': _delete_bucket,
    'DeleteObject': _delete_object,
    'DeleteObjects': _delete_objects,
    'GetObject': _get_object,
    'HeadBucket': _head_bucket,
    'HeadObject': _get_object,
    'ListObjectsV2': _list_objects,
    'PutObject': _put_object,
    'UploadPart': _upload_part,
}
