"""The async-native Amazon Bedrock provider for Pydantic AI, on aioboto3 sessions."""

from typing import TYPE_CHECKING

from pydantic_ai_aiobedrock._core.sandbox import passed_through

with passed_through():
    from pydantic_ai.embeddings.bedrock import (
        BedrockEmbeddingModelName,
        BedrockEmbeddingSettings,
        LatestBedrockEmbeddingModelNames,
    )
    from pydantic_ai.models.bedrock import BedrockModelName, LatestBedrockModelNames
    from pydantic_ai.providers.bedrock import BedrockJsonSchemaTransformer, BedrockModelProfile

    from pydantic_ai_aiobedrock._pool.paced import PacingStats
    from pydantic_ai_aiobedrock._pool.session_pool import PoolStats, SessionPool
    from pydantic_ai_aiobedrock._runtime.runtime import BedrockRuntime
    from pydantic_ai_aiobedrock.batches import BatchInference
    from pydantic_ai_aiobedrock.capabilities import ResolveBedrock
    from pydantic_ai_aiobedrock.embeddings import BedrockEmbeddingModel
    from pydantic_ai_aiobedrock.errors import (
        IncompleteStreamError,
        PoolClosedError,
        PoolTimeoutError,
        WrongLoopError,
    )
    from pydantic_ai_aiobedrock.models import BedrockConverseModel
    from pydantic_ai_aiobedrock.providers import BedrockProvider
    from pydantic_ai_aiobedrock.settings import BedrockModelSettings
    from pydantic_ai_aiobedrock.streaming import BedrockStreamedResponse

if TYPE_CHECKING:
    from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream

__all__ = [
    'BatchInference',
    'BedrockConverseModel',
    'BedrockEmbeddingModel',
    'BedrockEmbeddingModelName',
    'BedrockEmbeddingSettings',
    'BedrockJsonSchemaTransformer',
    'BedrockModelName',
    'BedrockModelProfile',
    'BedrockModelSettings',
    'BedrockProvider',
    'BedrockRuntime',
    'BedrockStreamedResponse',
    'ConverseEventStream',
    'IncompleteStreamError',
    'LatestBedrockEmbeddingModelNames',
    'LatestBedrockModelNames',
    'PacingStats',
    'PoolClosedError',
    'PoolStats',
    'PoolTimeoutError',
    'ResolveBedrock',
    'SessionPool',
    'WrongLoopError',
]


def __getattr__(name: str) -> object:
    # Its module imports aiohttp, which a program that never calls does without.
    if name == 'ConverseEventStream':
        from pydantic_ai_aiobedrock._client.event_stream import ConverseEventStream

        return ConverseEventStream
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
