"""The output of a batch inference job, from bytes to records."""

from __future__ import annotations

import pytest

from pydantic_ai_aiobedrock._runtime.batch_output import LineSplitter, OutputRecord, read_record


def test_lines_are_the_same_whatever_the_chunks_they_come_in() -> None:
    content = b'one\n\ntwo two\nthree'
    for size in range(1, len(content) + 1):
        splitter = LineSplitter()
        chunks = [content[start : start + size] for start in range(0, len(content), size)]
        lines = [line for chunk in chunks for line in splitter.feed(chunk)]
        assert [*lines, splitter.rest()] == [b'one', b'', b'two two', b'three']
        assert splitter.rest() == b''


@pytest.mark.parametrize('line', [b'', b' \r', b'\xef\xbb\xbf'])
def test_a_blank_line_holds_no_record(line: bytes) -> None:
    assert read_record(line) is None


def test_a_record_holds_an_output_or_an_error() -> None:
    assert read_record(b'{"recordId": "a", "modelOutput": {"b": 1}}') == OutputRecord('a', output={'b': 1})
    error = {'errorCode': 400, 'errorMessage': 'No.'}
    read = read_record(b'{"recordId": "a", "error": {"errorCode": 400, "errorMessage": "No."}}')
    assert read == OutputRecord('a', error=error)


def test_half_a_surrogate_pair_is_read() -> None:
    read = read_record(b'{"recordId": "a", "modelOutput": {"text": "\\ud83d"}}')
    assert read == OutputRecord('a', output={'text': '\ud83d'})


def test_a_record_that_is_nested_too_deeply_is_damaged_and_keeps_its_id() -> None:
    depth = 200_000
    line = b'{"recordId": "a", "modelOutput": ' + b'[' * depth + b']' * depth + b'}'
    assert read_record(line) == OutputRecord('a', damage='it is not JSON: it is nested too deeply')


@pytest.mark.parametrize(
    ('line', 'record_id'),
    [
        (b'{"recordId": "a\\u00e9", "modelOutput": {', 'a\xe9'),
        (b'"modelOutput": {}, "recordId": "a"}', 'a'),
        (b'{"modelInput": {"recordId": "of the request", "x"', None),
        (b'{"recordId": "a\\q", "modelOutput": {', None),
    ],
    ids=['at the beginning', 'at the end', 'within', 'damaged itself'],
)
def test_a_damaged_line_keeps_an_id_that_can_only_be_its_own(line: bytes, record_id: str | None) -> None:
    read = read_record(line)
    assert read is not None
    assert read.record_id == record_id
    assert str(read.damage).startswith('it is not JSON')


@pytest.mark.parametrize(
    ('line', 'damage'),
    [
        (b'[]', 'it is not a JSON object'),
        (b'{"modelOutput": {}}', 'it has no recordId'),
        (b'{"recordId": 1, "modelOutput": {}}', 'it has no recordId'),
    ],
)
def test_a_line_without_an_id_is_damaged(line: bytes, damage: str) -> None:
    assert read_record(line) == OutputRecord(None, damage=damage)


@pytest.mark.parametrize('members', [b'', b', "modelOutput": "no"', b', "error": []'])
def test_a_record_with_neither_an_output_nor_an_error_is_damaged(members: bytes) -> None:
    read = read_record(b'{"recordId": "a"' + members + b'}')
    assert read == OutputRecord('a', damage='it has neither a modelOutput nor an error')
