"""The seam: every private name of pydantic-ai that this package uses, and how it is used.

pydantic-ai's Bedrock module is a mapping (messages to Converse and back) and a transport (boto3 in worker threads). The
mapping is used as it stands; its methods reach their transport through a few module-level names, the *collaborators*
below. `rebuilt` returns a subclass whose methods are the very same code looking those names up elsewhere, so nothing of
upstream's is copied, and nobody else's `pydantic_ai.models.bedrock` is patched.

No other module of this package touches a private name of pydantic-ai.
"""

from __future__ import annotations

import builtins
import inspect
import re
import sys
import types
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from pydantic_ai.embeddings import bedrock as embeddings
from pydantic_ai.exceptions import ModelAPIError, UserError
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.models import bedrock as models
from pydantic_ai.providers import Provider, gateway
from pydantic_ai.providers import bedrock as providers

from pydantic_ai_aiobedrock._core.turns import turns

SUPPORTED = '>=2.33.0,<3'
"""The releases of pydantic-ai-slim whose seam is known; the same range stands in pyproject.toml."""

MODEL_COLLABORATORS = ('_call_bedrock', '_map_api_errors', 'BedrockStreamedResponse')
"""Names through which the methods of upstream's `BedrockConverseModel` reach their transport.

- `_call_bedrock(client, method, params, extra_headers)` sends one request: from a worker thread upstream.
- `_map_api_errors(model_name, model_id_namespace)` turns botocore's exceptions into pydantic-ai's.
- `BedrockStreamedResponse` is yielded by `request_stream`.
"""

STREAM_COLLABORATORS = ('_AsyncIteratorWrapper', '_map_api_errors')
"""Names through which the methods of upstream's `BedrockStreamedResponse` reach their transport.

- `_AsyncIteratorWrapper(event_stream)` yields the events: each from a worker thread upstream.
"""

EMBEDDING_COLLABORATORS = ('anyio',)
"""Name through which `BedrockEmbeddingModel._invoke_model` reaches its transport: `anyio.to_thread.run_sync(call)`."""

BATCH_COLLABORATORS = ('BatchJobError', 'batch_priced', 'unrun_error')
"""Names with which upstream's own models make the outcomes of batches."""

BATCH_QUESTIONS = ('_batch_credential', '_batch_unlisted_status', '_no_batch_api_message')
"""Upstream's questions to a model about its batches, which `ConverseOverrides` answers."""

MEMBERS = {
    models.BedrockConverseModel: (
        '_messages_create',
        '_process_response',
        '_botocore_supports_strict_tool_param',
    ),
    models.BedrockStreamedResponse: ('_get_event_iterator',),
    embeddings.BedrockEmbeddingModel: ('_invoke_model', '_embed_concurrent'),
}
"""Members that the classes below override, or that must be among the rebuilt ones."""

HONOURED_SETTINGS = frozenset({'timeout', 'max_retries'})
"""Settings that upstream's Bedrock model ignores, and a client of this package honours."""

BATCHES_SINCE = '2.62'
"""The release of pydantic-ai-slim from which on models have batches."""

_T = TypeVar('_T')
_Provider = TypeVar('_Provider', bound=Provider[Any])


