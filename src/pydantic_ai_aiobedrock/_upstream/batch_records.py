"""The records of batches: as lines of a file, as results of Pydantic AI, and as the errors of live requests."""

from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pydantic_ai.exceptions import ModelAPIError
from pydantic_core import from_json, to_json

from pydantic_ai_aiobedrock._runtime.batch_output import OutputRecord
from pydantic_ai_aiobedrock._upstream import seam

if TYPE_CHECKING:
    from pydantic_ai.models.batch import BatchRequest, BatchResult, EncodedBatchRequest

LIVE = 'live'
"""The member of a record that was answered live, which has no batch price."""

_DAMAGE = 'damage'
_LINE = b'{"recordId":%b,"modelInput":%b}\n'

_CODES: dict[object, str] = {
    400: 'ValidationException',
    403: 'AccessDeniedException',
    404: 'ResourceNotFoundException',
    408: 'ModelTimeoutException',
    424: 'ModelErrorException',
    429: 'ThrottlingException',
    500: 'InternalServerException',
    503: 'ServiceUnavailableException',
}
"""The errors of Converse by their status, the only thing by which a record's error can be recognized.

See https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.
"""


def line(request: EncodedBatchRequest) -> bytes:
    """Return a request as a line of the input."""
    return _LINE % (as_json(request.custom_id), request.body.encode())


def line_size(request: EncodedBatchRequest) -> int:
    """Return the bytes of a request's line, without making it: this is called some ten thousand times."""
    body = request.body
    size = len(body) if body.isascii() else len(body.encode())
    return len(_LINE % (as_json(request.custom_id), b'')) + size


def result(record: OutputRecord, where: str, *, live: bool = False) -> BatchResult:
    """Return the result that a line of the output holds, for `batch_decode`.

    Args:
        record: The record in the line.
        where: The line and its file, which stand for the id of a record that has none.
        live: The request was answered live.
    """
    custom_id = where if record.record_id is None else record.record_id
    make = seam.batch_types().BatchResult
    if record.output is not None:
        body = {**record.output, LIVE: True} if live else record.output
        return make(custom_id=custom_id, status='succeeded', body=as_json(body).decode())
    error = {_DAMAGE: f'{where} cannot be read: {record.damage}.'} if record.error is None else record.error
    return make(custom_id=custom_id, status='errored', body=as_json(error).decode())


def failed_result(custom_id: str, status: int, message: str) -> BatchResult:
    """Return the result of a request that no job can have."""
    body = as_json({'errorCode': status, 'errorMessage': message}).decode()
    return seam.batch_types().BatchResult(custom_id=custom_id, status='errored', body=body)


def raise_error(model_name: str, body: bytes) -> None:
    """Raise the error that Bedrock would have answered a request with, from its line for a failed record.

    Raises:
        ClientError: The record failed.
        ModelAPIError: Its line cannot be read.
    """
    error: dict[str, Any] = from_json(body)
    if (damage := error.get(_DAMAGE)) is not None:
        raise ModelAPIError(model_name=model_name, message=damage)
    status = error.get('errorCode')
    raise ClientError(
        {
            'Error': {'Code': _CODES.get(status, 'UnknownError'), 'Message': error.get('errorMessage', 'It failed.')},
            'ResponseMetadata': {'HTTPStatusCode': status if isinstance(status, int) else 500},  # pyright: ignore
        },
        'Converse',
    )


def live_line(custom_id: str, outcome: dict[str, Any]) -> bytes:
    """Return the outcome of a request that was answered live as a line of the output."""
    return as_json({'recordId': custom_id, **outcome}) + b'\n'


def split_evenly(
    requests: Sequence[EncodedBatchRequest], *, max_records: int, max_bytes: int
) -> list[list[EncodedBatchRequest]]:
    """Split requests of a group into as few batches as possible, of sizes as equal as possible."""
    sizes = [line_size(request) for request in requests]
    count = max(-(-len(requests) // max_records), -(-sum(sizes) // max_bytes), 1)
    while True:
        base, longer = divmod(len(requests), count)
        ends = [number * base + min(number, longer) for number in range(count + 1)]
        spans = list(pairwise(ends))
        # A request that is too large for any batch is for `batch_create` to refuse.
        if base < 1 or all(sum(sizes[start:end]) <= max_bytes for start, end in spans):
            return [list(requests[start:end]) for start, end in spans if start < end]
        count += 1


@cache
def encoded_type() -> Any:
    """Return `EncodedBatchRequest` with a field for the result that the request has had before."""
    base: Any = seam.batch_types().EncodedBatchRequest

    @dataclass(frozen=True, kw_only=True)
    class Encoded(base):
        earlier: BatchResult | None = field(default=None, repr=False, compare=False)

    return Encoded


class Failures:
    """The results of requests that failed, as long as the requests live: they may be submitted again.

    Pydantic AI encodes such a request again, and does not say why. Requests with the same last message are the same.
    """

    def __init__(self) -> None:
        self._by_message: dict[int, tuple[weakref.ref[Any], BatchResult]] = {}

    def remember(self, request: BatchRequest, failed: BatchResult) -> None:
        """Keep the result of a request."""
        if not request.messages:
            return
        message = request.messages[-1]
        key = id(message)
        forget = weakref.ref(message, lambda _: self._by_message.pop(key, None))
        self._by_message[key] = (forget, failed)

    def of(self, request: BatchRequest) -> BatchResult | None:
        """Return the result that a request has had before, if it failed."""
        message = request.messages[-1] if request.messages else None
        known = self._by_message.get(id(message))
        return known[1] if known is not None and known[0]() is message else None


def as_json(value: object) -> bytes:
    """Return a value as JSON, in which half a surrogate pair is escaped."""
    try:
        return to_json(value)
    except ValueError:
        # Half a surrogate pair has no UTF-8, but JSON can name it.
        return json.dumps(value).encode()
