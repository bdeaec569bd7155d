"""Bodies reach S3 whole and in chunks, with checksums in headers and trailers, and are what those say."""

from __future__ import annotations

import asyncio
import io
import ssl
from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
import trustme
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session
from multidict import CIMultiDict

from local_bedrock import LocalBedrock
from local_bedrock._s3.payloads import payload
from local_bedrock.errors import RefusedError

TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'
CHUNKED = b'4\r\nWiki\r\n5;a=b\r\npedia\r\n0\r\nx-amz-checksum-crc32:rarALg==\r\n\r\n'


def headers(**given: str) -> CIMultiDict[str]:
    return CIMultiDict({f'x-amz-{name.replace("_", "-")}': value for name, value in given.items()})


@pytest.fixture
def with_tls(tmp_path: Path) -> Iterator[tuple[LocalBedrock, str]]:
    """Yield a LocalBedrock that serves HTTPS, and the file of its authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('127.0.0.1').configure_cert(context)
    bundle = tmp_path / 'authority.pem'
    authority.cert_pem.write_to_path(bundle)
    with LocalBedrock(tls=context) as bedrock:
        yield bedrock, str(bundle)


@pytest.mark.parametrize('size', [0, 5, 3_000_000])
def test_over_tls_boto3_sends_chunks_and_a_trailer(with_tls: tuple[LocalBedrock, str], size: int) -> None:
    bedrock, bundle = with_tls
    session = Session()
    session.set_credentials(bedrock.aws_access_key_id, bedrock.aws_secret_access_key)
    client: Any = session.create_client('s3', endpoint_url=bedrock.base_url, region_name='us-east-1', verify=bundle)
    data = b'x' * size
    client.put_object(Bucket='files', Key='a', Body=io.BytesIO(data), ContentType='text/plain')
    assert bedrock.requests[0].headers['X-Amz-Content-SHA256'] == TRAILER
    assert bedrock.requests[0].raw_body != data
    assert bedrock.objects.get('s3://files/a') == data
    got = client.get_object(Bucket='files', Key='a')
    assert got['Body'].read() == data
    # It travelled in chunks, but it is none.
    assert 'ContentEncoding' not in got
    client.put_object(Bucket='files', Key='zipped', Body=io.BytesIO(data), ContentEncoding='gzip')
    assert client.head_object(Bucket='files', Key='zipped')['ContentEncoding'] == 'gzip'
    client.close()


@pytest.mark.parametrize('algorithm', ['CRC32', 'SHA1', 'SHA256'])
def test_a_checksum_is_checked(s3: Any, served: LocalBedrock, algorithm: str) -> None:
    s3.put_object(Bucket='files', Key='a', Body=b'a', ChecksumAlgorithm=algorithm)
    wrong = {f'Checksum{algorithm}': b64encode(b'wrong').decode()}
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket='files', Key='b', Body=b'b', **wrong)
    assert error.value.response['Error']['Code'] == 'BadDigest'
    assert served.objects.list() == ['s3://files/a']


def test_a_payload_may_be_unsigned(make_client: Any, served: LocalBedrock) -> None:
    s3 = make_client('s3', config=Config(s3={'payload_signing_enabled': False}))
    s3.put_object(Bucket='files', Key='a', Body=b'a')
    assert served.objects.get('s3://files/a') == b'a'


def test_chunks_are_put_together() -> None:
    assert payload(CHUNKED, headers(content_sha256=TRAILER, decoded_content_length='9')) == b'Wikipedia'


@pytest.mark.parametrize(
    ('body', 'given', 'code'),
    [
        (CHUNKED, {'decoded_content_length': '8'}, 'IncompleteBody'),
        (CHUNKED, {}, 'IncompleteBody'),
        (CHUNKED[:12], {'decoded_content_length': '9'}, 'IncompleteBody'),
        (CHUNKED.replace(b'rar', b'raw'), {'decoded_content_length': '9'}, 'BadDigest'),
        (CHUNKED.replace(b'Wiki', b'Viki'), {'decoded_content_length': '9'}, 'BadDigest'),
    ],
)
def test_chunks_that_are_not_whole_or_not_right_are_refused(body: bytes, given: dict[str, str], code: str) -> None:
    with pytest.raises(RefusedError, match=code):
        payload(body, headers(content_sha256=TRAILER, **given))


def test_signed_chunks_are_not_implemented() -> None:
    with pytest.raises(RefusedError, match=r'NotImplemented.*STREAMING-AWS4'):
        payload(b'', headers(content_sha256='STREAMING-AWS4-HMAC-SHA256-PAYLOAD'))


def test_the_md5_of_the_content_is_checked() -> None:
    right = b64encode(md5(b'a', usedforsecurity=False).digest()).decode()
    assert payload(b'a', {'Content-MD5': right}) == b'a'
    with pytest.raises(RefusedError, match='BadDigest'):
        payload(b'b', {'Content-MD5': right})


async def test_a_client_that_waits_for_100_continue_gets_it(bedrock: LocalBedrock) -> None:
    reader, writer = await asyncio.open_connection('127.0.0.1', int(bedrock.base_url.rpartition(':')[2]))
    writer.write(b'PUT /files/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n')
    assert await reader.readuntil(b'\r\n\r\n') == b'HTTP/1.1 100 Continue\r\n\r\n'
    assert bedrock.requests == []
    writer.write(b'a')
    assert (await reader.readline()).startswith(b'HTTP/1.1 404')  # for it is signed for no service
    writer.close()
    await writer.wait_closed()