def rebuilt(
    base: type[_T], collaborators: Mapping[str, object], wrappers: Mapping[str, Callable[[Any], Any]] | None = None
) -> type[_T]:
    """Return a subclass of `base` whose methods look `collaborators` up before their own module's names.

    Every function of `base` that mentions any of the names is built again over other globals; the rest is inherited.

    Args:
        base: A class of upstream's.
        collaborators: The names to replace, and their replacements.
        wrappers: Functions that make another method of a method, by its name; default: none.

    Raises:
        ImportError: A name is not there, or no method uses it: this pydantic-ai has moved its seam.
    """
    namespace: dict[str, object] = {}
    used: set[str] = set()
    for name, attribute in vars(base).items():
        # pydantic-ai wraps some methods when the class is made, and does so again for the class made here.
        function = inspect.unwrap(attribute) if inspect.isfunction(attribute) else None
        if function is None or not (mentioned := collaborators.keys() & set(_names(function.__code__))):
            continue
        used |= mentioned
        copy = _looking_up(function, collaborators)
        is_context_manager = function is not attribute and inspect.isasyncgenfunction(function)
        namespace[name] = asynccontextmanager(copy) if is_context_manager else copy
    if missing := sorted(collaborators.keys() - used):
        raise _seam_moved(base, missing)
    for name, wrap in (wrappers or {}).items():
        namespace[name] = wrap(namespace.get(name) or getattr(base, name))
    return types.new_class(base.__name__, (base,), exec_body=lambda body: body.update(namespace))


def _looking_up(function: types.FunctionType, names: Mapping[str, object]) -> types.FunctionType:
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__annotations__ = function.__annotations__
    copy.__qualname__ = function.__qualname__
    copy.__doc__ = function.__doc__
    return copy


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _seam_moved(place: object, missing: list[str]) -> ImportError:
    installed = version('pydantic-ai-slim')
    where = getattr(place, '__qualname__', getattr(place, '__name__', repr(place)))
    return ImportError(
        f'pydantic-ai-slim {installed} no longer has {", ".join(missing)} in {where}, which pydantic-ai-aiobedrock '
        f'builds on: install a pydantic-ai-slim that it knows (pydantic-ai-slim{SUPPORTED}) or a newer '
        f'pydantic-ai-aiobedrock.'
    )


def check() -> None:
    """Raise `ImportError`, in a sentence, if the installed pydantic-ai lacks a name that the package builds on."""
    for module, names in (
        (models, dict.fromkeys((*MODEL_COLLABORATORS, *STREAM_COLLABORATORS))),
        (embeddings, EMBEDDING_COLLABORATORS),
        (providers, ('BedrockProvider',)),
        (gateway, ('gateway_provider', 'is_gateway_provider', '_gateway_providers')),
    ):
        if missing := [name for name in names if not hasattr(module, name)]:
            raise _seam_moved(module, missing)
    for cls, names in MEMBERS.items():
        # A base class may declare the members to override.
        if missing := [name for name in names if name not in vars(cls)]:
            raise _seam_moved(cls, missing)


def map_api_errors(model_name: str, *args: Any, **kwargs: Any) -> AbstractContextManager[None]:
    """Return upstream's own mapping of botocore's exceptions."""
    return models._map_api_errors(model_name, *args, **kwargs)  # pyright: ignore[reportPrivateUsage]


def gateway_provider(make: Callable[..., _Provider]) -> _Provider:
    """Return the provider of `gateway_provider('bedrock')`, made by `make` instead of upstream's `BedrockProvider`.

    The class is imported by the function itself, when it is called, so the import is replaced.
    """

    def replacing_import(name: str, *args: Any, **kwargs: Any) -> Any:
        module = __import__(name, *args, **kwargs)
        return types.SimpleNamespace(BedrockProvider=make) if module is providers else module

    function: types.FunctionType = cast(Any, gateway).gateway_provider
    return _looking_up(function, {'__builtins__': {**vars(builtins), '__import__': replacing_import}})('bedrock')


def through_gateway(provider: Provider[Any], make: Callable[..., _Provider]) -> _Provider | None:
    """Return a provider made by `make` that equals a provider of `gateway_provider('bedrock', ...)`.

    `None` for a provider that leads elsewhere.
    """
    if not gateway.is_gateway_provider(provider):
        return None
    client: Any = provider.client
    made = make(
        api_key=client._request_signer._auth_token.token,
        base_url=provider.base_url,
        region_name=client.meta.region_name,
    )
    made._model_id_namespace = provider.model_id_namespace  # pyright: ignore[reportPrivateUsage]
    gateway._gateway_providers.add(made)  # pyright: ignore[reportPrivateUsage]
    return made


