"""The contract of the seam: what pydantic-ai must go on to be like, on every release that is supported.

Upstream's methods may change their text freely; what is pinned here is what they reach their transport through. A red
test in this file names what has moved.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
import types
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic_ai.embeddings import bedrock as embeddings
from pydantic_ai.models import bedrock as models
from pydantic_ai.providers import bedrock as providers

import pydantic_ai_aiobedrock
from pydantic_ai_aiobedrock import (
    BedrockConverseModel,
    BedrockEmbeddingModel,
    BedrockProvider,
    BedrockStreamedResponse,
)
from pydantic_ai_aiobedrock._upstream import seam

SOURCE = Path(pydantic_ai_aiobedrock.__file__).parent
PYPROJECT = Path(__file__).parents[2] / 'pyproject.toml'
UPSTREAM = {
    BedrockConverseModel: models.BedrockConverseModel,
    BedrockStreamedResponse: models.BedrockStreamedResponse,
    BedrockEmbeddingModel: embeddings.BedrockEmbeddingModel,
    BedrockProvider: providers.BedrockProvider,
}


def names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


def function_of(attribute: Any) -> types.FunctionType | None:
    """Return the function behind a method, a property, or what a decorator has made of it."""
    function = attribute.fget if isinstance(attribute, property) else getattr(attribute, '__func__', attribute)
    function = inspect.unwrap(getattr(function, 'func', function))
    return function if isinstance(function, types.FunctionType) else None


# The check at import


def test_the_installed_release_has_the_seam() -> None:
    seam.check()
    bounds = re.fullmatch(r'>=(\d+)\.(\d+)\.\d+,<(\d+)', seam.SUPPORTED)
    assert bounds is not None
    oldest_major, oldest_minor, too_new = map(int, bounds.groups())
    installed = tuple(map(int, version('pydantic-ai-slim').split('.')[:2]))
    assert (oldest_major, oldest_minor) <= installed < (too_new, 0)


def test_the_package_asks_for_the_range_that_the_seam_is_known_for() -> None:
    assert f'pydantic-ai-slim{seam.SUPPORTED}' in tomllib.loads(PYPROJECT.read_text())['project']['dependencies']


@pytest.mark.parametrize(
    ('place', 'name'),
    [
        *((models, name) for name in sorted({*seam.MODEL_COLLABORATORS, *seam.STREAM_COLLABORATORS})),
        *((embeddings, name) for name in seam.EMBEDDING_COLLABORATORS),
        *((place, name) for place, names in seam.MEMBERS.items() for name in names),
    ],
    ids=lambda value: getattr(value, '__name__', value),
)
def test_the_check_names_what_is_gone(monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> None:
    monkeypatch.delattr(place, name)
    with pytest.raises(ImportError) as raised:
        seam.check()
    assert str(raised.value) == (
        f'pydantic-ai-slim {version("pydantic-ai-slim")} no longer has {name} in {place.__name__}, which '
        'pydantic-ai-aiobedrock builds on: install a pydantic-ai-slim that it knows '
        f'(pydantic-ai-slim{seam.SUPPORTED}) or a newer pydantic-ai-aiobedrock.'
    )


def test_importing_the_package_without_the_seam_fails_with_that_sentence() -> None:
    run = python(
        'import pydantic_ai.models.bedrock as upstream',
        'del upstream._call_bedrock',
        'import pydantic_ai_aiobedrock',
    )
    assert run.returncode == 1
    last_line = run.stderr.rstrip().splitlines()[-1]
    installed = version('pydantic-ai-slim')
    assert last_line.startswith(
        f'ImportError: pydantic-ai-slim {installed} no longer has _call_bedrock in pydantic_ai.models.bedrock, '
    )


def test_a_name_that_no_method_uses_any_more_is_noticed() -> None:
    with pytest.raises(ImportError, match=r'no longer has _not_there in BedrockConverseModel, which'):
        seam.rebuilt(models.BedrockConverseModel, {'_not_there': None})


def python(*lines: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-X', 'dev', '-W', 'error', '-c', '\n'.join(lines)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


# Rebuilding a class over other collaborators


def helper() -> str:
    return 'theirs'


class Sample:
    """A class whose methods reach a collaborator in every way that upstream's do."""

    def plain(self, first: int, second: int = 2, *, third: int = 3) -> tuple[Any, ...]:
        """Documentation."""
        return helper(), first, second, third

    async def coroutine(self) -> str:
        return helper()

    async def generator(self) -> AsyncIterator[str]:
        yield helper()

    @asynccontextmanager
    async def context(self) -> AsyncIterator[str]:
        yield helper()

    def nested(self) -> list[str]:
        def inner() -> str:
            return helper()

        return [inner() for _ in range(2)]

    def with_super(self) -> str:
        return f'{helper()} {super().__repr__()[:1]}'

    def untouched(self) -> str:
        return 'same'


async def test_every_kind_of_method_looks_its_collaborator_up_elsewhere() -> None:
    ours = seam.rebuilt(Sample, {'helper': lambda: 'ours'})
    sample = ours()
    assert sample.plain(1, third=4) == ('ours', 1, 2, 4)
    assert await sample.coroutine() == 'ours'
    assert [value async for value in sample.generator()] == ['ours']
    async with sample.context() as value:
        assert value == 'ours'
    assert sample.nested() == ['ours', 'ours']
    assert sample.with_super() == 'ours <'


