"""S3, as far as files for Bedrock need it: buckets, objects, lists and uploads in parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from local_bedrock._s3.errors import object_refusal
from local_bedrock._s3.listing import list_buckets, list_objects, list_uploads
from local_bedrock._s3.objects import ObjectStore, StoredObject, valid_bucket
from local_bedrock._s3.request import ObjectRequest, check_read, check_write, failed_condition, parsed_body
from local_bedrock._s3.xml import children, text_of
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response

_RANGE = re.compile(r'bytes=(\d*)-(\d*)')
_SMALLEST_PART = 5 * 1024 * 1024


def answer_object_request(record: RecordedRequest, headers: CIMultiDictProxy[str], objects: ObjectStore) -> Response:
    """Answer a request to S3.

    Raises:
        RefusedError: With S3's error.
    """
    if record.operation is None:
        raise object_refusal(
            501, 'NotImplemented', f'LocalBedrock has no such operation of S3: {record.method} {record.path}'
        )
    request = ObjectRequest(record, headers, objects)
    if record.operation not in ('CreateBucket', 'ListBuckets') and not objects.has_bucket(request.bucket):
        raise object_refusal(404, 'NoSuchBucket', 'The specified bucket does not exist')
    return _OPERATIONS[record.operation](request)


def _create_bucket(request: ObjectRequest) -> Response:
    if not valid_bucket(request.bucket):
        raise object_refusal(400, 'InvalidBucketName', 'The specified bucket is not valid.')
    request.objects.create_bucket(request.bucket)
    return request.response(headers={'Location': f'/{request.bucket}'})


def _head_bucket(request: ObjectRequest) -> Response:
    return request.response()


def _delete_bucket(request: ObjectRequest) -> Response:
    if request.objects.keys(request.bucket):
        raise object_refusal(409, 'BucketNotEmpty', 'The bucket you tried to delete is not empty')
    request.objects.delete_bucket(request.bucket)
    return request.response(204)


def _put_object(request: ObjectRequest) -> Response:
    check_write(request)
    if 'x-amz-copy-source' in request.headers:
        return _copy_object(request)
    stored = StoredObject(request.payload, request.kept_headers)
    request.objects.stored[request.bucket, request.key] = stored
    return request.response(headers=_checksums(stored))


def _checksums(stored: StoredObject) -> dict[str, str]:
    return {
        'ETag': stored.etag,
        'x-amz-checksum-crc32': stored.checksum,
        'x-amz-checksum-type': stored.checksum_type,
    }


def _get_object(request: ObjectRequest) -> Response:
    stored = request.found
    if check_read(request.headers, stored):
        return request.response(304, {'ETag': stored.etag})
    headers = {
        'Content-Type': 'binary/octet-stream',
        'Last-Modified': format_datetime(stored.last_modified, usegmt=True),
        'ETag': stored.etag,
        'Accept-Ranges': 'bytes',
        **stored.headers,
    }
    response = request.response(headers=headers)
    content = stored.content
    wanted = _RANGE.fullmatch(request.headers.get('Range', ''))
    # A range that ends before it begins is none: https://www.rfc-editor.org/rfc/rfc9110#section-14.1.1
    if (
        wanted is not None
        and (wanted[1] or wanted[2])
        and not (wanted[1] and wanted[2] and int(wanted[2]) < int(wanted[1]))
    ):
        start, end = _extent(wanted, len(content))
        response.status = 206
        response.headers['Content-Range'] = f'bytes {start}-{end - 1}/{len(content)}'
        content = content[start:end]
    elif request.headers.get('x-amz-checksum-mode') == 'ENABLED':
        response.headers |= _checksums(stored)
    if request.record.method == 'HEAD':
        response.length = len(content)
    elif content:
        response.pieces = (content,)
    return response


def _extent(wanted: re.Match[str], size: int) -> tuple[int, int]:
    """Return where a range begins and ends."""
    if wanted[1]:
        start, end = int(wanted[1]), min(int(wanted[2] or size) + 1, size)
    else:
        start, end = max(size - int(wanted[2]), 0), size
    if start >= end:
        raise object_refusal(416, 'InvalidRange', 'The requested range is not satisfiable')
    return start, end


def _copy_object(request: ObjectRequest) -> Response:
    source = _source(request)
    headers = source.headers
    if request.headers.get('x-amz-metadata-directive', 'COPY').upper() == 'REPLACE':
        headers = request.kept_headers
    stored = StoredObject(source.content, headers)
    request.objects.stored[request.bucket, request.key] = stored
    return request.document('CopyObjectResult', _copied(stored))


def _source(request: ObjectRequest) -> StoredObject:
    """Return the object that is copied.

    Raises:
        RefusedError: There is none, or a condition does not hold for it.
    """
    path, _, version = unquote(request.headers['x-amz-copy-source']).removeprefix('/').partition('?versionId=')
    bucket, _, key = path.partition('/')
    stored = request.objects.stored.get((bucket, key))
    if stored is None or version:
        raise object_refusal(404, 'NoSuchKey', 'The specified key does not exist.')
    if check_read(request.headers, stored, 'x-amz-copy-source-'):
        raise failed_condition()
    return stored


def _copied(stored: StoredObject) -> list[tuple[str, object]]:
    modified = stored.last_modified.strftime('%Y-%m-%dT%H:%M:%S.000Z')
    return [('LastModified', modified), ('ETag', stored.etag), ('ChecksumCRC32', stored.checksum)]


def _delete_object(request: ObjectRequest) -> Response:
    if 'If-Match' in request.headers:
        check_write(request)
    request.objects.stored.pop((request.bucket, request.key), None)
    return request.response(204)


def _delete_objects(request: ObjectRequest) -> Response:
    asked = parsed_body(request)
    keys = [text_of(each, 'Key') for each in children(asked, 'Object')]
    for key in keys:
        request.objects.stored.pop((request.bucket, key), None)
    quiet = text_of(asked, 'Quiet') == 'true'
    return request.document('DeleteResult', [('Deleted', [('Key', key)]) for key in keys if not quiet])


def _create_upload(request: ObjectRequest) -> Response:
    upload_id = request.objects.begin_upload(request.bucket, request.key, request.kept_headers)
    members = [('Bucket', request.bucket), ('Key', request.key), ('UploadId', upload_id)]
    return request.document('InitiateMultipartUploadResult', members)


def _upload_part(request: ObjectRequest) -> Response:
    if 'x-amz-copy-source' in request.headers:
        return _copy_part(request)
    part = StoredObject(request.payload)
    request.upload.parts[int(request.query['partNumber'])] = part
    return request.response(headers={'ETag': part.etag, 'x-amz-checksum-crc32': part.checksum})


def _copy_part(request: ObjectRequest) -> Response:
    content = _source(request).content
    if (wanted := request.headers.get('x-amz-copy-source-range')) is not None:
        extent = _RANGE.fullmatch(wanted)
        if extent is None or not (extent[1] and extent[2]) or int(extent[2]) >= len(content):
            raise object_refusal(
                400, 'InvalidArgument', 'The x-amz-copy-source-range value must be of the form bytes=first-last'
            )
        content = content[int(extent[1]) : int(extent[2]) + 1]
    part = StoredObject(content)
    request.upload.parts[int(request.query['partNumber'])] = part
    return request.document('CopyPartResult', _copied(part))


def _complete_upload(request: ObjectRequest) -> Response:
    upload = request.upload
    asked = [
        (int(text_of(each, 'PartNumber')), text_of(each, 'ETag')) for each in children(parsed_body(request), 'Part')
    ]
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
    check_write(request)
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


def _abort_upload(request: ObjectRequest) -> Response:
    _ = request.upload
    del request.objects.uploads[request.query['uploadId']]
    return request.response(204)


_OPERATIONS: Mapping[str, Callable[[ObjectRequest], Response]] = {
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
    'ListBuckets': list_buckets,
    'ListMultipartUploads': list_uploads,
    'ListObjects': list_objects,
    'ListObjectsV2': list_objects,
    'PutObject': _put_object,
    'UploadPart': _upload_part,
}
