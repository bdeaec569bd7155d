"""The distribution: what it is called, what it holds, and what importing it costs."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import ParamSpec, TypeVar

import pytest

import pydantic_ai_aiobedrock

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']

PUBLIC = {
    'BedrockConverseModel',
    'BedrockEmbeddingModel',
    'BedrockEmbeddingModelName',
    'BedrockEmbeddingSettings',
    'BedrockJsonSchemaTransformer',
    'BedrockModelName',
    'BedrockModelProfile',
    'BedrockModelSettings',
    'BedrockProvider',
    'BedrockStreamedResponse',
    'LatestBedrockEmbeddingModelNames',
    'LatestBedrockModelNames',
    'PoolStats',
    'SessionPool',
}

REPLACED = {
    'BedrockConverseModel',
    'BedrockEmbeddingModel',
    'BedrockModelSettings',
    'BedrockProvider',
    'BedrockStreamedResponse',
}
"""Names of classes that this package makes of upstream's."""


def test_the_version_is_the_installed_one_and_has_its_changes_written_down() -> None:
    assert version('pydantic-ai-aiobedrock') == PROJECT['version']
    assert f'## [{PROJECT["version"]}]' in (ROOT / 'CHANGELOG.md').read_text()


def test_the_public_names_are_there() -> None:
    assert set(pydantic_ai_aiobedrock.__all__) >= PUBLIC
    assert [name for name in pydantic_ai_aiobedrock.__all__ if not hasattr(pydantic_ai_aiobedrock, name)] == []


def names_of(module: ModuleType) -> set[str]:
    """Return the names that a module of upstream defines, or exports again, for its users."""
    names: list[str] = []
    for node in ast.parse(inspect.getsource(module)).body:
        match node:
            case ast.ClassDef() | ast.FunctionDef():
                names.append(node.name)
            case ast.Assign(targets=[ast.Name(name)]):
                names.append(name)
            case ast.ImportFrom():
                names += [each.name for each in node.names if each.name == each.asname]
            case _:
                pass
    variables = (TypeVar, ParamSpec)
    return {name for name in names if name[0] != '_' and not isinstance(getattr(module, name), variables)}


@pytest.mark.parametrize('area', ['models', 'embeddings', 'providers'])
def test_each_name_of_upstreams_module_is_exported_or_said_to_stay(area: str) -> None:
    module = import_module(f'pydantic_ai.{area}.bedrock')
    page = (ROOT / 'docs' / 'moving-over.md').read_text()
    [staying] = [paragraph for paragraph in page.split('\n\n') if 'stay where they are' in paragraph]
    patterns = re.findall(r'`([\w*]+)`', staying)
    names = names_of(module)
    stay = {name for name in names if any(fnmatch(name, pattern) for pattern in patterns)}
    exported = names & set(pydantic_ai_aiobedrock.__all__)
    assert stay | exported == names
    assert not stay & exported
    assert exported & REPLACED
    for name in exported - REPLACED:
        assert getattr(pydantic_ai_aiobedrock, name) is getattr(module, name)


def test_the_wheel_holds_the_package_with_its_types_and_nothing_else(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=['standard'])
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if '.dist-info/' not in name}
    source = {path.relative_to(ROOT / 'src').as_posix() for path in (ROOT / 'src').rglob('*') if path.is_file()}
    assert packed == {name for name in source if '__pycache__' not in name}
    assert 'pydantic_ai_aiobedrock/py.typed' in packed


def test_the_package_is_imported_where_no_tool_of_demos_and_tests_is_installed() -> None:
    program = """
import sys

class Absent:
    def find_spec(self, name, path, target=None):
        if name.partition('.')[0] in ('blockbuster', 'hypothesis', 'nox', 'pytest', 'rich', 'trustme', 'uvloop'):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
import local_bedrock
import local_bedrock.__main__
"""
    subprocess.run([sys.executable, '-c', program], check=True)


def modules_after(program: str) -> set[str]:
    """The modules that a fresh interpreter has after a program."""
    program += '\nimport sys; print(*sys.modules)'
    output = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True).stdout
    return set(output.split())


def test_importing_the_package_does_not_import_the_local_bedrock() -> None:
    modules = modules_after('import pydantic_ai_aiobedrock')
    assert [name for name in modules if name.startswith('local_bedrock')] == []


def test_the_package_is_imported_and_sends_without_the_metadata_of_its_distributions() -> None:
    """As from the archive of a bundler."""
    program = """
import asyncio
from importlib.metadata import MetadataPathFinder
import pydantic_ai, aiobotocore, opentelemetry.metrics
from local_bedrock import LocalBedrock

find = MetadataPathFinder.find_distributions
hidden = ('pydantic-ai-aiobedrock', 'aiobotocore', 'botocore')
MetadataPathFinder.find_distributions = lambda *args: (
    each for each in find(*args) if each.metadata['Name'] not in hidden
)
from pydantic_ai_aiobedrock import BedrockProvider

with LocalBedrock() as bedrock:
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, api_key=bedrock.api_key)
    asyncio.run(provider.client.converse(modelId='us.amazon.nova-lite-v1:0', messages=[
        {'role': 'user', 'content': [{'text': 'hello'}]}
    ]))
    print(len(bedrock.requests))
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ('1\n', '')


def test_what_sends_is_imported_by_the_first_call_and_not_before() -> None:
    modules = modules_after("""
from pydantic_ai import Agent
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockEmbeddingModel, BedrockProvider
provider = BedrockProvider(region_name='us-east-1')
Agent(BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider))
BedrockEmbeddingModel('amazon.titan-embed-text-v2:0', provider=provider)
""")
    assert modules & {'aiohttp', 'aiobotocore', 'aioboto3'} == set()


def test_the_backend_of_anyio_is_not_imported_on_the_loop_of_the_first_call() -> None:
    modules = modules_after("""
import asyncio
from local_bedrock import LocalBedrock
from pydantic_ai_aiobedrock import BedrockProvider
with LocalBedrock() as bedrock:
    provider = BedrockProvider(region_name='us-east-1', base_url=bedrock.base_url, api_key=bedrock.api_key)
    asyncio.run(provider.client.converse(modelId='us.amazon.nova-lite-v1:0', messages=[
        {'role': 'user', 'content': [{'text': 'hello'}]}
    ]))
""")
    assert 'aiohttp' in modules
    assert 'anyio._backends._asyncio' not in modules


def test_the_first_model_compiles_no_pattern_of_the_prices() -> None:
    program = """
from pydantic_ai_aiobedrock import BedrockConverseModel, BedrockProvider
import re, sys
compiled = []
_compile = re._compiler.compile
re._compiler.compile = lambda pattern, flags: compiled.append(pattern) or _compile(pattern, flags)
provider = BedrockProvider(region_name='us-east-1', base_url='http://127.0.0.1:9')
BedrockConverseModel('us.amazon.nova-lite-v1:0', provider=provider)
prices = sys.modules['genai_prices.data_snapshot'].get_snapshot()
patterns = {each.api_pattern for each in prices.providers}
assert patterns, 'there are none'
print(patterns & set(compiled))
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ('set()\n', '')
