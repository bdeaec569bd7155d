"""BedrockProvider: arguments and environment to a `ClientSpec`, a pool and a `BedrockRuntime`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast, overload

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ProfileNotFound
from pydantic_ai.exceptions import UserError
from pydantic_ai.providers import Provider
from pydantic_ai.providers.bedrock import BedrockProvider as UpstreamProvider

from pydantic_ai_aiobedrock._config.arguments import api_key_of_environment, check_arguments, seconds, shown
from pydantic_ai_aiobedrock._config.call_options import Throttling
from pydantic_ai_aiobedrock._config.client_spec import Aioboto3Session, ApiKey, ClientSpec
from pydantic_ai_aiobedrock._config.endpoints import check_base_url, resolve_endpoint, resolve_region
from pydantic_ai_aiobedrock._pool.session_pool import SessionPool, shared_pool
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime
from pydantic_ai_aiobedrock._upstream import seam
from pydantic_ai_aiobedrock._upstream.error_mapping import map_api_errors
from pydantic_ai_aiobedrock.errors import UnusableConfigurationError

# Imported here, these would be most of the cost of a program that never calls; a program that passes them has them.
if TYPE_CHECKING:
    from aiobotocore.client import AioBaseClient
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession

    from pydantic_ai_aiobedrock._client.user_client import UserClient


class BedrockProvider(UpstreamProvider):
    """Provider of Amazon Bedrock over aioboto3 sessions.

    `pydantic_ai.providers.bedrock.BedrockProvider` with a client of coroutines. Providers with equal arguments
    share a signed client per event loop through their `SessionPool`.

    As an async context manager (`async with provider`, or `async with agent`) it opens the client on entering and, on
    leaving, closes it once no call uses it. Without a context, the client is closed when it has been idle, or when the
    event loop ends.

    See https://ai.pydantic.dev/api/providers/#pydantic_ai.providers.bedrock.
    """

    @overload
    def __init__(self, *, bedrock_client: AioBaseClient) -> None: ...

    @overload
    def __init__(
        self,
        *,
        region_name: str | None = None,
        profile_name: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        aws_read_timeout: float | None = None,
        aws_connect_timeout: float | None = None,
        session: Aioboto3Session | AioSession | None = None,
        config: AioConfig | None = None,
        pool: SessionPool | None = None,
        max_connections: int = 1000,
        throttling: Throttling = 'wait',
    ) -> None: ...

    def __init__(
        self,
        *,
        bedrock_client: AioBaseClient | None = None,
        region_name: str | None = None,
        profile_name: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        aws_read_timeout: float | None = None,
        aws_connect_timeout: float | None = None,
        session: Aioboto3Session | AioSession | None = None,
        config: AioConfig | None = None,
        pool: SessionPool | None = None,
        max_connections: int = 1000,
        throttling: Throttling = 'wait',
    ) -> None:
        """Make a provider. The AWS configuration file may be read for the region; no connection is opened.

        Args:
            bedrock_client: An aioboto3 or aiobotocore client for `bedrock-runtime` that you opened and will close; it
                is used as it is, and the other arguments are ignored.
            region_name: The AWS region; default: the config's, the session's, `AWS_DEFAULT_REGION`, or the profile's.
            profile_name: The profile of the AWS configuration files; default: `AWS_PROFILE`, or the default profile.
            aws_access_key_id: A static access key; default: botocore's chain of credential providers, which begins
                with `AWS_ACCESS_KEY_ID`.
            aws_secret_access_key: The secret of the access key.
            aws_session_token: The session token of temporary credentials.
            api_key: A Bedrock API key, used instead of signatures, or a function, sync or async, that returns the
                current key and is called again when it is refused; default: `AWS_BEARER_TOKEN_BEDROCK`. Like the parts
                of the access key, an empty str is like None.
            base_url: The endpoint; default: as configured (`AWS_ENDPOINT_URL_BEDROCK_RUNTIME`), or the region's.
            aws_read_timeout: Seconds between two reads from a connection; default: `AWS_READ_TIMEOUT`, or 300.
            aws_connect_timeout: Seconds to establish a connection; default: `AWS_CONNECT_TIMEOUT`, or 60.
            session: An aioboto3 or aiobotocore session to make clients of, with its own region and credentials.
            config: botocore options. They take precedence over the timeouts above and over the environment; the region
                and the endpoint are the arguments', if there are any, like in botocore.
            pool: The pool to lease clients from; default: a pool that all providers share.
            max_connections: Calls and streams in flight at most; more wait for a free connection.
            throttling: The reaction of calls while AWS throttles their model: `'wait'` for as long as other calls of it
                get through, or `'raise'` at once, for a `FallbackModel` to go on with another region or model. The
                setting `bedrock_throttling` of a request comes first.

        Raises:
            UserError: There is no region; the profile does not exist; an argument or a variable is not usable.
        """
        self._runtime: BedrockRuntime | UserClient
        self._entered: list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = []
        if bedrock_client is not None:
            self._runtime = as_async_client(bedrock_client)
            return
        _check_arguments(
            region_name=region_name,
            profile_name=profile_name,
            base_url=base_url,
            aws_access_key_id=aws_access_key_id,
            aws_secret_access_key=aws_secret_access_key,
            aws_session_token=aws_session_token,
            api_key=api_key,
            session=session,
            config=config,
            pool=pool,
            max_connections=max_connections,
            throttling=throttling,
        )
        # Like in boto3, and in upstream's provider.
        aws_access_key_id, aws_secret_access_key = aws_access_key_id or None, aws_secret_access_key or None
        aws_session_token, api_key = aws_session_token or None, api_key or None
        if (aws_access_key_id is None) != (aws_secret_access_key is None):
            missing = 'aws_secret_access_key' if aws_secret_access_key is None else 'aws_access_key_id'
            raise UserError(
                f'`{missing}` is missing: pass both parts of the access key to BedrockProvider, or neither.'
            )
        if api_key is not None and session is not None:
            raise UserError('Pass either `api_key` or `session` to BedrockProvider: a session signs by itself.')
        if profile_name is not None and session is not None:
            raise UserError(
                'Pass either `profile_name` or `session` to BedrockProvider: a session has its own profile.'
            )
        if aws_session_token is not None and aws_access_key_id is None:
            raise UserError('`aws_access_key_id` and `aws_secret_access_key` are missing beside `aws_session_token`.')
        try:
            if session is None:
                api_key = api_key or api_key_of_environment()
            read_timeout = seconds('aws_read_timeout', aws_read_timeout, 300)
            connect_timeout = seconds('aws_connect_timeout', aws_connect_timeout, 60)
            region_name = resolve_region(region_name, profile_name, session, config)
            endpoint_url = (
                check_base_url(base_url) if base_url else resolve_endpoint(region_name, profile_name, session, config)
            )
        except UnusableConfigurationError as error:
            raise UserError(str(error)) from None
        except ProfileNotFound as error:
            raise UserError(
                f'{error}. Name a profile of the AWS configuration files in `profile_name` or `AWS_PROFILE`.'
            ) from error
        except BotoCoreError as error:
            raise UserError(f'The AWS configuration is not usable: {error}') from error
        spec = ClientSpec(
            region_name=region_name,
            endpoint_url=base_url,
            profile_name=profile_name,
            aws_access_key_id=aws_access_key_id,
            aws_secret_access_key=aws_secret_access_key,
            aws_session_token=aws_session_token,
            api_key=api_key,
            read_timeout=read_timeout,
            connect_timeout=connect_timeout,
            max_connections=max_connections,
            session=session,
            config=config,
        )
        self._runtime = BedrockRuntime(pool or shared_pool, spec, endpoint_url, throttling)

    @property
    def base_url(self) -> str:
        """The endpoint, known without opening a client."""
        return self._runtime.meta.endpoint_url

    @property
    def client(self) -> BedrockRuntime | UserClient:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The client: `converse`, `converse_stream`, `count_tokens` and `invoke_model` as coroutines."""
        return self._runtime

    @client.setter
    def client(self, client: Any) -> None:
        """Replace the client for all models of this provider."""
        self._runtime = as_async_client(client)

    def __copy__(self) -> Self:
        """Return a provider of the same client; contexts that were entered stay with the original."""
        copy = self.__class__.__new__(self.__class__)
        vars(copy).update(self.__dict__, _entered=[])
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a provider of the same client: its connections cannot be copied."""
        return self.__copy__()

    def __getstate__(self) -> dict[str, Any]:
        """Return the arguments that make an equal provider in another process: never a secret.

        Region, timeouts and limits travel as they are here; credentials, an API key and an endpoint of the environment
        are read from the environment of the process that unpickles.

        Raises:
            TypeError: The provider was made with an argument that must not, or cannot, travel.
        """
        if not isinstance(self._runtime, BedrockRuntime):
            raise _not_picklable('bedrock_client')
        spec = self._runtime.spec
        arguments: dict[str, Any] = {
            'region_name': spec.region_name,
            'profile_name': spec.profile_name,
            'base_url': spec.endpoint_url,
            'aws_read_timeout': spec.read_timeout,
            'aws_connect_timeout': spec.connect_timeout,
            'config': spec.config,
            'max_connections': spec.max_connections,
            'throttling': self._runtime.throttling,
        }
        for name in ('aws_access_key_id', 'aws_secret_access_key', 'aws_session_token', 'session'):
            if getattr(spec, name) is not None:
                raise _not_picklable(name)
        if callable(spec.api_key):
            arguments['api_key'] = spec.api_key
        elif spec.api_key is not None and spec.api_key != dict(spec.environment).get('AWS_BEARER_TOKEN_BEDROCK'):
            raise _not_picklable('api_key')
        if self._runtime.pool is not shared_pool:
            raise _not_picklable('pool')
        # The URL of a proxy may have a password in it; that of an endpoint may not.
        if cast(Any, spec.config) is not None and cast(Any, spec.config).proxies:
            raise _not_picklable('config')
        return arguments

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the provider from the arguments that were pickled."""
        BedrockProvider.__init__(self, **state)

    async def warm_up(self, *, connections: int = 1) -> None:
        """Open the client of the running event loop and connections to Bedrock, and resolve the credentials.

        For the start of a server, right before traffic comes; see `BedrockRuntime.warm_up`. A `bedrock_client` is open
        already.

        Raises:
            ModelAPIError: The endpoint, or a service that issues credentials, failed or cannot be reached.
            UserError: The credentials or the configuration are not usable, or are missing.
        """
        if isinstance(self.client, BedrockRuntime):
            with map_api_errors('warm_up'):
                await self.client.warm_up(connections)

    async def __aenter__(self) -> Self:
        """Hold the client of this event loop open."""
        if isinstance(self.client, BedrockRuntime):
            end_of_hold = await self.client.pool.hold(self.client.spec)
            self._entered.append((asyncio.get_running_loop(), end_of_hold))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Let go of the client of this event loop: the last one to leave closes it."""
        running = asyncio.get_running_loop()
        for entered in reversed(self._entered):
            loop, end_of_hold = entered
            if loop is running:
                self._entered.remove(entered)
                end_of_hold()
                break


def _check_arguments(pool: object, **arguments: object) -> None:
    """Check the arguments of a provider, each by itself.

    Raises:
        UserError: Any of them is not usable.
    """
    if not isinstance(pool, SessionPool | None):
        raise UserError(f'`pool` of a BedrockProvider must be a SessionPool, not {shown(pool)}.')
    try:
        check_arguments(**arguments)
    except UnusableConfigurationError as error:
        raise UserError(str(error)) from None


def as_provider(provider: str | Provider[Any]) -> Provider[Any]:
    """Return the provider that a model was given, as an object or by name.

    Raises:
        UserError: The provider is not one, or its client is not asynchronous.
    """
    if provider == 'bedrock':
        return BedrockProvider()
    if provider in ('gateway', 'gateway/bedrock', 'gateway/converse'):
        return seam.gateway_provider(BedrockProvider)
    if isinstance(provider, str):
        raise UserError(f"`provider` must be 'bedrock', 'gateway' or a BedrockProvider, not {provider!r}.")
    if not isinstance(cast(object, provider), Provider):
        hint = '; pass a client to it, as its `bedrock_client`' if isinstance(provider, BaseClient) else ''
        raise UserError(f"`provider` must be 'bedrock', 'gateway' or a BedrockProvider, not {shown(provider)}{hint}.")
    if isinstance(provider, UpstreamProvider) and not isinstance(provider, BedrockProvider):
        if (ours := seam.through_gateway(provider, BedrockProvider)) is not None:
            return ours
        raise UserError(
            'The provider is one of pydantic_ai.providers.bedrock, whose boto3 client blocks the event loop: use '
            'pydantic_ai_aiobedrock.BedrockProvider, which takes the same arguments.'
        )
    return provider


def check_model_name(model_name: str) -> None:
    """Check that the name of a model is text, without the prefix of a provider.

    Raises:
        UserError: It is not.
    """
    if not isinstance(cast(object, model_name), str):
        raise UserError(f'`model_name` must be the id of a model, not {shown(model_name)}.')
    prefix, _, name = model_name.partition(':')
    if prefix == 'bedrock':
        raise UserError(
            f'Pass the model id without the prefix: {name!r}. {model_name!r} is a name for `Agent` and `infer_model`, '
            "which make a model of pydantic_ai from it, on boto3's client."
        )


def as_async_client(client: Any) -> BedrockRuntime | UserClient:
    """Return a client to send by: a runtime of this package as it is, a client of aioboto3 wrapped.

    Raises:
        UserError: It is a client of boto3, or no client at all.
    """
    if isinstance(client, BedrockRuntime):
        return client
    from aiobotocore.client import AioBaseClient

    from pydantic_ai_aiobedrock._client.user_client import UserClient

    match client:
        case UserClient():
            return client
        case AioBaseClient():
            return UserClient(client)
        case BaseClient():
            raise UserError(
                'The `bedrock_client` is a boto3 client, which blocks the event loop. Leave it out, pass an aioboto3 '
                'or aiobotocore client, entered with `async with`, or use BedrockConverseModel and BedrockProvider of '
                'pydantic_ai for boto3 clients.'
            )
        case _:
            raise UserError(
                f'The `bedrock_client` must be an open aioboto3 or aiobotocore client, not {type(client).__name__}: '
                'enter it with `async with`, and pass the client that this returns.'
            )


def _not_picklable(argument: str) -> TypeError:
    return TypeError(
        f'A BedrockProvider with `{argument}` cannot be pickled: secrets and open clients stay in their process. Make '
        'the provider in the process that uses it, or leave the argument out and let each process find its credentials '
        '(environment, profile, role).'
    )
