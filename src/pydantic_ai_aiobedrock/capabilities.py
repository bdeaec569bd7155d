"""ResolveBedrock: model names that begin with `bedrock:` become models of this package."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.models import Model, ModelResolutionContext

from pydantic_ai_aiobedrock._core.in_thread import start_in_thread
from pydantic_ai_aiobedrock.models import BedrockConverseModel
from pydantic_ai_aiobedrock.providers import BedrockProvider

_GATEWAY = ('gateway/bedrock', 'gateway/converse')


@dataclass
class ResolveBedrock(AbstractCapability[Any]):
    """A capability of an agent that resolves `'bedrock:<model id>'` to a `BedrockConverseModel` of this package.

    Without it, Pydantic AI makes its own `BedrockConverseModel` of such a name, on boto3 and worker threads. With it,
    names are resolved here wherever the agent takes them: its `model`, `run(model=...)`, `override(model=...)`, and an
    agent spec. Names that begin with `gateway/bedrock:` lead to the Pydantic AI Gateway. Other names are left to
    Pydantic AI.

    In an agent spec, list it as `ResolveBedrock` and pass the class in `custom_capability_types`.

    See https://ai.pydantic.dev/capabilities/.

    Attributes:
        provider: The provider of the models; default: made from the environment when the first name is resolved.
    """

    provider: BedrockProvider | None = None
    _models: dict[str, Model] = field(default_factory=dict[str, Model], init=False, repr=False, compare=False)

    async def resolve_model_id(self, ctx: ModelResolutionContext[Any], *, model_id: str) -> Model | None:
        """Return the model of a name, the same for each run, or None for the name of another provider's model.

        Raises:
            UserError: There is no region, or the environment is not usable.
        """
        kind, _, name = model_id.partition(':')
        if not name or kind not in ('bedrock', *_GATEWAY):
            return None
        if (model := self._models.get(model_id)) is None:
            if kind in _GATEWAY:
                model = BedrockConverseModel(name, provider='gateway')
            else:
                if (provider := self.provider) is None:
                    provider = await start_in_thread(BedrockProvider)
                    self.provider = provider
                model = BedrockConverseModel(name, provider=provider)
            self._models[model_id] = model
        return model
