"""The two sides of the comparison: where each takes its classes from, and how it reaches the endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

NOVA = 'us.amazon.nova-lite-v1:0'
NOVA_2 = 'global.amazon.nova-2-lite-v1:0'
CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'
CLAUDE_3 = 'us.anthropic.claude-3-5-sonnet-20241022-v2:0'
CLAUDE_ADAPTIVE = 'global.anthropic.claude-opus-4-6-v1'


@dataclass(frozen=True)
class Endpoint:
    """The LocalBedrock that both sides talk to, and what it accepts."""

    base_url: str
    region_name: str
    aws_access_key_id: str
    aws_secret_access_key: str
    api_key: str


@dataclass
class Side:
    """One side: the classes that a case is written against, and the providers that it has made."""

    name: str
    models: str
    providers: str
    embeddings: str
    endpoint: Endpoint
    made: list[Any] = field(default_factory=list)

    @property
    def model_class(self) -> Any:
        return import_module(self.models).BedrockConverseModel

    @property
    def provider_class(self) -> Any:
        return import_module(self.providers).BedrockProvider

    @property
    def embedding_class(self) -> Any:
        return import_module(self.embeddings).BedrockEmbeddingModel

    def provider(self, **arguments: Any) -> Any:
        """Make a provider of the endpoint; the arguments replace those that it is reached by."""
        known = {
            'base_url': self.endpoint.base_url,
            'region_name': self.endpoint.region_name,
            'aws_access_key_id': self.endpoint.aws_access_key_id,
            'aws_secret_access_key': self.endpoint.aws_secret_access_key,
        }
        if self.name == 'ours':
            # Upstream does not wait.
            known['throttling'] = 'raise'
        return self.keep(self.provider_class(**{**known, **arguments}))

    def keep(self, provider: Any) -> Any:
        """Close a provider's client when the case has run."""
        self.made.append(provider)
        return provider

    def model(self, name: str = NOVA, **arguments: Any) -> Any:
        """Make a model, of a provider of its own where none is given."""
        if 'provider' not in arguments:
            arguments['provider'] = self.provider()
        return self.model_class(name, **arguments)

    def embedding_model(self, name: str, **arguments: Any) -> Any:
        """Make an embedding model, of a provider of its own where none is given."""
        if 'provider' not in arguments:
            arguments['provider'] = self.provider()
        return self.embedding_class(name, **arguments)

    def close(self) -> None:
        """Close what boto3 leaves open; this package's clients end with their loop."""
        for provider in self.made:
            if hasattr(provider.client, 'close'):
                provider.client.close()


def upstream(endpoint: Endpoint) -> Side:
    """Return the side of pydantic-ai on boto3."""
    return Side(
        'upstream',
        'pydantic_ai.models.bedrock',
        'pydantic_ai.providers.bedrock',
        'pydantic_ai.embeddings.bedrock',
        endpoint,
    )


def ours(endpoint: Endpoint) -> Side:
    """Return the side of this package."""
    package = 'pydantic_ai_aiobedrock'
    return Side('ours', package, package, package, endpoint)
