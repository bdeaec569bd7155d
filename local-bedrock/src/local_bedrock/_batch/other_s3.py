"""An S3 other than the endpoint's own, from which batch inference jobs read and to which they write."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from local_bedrock._batch.files import InputError
from local_bedrock._s3.objects import ObjectStore, parsed
from local_bedrock.keys import AccessKey

if TYPE_CHECKING:
    from botocore.session import Session

_CONNECT_SECONDS = 5
_READ_SECONDS = 60
_ATTEMPTS = 2


class OtherS3:
    """Copies of the files of jobs, from and to another S3, with botocore's client on threads."""

    def __init__(self, endpoint_url: str, region_name: str, key: Callable[[], AccessKey]) -> None:
        self._endpoint_url, self._region_name, self._key = endpoint_url, region_name, key
        self._session: Session | None = None
        # A session of botocore must not make two clients at once.
        self._making = threading.Lock()

    async def download(self, input_uri: str, output_uri: str) -> ObjectStore:
        """Return a copy of the objects at or below a URI, with the buckets that exist of the two.

        Raises:
            InputError: The other S3 cannot be reached, or refuses.
        """
        return await asyncio.to_thread(self._asked, self._download, input_uri, output_uri)

    async def upload(self, objects: ObjectStore) -> None:
        """Write all objects of a store.

        Raises:
            InputError: The other S3 cannot be reached, or refuses.
        """
        await asyncio.to_thread(self._asked, self._upload, objects)

    def _asked(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        # It takes half of botocore, and few jobs read another S3.
        from botocore.exceptions import BotoCoreError, ClientError

        client = self._client()
        try:
            return ask(client, *arguments)
        except (BotoCoreError, ClientError) as error:
            raise InputError(f'The S3 at {self._endpoint_url} could not be used: {error}') from error
        finally:
            client.close()

    def _client(self) -> Any:
        from botocore.config import Config
        from botocore.session import Session

        key = self._key()
        with self._making:
            if self._session is None:
                self._session = Session()
            return self._session.create_client(
                's3',
                endpoint_url=self._endpoint_url,
                region_name=self._region_name,
                aws_access_key_id=key.access_key_id,
                aws_secret_access_key=key.secret_access_key,
                aws_session_token=key.session_token,
                config=Config(
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    retries={'total_max_attempts': _ATTEMPTS, 'mode': 'standard'},
                    s3={'addressing_style': 'path'},
                ),
            )

    def _download(self, client: Any, input_uri: str, output_uri: str) -> ObjectStore:
        bucket, key = parsed(input_uri)
        buckets = [name for name in dict.fromkeys((bucket, parsed(output_uri)[0])) if _exists(client, name)]
        objects = ObjectStore(buckets)
        if bucket in buckets:
            for page in client.get_paginator('list_objects_v2').paginate(Bucket=bucket, Prefix=key):
                for found in page.get('Contents', ()):
                    body = client.get_object(Bucket=bucket, Key=found['Key'])['Body']
                    objects.put(f's3://{bucket}/{found["Key"]}', body.read())
        return objects

    def _upload(self, client: Any, objects: ObjectStore) -> None:
        for (bucket, key), stored in objects.stored.items():
            client.put_object(Bucket=bucket, Key=key, Body=stored.content)


def _exists(client: Any, bucket: str) -> bool:
    try:
        client.head_bucket(Bucket=bucket)
    except client.exceptions.ClientError as error:
        if error.response['ResponseMetadata']['HTTPStatusCode'] == 404:
            return False
        raise
    return True
