"""ModelInvocationJobs: Bedrock's batch inference jobs, and the files in S3 that they read and write, as coroutines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import anyio
from botocore.exceptions import BotoCoreError, ClientError
from pydantic_core import from_json

from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._pool.session_pool import SessionPool
from pydantic_ai_aiobedrock._runtime.auth_retry import send

PART_BYTES = 8 * 1024 * 1024
"""Files of more than this are uploaded in parts, of at least this size but for the last."""

CHUNK_BYTES = 1024 * 1024
"""Files are downloaded, and the records in them decoded, in chunks of this size."""

ABORT_SECONDS = 10
"""What giving up an upload may take."""


class ModelInvocationJobs:
    """Batch inference jobs of one account and region.

    See https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference.html.
    """

    def __init__(self, pool: SessionPool, spec: ClientSpec) -> None:
        """Take the pool, and what its Bedrock Runtime clients are made of: those for jobs and files are made alike."""
        self._pool = pool
        # Where to find Bedrock Runtime says nothing of where the others are.
        self._bedrock = replace(spec, service_name='bedrock', endpoint_url=None)
        self._s3 = replace(spec, service_name='s3', endpoint_url=None)

    async def create(self, name: str, *, model_id: str, role_arn: str, s3_uri: str, records: Iterable[bytes]) -> str:
        """Write the records to a file in S3, and start a job of Converse requests on it.

        Args:
            name: The name of the job, and of the file.
            model_id: The model, or inference profile, that all records are for.
            role_arn: The service role as which Bedrock reads and writes the files.
            s3_uri: The folder of the file; the output goes into a folder below it that is named after the job's id.
            records: The lines of the file, each with its line feed; taken as the upload goes on.

        Returns:
            The ARN of the job.

        Raises:
            botocore.exceptions.ClientError: AWS refused the file or the job; of a refused job no file is left.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        folder = s3_uri.rstrip('/')
        file = f'{folder}/{name}.jsonl'
        await self._upload(file, records)
        try:
            created = await self._call(
                self._bedrock,
                'create_model_invocation_job',
                jobName=name,
                modelId=model_id,
                roleArn=role_arn,
                inputDataConfig={'s3InputDataConfig': {'s3Uri': file}},
                outputDataConfig={'s3OutputDataConfig': {'s3Uri': f'{folder}/'}},
            )
        except ClientError as error:
            # After any other error there may be a job that reads it.
            if _status(error) < 500:
                bucket, key = _location(file)
                # What is to be told is why there is no job.
                with suppress(BotoCoreError, ClientError):
                    await self._call(self._s3, 'delete_object', Bucket=bucket, Key=key)
            raise
        return created['jobArn']

    async def get(self, job_arn: str) -> dict[str, Any]:
        """Return a job: the members of a GetModelInvocationJob response.

        Raises:
            botocore.exceptions.ClientError: AWS refused.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        return await self._call(self._bedrock, 'get_model_invocation_job', jobIdentifier=job_arn)

    async def stop(self, job_arn: str) -> None:
        """Have a job stopped; one that has ended is left as it is.

        Raises:
            botocore.exceptions.ClientError: AWS refused.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        try:
            await self._call(self._bedrock, 'stop_model_invocation_job', jobIdentifier=job_arn)
        except ClientError as error:
            if _code(error) != 'ConflictException':
                raise

    async def output(self, job: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Iterate over the records that a job has written, in an order of its own; there may be none.

        Args:
            job: The job, as `get` returns it.

        Raises:
            botocore.exceptions.ClientError: AWS refused.
            botocore.exceptions.BotoCoreError: The network failed.
        """
        file = job['inputDataConfig']['s3InputDataConfig']['s3Uri'].rpartition('/')[2]
        folder = job['outputDataConfig']['s3OutputDataConfig']['s3Uri'].rstrip('/')
        bucket, key = _location(f'{folder}/{job["jobArn"].rpartition("/")[2]}/{file}.out')
        with await self._pool.lease(self._s3) as lease:
            try:
                response = await send(lease, lease.client.get_object, {'Bucket': bucket, 'Key': key})
            except ClientError as error:
                if _code(error) == 'NoSuchKey':
                    return
                raise
            # Imported with the client that sent this.
            from pydantic_ai_aiobedrock._client.transport import read_in_chunks

            rest = b''
            async for chunk in read_in_chunks(response['Body'], CHUNK_BYTES, f's3://{bucket}/{key}'):
                *lines, rest = (rest + chunk).split(b'\n')
                for line in lines:
                    yield from_json(line)
            if rest.strip():
                yield from_json(rest)

    async def _upload(self, file: str, records: Iterable[bytes]) -> None:
        bucket, key = _location(file)
        place: dict[str, Any] = {'Bucket': bucket, 'Key': key}
        pieces = _pieces(records)
        begin = list(islice(pieces, 2))
        with await self._pool.lease(self._s3) as lease:
            client = lease.client
            if len(begin) < 2:
                await send(lease, client.put_object, {**place, 'Body': b''.join(begin)})
                return
            upload = await send(lease, client.create_multipart_upload, place)
            place['UploadId'] = upload['UploadId']
            parts: list[dict[str, Any]] = []
            try:
                for number, piece in enumerate(chain(begin, pieces), 1):
                    sent = await send(lease, client.upload_part, {**place, 'PartNumber': number, 'Body': piece})
                    checks = {name: sent[name] for name in ('ETag', 'ChecksumCRC32') if name in sent}
                    parts.append({'PartNumber': number, **checks})
                await send(lease, client.complete_multipart_upload, {**place, 'MultipartUpload': {'Parts': parts}})
            except BaseException:
                # Parts are stored, and paid for, until they are given up.
                with anyio.move_on_after(ABORT_SECONDS, shield=True), suppress(BotoCoreError, ClientError):
                    await send(lease, client.abort_multipart_upload, place)
                raise

    async def _call(self, spec: ClientSpec, operation: str, **parameters: Any) -> dict[str, Any]:
        with await self._pool.lease(spec) as lease:
            return await send(lease, getattr(lease.client, operation), parameters)


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Put lines together to parts of an upload, as they are asked for."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= PART_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _location(s3_uri: str) -> tuple[str, str]:
    bucket, _, key = s3_uri.removeprefix('s3://').partition('/')
    return bucket, key


def _code(error: ClientError) -> str:
    response: Any = error.response
    return response.get('Error', {}).get('Code', '')


def _status(error: ClientError) -> int:
    response: Any = error.response
    return response.get('ResponseMetadata', {}).get('HTTPStatusCode', 500)
