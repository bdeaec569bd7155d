"""Docstrings, comments and pages are written like those of httpx, anyio and attrs, as far as words can be counted."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = (ROOT / 'src', ROOT / 'local-bedrock' / 'src')
PAGES = (ROOT / 'README.md', ROOT / 'local-bedrock' / 'README.md', *sorted((ROOT / 'docs').glob('*.md')))

MOST = 3
"""The limit of a counted word in 1,000 words of text."""


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob('*.py'))


def docstrings(file: Path) -> Iterator[str]:
    """Yield the docstrings of a file, those below attributes included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def comments(file: Path) -> Iterator[str]:
    with file.open('rb') as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.COMMENT:
                yield token.string


def rate(word: str, texts: list[str]) -> float:
    """Return how often a word comes in 1,000 words of text."""
    words = [found.lower() for text in texts for found in re.findall(r"[A-Za-z']+", text)]
    assert len(words) > 5000
    return 1000 * words.count(word) / len(words)


@pytest.mark.parametrize('folder', SOURCES, ids=['package', 'local-bedrock'])
def test_a_docstring_begins_with_a_verb_or_a_noun_phrase(folder: Path) -> None:
    questions = re.compile(r'(What|Whether|Who|How|Where|Which)(ever)?\b')
    found = [
        f'{file.name}: {text[:60]}' for file in files(folder) for text in docstrings(file) if questions.match(text)
    ]
    assert found == []


@pytest.mark.parametrize('word', ['what', 'one'])
@pytest.mark.parametrize('folder', SOURCES, ids=['package', 'local-bedrock'])
def test_docstrings_and_comments_hardly_use_the_word(folder: Path, word: str) -> None:
    texts = [text for file in files(folder) for text in (*docstrings(file), *comments(file))]
    assert rate(word, texts) < MOST


@pytest.mark.parametrize('word', ['what', 'one'])
def test_the_pages_hardly_use_the_word(word: str) -> None:
    """Their code left out."""
    prose = [re.sub(r'^```.*?^```', '', page.read_text(), flags=re.DOTALL | re.MULTILINE) for page in PAGES]
    assert rate(word, prose) < MOST
