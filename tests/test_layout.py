"""The layout and the way of a call are as CONTRIBUTING.md describes them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pydantic_ai_aiobedrock
from pydantic_ai_aiobedrock import BedrockConverseModel, models

ROOT = Path(__file__).parents[1]
PACKAGE = Path(pydantic_ai_aiobedrock.__file__).parent
CONTRIBUTING = (ROOT / 'CONTRIBUTING.md').read_text()
LAYOUT = CONTRIBUTING[CONTRIBUTING.index('## Layout') : CONTRIBUTING.index('### The way of a call')]
WAY = CONTRIBUTING[CONTRIBUTING.index('### The way of a call') : CONTRIBUTING.index('## The rules')]
STEPS = re.findall(r'^\d+\. `([\w.]+)`', WAY, flags=re.MULTILINE)

SEAM = {'call_bedrock': '_call_bedrock'}
"""Functions that the seam calls by another name: upstream's."""


def module_of(step: str) -> tuple[ModuleType, list[str]]:
    """Split the name of a function into its module, of this package or another, and the rest."""
    package = '' if step.startswith('pydantic_ai.') else 'pydantic_ai_aiobedrock.'
    parts = step.split('.')
    for length in range(len(parts) - 1, 0, -1):
        name = package + '.'.join(parts[:length])
        try:
            return importlib.import_module(name), parts[length:]
        except ModuleNotFoundError as error:
            # Anything else that is missing is an error of this module's imports.
            if error.name is None or not name.startswith(error.name):
                raise
    raise AssertionError(f'{step} is in no module')


def function_of(step: str) -> FunctionType | type:
    """Return the function of a step, or the class whose methods are the step."""
    found: Any
    found, path = module_of(step)
    for name in path:
        found = inspect.getattr_static(found, name)
    return inspect.unwrap(found)


def calls(function: FunctionType | type) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each call in a function: the name that is called, the object that it is called on, and the arguments.

    An argument is a name, or an attribute by its name.
    """
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Call):
            arguments = [each.id for each in node.args if isinstance(each, ast.Name)]
            arguments += [each.attr for each in node.args if isinstance(each, ast.Attribute)]
            if isinstance(node.func, ast.Name):
                yield node.func.id, '', arguments
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr, ast.unparse(node.func.value), arguments


def test_the_layout_names_every_file_and_folder_of_the_root_and_no_other() -> None:
    named = set(re.findall(r'`(\w+(?:\.py|/))`', LAYOUT.partition('|---|')[2].partition('\n\n')[0]))
    found = {path.name for path in PACKAGE.glob('*.py')} - {'__init__.py'}
    found |= {f'{path.name}/' for path in PACKAGE.iterdir() if path.is_dir() and path.name != '__pycache__'}
    assert named == found


def test_the_root_holds_at_most_twelve_files() -> None:
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= 12


def test_the_names_of_the_package_come_from_every_file_of_the_root() -> None:
    imports = list(ast.walk(ast.parse(inspect.getsource(pydantic_ai_aiobedrock))))
    sources = {
        node.module
        for node in imports
        if isinstance(node, ast.ImportFrom) and {name.name for name in node.names} & set(pydantic_ai_aiobedrock.__all__)
    }
    files = {path.stem for path in PACKAGE.glob('*.py')} - {'__init__', '__main__'}
    assert {name for name in files if f'pydantic_ai_aiobedrock.{name}' not in sources} == set()


def test_no_file_is_longer_than_400_lines() -> None:
    files = [*PACKAGE.rglob('*.py'), *(ROOT / 'local-bedrock' / 'src').rglob('*.py')]
    assert len(files) > 100
    assert [str(path) for path in files if path.read_text().count('\n') > 400] == []


def test_each_step_of_a_call_calls_the_next_by_its_name() -> None:
    assert len(STEPS) == 12
    for step, following in pairwise(STEPS):
        name = following.rpartition('.')[2]
        called = {called for called, _, _ in calls(function_of(step))}
        assert SEAM.get(name, name) in called, f'{step} does not call {following}'


def test_from_the_seam_on_each_step_hands_the_parameters_on() -> None:
    for step, following in pairwise(STEPS[3:-2]):
        name = following.rpartition('.')[2]
        handed_on = [arguments for called, _, arguments in calls(function_of(step)) if called == SEAM.get(name, name)]
        assert any('params' in arguments for arguments in handed_on), f'{step} does not hand params to {following}'


def test_the_last_step_sends_over_a_connection_of_aiohttps() -> None:
    assert ('connect', 'self._connector') in {(called, on) for called, on, _ in calls(function_of(STEPS[-1]))}


def test_upstream_calls_this_package_where_the_way_says_so() -> None:
    globals_of_step: dict[str, Any] = inspect.unwrap(models._Rebuilt._messages_create).__globals__
    assert issubclass(BedrockConverseModel, models._Rebuilt)
    assert globals_of_step['_call_bedrock'] is models.call_bedrock


def test_a_call_passes_through_no_more_than_twelve_modules() -> None:
    assert len({module_of(step)[0] for step in STEPS}) <= 12
