"""BedrockEmbeddingModel: upstream's mapping of embedding requests, sent over aioboto3 sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio
import anyio.lowlevel
from pydantic_ai.embeddings import EmbeddingResult, EmbeddingSettings
from pydantic_ai.embeddings.bedrock import BedrockEmbeddingModel as UpstreamEmbeddingModel
from pydantic_ai.embeddings.bedrock import BedrockEmbeddingModelName
from pydantic_ai.embeddings.result import EmbedInputType
from pydantic_ai.exceptions import ModelAPIError, UserError

from pydantic_ai_aiobedrock._upstream import seam
from pydantic_ai_aiobedrock._upstream.error_mapping import map_other_errors
from pydantic_ai_aiobedrock.providers import BedrockProvider, as_provider, check_model_name

_T = TypeVar('_T')


class _ToThread:
    """`anyio.to_thread` for calls that are coroutines: they run where they are awaited."""

    @staticmethod
    async def run_sync(call: Callable[[], Awaitable[_T]]) -> _T:
        # When an input fails, the next may begin in the same turn of the loop in which it is to be cancelled.
        await anyio.lowlevel.checkpoint()
        return await call()


class _Anyio:
    """`anyio`, but for `to_thread`."""

    to_thread = _ToThread

    def __getattr__(self, name: str) -> Any:
        return getattr(anyio, name)


if TYPE_CHECKING:
    _Rebuilt = UpstreamEmbeddingModel
else:
    _Rebuilt = seam.rebuilt(UpstreamEmbeddingModel, {'anyio': _Anyio()})


class BedrockEmbeddingModel(seam.InvokesWithin, _Rebuilt):
    """An embedding model on Amazon Bedrock (Titan, Cohere, Nova) that never leaves the event loop.

    `pydantic_ai.embeddings.bedrock.BedrockEmbeddingModel` over aioboto3 sessions. Inputs that a model takes singly
    are sent concurrently, and when any of them fails the others are cancelled.

    See https://ai.pydantic.dev/embeddings/ and
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html.
    """

    def __init__(
        self,
        model_name: BedrockEmbeddingModelName,
        *,
        provider: Literal['bedrock'] | BedrockProvider = 'bedrock',
        settings: EmbeddingSettings | None = None,
    ) -> None:
        """Make an embedding model; nothing is opened or sent.

        Args:
            model_name: A model id; see https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html.
            provider: The provider that authenticates and sends: a `BedrockProvider` of this package, or `'bedrock'` to
                make it from the environment.
            settings: Settings that are the defaults of every request.

        Raises:
            UserError: The model is not a known embedding model; the provider is not of this package, or has no
                region.
        """
        check_model_name(model_name)
        super().__init__(model_name, provider=as_provider(provider), settings=settings)

    async def embed(
        self, inputs: str | Sequence[str], *, input_type: EmbedInputType, settings: EmbeddingSettings | None = None
    ) -> EmbeddingResult:
        """Embed an input, or several.

        Raises:
            ModelAPIError: AWS or the network failed, for at least a single input.
            UserError: The credentials, the configuration or the settings are not usable as they are.
        """
        try:
            return await super().embed(inputs, input_type=input_type, settings=settings)
        except ExceptionGroup as group:
            failed = group.subgroup((ModelAPIError, UserError))
            if failed is None:
                raise
        # To the caller it was a single call, of any number of requests.
        raise failed.exceptions[0]

    def invoking(self) -> AbstractContextManager[None]:
        """Map the errors that upstream lets through or cannot meet."""
        return map_other_errors(self.model_name)
