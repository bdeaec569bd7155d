"""boto3's and aioboto3's clients of S3 find in LocalBedrock what files for Bedrock need."""

from __future__ import annotations

import asyncio
import io
import ssl
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from sessions import aioboto3_session
from support.requests import MakeClient

from local_bedrock import SERVICE_UNAVAILABLE, LocalBedrock

MEBIBYTE = 1024 * 1024
KEYS = ('plain.txt', 'a folder/with spaces+plus&more=1.txt', 'ümläut/日本.jsonl', '/leading', "~!*'()", 'per%20cent')


@pytest.fixture(params=['http', 'https'])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return request.getfixturevalue('trusted_tls') if request.param == 'https' else None


def refused(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response['ResponseMetadata']['HTTPStatusCode'], response['Error']['Code']


def content(size: int) -> bytes:
    return bytes(range(256)) * (size // 256)


@pytest.mark.parametrize('key', KEYS)
def test_an_object_is_what_was_put(s3: Any, served: LocalBedrock, key: str) -> None:
    put = s3.put_object(Bucket='files', Key=key, Body=b'Hello', ContentType='text/plain', Metadata={'by': 'me'})
    got = s3.get_object(Bucket='files', Key=key)
    assert got['Body'].read() == b'Hello'
    assert got['ETag'] == put['ETag'] == '"8b1a9953c4611296a827abf8c47804d7"'
    assert (got['ContentType'], got['Metadata'], got['ContentLength']) == ('text/plain', {'by': 'me'}, 5)
    # CRC32, which boto3 sends, asks for, and checks.
    assert got['ChecksumCRC32'] == put['ChecksumCRC32'] == '99GJgg=='
    assert served.objects.get(f's3://files/{key}') == b'Hello'
    head = s3.head_object(Bucket='files', Key=key)
    assert (head['ContentLength'], head['ETag'], head['LastModified']) == (5, got['ETag'], got['LastModified'])
    assert [request.operation for request in served.requests] == ['PutObject', 'GetObject', 'HeadObject']
    assert {request.auth_scheme for request in served.requests} == {'sigv4'}
    assert {(request.service, request.resource) for request in served.requests} == {('s3', f'files/{key}')}


def test_an_empty_object_is_one(s3: Any) -> None:
    s3.put_object(Bucket='files', Key='empty')
    assert s3.get_object(Bucket='files', Key='empty')['Body'].read() == b''
    assert s3.head_object(Bucket='files', Key='empty')['ContentLength'] == 0


def test_what_python_puts_clients_get(s3: Any, served: LocalBedrock) -> None:
    served.objects.put('s3://files/a.txt', 'Grüße')
    got = s3.get_object(Bucket='files', Key='a.txt')
    assert got['Body'].read().decode() == 'Grüße'
    assert got['ContentType'] == 'binary/octet-stream'


@pytest.mark.parametrize(
    ('wanted', 'extent', 'got'),
    [
        ('bytes=2-4', 'bytes 2-4/10', b'234'),
        ('bytes=7-', 'bytes 7-9/10', b'789'),
        ('bytes=-2', 'bytes 8-9/10', b'89'),
        ('bytes=8-99', 'bytes 8-9/10', b'89'),
    ],
)
def test_a_range_is_a_part(s3: Any, served: LocalBedrock, wanted: str, extent: str, got: bytes) -> None:
    served.objects.put('s3://files/digits', '0123456789')
    response = s3.get_object(Bucket='files', Key='digits', Range=wanted)
    assert response['ResponseMetadata']['HTTPStatusCode'] == 206
    assert response['ContentRange'] == extent
    assert response['Body'].read() == got


def test_conditions_are_kept(s3: Any) -> None:
    etag = s3.put_object(Bucket='files', Key='once', Body=b'1', IfNoneMatch='*')['ETag']
    assert s3.get_object(Bucket='files', Key='once', IfMatch=etag)['Body'].read() == b'1'
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket='files', Key='once', Body=b'2', IfNoneMatch='*')
    assert refused(error) == (412, 'PreconditionFailed')
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket='files', Key='once', IfMatch='"other"')
    assert refused(error) == (412, 'PreconditionFailed')


