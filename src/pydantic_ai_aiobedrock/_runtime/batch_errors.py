"""The members of botocore's errors, and an addition to an error: the places of files and jobs that it has left."""

from __future__ import annotations

import logging
from typing import Any

from botocore.exceptions import ClientError

logger: logging.Logger = logging.getLogger('pydantic_ai_aiobedrock')


def error_code(error: ClientError) -> str:
    """Return the code of an error that AWS answered with."""
    response: Any = error.response
    return response.get('Error', {}).get('Code', '')


def error_status(error: ClientError) -> int:
    """Return the HTTP status of an error that AWS answered with, 500 if there is none."""
    response: Any = error.response
    return response.get('ResponseMetadata', {}).get('HTTPStatusCode', 500)


def say_also(error: BaseException, text: str) -> None:
    """Append a sentence to the message of an error; that of a cancellation, which nobody reads, is logged."""
    if not isinstance(error, Exception):
        logger.warning('A batch was cancelled: %s', text)
        error.add_note(text)
        return
    if isinstance(error, ClientError):
        response: Any = error.response
        response['Error']['Message'] = f'{response["Error"].get("Message", "")} {text}'
    error.args = (f'{error} {text}', *error.args[1:])
