"""Sends a request with a leased client, and again with new credentials if AWS refused the old ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError, NoCredentialsError

from pydantic_ai_aiobedrock._config.call_options import NO_OPTIONS, CallOptions
from pydantic_ai_aiobedrock._config.client_spec import NotRenewedError
from pydantic_ai_aiobedrock._pool.loop_pool import Lease


async def send(
    lease: Lease, operation: str, params: Mapping[str, Any], options: CallOptions = NO_OPTIONS
) -> dict[str, Any]:
    """Send a request, and once more if AWS refused the credentials and there are others."""
    client = lease.client
    identity = client.identity
    try:
        return await client.call(operation, params, options)
    except NoCredentialsError:
        # There may be some by the next call.
        lease.retire()
        raise
    except ClientError as error:
        if identity is None or not identity.is_refused(error):
            raise
        try:
            await identity.renew()
        except NotRenewedError as reason:
            raise _explained(error, f'{reason}.') from error
    try:
        return await client.call(operation, params, options)
    except ClientError as error:
        if identity.is_refused(error):
            explanation = f'The credentials are new ones from {identity.source}, resolved after others were refused.'
            raise _explained(error, explanation) from error
        raise


def _explained(error: ClientError, explanation: str) -> ClientError:
    response: Any = error.response
    message = f'{response["Error"]["Message"]} ({explanation})'
    described: Any = {**response, 'Error': {**response['Error'], 'Message': message}}
    return type(error)(described, error.operation_name)