def event_stream(response: models.BedrockStreamedResponse) -> Any:
    """Return the `stream` of the ConverseStream response that a streamed response was made of."""
    return cast(Any, response)._event_stream


def _deltas_first(map_chunk: Callable[[Any, dict[str, Any]], Iterator[Any]]) -> Any:
    """Nearly all events are deltas, which upstream looks for after all the others."""

    def _map_chunk(self: Any, chunk: dict[str, Any]) -> Iterator[Any]:
        if (delta := chunk.get('contentBlockDelta')) is not None:
            return self._map_content_block_delta(delta)
        return map_chunk(self, chunk)

    return _map_chunk


def _in_context(invoke_model: Callable[..., Any]) -> Any:
    """Run each call, its errors mapped by upstream, in the context that `invoking` of the model returns."""

    async def _invoke_model(self: Any, body: dict[str, Any], settings: Any) -> tuple[dict[str, Any], int]:
        with self.invoking():
            return await invoke_model(self, body, settings)

    return _invoke_model


# Releases before 2.68 map each event in a single function; nothing can be gained there.
_MAPS_DELTAS = hasattr(models.BedrockStreamedResponse, '_map_content_block_delta')
STREAM_WRAPPERS: Mapping[str, Callable[[Any], Any]] = {'_map_chunk': _deltas_first} if _MAPS_DELTAS else {}
EMBEDDING_WRAPPERS: Mapping[str, Callable[[Any], Any]] = {'_invoke_model': _in_context}


class ConverseOverrides:
    """Mixin of a model: upstream's private methods, answered by public ones of the class that it is mixed into.

    Requests and responses are in contexts of ours, every member is sent, all settings are honoured, and pydantic-ai's
    questions about batches are answered.
    """

    @property
    def sends_any_member(self) -> bool:
        """True if the model's client is of this package: it sends members that botocore does not know."""
        raise NotImplementedError

    def sending(self, settings: Any, messages: Any) -> AbstractContextManager[None]:
        """Return the context of a request, made of its settings and messages."""
        raise NotImplementedError

    def processing(self) -> AbstractContextManager[None]:
        """Return the context in which upstream maps a response."""
        raise NotImplementedError

    def batch_identity(self) -> str:
        """Return an identity shared by models that may look after each other's batches."""
        raise NotImplementedError

    def batch_refusal(self) -> str | None:
        """Return why the model has no batches, if it has none."""
        raise NotImplementedError

    def batch_unlisted(self, batch: Any) -> Any:
        """Return the status of the requests that an ended batch has no result for."""
        raise NotImplementedError

    async def _messages_create(
        self, messages: Any, stream: Any, model_settings: Any, model_request_parameters: Any
    ) -> Any:
        with self.sending(model_settings, messages):
            return await cast(Any, super())._messages_create(messages, stream, model_settings, model_request_parameters)

    async def _process_response(self, response: Any) -> Any:
        with self.processing():
            return await cast(Any, super())._process_response(response)

    @asynccontextmanager
    async def _run_scope(self) -> AsyncGenerator[None]:
        # Hundreds of runs that begin at once would hold up the loop. Older releases do not enter this.
        await turns().runs.take()
        async with cast(Any, super())._run_scope():
            yield

    @property
    def _botocore_supports_strict_tool_param(self) -> bool:
        return self.sends_any_member or cast(Any, super())._botocore_supports_strict_tool_param

    @property
    def _botocore_supports_output_config(self) -> bool:
        return self.sends_any_member or cast(Any, super())._botocore_supports_output_config

    def _unsupported_settings(self) -> frozenset[str]:
        # Older releases do not ask.
        ignored: frozenset[str] = cast(Any, super())._unsupported_settings()
        return ignored if self.sends_any_member else ignored | HONOURED_SETTINGS

    def _batch_credential(self) -> str:
        return cast(Any, super())._batch_credential() if self.batch_refusal() else self.batch_identity()

    def _no_batch_api_message(self) -> str:
        return self.batch_refusal() or cast(Any, super())._no_batch_api_message()

    def _batch_unlisted_status(self, batch: Any) -> Any:
        return self.batch_unlisted(batch)


