"""The API reference has each public name once, and no other; its pages are in the navigation."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import local_bedrock
import pydantic_ai_aiobedrock

UPSTREAMS = {
    'BedrockEmbeddingModelName',
    'BedrockEmbeddingSettings',
    'BedrockJsonSchemaTransformer',
    'BedrockModelName',
    'BedrockModelProfile',
    'LatestBedrockEmbeddingModelNames',
    'LatestBedrockModelNames',
}
"""Names of Pydantic AI, which documents them."""

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / 'docs' / 'reference').glob('*.md'))


@pytest.mark.parametrize('package', [pydantic_ai_aiobedrock, local_bedrock], ids=lambda package: package.__name__)
def test_each_public_name_is_in_the_reference_once(package: Any) -> None:
    text = '\n'.join(page.read_text() for page in PAGES)
    named = Counter(re.findall(rf'^::: {package.__name__}\.(\w+)$', text, flags=re.MULTILINE))
    public = {name for name in package.__all__ if not name.startswith('__')}
    assert set(named) == public - UPSTREAMS
    assert [name for name in public & UPSTREAMS if f'`{name}`' not in text] == []
    assert set(named.values()) == {1}


def test_each_page_of_the_reference_is_in_the_navigation() -> None:
    navigation = (ROOT / 'mkdocs.yml').read_text()
    assert [page.name for page in PAGES if f'reference/{page.name}\n' not in navigation] == []
