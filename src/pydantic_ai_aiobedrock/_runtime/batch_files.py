"""BatchFiles: the files of batch inference jobs in S3, uploaded whole or not at all, and read to their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import anyio
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._pool.session_pool import SessionPool
from pydantic_ai_aiobedrock._runtime.auth_retry import send
from pydantic_ai_aiobedrock._runtime.batch_calls import settled
from pydantic_ai_aiobedrock._runtime.batch_errors import error_code, error_status, say_also
from pydantic_ai_aiobedrock._runtime.batch_output import LineSplitter

PART_BYTES = 8 * 1024 * 1024
"""Files of more than this are uploaded in parts, of at least this size except for the last."""

CHUNK_BYTES = 256 * 1024
"""Files are downloaded, and the records in them decoded, in chunks of this size."""

CLEANUP_SECONDS = 10
"""The time allowed for removing the remains of a failed or cancelled upload."""

MAX_RESUMES = 5
"""A download that breaks this many times in a row without progress is given up."""

RESUME_SECONDS = 0.2
"""The wait before a download is resumed, doubled with each failure in a row."""


class BatchFiles:
    """Files in S3, by their URIs."""

    def __init__(
        self, pool: SessionPool, spec: ClientSpec, *, bucket_owner: str | None = None, kms_key_id: str | None = None
    ) -> None:
        """Take the pool, and the spec of the Bedrock Runtime clients: those for S3 are made like them.

        Args:
            pool: The pool to lease clients from.
            spec: The spec of the Bedrock Runtime clients.
            bucket_owner: The account that must own the buckets, or None for any.
            kms_key_id: The KMS key to encrypt uploads with, or None for the default encryption of the bucket.
        """
        self._pool = pool
        # The endpoint of Bedrock Runtime says nothing about that of S3.
        self._spec = replace(spec, service_name='s3', endpoint_url=None)
        self._owner = {} if bucket_owner is None else {'ExpectedBucketOwner': bucket_owner}
        self._encryption = {} if kms_key_id is None else {'ServerSideEncryption': 'aws:kms', 'SSEKMSKeyId': kms_key_id}

    async def upload(self, uri: str, lines: Iterable[bytes]) -> None:
        """Write lines to a file; if that fails or is cancelled, nothing is left of it, or the error says where.

        Raises:
            botocore.exceptions.ClientError: AWS refused.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        place = self._place(uri)
        pieces = _pieces(lines)
        begin = list(islice(pieces, 2))
        with await self._pool.lease(self._spec) as lease:
            if len(begin) < 2:
                try:
                    await send(lease, 'put_object', {**place, **self._encryption, 'Body': b''.join(begin)})
                except BaseException as error:
                    # The answer may be all that was lost.
                    await self.discard(uri, error)
                    raise
                return
            multipart = {**place, 'UploadId': await self._begin(lease, place, uri)}
            size = 0
            parts: list[dict[str, Any]] = []
            try:
                for number, piece in enumerate(chain(begin, pieces), 1):
                    part = {**multipart, 'PartNumber': number, 'Body': piece}
                    sent = await send(lease, 'upload_part', part)
                    checks = {name: sent[name] for name in ('ETag', 'ChecksumCRC32') if name in sent}
                    parts.append({'PartNumber': number, **checks})
                    size += len(piece)
                await self._complete(lease, {**multipart, 'MultipartUpload': {'Parts': parts}}, size)
            except BaseException as error:
                # Parts are stored, and billed, until the upload is aborted.
                await self._abort(lease, multipart, uri, error)
                await self.discard(uri, error)
                raise

    async def lines(self, uri: str) -> AsyncGenerator[bytes]:
        """Iterate over the lines of a file, without their line feeds; a broken download is resumed where it broke.

        Raises:
            botocore.exceptions.ClientError: AWS refused: `NoSuchKey` if there is no such file.
            botocore.exceptions.BotoCoreError: The network failed, again and again without progress.
        """
        splitter = LineSplitter()
        async with aclosing(self._chunks(uri)) as chunks:
            async for chunk in chunks:
                for line in splitter.feed(chunk):
                    yield line
                # Other tasks run between chunks, even if the next has already arrived.
                await asyncio.sleep(0)
        if rest := splitter.rest():
            yield rest

    async def delete(self, uri: str) -> None:
        """Delete a file; a missing file is no error.

        Raises:
            botocore.exceptions.ClientError: AWS refused.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        with await self._pool.lease(self._spec) as lease:
            await send(lease, 'delete_object', self._place(uri))

    async def abort_uploads(self, uri: str) -> None:
        """Abort the uploads in parts that a killed process has begun for a file; the parts are billed until then.

        Raises:
            botocore.exceptions.ClientError: AWS refused.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        place = self._place(uri)
        query = {'Bucket': place['Bucket'], 'Prefix': place['Key'], **self._owner}
        with await self._pool.lease(self._spec) as lease:
            # The first page is enough: in the order of S3, a key comes before those that it begins.
            page = await send(lease, 'list_multipart_uploads', query)
            for upload in page.get('Uploads', []):
                if upload['Key'] == place['Key']:
                    await send(lease, 'abort_multipart_upload', {**place, 'UploadId': upload['UploadId']})

    async def discard(self, uri: str, cause: BaseException) -> None:
        """Delete a file that `cause` made useless; if that fails, `cause` says that the file is left."""
        with anyio.move_on_after(CLEANUP_SECONDS, shield=True) as scope:
            try:
                await self.delete(uri)
            except Exception as error:
                say_also(cause, f'The file {uri} may be left: deleting it failed ({error}).')
        if scope.cancelled_caught:
            say_also(cause, f'The file {uri} may be left: deleting it took more than {CLEANUP_SECONDS} s.')

    async def _begin(self, lease: Any, place: dict[str, Any], uri: str) -> str:
        """Begin an upload in parts, and return its id."""
        call = send(lease, 'create_multipart_upload', {**place, **self._encryption})
        beginning, cancelled = await settled(call, CLEANUP_SECONDS)
        try:
            upload_id: str = beginning.result()['UploadId']
        except BaseException as error:
            if not isinstance(error, ClientError) or error_status(error) >= 500:
                left = f'An upload of {uri} that has no parts yet may be left; it costs nothing.'
                say_also(cancelled or error, f'{left} A rule of the bucket for incomplete uploads removes it.')
            raise (cancelled or error) from None
        if cancelled is not None:
            await self._abort(lease, {**place, 'UploadId': upload_id}, uri, cancelled)
            raise cancelled
        return upload_id

    async def _complete(self, lease: Any, completion: dict[str, Any], size: int) -> None:
        try:
            await send(lease, 'complete_multipart_upload', completion)
        except ClientError as error:
            if error_code(error) != 'NoSuchUpload':
                raise
            # An earlier attempt may have completed it, and its answer was lost.
            head = {'Bucket': completion['Bucket'], 'Key': completion['Key'], **self._owner}
            try:
                found = await send(lease, 'head_object', head)
            except ClientError:
                raise error from None
            if found['ContentLength'] != size:
                raise

    async def _abort(self, lease: Any, multipart: dict[str, Any], uri: str, cause: BaseException) -> None:
        left = f'Parts of the upload {multipart["UploadId"]} of {uri} may be left, and billed'
        with anyio.move_on_after(CLEANUP_SECONDS, shield=True) as scope:
            try:
                await send(lease, 'abort_multipart_upload', multipart)
            except (BotoCoreError, ClientError) as error:
                if not isinstance(error, ClientError) or error_code(error) != 'NoSuchUpload':
                    say_also(cause, f'{left}: aborting it failed ({error}).')
        if scope.cancelled_caught:
            say_also(cause, f'{left}: aborting it took more than {CLEANUP_SECONDS} s.')

    async def _chunks(self, uri: str) -> AsyncGenerator[bytes]:
        position, failures = 0, 0
        request: dict[str, Any] = self._place(uri)
        while True:
            reading = False
            try:
                with await self._pool.lease(self._spec) as lease:
                    response = await send(lease, 'get_object', request)
                    reading = True
                    # The rest must be the rest of the same file.
                    request['IfMatch'] = response['ETag']
                    # Imported with the client that sent this.
                    from pydantic_ai_aiobedrock._client.bodies import read_in_chunks

                    async with aclosing(read_in_chunks(response['Body'], CHUNK_BYTES, uri)) as chunks:
                        async for chunk in chunks:
                            position += len(chunk)
                            failures = 0
                            yield chunk
            except (HTTPClientError, ClientError) as error:
                if isinstance(error, ClientError) and position and error_code(error) == 'InvalidRange':
                    # It broke after the last byte.
                    return
                failures += 1
                # A request that was not answered has been sent again by botocore.
                if not reading or failures > MAX_RESUMES:
                    if position:
                        say_also(error, f'{position:,} bytes of {uri} had been read; reading it again is safe.')
                    raise
            else:
                return
            await asyncio.sleep(RESUME_SECONDS * 2 ** (failures - 1))
            if position:
                request['Range'] = f'bytes={position}-'

    def _place(self, uri: str) -> dict[str, Any]:
        bucket, _, key = uri.removeprefix('s3://').partition('/')
        return {'Bucket': bucket, 'Key': key, **self._owner}


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines to parts of an upload, a part at a time."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= PART_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