def batch_types() -> Any:
    """Return `pydantic_ai.models.batch`.

    Raises:
        UserError: This pydantic-ai has no batches yet.
        ImportError: It has moved the names that they are built on here: only users of batches see this.
    """
    if find_spec('pydantic_ai.models.batch') is None:
        raise UserError(
            f'Batch inference needs pydantic-ai-slim {BATCHES_SINCE} or newer; {version("pydantic-ai-slim")} is '
            'installed.'
        )
    for place, names in ((_batch_codec(), BATCH_COLLABORATORS), (Model, BATCH_QUESTIONS)):
        if missing := [name for name in names if not hasattr(place, name)]:
            raise _seam_moved(place, missing)
    return import_module('pydantic_ai.models.batch')


def batch_job_error(model_name: str, error: dict[str, str], status_code: int = 400) -> ModelAPIError:
    """Return the exception for a job that failed as a whole, which each of its requests fails with."""
    return _batch_codec().BatchJobError(status_code=status_code, model_name=model_name, body={'Error': error})


def batch_unrun_error(model_name: str, result: Any) -> ModelAPIError:
    """Return the exception for a request that a job ended without running."""
    return _batch_codec().unrun_error(model_name, result)


def batch_is_resubmitted(result: Any, error: ModelAPIError) -> bool:
    """Return whether pydantic-ai submits a request with this result again, in a new batch."""
    return import_module('pydantic_ai.models._batch_settings').resubmittable(result, error)


def batch_priced(response: ModelResponse) -> ModelResponse:
    """Mark a response as priced like batches."""
    return _batch_codec().batch_priced(response)


def _batch_codec() -> Any:
    return import_module('pydantic_ai.models._batch_codec')


def embedding_handler(model: Any) -> Any:
    """Return upstream's own mapping of an embedding model's requests and responses.

    Raises:
        ImportError: It has moved.
    """
    handler = getattr(model, '_handler', None)
    if missing := [name for name in ('prepare_request', 'parse_response') if not hasattr(handler, name)]:
        raise _seam_moved(embeddings.BedrockEmbeddingModel, missing)
    return handler


async def converse_params(model: Any, messages: Any, settings: Any, parameters: Any) -> dict[str, Any]:
    """Return the parameters of the Converse request that `_messages_create` of the model would send."""
    mapped = await _sending_nothing(model, messages, False, settings, parameters)
    return mapped['output']


def process_response(model: Any, response: dict[str, Any]) -> ModelResponse:
    """Map a Converse response at once: upstream's mapping is a coroutine that waits for nothing."""
    processing = model._process_response(response)
    try:
        processing.send(None)
    except StopIteration as mapped:
        return mapped.value
    processing.close()
    raise RuntimeError('_process_response of pydantic-ai waits for something.')


async def _not_sent(client: object, method: object, params: dict[str, Any], extra_headers: object) -> dict[str, Any]:
    # Where the response is expected to have its message.
    return {'output': params}


_sending_nothing: Callable[..., Any] = _looking_up(
    cast(Any, models.BedrockConverseModel)._messages_create,
    {'_call_bedrock': _not_sent},
)


check()
# The first model that is made, or answers, has the prices of all models loaded, and the patterns of their providers'
# URLs compiled, for some 20 ms: better now than on an event loop.
if (load_prices := getattr(sys.modules.get('genai_prices.data_snapshot'), 'get_snapshot', None)) is not None:
    for _provider in load_prices().providers:
        re.compile(_provider.api_pattern)
