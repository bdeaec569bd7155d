"""BedrockRuntime: Bedrock's Converse, ConverseStream, CountTokens and InvokeModel as coroutines on pooled clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from pydantic_ai_aiobedrock._config.arguments import is_count
from pydantic_ai_aiobedrock._config.call_options import NO_OPTIONS, PACED, CallOptions, Throttling
from pydantic_ai_aiobedrock._config.client_spec import ClientSpec
from pydantic_ai_aiobedrock._core import telemetry
from pydantic_ai_aiobedrock._core.awaited import awaited
from pydantic_ai_aiobedrock._pool.session_pool import SessionPool
from pydantic_ai_aiobedrock._runtime.paced_call import PacedCall, Request
from pydantic_ai_aiobedrock._runtime.pacer import Pacer
from pydantic_ai_aiobedrock._runtime.streamed_call import StreamedCall
from pydantic_ai_aiobedrock._runtime.token_quota import used_tokens
from pydantic_ai_aiobedrock.errors import AsyncClientError

if TYPE_CHECKING:
    from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream


Operation = Literal['converse', 'converse_stream', 'count_tokens', 'invoke_model']

_FAMILIES: Final = {'converse': 'chat', 'converse_stream': 'chat'}
"""Operations by the names of OpenTelemetry's conventions for generative AI, if they have any."""


@dataclass(frozen=True)
class RuntimeMeta:
    """Properties of a client that are known without opening it, named like botocore's `client.meta`."""

    endpoint_url: str
    region_name: str

    @property
    def events(self) -> NoReturn:
        """Not available: a client of botocore stands behind each event loop, and none before the first call.

        Raises:
            AsyncClientError: Always; the message names the way to botocore's events.
        """
        raise AsyncClientError(
            'The client of a pydantic_ai_aiobedrock.BedrockProvider has no `meta.events`. As the model of such a '
            'provider, use pydantic_ai_aiobedrock.BedrockConverseModel: the model of pydantic_ai.models.bedrock calls '
            'a boto3 client. To handle botocore events, register the handlers on an aiobotocore session '
            '(`AioSession().register(...)`), and pass it to the provider as `session`.'
        )


class BedrockRuntime:
    """Bedrock Runtime's operations as coroutines, with the parameters and responses of boto3's client.

    Every call leases a client from the pool, so a runtime serves any number of calls, event loops and threads.
    Request members that the installed botocore does not know are sent as they are.

    See https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html.
    """

    def __init__(self, pool: SessionPool, spec: ClientSpec, endpoint_url: str, throttling: Throttling = 'wait') -> None:
        """Make a runtime; nothing is opened.

        Args:
            pool: The pool to lease clients from.
            spec: The recipe of the clients.
            endpoint_url: The endpoint that they send to.
            throttling: The reaction of calls while AWS throttles their model: wait for as long as other calls of it
                get through, or raise at once.
        """
        self.throttling: Throttling = throttling
        self.pool = pool
        self.spec = spec
        self.meta: RuntimeMeta = RuntimeMeta(endpoint_url, spec.region_name)

    def __repr__(self) -> str:
        return f'<BedrockRuntime {self.meta.endpoint_url} ({self.meta.region_name})>'

    async def call(
        self, operation: Operation, params: Mapping[str, Any], options: CallOptions = NO_OPTIONS
    ) -> dict[str, Any]:
        """Send a request, with options of this call alone.

        Args:
            operation: The operation, by the name of its method here.
            params: The parameters of the operation.
            options: The timeouts, headers and attempts of this call.

        Returns:
            The response of the operation: see its method.

        Raises:
            botocore.exceptions.ClientError: AWS answered with an error.
            botocore.exceptions.BotoCoreError: The request could not be signed or sent, or was not answered.
            PoolClosedError: The pool is closed.
        """
        family = _FAMILIES.get(operation, operation)
        with telemetry.Operation(family, params, self.meta.endpoint_url) as measured:
            # Below, a throttled attempt ends the call, even if the caller waits for another.
            options = PACED if options is NO_OPTIONS else replace(options, paced=True)
            request = Request(self.pool, self.spec, operation, params, options, measured)
            call = PacedCall(await self._pacer(family, params, options))
            try:
                response: dict[str, Any] = await call.send(request)
                if operation == 'invoke_model':
                    # Imported with the client that sent this.
                    from pydantic_ai_aiobedrock._client.bodies import read_body

                    response = {**response, 'body': await read_body(response['body'], self.meta.endpoint_url)}
                if operation == 'converse_stream':
                    stream: ConverseEventStream = response['stream']
                    stream.own(StreamedCall(call, request, stream.progress))
                else:
                    call.finished(used_tokens(response))
            except BaseException:
                call.release()
                raise
            return response

    @awaited
    async def converse(self, **params: Any) -> dict[str, Any]:
        """Send messages to a model: `modelId`, `messages`, and the other members of a Converse request.

        Returns:
            The members of the Converse response, and `ResponseMetadata`.

        Raises:
            Exception: Like `call`.
        """
        return await self.call('converse', params)

    @awaited
    async def converse_stream(self, **params: Any) -> dict[str, Any]:
        """Send messages to a model, like `converse`, and stream its answer.

        Returns:
            `stream`, a `ConverseEventStream` to be read to its end or closed, and `ResponseMetadata`.

        Raises:
            Exception: Like `call`.
        """
        return await self.call('converse_stream', params)

    @awaited
    async def count_tokens(self, **params: Any) -> dict[str, Any]:
        """Count the tokens of a request, without sending it to the model: `modelId` and `input`.

        Returns:
            `inputTokens`, and `ResponseMetadata`.

        Raises:
            Exception: Like `call`.
        """
        return await self.call('count_tokens', params)

    @awaited
    async def invoke_model(self, **params: Any) -> dict[str, Any]:
        """Invoke a model with a body in the model's own format: `modelId`, `body`, `contentType`, `accept`.

        Returns:
            `body`, read whole, as an `io.BytesIO`; `contentType`, and `ResponseMetadata`.

        Raises:
            Exception: Like `call`.
        """
        return await self.call('invoke_model', params)

    async def warm_up(self, connections: int = 1) -> None:
        """Open the client of the running event loop and connections to the endpoint, and resolve the credentials.

        The client stays open as if it had been used. Connections that nobody uses are closed after 12 s, for Bedrock
        closes them after some 20 s.

        Args:
            connections: How many to have open; no more than `max_connections` are opened.

        Raises:
            ValueError: `connections` is not a positive whole number.
            botocore.exceptions.BotoCoreError: The spec is not usable, or the endpoint can't be reached.
            PoolClosedError: The pool is closed.
        """
        if not is_count(connections):
            raise ValueError(f'`connections` must be a positive whole number, not {connections!r}.')
        with await self.pool.lease(self.spec) as lease:
            await lease.client.authenticate()
            await lease.client.connect(min(connections, self.spec.max_connections), self.meta.endpoint_url)

    async def _pacer(self, family: str, params: Mapping[str, Any], options: CallOptions) -> Pacer | None:
        if (options.throttling or self.throttling) != 'wait':
            return None
        model = str(params.get('modelId'))
        return await self.pool.pacer((self.spec, family, model), partial(Pacer, family, model, self.spec.region_name))
