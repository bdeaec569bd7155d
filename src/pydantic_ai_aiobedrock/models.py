"""BedrockConverseModel: upstream's mapping of messages to Converse, sent over aioboto3 sessions."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, cast

from pydantic_ai.exceptions import ModelAPIError, UserError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.models.bedrock import BedrockConverseModel as UpstreamConverseModel
from pydantic_ai.models.bedrock import BedrockModelName
from pydantic_ai.profiles import ModelProfileSpec
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import RequestUsage

from pydantic_ai_aiobedrock._config.arguments import NOT_IN_HEADERS, shown
from pydantic_ai_aiobedrock._config.call_options import CallOptions, call_options, calling_with
from pydantic_ai_aiobedrock._config.conversation import conversations
from pydantic_ai_aiobedrock._core.turns import turns
from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime
from pydantic_ai_aiobedrock._upstream import batch_records, claude_batches, seam
from pydantic_ai_aiobedrock._upstream.batch_inference import InvocationType, check_batch_inference
from pydantic_ai_aiobedrock._upstream.error_mapping import map_api_errors, map_shape_errors
from pydantic_ai_aiobedrock._upstream.tool_schemas import AdaptedSchemas
from pydantic_ai_aiobedrock._wire.converse import decode_response, encode_request
from pydantic_ai_aiobedrock.batches import BatchInference, RunsBatches
from pydantic_ai_aiobedrock.providers import BedrockProvider, as_async_client, as_provider, check_model_name
from pydantic_ai_aiobedrock.streaming import BedrockStreamedResponse

if TYPE_CHECKING:
    from pydantic_ai.models.batch import BatchRequest, BatchResult, EncodedBatchRequest

    from pydantic_ai_aiobedrock._client.user_client import UserClient

_schemas = AdaptedSchemas()

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# Timeouts of 0 and None stand for something else further down.
_AT_ONCE, _NEVER = 0.001, 366 * 86_400.0


async def call_bedrock(
    client: BedrockRuntime | UserClient,
    method: Callable[..., object],
    params: Mapping[str, Any],
    extra_headers: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Send a request on the event loop, instead of upstream's worker thread."""
    operation: Any = method.__name__
    options = call_options.get()
    if extra_headers:
        _check_headers(extra_headers)
        options = replace(options, extra_headers=extra_headers)
    return await client.call(operation, params, options)


if TYPE_CHECKING:
    _Rebuilt = UpstreamConverseModel
else:
    _Rebuilt = seam.rebuilt(
        UpstreamConverseModel,
        {
            '_call_bedrock': call_bedrock,
            '_map_api_errors': map_api_errors,
            'BedrockStreamedResponse': BedrockStreamedResponse,
        },
    )


