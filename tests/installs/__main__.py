"""Print, or write to `docs/installing.md`, what installs beside what, and what it costs: `python -m tests.installs`."""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from .costs import measure
from .resolving import INSTALLERS, UnresolvedError, normalized

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs' / 'installing.md'

BESIDE = (
    'boto3',
    'langchain-aws',
    'litellm',
    'strands-agents',
    's3fs',
    'logfire',
    'pydantic-ai-slim[bedrock]',
)
"""Distributions that are installed beside this one. LiteLLM needs boto3 for Bedrock, and does not ask for it."""

NEEDS = {'litellm': ('boto3',)}

IMPORTS = {
    'upstream': 'import pydantic_ai, pydantic_ai.models.bedrock, pydantic_ai.embeddings.bedrock',
    'ours': 'import pydantic_ai, pydantic_ai_aiobedrock',
}


def main() -> None:
    """Resolve, measure, and print or save."""
    parser = argparse.ArgumentParser(prog='nox -s resolve --', description=__doc__)
    parser.add_argument('--save', action='store_true', help='write the tables to docs/installing.md')
    parser.add_argument('--costs', action=argparse.BooleanOptionalAction, default=True, help='download and measure')
    options = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        build = (sys.executable, '-m', 'build', '--wheel', '--outdir', str(folder), str(ROOT))
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = folder.glob('*.whl')
        ways = {'`[aioboto3]`': f'pydantic-ai-aiobedrock[aioboto3] @ {wheel.as_uri()}', 'plain': str(wheel)}
        beside = [*resolutions(ways, console)]
        fail_unless_current(beside, ways['plain'])
        costs = [*costs_of(folder, wheel, console)] if options.costs else []
    sections = {'resolved': table(('beside', 'newest alone', *ways), [row.cells() for row in beside])}
    if costs:
        sections['costs'] = table(('', 'download', 'packages', 'import'), costs)
    for name, text in sections.items():
        print(f'{note(name)}\n\n{text}\n')
        if options.save:
            write(name, f'{note(name)}\n\n{text}')


class Row:
    """What was chosen for a distribution: alone, and beside this package in each way."""

    def __init__(self, name: str, alone: str, chosen: dict[str, dict[str, str]]) -> None:
        self.name = name
        self.alone = alone
        self.chosen = chosen

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row; what both installers choose stands once."""
        cells: list[str] = []
        for by_installer in self.chosen.values():
            if len({*by_installer.values()}) == 1:
                cells.append(next(iter(by_installer.values())))
            else:
                cells.append('; '.join(f'{release} ({installer})' for installer, release in by_installer.items()))
        return (f'`{self.name}`', self.alone, *cells)


def resolutions(ways: dict[str, str], console: Console) -> Iterator[Row]:
    """Ask each installer, for each distribution, for the newest release alone and the one beside this package."""
    for name in BESIDE:
        needs = NEEDS.get(name, ())
        alone = release_of(name, 'uv', name, *needs)
        chosen = {
            way: {installer: release_of(name, installer, requirement, name, *needs) for installer in INSTALLERS}
            for way, requirement in ways.items()
        }
        yield (row := Row(name, alone, chosen))
        console.print(' | '.join(row.cells()), highlight=False, markup=False)


def release_of(name: str, installer: str, *requirements: str) -> str:
    """Return the release of a distribution that an installer chooses for some requirements, or why there is none."""
    try:
        return INSTALLERS[installer](*requirements)[normalized(name.partition('[')[0])]
    except UnresolvedError as error:
        return str(error)


def fail_unless_current(rows: list[Row], plain: str) -> None:
    """Exit with an error unless the newest release installs beside the plain package when it is asked for.

    boto3 is the exception: aiobotocore allows releases of botocore that are some days or weeks old.
    """
    old: list[str] = []
    for row in rows:
        for installer, release in row.chosen['plain'].items():
            if row.name == 'boto3' or release == row.alone:
                continue
            newest = f'{row.name}>={row.alone}'
            found = release_of(row.name, installer, plain, newest, *NEEDS.get(row.name, ()))
            if found != row.alone:
                old.append(f'{newest} ({installer}: {found})')
    if old:
        sys.exit(f'Does not install beside the plain package in its newest release: {", ".join(old)}')


def costs_of(folder: Path, wheel: Path, console: Console) -> Iterator[tuple[str, ...]]:
    """Measure each way, and Pydantic AI's own."""
    ours = 'pydantic-ai-aiobedrock'
    measured = {
        '`pydantic-ai-slim[bedrock]`': ('pydantic-ai-slim[bedrock]', IMPORTS['upstream']),
        f'`{ours}`': (str(wheel), IMPORTS['ours']),
        f'`{ours}[aioboto3]`': (f'{ours}[aioboto3] @ {wheel.as_uri()}', IMPORTS['ours']),
    }
    for number, (title, (requirement, program)) in enumerate(measured.items()):
        cost = measure(folder / str(number), requirement, program)
        yield (row := (title, f'{cost.mebibytes:.1f} MiB', str(cost.packages), f'{cost.milliseconds:,.0f} ms'))
        console.print(' | '.join(row), highlight=False, markup=False)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    return '\n'.join(f'| {" | ".join(row)} |' for row in (head, ('---',) * len(head), *rows))


def note(name: str) -> str:
    """Return the line above a table: when and with what it was made."""
    made: dict[str, Callable[[], str]] = {
        'resolved': lambda: f'Resolved on {datetime.now(UTC):%Y-%m-%d} for Python {platform.python_version()}:',
        'costs': lambda: (
            f'Measured on {datetime.now(UTC):%Y-%m-%d} on {platform.system()}, Python '
            f'{platform.python_version()}; imports by CPU time:'
        ),
    }
    return made[name]()


def write(name: str, text: str) -> None:
    """Put a text between the two comments of a name in the page."""
    page, found = re.subn(
        f'(<!-- {name}: [^\n]* -->\n).*?(<!-- end of {name} -->)',
        lambda match: f'{match[1]}{text}\n{match[2]}',
        PAGE.read_text(),
        flags=re.DOTALL,
    )
    assert found == 1, f'{PAGE} has no place for {name}'
    PAGE.write_text(page)


if __name__ == '__main__':
    main()
