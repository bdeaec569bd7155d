"""The options of BatchInference: values that AWS would refuse are named before anything is uploaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic_ai import UserError

from pydantic_ai_aiobedrock import BatchInference

INFERENCE = BatchInference(role_arn='arn:aws:iam::123456789012:role/bedrock-batch', s3_uri='s3://my-bucket/batches/')


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        *(
            (name, value)
            for name in ('s3_uri', 'output_s3_uri')
            for value in (
                '',
                'my-bucket',
                's3://',
                'https://my-bucket.s3.amazonaws.com',
                's3://My_Bucket/',
                's3://my-bucket/with space/',
                's3://my-bucket/a//b',
                's3://my-bucket/größe/',
                's3://my-bucket/' + 'x' * 1000,
            )
        ),
        *(
            ('role_arn', value)
            for value in ('', 'bedrock-batch', 'arn:aws:iam::123456789012:user/me', 'arn:aws:iam::1:role/a')
        ),
        ('kms_key_id', 'my-key'),
        ('bucket_owner', '1234'),
        ('tags', {'a tag!': 'x'}),
        ('timeout_hours', 23),
        ('timeout_hours', 169),
        ('subnet_ids', ['subnet-1']),
        ('security_group_ids', 'sg-1'),
        ('job_name_prefix', '-mine'),
        ('job_name_prefix', 'x' * 32),
        ('min_records', 0),
        ('min_records', 60_000),
        ('max_bytes', 0),
        # Of another type, such as a variable that is not set.
        ('role_arn', None),
        ('s3_uri', None),
        ('s3_uri', b's3://my-bucket'),
        ('job_name_prefix', None),
        ('bucket_owner', 123456789012),
        ('tags', ['team']),
        ('tags', {'team': 5}),
        ('subnet_ids', [5]),
        ('min_records', '100'),
        ('max_records', None),
        ('max_bytes', '1e9'),
    ],
)
def test_an_option_that_aws_would_refuse_is_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f'`{name}`.* of BatchInference'):
        replace(INFERENCE, **({'security_group_ids': ['sg-1']} if value == [5] else {}), **{name: value})


@pytest.mark.parametrize('s3_uri', ['s3://my-bucket', 's3://my-bucket/', "s3://my.bucket/a/b-c_d!*'().e/"])
def test_a_folder_that_aws_accepts_is_accepted(s3_uri: str) -> None:
    assert replace(INFERENCE, s3_uri=s3_uri).input_uri('x').startswith(s3_uri.rstrip('/') + '/x')
