"""S3 answers no request otherwise than it was meant: conditions, copies, checksums, hosts and presigned URLs."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError
from support.requests import MakeClient

from local_bedrock import LocalBedrock

ETAG = '"8b1a9953c4611296a827abf8c47804d7"'
OTHER = '"00000000000000000000000000000000"'


@pytest.fixture(autouse=True)
def hello(served: LocalBedrock) -> None:
    served.objects.put('s3://files/hello.txt', 'Hello')


def refused(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response['ResponseMetadata']['HTTPStatusCode'], response['Error']['Code']


# Conditions


def test_a_condition_that_does_not_hold_keeps_the_object(s3: Any, served: LocalBedrock) -> None:
    hello = {'Bucket': 'files', 'Key': 'hello.txt'}
    for call in (
        lambda: s3.put_object(**hello, Body=b'x', IfMatch=OTHER),
        lambda: s3.put_object(**hello, Body=b'x', IfNoneMatch='*'),
        lambda: s3.get_object(**hello, IfMatch=OTHER),
    ):
        with pytest.raises(ClientError) as error:
            call()
        assert refused(error) == (412, 'PreconditionFailed')
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket='files', Key='missing', Body=b'x', IfMatch=ETAG)
    assert refused(error) == (404, 'NoSuchKey')
    assert served.objects.list() == ['s3://files/hello.txt']
    assert served.objects.get('s3://files/hello.txt') == b'Hello'
    s3.put_object(**hello, Body=b'x', IfMatch=ETAG)
    assert served.objects.get('s3://files/hello.txt') == b'x'


def test_a_reader_that_has_the_object_gets_nothing(s3: Any) -> None:
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket='files', Key='hello.txt', IfNoneMatch=ETAG)
    assert refused(error)[0] == 304
    assert s3.get_object(Bucket='files', Key='hello.txt', IfNoneMatch=OTHER)['Body'].read() == b'Hello'


def test_a_condition_that_is_not_known_is_refused(s3: Any) -> None:
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket='files', Key='hello.txt', IfModifiedSince='2026-01-01')
    assert refused(error) == (501, 'NotImplemented')


def test_a_range_that_ends_before_it_begins_is_none(s3: Any) -> None:
    got = s3.get_object(Bucket='files', Key='hello.txt', Range='bytes=3-1')
    assert (got['ResponseMetadata']['HTTPStatusCode'], got['Body'].read()) == (200, b'Hello')


# Copies


def test_an_object_is_copied_with_its_headers_or_new_ones(s3: Any, served: LocalBedrock) -> None:
    s3.put_object(Bucket='files', Key='a b+c.txt', Body=b'Hello', ContentType='text/plain', Metadata={'by': 'me'})
    source = {'Bucket': 'files', 'Key': 'a b+c.txt'}
    copied = s3.copy_object(Bucket='other', Key='copy', CopySource=source)
    assert copied['CopyObjectResult']['ETag'] == ETAG
    head = s3.head_object(Bucket='other', Key='copy')
    assert (head['ContentType'], head['Metadata']) == ('text/plain', {'by': 'me'})
    s3.copy_object(Bucket='other', Key='new', CopySource=source, MetadataDirective='REPLACE', Metadata={'by': 'you'})
    assert s3.head_object(Bucket='other', Key='new')['Metadata'] == {'by': 'you'}
    assert served.objects.get('s3://other/new') == b'Hello'
    with pytest.raises(ClientError) as error:
        s3.copy_object(Bucket='other', Key='copy', CopySource={'Bucket': 'files', 'Key': 'missing'})
    assert refused(error) == (404, 'NoSuchKey')


def test_a_part_is_copied(s3: Any, served: LocalBedrock) -> None:
    place = {'Bucket': 'files', 'Key': 'whole'}
    upload_id = s3.create_multipart_upload(**place)['UploadId']
    part = s3.upload_part_copy(
        **place, UploadId=upload_id, PartNumber=1, CopySource='files/hello.txt', CopySourceRange='bytes=1-3'
    )
    parts = [{'PartNumber': 1, 'ETag': part['CopyPartResult']['ETag']}]
    s3.complete_multipart_upload(**place, UploadId=upload_id, MultipartUpload={'Parts': parts})
    assert served.objects.get('s3://files/whole') == b'ell'


# Lists


def test_buckets_are_listed(s3: Any) -> None:
    s3.create_bucket(Bucket='created')
    assert [bucket['Name'] for bucket in s3.list_buckets()['Buckets']] == ['created', 'files']


def test_the_first_version_of_lists_goes_on_after_a_marker(s3: Any, served: LocalBedrock) -> None:
    for key in ('a/1', 'a/2', 'b', 'c', 'd'):
        served.objects.put(f's3://listed/{key}', '')
    first = s3.list_objects(Bucket='listed', Delimiter='/', MaxKeys=2)
    assert ([each['Prefix'] for each in first['CommonPrefixes']], [each['Key'] for each in first['Contents']]) == (
        ['a/'],
        ['b'],
    )
    second = s3.list_objects(Bucket='listed', Delimiter='/', Marker=first['NextMarker'])
    assert [each['Key'] for each in second['Contents']] == ['c', 'd']
    assert second['IsTruncated'] is False
    assert [each['Key'] for each in s3.list_objects(Bucket='listed', Prefix='a')['Contents']] == ['a/1', 'a/2']


# Checksums

CHECKSUMS = {
    'CRC32C': '4waSgw==',
    'CRC64NVME': 'rosUhgp5mIg=',
    'SHA1': '98O8HYCOBHMqQ1qM1QdoBBUbwVE=',
    'SHA256': 'FeKw08M4kebFLkTT1VvkmTh0oRSaPr/BmrS4bDGFFdM=',
}


@pytest.mark.parametrize('algorithm', ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'])
def test_every_checksum_is_verified(s3: Any, served: LocalBedrock, algorithm: str) -> None:
    wrong = base64.b64encode(bytes({'CRC64NVME': 8, 'SHA1': 20, 'SHA256': 32}.get(algorithm, 4))).decode()
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket='files', Key='new', Body=b'123456789', **{f'Checksum{algorithm}': wrong})
    assert refused(error) == (400, 'BadDigest')
    assert served.objects.list('s3://files/new') == []


@pytest.mark.parametrize('algorithm', ['CRC32C', 'CRC64NVME'])
def test_a_checksum_that_is_right_is_accepted(s3: Any, served: LocalBedrock, algorithm: str) -> None:
    # The check values of the catalogue of CRC algorithms: https://reveng.sourceforge.io/crc-catalogue/
    right = {f'Checksum{algorithm}': CHECKSUMS[algorithm]}
    s3.put_object(Bucket='files', Key='new', Body=b'123456789', **right)
    assert served.objects.get('s3://files/new') == b'123456789'


# Hosts and presigned URLs


def test_a_bucket_may_be_part_of_the_host(make_client: MakeClient, served: LocalBedrock) -> None:
    s3 = make_client('s3')

    def to_virtual_host(request: Any, **_: Any) -> None:
        request.headers['Host'] = f'files.localhost:{served.base_url.rpartition(":")[2]}'
        request.url = request.url.replace('/files/', '/', 1)

    s3.meta.events.register('before-sign.s3.PutObject', to_virtual_host)
    s3.put_object(Bucket='files', Key='new', Body=b'x')
    assert served.objects.list() == ['s3://files/hello.txt', 's3://files/new']


def presigned(client: Any, operation: str = 'get_object', seconds: int = 60, **members: Any) -> str:
    asked = {'Bucket': 'files', 'Key': 'hello.txt', **members}
    return client.generate_presigned_url(operation, Params=asked, ExpiresIn=seconds)


@pytest.fixture
def signing(make_client: MakeClient) -> Any:
    return make_client('s3', config=Config(signature_version='s3v4'))


@pytest.fixture
def plain() -> Any:
    with urllib3.PoolManager() as pool:
        yield pool


def test_a_presigned_url_reads_and_writes(signing: Any, served: LocalBedrock, plain: urllib3.PoolManager) -> None:
    got = plain.request('GET', presigned(signing))
    assert (got.status, got.data) == (200, b'Hello')
    put = plain.request('PUT', presigned(signing, 'put_object', Key='new'), body=b'x')
    assert (put.status, served.objects.get('s3://files/new')) == (200, b'x')
    assert {request.auth_scheme for request in served.requests} == {'sigv4'}


def test_a_presigned_url_that_was_changed_or_has_expired_is_refused(
    make_client: MakeClient, plain: urllib3.PoolManager
) -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    later = [timedelta()]
    with LocalBedrock(clock=lambda: now + later[0]) as bedrock:
        bedrock.objects.put('s3://files/hello.txt', 'Hello')
        url = presigned(make_client('s3', bedrock=bedrock, config=Config(signature_version='s3v4')))
        changed = plain.request('GET', url.replace('hello.txt', 'other.txt'))
        assert (changed.status, b'SignatureDoesNotMatch' in changed.data) == (403, True)
        later[0] = timedelta(minutes=2)
        expired = plain.request('GET', url)
        assert (expired.status, b'Request has expired' in expired.data) == (403, True)


def test_a_presigned_url_of_the_old_signature_is_refused_with_the_mend(
    make_client: MakeClient, plain: urllib3.PoolManager
) -> None:
    old = presigned(make_client('s3', config=Config(signature_version='s3')))
    got = plain.request('GET', old)
    assert (got.status, b'Please use AWS4-HMAC-SHA256' in got.data) == (400, True)
