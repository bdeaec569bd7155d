"""The objects of LocalBedrock, as tests put, get and list them."""

from __future__ import annotations

import pytest

from local_bedrock import LocalBedrock


def test_objects_are_there_before_and_after_it_serves() -> None:
    bedrock = LocalBedrock()
    bedrock.objects.put('s3://files/a', b'a')
    with bedrock:
        bedrock.objects.put('s3://files/b', 'b')
    assert bedrock.objects.list() == ['s3://files/a', 's3://files/b']
    assert bedrock.objects.get('s3://files/a') == b'a'
    assert repr(bedrock.objects) == '<ObjectStore: 2 objects>'


def test_a_list_is_in_order_and_of_what_begins_with_the_prefix() -> None:
    objects = LocalBedrock().objects
    for uri in ('s3://two/b', 's3://one/b', 's3://one/a/2', 's3://one/a/1'):
        objects.put(uri, '')
    assert objects.list() == ['s3://one/a/1', 's3://one/a/2', 's3://one/b', 's3://two/b']
    assert objects.list('s3://one/a/') == ['s3://one/a/1', 's3://one/a/2']


def test_what_is_not_there_is_a_key_error_with_its_uri() -> None:
    with pytest.raises(KeyError, match='s3://files/missing'):
        LocalBedrock().objects.get('s3://files/missing')
    with pytest.raises(KeyError, match='s3://Files'):
        LocalBedrock().objects.put('s3://Files/a', '')


@pytest.mark.parametrize('uri', ['files/a', 's3:/files/a', 'https://files/a', 's3://'])
def test_a_uri_must_be_one_of_s3(uri: str) -> None:
    with pytest.raises(ValueError, match='is no URI of S3'):
        LocalBedrock().objects.put(uri, '')


def test_a_bucket_alone_is_no_object() -> None:
    with pytest.raises(ValueError, match='names no object'):
        LocalBedrock().objects.put('s3://files', '')


def test_starting_over_forgets_objects_and_what_was_done_to_buckets(served: LocalBedrock, s3: object) -> None:
    served.objects.put('s3://files/a', 'a')
    served.objects.delete_bucket('gone')
    served.start_over()
    assert served.objects.list() == []
    served.objects.put('s3://gone/a', 'a')
