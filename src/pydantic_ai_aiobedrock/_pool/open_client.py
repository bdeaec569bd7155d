"""Opens clients without holding up the event loop: in a thread of its own, where what they are made of is imported."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError

from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._config.engine import check_engine
from pydantic_ai_aiobedrock._in_thread import start_in_thread
from pydantic_ai_aiobedrock.errors import UnusableConfigurationError

if TYPE_CHECKING:
    from pydantic_ai_aiobedrock._client.client import Client


async def open_client(spec: ClientSpec) -> Client:
    """Open a client without holding up the running loop.

    botocore reads its service model, endpoint rules, configuration and credential files, and a TLS context its CA
    bundle, while a client is made: that happens in a thread of its own, with an event loop of its own. So it does with
    a session that the user brought; what that holds to refresh its credentials runs on the running loop, at a call.

    Raises:
        botocore.exceptions.BotoCoreError: The spec, or the AWS configuration that it names, is not usable.
        EngineMismatchError: The installed aiobotocore and botocore do not belong together.
    """
    try:
        return await start_in_thread(lambda: _open(spec))
    except (OSError, ValueError) as error:
        # botocore lets through what a file that is not there, or a number that is none, gives rise to.
        if isinstance(error, BotoCoreError):
            raise
        raise UnusableConfigurationError(reason=f'{type(error).__name__}: {error}') from error


def _open(spec: ClientSpec) -> Client:
    # Before the engine is imported, which fails for some releases that do not belong together.
    check_engine()
    # aiohttp and aiobotocore take longer to import than all of this package; a program that never calls pays nothing.
    from pydantic_ai_aiobedrock._client.client_factory import make_client

    # Debug mode would complain that a task takes long: that is what the thread is for.
    return asyncio.run(make_client(spec), debug=False)
