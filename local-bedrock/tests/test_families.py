"""The table of model families: which row describes a model, and where its values come from."""

from __future__ import annotations

import re

import pytest

from local_bedrock._model.families import (
    FAMILIES,
    SOURCES,
    UNKNOWN,
    bare_id,
    family_of,
    is_foundation_model,
)

ARN = 'arn:aws:bedrock:us-east-1:123456789012'


@pytest.mark.parametrize(
    ('model_id', 'name'),
    [
        ('anthropic.claude-3-haiku-20240307-v1:0', 'Claude 3'),
        ('anthropic.claude-3-5-sonnet-20240620-v1:0', 'Claude 3.5 Sonnet'),
        ('us.anthropic.claude-3-5-sonnet-20241022-v2:0', 'Claude 3.5 Sonnet v2'),
        ('us.anthropic.claude-sonnet-4-20250514-v1:0', 'Claude Sonnet 4'),
        ('global.anthropic.claude-sonnet-4-5-20250929-v1:0', 'Claude Sonnet 4.5'),
        ('us.anthropic.claude-opus-4-6-v1', 'Claude Opus 4.6'),
        ('us.anthropic.claude-opus-4-8', 'Claude Opus 4.7 and 4.8'),
        ('us-gov.anthropic.claude-opus-5', 'Claude Opus 5'),
        ('eu.anthropic.claude-opus-5-5', 'Claude Opus and Sonnet 5.5'),
        ('anthropic.claude-haiku-5-5', 'Claude 5'),
        ('apac.amazon.nova-micro-v1:0', 'Nova'),
        ('us.amazon.nova-2-lite-v1:0', 'Nova 2'),
        ('us.meta.llama4-scout-17b-instruct-v1:0', 'Llama 4'),
        ('meta.llama3-3-70b-instruct-v1:0', 'Llama 3.1 and 3.3'),
        ('us.meta.llama3-2-90b-instruct-v1:0', 'Llama 3.2 Vision'),
        ('meta.llama3-8b-instruct-v1:0', 'Llama 2, 3 and 3.2'),
        ('mistral.mixtral-8x7b-instruct-v0:1', 'Mistral Instruct'),
        ('us.deepseek.r1-v1:0', 'DeepSeek-R1'),
        ('qwen.qwen3-32b-v1:0', 'Qwen3'),
        ('openai.gpt-oss-120b-1:0', 'gpt-oss'),
        ('global.openai.gpt-6-astra', 'GPT'),
        ('moonshot.kimi-k2-thinking', 'Kimi'),
        (f'{ARN}:inference-profile/us.anthropic.claude-opus-4-6-v1', 'Claude Opus 4.6'),
        ('arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0', 'Nova'),
        (f'{ARN}:application-inference-profile/a1b2c3', 'unknown'),
        ('nobody.model-v1:0', 'unknown'),
    ],
)
def test_the_row_of_a_model_is_found_by_its_id(model_id: str, name: str) -> None:
    assert family_of(model_id).name == name


@pytest.mark.parametrize('family', [family for _, family in FAMILIES], ids=lambda family: family.name)
def test_every_row_names_sources_that_are_listed(family: object) -> None:
    sources = getattr(family, 'sources', ())
    assert sources
    assert set(sources) <= set(SOURCES)


def test_every_source_is_used_and_dated() -> None:
    used = {source for _, family in FAMILIES for source in family.sources}
    assert used == set(SOURCES)
    assert all(re.fullmatch(r'20\d\d(-\d\d){0,2}', date) for _, date in SOURCES.values())


def test_nothing_is_known_of_an_unknown_model() -> None:
    known = {name: value for name, value in vars(UNKNOWN).items() if value not in (None, (), False)}
    assert known == {'name': 'unknown'}


def test_an_id_is_that_of_a_foundation_model_unless_a_geography_or_another_resource_stands_before_it() -> None:
    assert is_foundation_model('amazon.nova-pro-v1:0')
    assert is_foundation_model('arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0')
    assert not is_foundation_model('us.amazon.nova-pro-v1:0')
    assert not is_foundation_model(f'{ARN}:inference-profile/us.amazon.nova-pro-v1:0')
    assert not is_foundation_model(f'{ARN}:provisioned-model/a1b2c3')
    assert bare_id(f'{ARN}:inference-profile/us-gov.amazon.nova-pro-v1:0') == 'amazon.nova-pro-v1:0'
