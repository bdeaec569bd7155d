"""The files of a batch inference job: the records that it reads from S3, and the output that it writes there."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, cast

from pydantic_core import from_json, to_json

from local_bedrock._bodies.json_access import structure
from local_bedrock._s3.objects import ObjectStore, StoredObject, parsed

_INPUT = '.jsonl'
_RECORD_ID_LENGTH = 11


class InputError(Exception):
    """The input of a job, or the place of its output, is not valid."""


@dataclass
class BatchRecord:
    """A line of the input, and its result."""

    record_id: str
    model_input: dict[str, Any]
    outcome: dict[str, Any] | None = None
    """The `modelOutput` or the `error` of its line of output; `None` as long as it has not been processed."""
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def failed(self) -> bool:
        """The record was processed, and its answer is an error."""
        return self.outcome is not None and 'error' in self.outcome


@dataclass
class BatchFile:
    """A file of the input."""

    name: str
    """Its key below the folder that the job reads."""
    records: list[BatchRecord] = field(repr=False)


@dataclass(frozen=True)
class RecordCounts:
    """The records of a job, counted by progress."""

    total: int = 0
    processed: int = 0
    failed: int = 0

    @classmethod
    def of(cls, files: Sequence[BatchFile]) -> RecordCounts:
        """Count the records of files."""
        records = [record for file in files for record in file.records]
        processed = sum(record.outcome is not None for record in records)
        return cls(len(records), processed, sum(record.failed for record in records))

    @property
    def members(self) -> dict[str, int]:
        """The counts, by the names that AWS gives them."""
        return {
            'totalRecordCount': self.total,
            'processedRecordCount': self.processed,
            'successRecordCount': self.processed - self.failed,
            'errorRecordCount': self.failed,
        }


def read_input(objects: ObjectStore, uri: str, minimum: int, chance: random.Random) -> list[BatchFile]:
    """Return the files at a URI, which names a file or a folder of files.

    Raises:
        InputError: There are no files, a file is not of the right form, or there are too few records.
    """
    bucket, key = parsed(uri)
    if not objects.has_bucket(bucket):
        raise InputError(f'The S3 bucket {bucket} of the input does not exist.')
    if key.endswith(_INPUT) and (bucket, key) in objects.stored:
        found = {PurePosixPath(key).name: key}
    else:
        folder = f'{key.rstrip("/")}/' if key else ''
        keys = objects.keys(bucket, folder)
        found = {key.removeprefix(folder): key for key in keys if key.endswith(_INPUT)}
    if not found:
        raise InputError(f'There is no {_INPUT} file at {uri}.')
    files = [
        BatchFile(name, _records(f's3://{bucket}/{key}', objects.stored[bucket, key].content, chance))
        for name, key in found.items()
    ]
    count = sum(len(file.records) for file in files)
    if count < minimum:
        # Bedrock's own words.
        raise InputError(f'Batch job contains less records ({count}) than the required minimum of: {minimum}')
    return files


def _records(uri: str, content: bytes, chance: random.Random) -> list[BatchRecord]:
    return [
        _record(f'Line {number} of {uri}', line, chance)
        for number, line in enumerate(content.splitlines(), 1)
        if line.strip()
    ]


def _record(where: str, line: bytes, chance: random.Random) -> BatchRecord:
    try:
        found = from_json(line)
    except ValueError as error:
        raise InputError(f'{where} is not JSON: {error}') from None
    record = cast('dict[str, Any]', found) if isinstance(found, dict) else {}
    if not isinstance(record.get('modelInput'), dict):
        raise InputError(f'{where} is not a record: it has no modelInput that is an object.')
    record_id = record.get('recordId')
    if record_id is None:
        record_id = ''.join(chance.choices(string.ascii_uppercase + string.digits, k=_RECORD_ID_LENGTH))
    if not isinstance(record_id, str):
        raise InputError(f'{where} is not a record: its recordId is not a string.')
    return BatchRecord(record_id, structure(record, 'modelInput'))


def check_output(objects: ObjectStore, uri: str) -> None:
    """Check that there is a place for the output.

    Raises:
        InputError: There is none.
    """
    bucket, _ = parsed(uri)
    if not objects.has_bucket(bucket):
        raise InputError(f'The S3 bucket {bucket} of the output does not exist.')


def write_output(
    objects: ObjectStore, uri: str, job_id: str, files: Sequence[BatchFile], chance: random.Random
) -> None:
    """Write a file of output for each of the input, with the records processed so far, and the manifest."""
    bucket, key = parsed(f'{uri.rstrip("/")}/{job_id}')
    for file in files:
        lines = _shuffled([_line(record) for record in file.records if record.outcome is not None], chance)
        objects.stored[bucket, f'{key}/{file.name}.out'] = StoredObject(b''.join(lines))
    records = [record for file in files for record in file.records]
    manifest = {
        **RecordCounts.of(files).members,
        'inputTokenCount': sum(record.input_tokens for record in records),
        'outputTokenCount': sum(record.output_tokens for record in records),
    }
    objects.stored[bucket, f'{key}/manifest.json.out'] = StoredObject(to_json(manifest))


def _line(record: BatchRecord) -> bytes:
    members = {'modelInput': record.model_input, **(record.outcome or {}), 'recordId': record.record_id}
    return to_json(members) + b'\n'


def _shuffled(lines: list[bytes], chance: random.Random) -> list[bytes]:
    """Return the lines in another order: Bedrock promises none, and a client must not rely on it."""
    shuffled = list(lines)
    chance.shuffle(shuffled)
    return shuffled[1:] + shuffled[:1] if shuffled == lines else shuffled
