"""Opens clients without holding up the event loop: in a thread of its own, where their dependencies are imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from pydantic_ai_aiobedrock._client.credential_cache import CredentialCache
from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._config.engine import check_engine
from pydantic_ai_aiobedrock._core.in_thread import start_loop_in_thread
from pydantic_ai_aiobedrock.errors import EngineMismatchError, OpeningError

if TYPE_CHECKING:
    from pydantic_ai_aiobedrock._client.client import Client


async def open_client(spec: ClientSpec, cache: CredentialCache, begin: Callable[[str], None]) -> Client:
    """Open a client without holding up the running loop.

    botocore reads its service model, endpoint rules, configuration and credential files, and a TLS context its CA
    bundle, while a client is made: that happens in a thread of its own, with an event loop of its own. The same is true
    of a caller-supplied session, except that it refreshes its credentials on the running loop, at a call.

    Args:
        spec: The options of the client.
        cache: Credentials that were resolved before.
        begin: A function, called in the thread, that receives the name of each step before it begins.

    Raises:
        botocore.exceptions.BotoCoreError: The spec, or the AWS configuration that it names, is not usable.
        botocore.exceptions.ClientError: A service that issues credentials refused.
        EngineMismatchError: The installed aiobotocore and botocore do not belong together.
    """
    try:
        return await start_loop_in_thread(lambda: _make(spec, cache, begin))
    except (BotoCoreError, ClientError, EngineMismatchError):
        raise
    except Exception as error:
        # botocore lets any error of a missing file, a malformed number or a plugin pass.
        raise OpeningError(endpoint_url=spec.endpoint, reason=f'{type(error).__name__}: {error}') from error


async def _make(spec: ClientSpec, cache: CredentialCache, begin: Callable[[str], None]) -> Client:
    begin('loading aiobotocore')
    # Before the engine is imported, which fails for some releases that do not belong together.
    check_engine()
    # aiohttp and aiobotocore take longer to import than all of this package; a program that never calls pays nothing.
    from pydantic_ai_aiobedrock._client.client_factory import make_client

    return await make_client(spec, cache, begin)
