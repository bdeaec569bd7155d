"""The settings of an endpoint, and the values that they take."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, cast

from pydantic_core.core_schema import int_schema, str_schema

from local_bedrock._arguments import (
    FLAG,
    FUNCTION,
    INTEGER,
    POSITIVE,
    SECONDS,
    TEXT,
    TEXTS,
    WHOLE,
    Arguments,
    is_collection,
    optional,
    satisfying,
)
from local_bedrock.keys import AccessKey
from local_bedrock.quotas import Quota


def _are_credentials(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    given = cast('Mapping[object, object]', value)
    return is_collection(given, str) and is_collection(given.values(), (str, AccessKey))


_QUOTAS = satisfying(lambda value: is_collection(value, Quota), 'a list of Quota')
SETTINGS = Arguments(
    'LocalBedrock',
    {
        'host': TEXT,
        'port': int_schema(strict=True, ge=0, le=65535),
        'region_name': str_schema(strict=True, min_length=1),
        'credentials': optional(satisfying(_are_credentials, 'a mapping of access key ids to secrets')),
        'api_keys': optional(TEXTS),
        'models': optional(TEXTS),
        'buckets': optional(TEXTS),
        's3_endpoint_url': optional(
            satisfying(
                lambda value: isinstance(value, str) and value.startswith(('http://', 'https://')),
                'a URL that begins with http:// or https://',
            )
        ),
        'minimum_batch_records': WHOLE,
        'tls': optional(satisfying(lambda value: isinstance(value, ssl.SSLContext), 'an ssl.SSLContext of a server')),
        'responder': satisfying(lambda value: callable(value) and not isinstance(value, type), 'a function'),
        'latency': SECONDS,
        'tokens_per_second': optional(POSITIVE),
        'clock': FUNCTION,
        'seed': INTEGER,
        'keep_requests': WHOLE,
        'keep_bytes': WHOLE,
        'max_body_bytes': WHOLE,
        'receive_timeout': POSITIVE,
        'quotas': _QUOTAS,
        'strict_models': FLAG,
    },
    secret=('credentials', 'api_keys'),
)
SET_QUOTAS = Arguments('LocalBedrock.set_quotas', {'quotas': _QUOTAS})
