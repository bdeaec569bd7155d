"""Calls through botocore, whose code passes no options on to the transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_ai_aiobedrock._config.call_options import CallOptions, calling_with


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
