"""Calls through botocore, whose code passes no options on to the transport."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from pydantic_ai_aiobedrock._config.call_options import CallOptions, call_options, calling_with


async def call_botocore(client: Any, operation: str, params: Mapping[str, Any], options: CallOptions) -> dict[str, Any]:
    """Call an operation of an aiobotocore client with the options of this call.

    Args:
        client: The client.
        operation: The client's method, such as `converse`.
        params: The parameters of the operation.
        options: The timeouts and headers of the call.
    """
    with calling_with(options):
        return await getattr(client, operation)(**params)


def add_extra_headers(params: MutableMapping[str, Any], **_: object) -> None:
    """Add the call's extra headers to a request that is about to be signed: a handler of botocore's `before-call`."""
    if extra_headers := call_options.get().extra_headers:
        headers: MutableMapping[str, str] = params['headers']
        for name, value in extra_headers.items():
            for existing in [key for key in headers if key.lower() == name.lower()]:
                del headers[existing]
            headers[name] = value
