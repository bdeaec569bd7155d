"""Sends one request by a leased client, and once more with new credentials where AWS refused the old ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from botocore.exceptions import ClientError, NoCredentialsError

from pydantic_ai_aiobedrock._config.call_options import on_own_behalf
from pydantic_ai_aiobedrock._config.identity import NotRenewedError
from pydantic_ai_aiobedrock._pool.loop_pool import Lease

_Response = TypeVar('_Response')


async def send(lease: Lease, operation: Callable[..., Awaitable[_Response]], params: dict[str, Any]) -> _Response:
    """Send a request, and once more when AWS refused the credentials and there are others."""
    token = on_own_behalf.set(True)
    try:
        return await _send(lease, operation, params)
    finally:
        on_own_behalf.reset(token)


async def _send(lease: Lease, operation: Callable[..., Awaitable[_Response]], params: dict[str, Any]) -> _Response:
    identity = lease.identity
    try:
        return await operation(**params)
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
        return await operation(**params)
    except ClientError as error:
        if identity.is_refused(error):
            explanation = f'The credentials are new ones from {identity.source}, asked for after others were refused.'
            raise _explained(error, explanation) from error
        raise


def _explained(error: ClientError, explanation: str) -> ClientError:
    response: Any = error.response
    message = f'{response["Error"]["Message"]} ({explanation})'
    described: Any = {**response, 'Error': {**response['Error'], 'Message': message}}
    return type(error)(described, error.operation_name)
