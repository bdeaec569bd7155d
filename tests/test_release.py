"""A release names its address, with no relative link in a README, and the Pythons that its tests run on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / '.github' / 'project_url.py'
URL, TAG = 'https://git.example/owner/project', 'v1.2.3'


def rewrite(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of what is built."""
    for folder in ('', 'local-bedrock'):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name in ('pyproject.toml', 'README.md'):
            shutil.copy(ROOT / folder / name, tmp_path / folder / name)
        shutil.copytree(ROOT / folder / 'src', tmp_path / folder / 'src', ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(ROOT / 'LICENSE', tmp_path)
    return tmp_path


@pytest.mark.parametrize('folder', ['', 'local-bedrock'])
def test_the_wheel_of_a_release_has_addresses_and_absolute_links(checkout: Path, folder: str) -> None:
    from hatchling.builders.wheel import WheelBuilder

    assert rewrite(checkout, PROJECT_URL=URL, PROJECT_TAG=TAG).returncode == 0
    (wheel,) = WheelBuilder(str(checkout / folder)).build(directory=str(checkout / 'dist'), versions=['standard'])
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith('.dist-info/METADATA')]
        metadata = Parser().parsestr(archive.read(name).decode())
    addresses = dict(value.split(', ') for value in metadata.get_all('Project-URL', ()))
    assert set(addresses) == {'Source', 'Documentation', 'Changelog', 'Issues'}
    assert all(address.startswith(URL) for address in addresses.values())
    readme = str(metadata.get_payload())
    links = re.findall(r'\]\(([^)]+)\)|(?:src|srcset|href)="([^"]+)"', readme)
    assert [link for pair in links for link in pair if link and not link.startswith(('https://', '#'))] == []
    for path in re.findall(rf'{URL}/(?:blob|raw)/{TAG}/([^)"#\s]+)', readme):
        assert (ROOT / path).exists()


def test_without_an_address_nothing_is_written(checkout: Path) -> None:
    ran = rewrite(checkout, PROJECT_URL='', PROJECT_TAG=TAG)
    assert (ran.returncode, 'PROJECT_URL' in ran.stderr) == (2, True)
    assert (checkout / 'README.md').read_text() == (ROOT / 'README.md').read_text()


def test_the_release_sets_the_address_before_it_builds() -> None:
    workflow = (ROOT / '.github' / 'workflows' / 'release.yml').read_text()
    assert workflow.index('python .github/project_url.py') < workflow.index('python -m build')
    assert 'PROJECT_URL: ${{ github.server_url }}/${{ github.repository }}' in workflow


@pytest.mark.parametrize('folder', ['', 'local-bedrock'])
def test_the_pythons_of_the_classifiers_are_those_that_the_tests_run_on(folder: str) -> None:
    project = tomllib.loads((ROOT / folder / 'pyproject.toml').read_text())['project']
    named = [name for each in project['classifiers'] if (name := each.rpartition(' :: ')[2]).startswith('3.')]
    assert project['requires-python'] == f'>={named[0]}'
    for file, start in (
        (ROOT / 'noxfile.py', 'PYTHONS = '),
        (ROOT / '.github' / 'workflows' / 'checks.yml', 'python: '),
    ):
        [line] = [line for line in file.read_text().splitlines() if line.strip().startswith(start)]
        assert re.findall(r"'(3\.\d+)'", line) == named, file
