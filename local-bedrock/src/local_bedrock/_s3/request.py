"""A request to S3, and the conditions under which it is carried out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from multidict import CIMultiDictProxy

from local_bedrock._s3.errors import object_refusal
from local_bedrock._s3.objects import MultipartUpload, ObjectStore, StoredObject
from local_bedrock._s3.payloads import payload
from local_bedrock._s3.xml import Members, document
from local_bedrock.errors import RefusedError
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response

_KEPT = re.compile(r'(?i)content-(type|disposition|language|encoding)|cache-control|expires|x-amz-meta-.*')


class ObjectRequest:
    """A request to S3, read for the operations."""

    def __init__(self, record: RecordedRequest, headers: CIMultiDictProxy[str], objects: ObjectStore) -> None:
        self.record, self.headers, self.objects = record, headers, objects
        self.bucket, _, self.key = record.resource.partition('/')
        self.query = dict(parse_qsl(record.path.partition('?')[2], keep_blank_values=True))

    def response(self, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Return a response without a body."""
        return Response(status, {**(headers or {}), **self._identity}, ())

    def document(self, name: str, members: Members) -> Response:
        """Return a response that is an XML document."""
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
            # That is the encoding of its transport, not of the object.
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


def parsed_body(request: ObjectRequest) -> ElementTree.Element:
    """Return the XML document that a body is.

    Raises:
        RefusedError: It is none.
    """
    try:
        return ElementTree.fromstring(request.payload)
    except ElementTree.ParseError:
        raise object_refusal(
            400,
            'MalformedXML',
            'The XML you provided was not well-formed or did not validate against our published schema',
        ) from None


def failed_condition() -> RefusedError:
    """Refuse a request whose condition does not hold."""
    return object_refusal(412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold')


def check_write(request: ObjectRequest) -> None:
    """Check the conditions under which an object is written or deleted.

    Raises:
        RefusedError: A condition does not hold, or LocalBedrock does not know it.
    """
    stored = request.objects.stored.get((request.bucket, request.key))
    wanted, unwanted = request.headers.get('If-Match'), request.headers.get('If-None-Match')
    if wanted is not None and stored is None:
        raise object_refusal(404, 'NoSuchKey', 'The specified key does not exist.')
    if wanted is not None and stored is not None and not _matches(wanted, stored):
        raise failed_condition()
    if unwanted not in (None, '*'):
        raise object_refusal(
            501, 'NotImplemented', 'A header you provided implies functionality that is not implemented'
        )
    if unwanted == '*' and stored is not None:
        raise failed_condition()


def check_read(headers: Mapping[str, str], stored: StoredObject, prefix: str = '') -> bool:
    """Check the conditions under which an object is read, and return True if the reader has it already.

    Args:
        headers: The headers of the request.
        stored: The object.
        prefix: The beginning of the names of the headers: that of the source of a copy.

    Raises:
        RefusedError: A condition does not hold, or LocalBedrock does not know it.
    """
    for name in ('If-Modified-Since', 'If-Unmodified-Since'):
        if f'{prefix}{name}' in headers:
            raise object_refusal(501, 'NotImplemented', f'LocalBedrock does not know the condition {prefix}{name}.')
    if not _matches(headers.get(f'{prefix}If-Match', '*'), stored):
        raise failed_condition()
    unwanted = headers.get(f'{prefix}If-None-Match')
    return unwanted is not None and _matches(unwanted, stored)


def _matches(etags: str, stored: StoredObject) -> bool:
    return any(etag.strip().strip('"') in ('*', stored.etag.strip('"')) for etag in etags.split(','))