class BedrockConverseModel(RunsBatches, seam.ConverseOverrides, _Rebuilt):
    """A model of Amazon Bedrock's Converse API that never leaves the event loop.

    `pydantic_ai.models.bedrock.BedrockConverseModel` over aioboto3 sessions. Every member that upstream can send is
    sent, however old the installed botocore is. `timeout` and `max_retries` of `ModelSettings`, which upstream's model
    ignores, are honoured.

    See https://ai.pydantic.dev/models/bedrock/ and
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.
    """

    unsupported_settings: ClassVar[frozenset[Any]] = (
        getattr(UpstreamConverseModel, 'unsupported_settings', frozenset[Any]()) - seam.HONOURED_SETTINGS
    )

    def __init__(
        self,
        model_name: BedrockModelName,
        *,
        provider: Literal['bedrock', 'gateway'] | BedrockProvider = 'bedrock',
        profile: ModelProfileSpec | None = None,
        settings: ModelSettings | None = None,
        batch_inference: BatchInference | None = None,
    ) -> None:
        """Make a model; nothing is opened or sent.

        Args:
            model_name: A model id, inference profile id, or ARN; see
                https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html.
            provider: The provider that authenticates and sends: a `BedrockProvider` of this package, `'bedrock'` to
                make it from the environment, or `'gateway'` for the Pydantic AI Gateway.
            profile: The model profile, or None for the provider's choice by the model's name.
            settings: Settings that are the defaults of every request.
            batch_inference: Where Bedrock's batch inference has its files, for Pydantic AI's batches; without it, the
                model has none.

        Raises:
            UserError: `model_name` begins with `bedrock:`; the provider is not of this package, or has no region;
                `profile` or `settings` is of another type; the installed Pydantic AI has no batches yet, or the
                provider can't open their files.
        """
        check_model_name(model_name)
        _check_dict('settings', settings)
        if not callable(profile):
            _check_dict('profile', profile)
        check_batch_inference(batch_inference)
        if batch_inference is not None:
            seam.batch_types()
        self._batch_inference = batch_inference
        self._batch_failures = batch_records.Failures()
        super().__init__(model_name, provider=as_provider(provider), profile=profile, settings=settings)
        if batch_inference is not None:
            # Rather now than when the batch is full.
            self.batch_identity()

    @property
    def client(self) -> BedrockRuntime | UserClient:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The client that sends the requests: the provider's, unless another was assigned here."""
        return cast(Any, super()).client

    @client.setter
    def client(self, client: Any) -> None:
        cast(Any, UpstreamConverseModel.client).fset(self, as_async_client(client))

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Send a request and wait for its answer.

        Raises:
            ModelAPIError: AWS or the network failed.
            UserError: The credentials, the configuration or the request are not usable as they are.
        """
        # Mapping the messages of hundreds of requests in a single turn of the loop would hold it up.
        await turns().requests.take()
        return await super().request(messages, model_settings, model_request_parameters)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Send a request and stream its answer; on exit, the stream is closed.

        Raises:
            ModelAPIError: AWS or the network failed, before the stream or in the middle of it.
            UserError: The credentials, the configuration or the request are not usable as they are.
        """
        await turns().requests.take()
        async with super().request_stream(messages, model_settings, model_request_parameters, run_context) as stream:
            try:
                yield stream
            finally:
                # Releases of pydantic-ai before 2.60 leave this to the reader of the stream.
                await stream.close_stream()

    def customize_request_parameters(self, model_request_parameters: ModelRequestParameters) -> ModelRequestParameters:
        """Adapt the tools' JSON schemas to the model, each of them once."""
        if (transformer := self.profile.get('json_schema_transformer')) is None:
            return super().customize_request_parameters(model_request_parameters)
        return _schemas.customize(model_request_parameters, transformer, super().customize_request_parameters)

    async def count_tokens(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> RequestUsage:
        """Count the tokens of a request, which is not sent to the model.

        See https://docs.aws.amazon.com/bedrock/latest/userguide/count-tokens.html for the models that can be asked.

        Raises:
            ModelAPIError: AWS or the network failed.
            UserError: The credentials, the configuration or the request are not usable as they are.
        """
        with self.sending(merge_model_settings(self.settings, model_settings)):
            return await super().count_tokens(messages, model_settings, model_request_parameters)

    async def batch_encode(self, request: BatchRequest) -> EncodedBatchRequest:
        """Map a request of a batch to the Converse request that would be sent by itself.

        With tools, which AWS refuses in jobs of Converse requests, a request to Claude becomes an InvokeModel request
        that asks the same. Requests of the two kinds are not in one job.

        Raises:
            UserError: The request has parts that batch inference does not take (tools for another model than Claude,
                extra headers, a timeout), or a value that JSON cannot carry.
        """
        given, parameters = self.prepare_request(request.model_settings, request.model_request_parameters)
        settings: dict[str, Any] = dict(given or {})
        for name in ('extra_headers', 'timeout'):
            if settings.get(name) is not None:
                raise UserError(f'Batch inference does not take `{name}`: it cannot be set per request in a batch job.')
        params = await seam.converse_params(self, request.messages, settings, parameters)
        with self.mapping_errors():
            body = encode_request(params)
        invocation_type: InvocationType = 'Converse'
        if 'toolConfig' in params:
            invocation_type, body = 'InvokeModel', claude_batches.invoke_model_body(self.model_name, body)
        return batch_records.encoded_type()(
            custom_id=request.custom_id,
            group=self.batch_group(params['modelId'], invocation_type),
            body=body.decode(),
            earlier=self._batch_failures.of(request),
        )

    def batch_decode(self, result: BatchResult, request: BatchRequest) -> ModelResponse:
        """Map a result of a batch to the response that the request would have had by itself.

        Raises:
            ModelAPIError: The request failed, as it would have by itself, or was not run.
        """
        try:
            return self._decoded(result)
        except ModelAPIError as error:
            if seam.batch_is_resubmitted(result, error):
                self._batch_failures.remember(request, result)
            raise

    def _decoded(self, result: BatchResult) -> ModelResponse:
        if result.status in ('canceled', 'expired'):
            raise seam.batch_unrun_error(self.model_name, result)
        body = (result.body or '{}').encode()
        with self.processing(), self.mapping_errors():
            if result.status == 'errored':
                batch_records.raise_error(self.model_name, body)
            decoded = decode_response(claude_batches.converse_body(body))
            live = decoded.pop(batch_records.LIVE, False)
            response = seam.process_response(self, decoded)
            return response if live else seam.batch_priced(response)

    def mapping_errors(self) -> AbstractContextManager[None]:
        """Map the errors of AWS and of the network."""
        return map_api_errors(self.model_name)

    @property
    def sends_any_member(self) -> bool:
        """True if this package encodes the requests, so that the installed botocore may be of any age."""
        return isinstance(self.client, BedrockRuntime)

    def processing(self) -> AbstractContextManager[None]:
        """Map the errors that upstream raises for a response that is not of Converse."""
        return map_shape_errors(self.model_name)

    def sending(
        self, settings: ModelSettings | None, messages: Sequence[ModelMessage] = ()
    ) -> AbstractContextManager[None]:
        """Send with the timeouts and attempts of the settings, and encode onward from the last request."""
        client = self.client
        if not isinstance(client, BedrockRuntime):
            return nullcontext()
        options: dict[str, Any] = {}
        if (conversation := conversations.of(messages)) is not None:
            options['conversation'] = conversation
        if settings:
            options |= _options(settings, client)
        return calling_with(CallOptions(**options)) if options else nullcontext()


def _check_dict(name: str, value: object) -> None:
    if not isinstance(value, Mapping | None):
        raise UserError(f'`{name}` of a BedrockConverseModel must be a dict, not {shown(value)}.')


def _options(settings: ModelSettings, client: BedrockRuntime) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if (max_retries := settings.get('max_retries')) is not None:
        options['max_attempts'] = _attempts(max_retries)
    if (throttling := settings.get('bedrock_throttling')) is not None:
        if throttling not in ('wait', 'raise'):
            raise UserError(f"`bedrock_throttling` must be 'wait' or 'raise', not {throttling!r}.")
        options['throttling'] = throttling
    if (timeout := settings.get('timeout')) is not None:
        options |= _timeouts(timeout, client)
    return options


def _check_headers(headers: Mapping[Any, Any]) -> None:
    if not isinstance(cast(object, headers), Mapping):
        # Their value may be a secret.
        raise UserError(f'`extra_headers` must be a dict of names and values, not {type(headers).__name__}.')
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise UserError(f'`extra_headers` has {name!r}, which is not the name of an HTTP header.')
        # The value may be a secret.
        if not isinstance(value, str):
            raise UserError(f'The value of `{name}` in `extra_headers` must be a str, not {type(value).__name__}.')
        if found := NOT_IN_HEADERS.search(value):
            raise UserError(
                f'The value of `{name}` in `extra_headers` contains {found[0]!r}: line breaks and control characters '
                'cannot be sent in a header.'
            )


def _attempts(max_retries: Any) -> int:
    if not isinstance(max_retries, int) or max_retries < 0:
        raise UserError(f'`max_retries` must be a number of retries, 0 or more, not {max_retries!r}.')
    return 1 + max_retries


def _timeouts(timeout: Any, client: BedrockRuntime) -> dict[str, float | None]:
    """Return the timeouts of a call: connecting, reading, writing, and waiting for a free connection."""
    try:
        scalar = isinstance(timeout, int | float)
        phases = [timeout] * 4 if scalar else [timeout.connect, timeout.read, timeout.pool, timeout.write]
        pool: float | None
        connect, read, pool, write = (_NEVER if phase is None else max(float(phase), _AT_ONCE) for phase in phases)
    except (AttributeError, TypeError, ValueError):
        raise UserError(f'`timeout` must be a number of seconds or an `httpx.Timeout`, not {timeout!r}.') from None
    if any(phase is not None and not phase >= 0 for phase in phases):
        raise UserError(f'`timeout` must be of 0 seconds or more, not {timeout!r}.')
    if len(set(phases)) == 1:
        # A long wait for an answer is no wish for a long wait for a connection, like with pydantic-ai's own clients,
        # nor a wish to give up while a queue moves.
        connect = min(connect, client.spec.connect_timeout)
        pool = pool if pool < client.pool.pool_timeout else None
    return {'connect_timeout': connect, 'read_timeout': read, 'write_timeout': write, 'pool_timeout': pool}