def test_what_is_deleted_is_gone(s3: Any, served: LocalBedrock) -> None:
    for key in ('a', 'b & b', 'c', 'd'):
        served.objects.put(f's3://files/{key}', key)
    assert s3.delete_object(Bucket='files', Key='a')['ResponseMetadata']['HTTPStatusCode'] == 204
    s3.delete_object(Bucket='files', Key='a')  # as often as one likes
    deleted = s3.delete_objects(Bucket='files', Delete={'Objects': [{'Key': 'b & b'}, {'Key': 'never'}]})
    assert deleted['Deleted'] == [{'Key': 'b & b'}, {'Key': 'never'}]
    quiet = s3.delete_objects(Bucket='files', Delete={'Objects': [{'Key': 'c'}], 'Quiet': True})
    assert 'Deleted' not in quiet
    assert served.objects.list() == ['s3://files/d']


def test_a_list_goes_on_where_the_page_ended(s3: Any, served: LocalBedrock) -> None:
    keys = ['a/1', 'a/2 ü', 'b', 'c/1', 'c/2', 'd']
    for key in keys:
        served.objects.put(f's3://files/{key}', key)
    served.objects.put('s3://other/a', 'not here')
    pages = list(s3.get_paginator('list_objects_v2').paginate(Bucket='files', PaginationConfig={'PageSize': 2}))
    assert [[each['Key'] for each in page['Contents']] for page in pages] == [keys[:2], keys[2:4], keys[4:]]
    assert [page['IsTruncated'] for page in pages] == [True, True, False]
    first = pages[0]['Contents'][0]
    assert (first['Size'], first['StorageClass'], first['ETag'][0]) == (3, 'STANDARD', '"')
    assert s3.list_objects_v2(Bucket='files', Prefix='c/')['KeyCount'] == 2
    assert [each['Key'] for each in s3.list_objects_v2(Bucket='files', StartAfter='c/1')['Contents']] == ['c/2', 'd']
    assert 'Contents' not in s3.list_objects_v2(Bucket='files', Prefix='never')


def test_a_delimiter_makes_folders(s3: Any, served: LocalBedrock) -> None:
    for key in ('x/a/1', 'x/a/2', 'x/b', 'x/c/1', 'y'):
        served.objects.put(f's3://files/{key}', key)
    listed = s3.list_objects_v2(Bucket='files', Prefix='x/', Delimiter='/')
    assert [each['Prefix'] for each in listed['CommonPrefixes']] == ['x/a/', 'x/c/']
    assert [each['Key'] for each in listed['Contents']] == ['x/b']
    assert listed['KeyCount'] == 3
    pages = s3.get_paginator('list_objects_v2').paginate(
        Bucket='files', Prefix='x/', Delimiter='/', PaginationConfig={'PageSize': 1}
    )
    found = [
        [each['Prefix'] for each in page.get('CommonPrefixes', ())] + [each['Key'] for each in page.get('Contents', ())]
        for page in pages
    ]
    assert found == [['x/a/'], ['x/b'], ['x/c/']]


def test_every_bucket_exists_until_it_is_deleted(s3: Any, served: LocalBedrock) -> None:
    s3.head_bucket(Bucket='files')
    s3.put_object(Bucket='files', Key='a', Body=b'a')
    with pytest.raises(ClientError) as error:
        s3.delete_bucket(Bucket='files')
    assert refused(error) == (409, 'BucketNotEmpty')
    s3.delete_object(Bucket='files', Key='a')
    s3.delete_bucket(Bucket='files')
    with pytest.raises(ClientError) as error:
        s3.head_bucket(Bucket='files')
    assert refused(error) == (404, '404')
    for operation, members in {
        'put_object': {'Key': 'a', 'Body': b'a'},
        'get_object': {'Key': 'a'},
        'list_objects_v2': {},
        'create_multipart_upload': {'Key': 'a'},
    }.items():
        with pytest.raises(s3.exceptions.NoSuchBucket) as error:
            getattr(s3, operation)(Bucket='files', **members)
        assert refused(error) == (404, 'NoSuchBucket')
    with pytest.raises(KeyError, match='s3://files'):
        served.objects.put('s3://files/a', 'a')
    assert s3.create_bucket(Bucket='files')['Location'] == '/files'
    s3.put_object(Bucket='files', Key='a', Body=b'a')