def test_a_rebuilt_class_is_a_subclass_that_looks_like_its_base() -> None:
    ours = seam.rebuilt(Sample, {'helper': lambda: 'ours'})
    assert issubclass(ours, Sample)
    assert ours.__name__ == 'Sample'
    for name in ('plain', 'coroutine', 'generator', 'context', 'nested', 'with_super'):
        rebuilt, original = vars(ours)[name], vars(Sample)[name]
        assert inspect.signature(rebuilt) == inspect.signature(original)
        assert (rebuilt.__name__, rebuilt.__qualname__, rebuilt.__doc__) == (
            original.__name__,
            original.__qualname__,
            original.__doc__,
        )
        assert inspect.unwrap(rebuilt).__code__ is inspect.unwrap(original).__code__
    assert 'untouched' not in vars(ours)


def test_the_base_of_a_rebuilt_class_stays_as_it_is() -> None:
    seam.rebuilt(Sample, {'helper': lambda: 'ours'})
    assert Sample().plain(1) == ('theirs', 1, 2, 3)
    assert Sample.plain.__globals__ is globals()


# Nothing upstream reaches a thread by a way that is not replaced


@pytest.mark.parametrize('module', [models, embeddings, providers], ids=lambda module: module.__name__)
def test_it_is_known_who_uses_worker_threads(module: types.ModuleType) -> None:
    users = {name for name, function in functions_of(module) if 'to_thread' in names_in(function.__code__)}
    assert users <= {
        '_call_bedrock',
        '_AsyncIteratorWrapper.__anext__',
        'BedrockStreamedResponse.close_stream',
        'BedrockEmbeddingModel._invoke_model',
    }


@pytest.mark.parametrize('ours', UPSTREAM, ids=lambda cls: cls.__name__)
def test_no_method_that_is_inherited_reaches_a_collaborator_of_upstreams(ours: Any) -> None:
    for name in dir(ours):
        function = function_of(inspect.getattr_static(ours, name))
        if function is None or function.__module__ not in (models.__name__, embeddings.__name__):
            continue
        mentioned = set(names_in(function.__code__))
        collaborators = {'_call_bedrock', '_AsyncIteratorWrapper', 'BedrockStreamedResponse'}
        if 'to_thread' in mentioned:
            collaborators.add('anyio')
        for collaborator in mentioned & collaborators:
            upstreams = getattr(sys.modules[function.__module__], collaborator)
            assert function.__globals__[collaborator] is not upstreams, f'{name} uses {collaborator}'


def functions_of(module: types.ModuleType) -> Iterator[tuple[str, types.FunctionType]]:
    for name, value in vars(module).items():
        if getattr(value, '__module__', None) != module.__name__:
            continue
        members = {f'{name}.{key}': member for key, member in vars(value).items()} if inspect.isclass(value) else {}
        for path, member in (members or {name: value}).items():
            if (function := function_of(member)) is not None:
                yield path, function


# Upstream stays whole for everybody else


def test_upstreams_classes_keep_their_own_collaborators() -> None:
    for upstream in UPSTREAM.values():
        module = sys.modules[upstream.__module__]
        for name, attribute in vars(upstream).items():
            function = function_of(attribute)
            if function is not None and function.__module__ == module.__name__:
                assert function.__globals__ is vars(module), name
    assert vars(embeddings)['anyio'] is anyio
    assert models._call_bedrock.__module__ == models._map_api_errors.__module__ == models.__name__


def test_importing_the_package_changes_nothing_in_upstreams_modules() -> None:
    run = python(
        'import pydantic_ai.models.bedrock as models',
        'import pydantic_ai.providers.bedrock as providers',
        'import pydantic_ai.embeddings.bedrock as embeddings',
        'places = [models, providers, embeddings, models.BedrockConverseModel, models.BedrockStreamedResponse,',
        '          providers.BedrockProvider, embeddings.BedrockEmbeddingModel]',
        'before = [dict(vars(place)) for place in places]',
        'import pydantic_ai_aiobedrock',
        'for place, names in zip(places, before):',
        '    after = dict(vars(place))',
        '    assert names.keys() == after.keys(), (place, names.keys() ^ after.keys())',
        '    assert all(names[name] is after[name] for name in names), place',
        'print("unchanged")',
    )
    assert run.stdout == 'unchanged\n', run.stderr


# The rest of the package keeps its hands off


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob('*.py') if path.name != 'seam.py')


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def private_names_of_upstream() -> set[str]:
    """Return the private names of upstream's modules and of whatever the package's classes inherit."""
    names: set[str] = set()
    for module in (models, embeddings, providers):
        names |= vars(module).keys()
    for upstream in UPSTREAM.values():
        for cls in upstream.__mro__[:-1]:
            if cls.__module__.partition('.')[0] != 'pydantic_ai':
                continue
            names |= vars(cls).keys() | getattr(cls, '__annotations__', {}).keys()
            for attribute in vars(cls).values():
                if (function := function_of(attribute)) is not None:
                    names.update(names_in(function.__code__))
    return {name for name in names if name.startswith('_') and not name.startswith('__')}


@pytest.mark.parametrize('path', modules(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_other_file_touches_a_private_name_of_pydantic_ai(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imports = [name for name in imported(tree) if name.partition('.')[0] == 'pydantic_ai']
    assert [name for name in imports if '._' in name] == []
    if not imports:
        return
    private = private_names_of_upstream()
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    defined = {
        member.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for member in node.body
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert (used | defined) & private == set()
