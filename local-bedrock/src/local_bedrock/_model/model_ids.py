"""The model ids that Bedrock knows."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

_GEOGRAPHIES = 'us|eu|apac|ap|jp|au|ca|sa|me|af|il|uk|in|us-gov|global'
_FAMILIES = (
    'ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen|'
    'stability|twelvelabs|writer|xai|zai'
)
_MODEL = rf'(?:(?:{_GEOGRAPHIES})\.)?(?:{_FAMILIES})\.[a-z0-9][a-z0-9._-]*(?::[0-9]+)?(?::[a-z0-9]+)?'
_ARN = (
    r'arn:aws(?:-[^:]+)?:(?:bedrock:[a-z0-9-]{1,20}:(?:[0-9]{12})?:(?:foundation-model|inference-profile|'
    r'application-inference-profile|provisioned-model|custom-model|custom-model-deployment|imported-model|prompt|'
    r'prompt-router|default-prompt-router)/[a-zA-Z0-9-:./]+|sagemaker:[a-z0-9-]+:[0-9]{12}:endpoint/[a-zA-Z0-9-]+)'
)
_KNOWN = re.compile(f'{_MODEL}|{_ARN}')


@lru_cache(maxsize=4096)
def well_formed(model_id: str) -> bool:
    """Return True if an id names a model of a family of Bedrock, or is the ARN of something that can be invoked."""
    return _KNOWN.fullmatch(model_id) is not None


def known(model_id: str, models: Collection[str] | None) -> bool:
    """Return True if the endpoint has a model; without a collection it has every well-formed id."""
    return well_formed(model_id) if models is None else model_id in models