def test_buckets_that_are_given_are_those_that_exist(make_client: MakeClient, tls: ssl.SSLContext | None) -> None:
    with LocalBedrock(buckets=['files'], tls=tls) as bedrock:
        s3 = make_client('s3', bedrock=bedrock)
        s3.put_object(Bucket='files', Key='a', Body=b'a')
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket='others', Key='a', Body=b'a')
        assert refused(error) == (404, 'NoSuchBucket')
        s3.create_bucket(Bucket='others')
        s3.put_object(Bucket='others', Key='a', Body=b'a')


def test_a_bucket_must_have_a_name_that_a_bucket_can_have(s3: Any) -> None:
    for name in ('Capital', 'a..b', '192.168.5.4'):
        with pytest.raises(ClientError) as error:
            s3.create_bucket(Bucket=name)
        assert refused(error) == (400, 'InvalidBucketName')


def test_a_missing_object_is_told(s3: Any) -> None:
    with pytest.raises(s3.exceptions.NoSuchKey) as error:
        s3.get_object(Bucket='files', Key='<missing>')
    assert refused(error) == (404, 'NoSuchKey')
    assert error.value.response['Error']['Message'] == 'The specified key does not exist.'
    with pytest.raises(ClientError) as without_body:
        s3.head_object(Bucket='files', Key='missing')
    assert refused(without_body) == (404, '404')
    # The connection that had the answer to HEAD is in order.
    s3.put_object(Bucket='files', Key='there', Body=b'x')


def test_a_range_beyond_the_end_is_refused(s3: Any, served: LocalBedrock) -> None:
    served.objects.put('s3://files/digits', '0123456789')
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket='files', Key='digits', Range='bytes=10-')
    assert refused(error) == (416, 'InvalidRange')


def test_what_it_does_not_have_is_not_implemented(s3: Any, served: LocalBedrock) -> None:
    served.objects.put('s3://files/a', 'a')
    for ask in (
        lambda: s3.get_object_acl(Bucket='files', Key='a'),
        lambda: s3.get_bucket_versioning(Bucket='files'),
        lambda: s3.list_object_versions(Bucket='files'),
    ):
        with pytest.raises(ClientError, match='LocalBedrock') as error:
            ask()
        assert refused(error) == (501, 'NotImplemented')
    assert served.objects.list() == ['s3://files/a']


def test_a_fault_of_bedrock_is_told_in_the_words_of_s3(s3: Any, served: LocalBedrock) -> None:
    served.fault(SERVICE_UNAVAILABLE, operation='GetObject')
    s3.put_object(Bucket='files', Key='a', Body=b'a')
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket='files', Key='a')
    assert refused(error) == (503, 'ServiceUnavailable')


def test_xml_that_is_none_is_malformed(s3: Any, served: LocalBedrock) -> None:
    served.objects.put('s3://files/a', 'a')

    def spoil(params: dict[str, Any], **_: Any) -> None:
        params['body'] = b'<Delete>'
        params['headers'] = {}

    s3.meta.events.register_first('before-call.s3.DeleteObjects', spoil)
    with pytest.raises(ClientError) as error:
        s3.delete_objects(Bucket='files', Delete={'Objects': [{'Key': 'a'}]})
    assert refused(error) == (400, 'MalformedXML')
    assert served.objects.list() == ['s3://files/a']


# Uploads in parts


