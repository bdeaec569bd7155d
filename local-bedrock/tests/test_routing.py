"""A request is for the service that it is signed for, or else for the one that its path names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session
from support.requests import NOVA, MakeClient, user

from local_bedrock import THROTTLING, LocalBedrock, Truncate
from local_bedrock.routing import Target, target

BEARER = {'Authorization': 'Bearer token', 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD'}


def signed(service: str) -> dict[str, str]:
    return {'Authorization': f'AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/{service}/aws4_request, Signed=1'}


@pytest.mark.parametrize(
    ('method', 'path', 'headers', 'aim'),
    [
        ('POST', '/model/a%3A0/converse', {}, ('bedrock-runtime', 'Converse', 'a:0')),
        ('POST', '/model/a/converse', signed('bedrock'), ('bedrock-runtime', 'Converse', 'a')),
        ('POST', '/model/a/converse', BEARER, ('bedrock-runtime', 'Converse', 'a')),
        ('GET', '/model/a/converse', {}, ('bedrock-runtime', None, 'a')),
        # A bucket may be called model.
        ('GET', '/model/a/converse', signed('s3'), ('s3', 'GetObject', 'model/a/converse')),
        ('PUT', '/model', signed('s3'), ('s3', 'CreateBucket', 'model')),
        ('GET', '/files/a?x-id=GetObject', signed('s3'), ('s3', 'GetObject', 'files/a')),
        ('GET', '/files/a?acl', signed('s3'), ('s3', None, 'files/a')),
        ('GET', '/files?prefix=a', signed('s3'), ('s3', 'ListObjects', 'files')),
        ('GET', '/files?uploads&prefix=a', signed('s3'), ('s3', 'ListMultipartUploads', 'files')),
        ('GET', '/files?versions', signed('s3'), ('s3', None, 'files')),
        ('GET', '/files?list-type=2&prefix=a', signed('s3'), ('s3', 'ListObjectsV2', 'files')),
        ('PUT', '/files/a?partNumber=1&uploadId=2', signed('s3'), ('s3', 'UploadPart', 'files/a')),
        ('GET', '/', signed('s3'), ('s3', 'ListBuckets', '')),
        ('GET', '/foundation-models/a%3A0', {}, ('bedrock', 'GetFoundationModel', 'a:0')),
        ('POST', '/guardrail/abc/version/1/apply', {}, ('bedrock-runtime', 'ApplyGuardrail', 'abc')),
        ('GET', '/files/a', {'x-amz-checksum-mode': 'ENABLED'}, ('s3', 'GetObject', 'files/a')),
        ('POST', '/model-invocation-job', {}, ('bedrock', 'CreateModelInvocationJob', '')),
        ('POST', '/model-invocation-job/', {}, ('bedrock', 'CreateModelInvocationJob', '')),
        ('GET', '/model-invocation-job/arn%3Aa%2Fb', {}, ('bedrock', 'GetModelInvocationJob', 'arn:a/b')),
        ('POST', '/model-invocation-job/a/stop', {}, ('bedrock', 'StopModelInvocationJob', 'a')),
        ('GET', '/model-invocation-jobs?maxResults=1', {}, ('bedrock', 'ListModelInvocationJobs', '')),
        ('GET', '/model-invocation-job', {}, ('bedrock', None, '')),
        ('GET', '/elsewhere', {}, ('bedrock-runtime', None, '')),
    ],
)
def test_service_and_operation(method: str, path: str, headers: dict[str, str], aim: Any) -> None:
    assert target(method, path, headers) == Target(*aim)


def test_what_records_or_replays_refuses_jobs_and_objects(make_client: MakeClient, tmp_path: Path) -> None:
    file = tmp_path / 'exchanges.json'
    file.write_text('[]')
    session = Session()
    session.set_credentials('AKIDAWS', 'secret')
    recorder = LocalBedrock.record(tmp_path / 'new.json', region_name='us-east-1', session=session)
    for bedrock in (LocalBedrock.replay(file), recorder):
        with bedrock:
            s3, control_plane = make_client('s3', bedrock=bedrock), make_client('bedrock', bedrock=bedrock)
            with pytest.raises(ClientError, match=r'NotImplemented.* records and replays Bedrock Runtime only'):
                s3.put_object(Bucket='files', Key='a', Body=b'a')
            with pytest.raises(
                ClientError, match=r'NotImplementedException.* records and replays Bedrock Runtime only'
            ):
                control_plane.list_model_invocation_jobs()
            assert bedrock.objects.list() == []


def test_a_reply_is_not_used_up_by_another_service(client: Any, s3: Any, served: LocalBedrock) -> None:
    served.reply(THROTTLING)
    s3.put_object(Bucket='files', Key='a', Body=b'a')
    with pytest.raises(client.exceptions.ThrottlingException):
        client.converse(modelId=NOVA, messages=[user('Hi')])


def test_a_download_can_be_cut(s3: Any, served: LocalBedrock) -> None:
    served.objects.put('s3://files/a', 'Hello')
    rule = served.fault(Truncate(2, 'close'), operation='GetObject', times=1)
    with pytest.raises(Exception, match=r'IncompleteRead|2 of 5 bytes|ended prematurely|Connection broken'):
        s3.get_object(Bucket='files', Key='a')['Body'].read()
    assert rule.used == 1
    assert s3.get_object(Bucket='files', Key='a')['Body'].read() == b'Hello'
