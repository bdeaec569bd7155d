"""The package as a distribution of its own: what its import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import local_bedrock

FOREIGN = {'aioboto3', 'aiobotocore', 'boto3', 'pydantic', 'pydantic_ai', 'pydantic_ai_aiobedrock'}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages that are loaded after a statement, in a process of its own."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    ran = subprocess.run([sys.executable, '-c', f'{statement}; {report}'], check=True, capture_output=True, text=True)
    return set(ran.stdout.split())


def test_import_loads_no_sdk_and_no_framework() -> None:
    loaded = loaded_by('import local_bedrock, local_bedrock.__main__')
    assert 'local_bedrock' in loaded
    assert not loaded & {*FOREIGN, 'botocore'}


def test_serving_loads_no_sdk() -> None:
    assert not loaded_by('import local_bedrock; local_bedrock.LocalBedrock().__enter__().__exit__()') & {
        *FOREIGN,
        'botocore',
    }


def test_serving_loads_few_modules() -> None:
    # Their number is the time of the start (scripts/measure_start.py measures that): botocore would add 250.
    count = 'import sys; print(len(sys.modules))'
    serving = 'import local_bedrock; local_bedrock.LocalBedrock().__enter__().__exit__()'
    bare, serving = (
        subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout
        for code in (count, f'{serving}; {count}')
    )
    assert int(serving) - int(bare) < 500


def test_the_pytest_plugin_loads_nothing_before_a_test_asks() -> None:
    assert 'local_bedrock' not in loaded_by('import pytest_local_bedrock')


def test_no_module_imports_a_foreign_package() -> None:
    for path in Path(local_bedrock.__file__).parent.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or '']
            assert not {name.partition('.')[0] for name in names} & FOREIGN, path