def test_a_large_file_goes_up_in_parts_and_comes_down_in_ranges(
    s3: Any, served: LocalBedrock, tmp_path: Path, make_client: MakeClient
) -> None:
    data = content(20 * MEBIBYTE)
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.write_bytes(data)
    with served.redirect_clients():
        client: Any = boto3.client('s3')
        client.upload_file(str(source), 'files', 'large', ExtraArgs={'ContentType': 'text/x-large'})
        client.download_file('files', 'large', str(target))
        client.close()
    assert target.read_bytes() == data == served.objects.get('s3://files/large')
    head = s3.head_object(Bucket='files', Key='large', ChecksumMode='ENABLED')
    assert head['ContentType'] == 'text/x-large'
    assert head['ETag'].endswith('-3"')
    assert (head['ChecksumType'], head['ChecksumCRC32'][-2:]) == ('COMPOSITE', '-3')
    operations = [request.operation for request in served.requests]
    assert operations[0] == 'CreateMultipartUpload'
    assert operations[1:4] == ['UploadPart'] * 3
    assert operations[4] == 'CompleteMultipartUpload'
    assert operations.count('GetObject') > 1


def test_an_upload_that_is_aborted_leaves_nothing(s3: Any, served: LocalBedrock) -> None:
    upload = {'Bucket': 'files', 'Key': 'a'}
    upload['UploadId'] = s3.create_multipart_upload(**upload)['UploadId']
    s3.upload_part(**upload, PartNumber=1, Body=b'part')
    s3.abort_multipart_upload(**upload)
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.upload_part(**upload, PartNumber=2, Body=b'part')
    assert served.objects.list() == []


def test_uploads_that_have_not_ended_are_listed_in_pages(s3: Any) -> None:
    keys = ['a', 'a b', 'a b', 'b']
    begun = [(key, s3.create_multipart_upload(Bucket='files', Key=key)['UploadId']) for key in keys]
    aborted, *left = begun
    s3.abort_multipart_upload(Bucket='files', Key=aborted[0], UploadId=aborted[1])
    s3.create_multipart_upload(Bucket='elsewhere', Key='a')
    pages = s3.get_paginator('list_multipart_uploads').paginate(
        Bucket='files', Prefix='a', PaginationConfig={'PageSize': 1}
    )
    listed = [(upload['Key'], upload['UploadId']) for page in pages for upload in page.get('Uploads', [])]
    assert listed == sorted(left[:2])


def test_parts_must_be_those_that_were_uploaded(s3: Any, served: LocalBedrock) -> None:
    upload = {'Bucket': 'files', 'Key': 'a'}
    upload['UploadId'] = s3.create_multipart_upload(**upload)['UploadId']
    etags = [s3.upload_part(**upload, PartNumber=number, Body=b'small')['ETag'] for number in (1, 2)]

    def complete(*parts: tuple[int, str]) -> Any:
        listed = [{'PartNumber': number, 'ETag': etag} for number, etag in parts]
        return s3.complete_multipart_upload(**upload, MultipartUpload={'Parts': listed})

    for parts, code in {
        ((1, '"other"'),): 'InvalidPart',
        ((3, etags[0]),): 'InvalidPart',
        ((2, etags[1]), (1, etags[0])): 'InvalidPartOrder',
        ((1, etags[0]), (2, etags[1])): 'EntityTooSmall',
    }.items():
        with pytest.raises(ClientError) as error:
            complete(*parts)
        assert refused(error) == (400, code)
    assert served.objects.list() == []
    complete((2, etags[1]))
    assert served.objects.get('s3://files/a') == b'small'


@pytest.mark.filterwarnings('ignore:Sending a large body directly:ResourceWarning')  # aiobotocore does so
async def test_aioboto3_sends_and_gets_files_of_any_size(bedrock: LocalBedrock) -> None:
    session = aioboto3_session(
        aws_access_key_id=bedrock.aws_access_key_id,
        aws_secret_access_key=bedrock.aws_secret_access_key,
        region_name=bedrock.region_name,
    )
    async with session.client('s3', endpoint_url=bedrock.base_url) as s3:
        for size in (3, 17 * MEBIBYTE):
            data = content(size) or b'abc'
            await s3.upload_fileobj(io.BytesIO(data), 'files', f'{size}')
            assert bedrock.objects.get(f's3://files/{size}') == data
            back = io.BytesIO()
            await s3.download_fileobj('files', f'{size}', back)
            assert back.getvalue() == data
        got = await asyncio.gather(*(s3.get_object(Bucket='files', Key='3') for _ in range(5)))
        assert [await each['Body'].read() for each in got] == [b'abc'] * 5
    assert 'UploadPart' in [request.operation for request in bedrock.requests]
