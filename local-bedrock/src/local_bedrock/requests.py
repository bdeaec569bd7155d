"""Requests as the endpoint remembers them, and its counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from multidict import MultiMapping

from local_bedrock._bodies.json_access import structure, structures
from local_bedrock.keys import AuthScheme
from local_bedrock.routing import Operation, Service

__all__ = ('LocalBedrockStats', 'Operation', 'RecordedRequest')


@dataclass(kw_only=True)
class RecordedRequest:
    """A request as the endpoint saw it, and its outcome.

    The fields up to `auth_scheme` are set when a reply function is called with the request; the rest when it ends.
    """

    operation: Operation | None
    """The operation, or `None` where the path names none."""
    model_id: str
    """The model id of the path, or of the batch inference job, decoded; empty for other services."""
    method: str
    path: str
    """The path as it came, still percent-encoded."""
    headers: MultiMapping[str] = field(repr=False)
    """Headers, by any case of the name, `getall` for repeated ones.

    `Authorization` and the session token are cut to their identifying part.
    """
    raw_body: bytes = field(repr=False)
    service: Service = 'bedrock-runtime'
    """The service that it is for."""
    resource: str = ''
    """The resource: the model id, the job identifier, or bucket and key as `bucket/key`; decoded."""
    job_arn: str | None = None
    """The batch inference job of which it is a record; `None` for a request that came over HTTP."""
    record_id: str | None = None
    """The `recordId` in the input of the job."""
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    """The decoded body; empty where it is not a JSON object."""
    invocation: dict[str, Any] | None = None
    """The body of InvokeModel in the terms of Converse; `None` if its model generates no text."""
    attempt: int = 1
    """Attempt number, as the client says in `amz-sdk-request`."""
    invocation_id: str | None = None
    """The id that the attempts of a call share, from `amz-sdk-invocation-id`."""
    connection: int = 0
    """Number of the connection on which it came, from 1."""
    in_flight: int = 1
    """Requests under way when it arrived, itself included."""
    started: float = 0.0
    """When its body had arrived, on `time.monotonic()`."""
    auth_scheme: AuthScheme | None = None
    """The scheme of its authentication; `None` if it had none."""
    request_id: str = ''
    """The `x-amzn-RequestId` of the response."""
    ended: float | None = None
    """When the response had been written or given up, on `time.monotonic()`."""
    status: int | None = None
    """HTTP status of the response; `None` while there is none, or where a fault left none."""
    error_code: str | None = None
    """Name of the exception that was answered."""
    bytes_sent: int = 0
    """Bytes of response body that were written."""
    disconnected: bool = False
    """True if the client went away before the end of the response."""

    @property
    def generates_text(self) -> bool:
        """True if the request is for a model that generates text, by Converse or by InvokeModel."""
        return self.invocation is not None or self.operation in ('Converse', 'ConverseStream')

    @property
    def converse(self) -> dict[str, Any]:
        """The request in the terms of Converse; empty if it generates no text."""
        if self.invocation is not None:
            return self.invocation
        return self.body if self.generates_text else {}

    @property
    def streaming(self) -> bool:
        """True if the answer is an event stream."""
        return self.operation in ('ConverseStream', 'InvokeModelWithResponseStream')

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages, in the terms of Converse."""
        return structures(self.converse, 'messages')

    @property
    def last_user_text(self) -> str:
        """The last text that the user wrote, however many tool results came after it."""
        for message in reversed(self.messages):
            if message.get('role') == 'user':
                for block in reversed(structures(message, 'content')):
                    if isinstance(text := block.get('text'), str) and text.strip():
                        return text
        return ''

    @property
    def last_content(self) -> list[dict[str, Any]]:
        """The content blocks of the last message."""
        return structures(self.messages[-1], 'content') if self.messages else []

    @property
    def tool_results(self) -> list[dict[str, Any]]:
        """The tool results that the last message brings."""
        return [block['toolResult'] for block in self.last_content if 'toolResult' in block]

    @property
    def tools(self) -> dict[str, dict[str, Any]]:
        """The offered tools, by name: each a `toolSpec`."""
        specs = (structure(tool, 'toolSpec') for tool in structures(self.converse, 'toolConfig', 'tools'))
        return {spec['name']: spec for spec in specs if 'name' in spec}


@dataclass(frozen=True, kw_only=True)
class LocalBedrockStats:
    """Counts of an endpoint at one moment."""

    requests: int
    """Requests that have arrived."""
    in_flight: int
    """Requests under way."""
    max_in_flight: int
    """Most requests that were under way at once."""
    connections: int
    """Connections that were opened in total."""
    open_connections: int
    """Connections that are open."""
    streams_generating: int
    """Event streams that are being written."""
    admitted: int
    """Requests that quotas have let through."""
    throttled: int
    """Requests that quotas have refused; `LocalBedrock.throttles` has each of them."""
