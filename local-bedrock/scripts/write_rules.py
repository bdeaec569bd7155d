"""Write RULES.md: the properties of each model family, those that no source confirms, and the sources.

Run `python scripts/write_rules.py` after a change of the table of families.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from local_bedrock._model.families import FAMILIES, SOURCES, Family

PAGE = Path(__file__).parent.parent / 'RULES.md'
_NOT_PROPERTIES = ('name', 'sources', 'anthropic', 'large_documents')
_HEAD = """# What LocalBedrock refuses by model

Written by `scripts/write_rules.py` from the table of model families. A request is refused, in the words of AWS, if a
source confirms the rule; without a source, nothing is refused. `LocalBedrock(strict_models=False)` turns the table off:
then only the rules that all models share apply.

"""


def page() -> str:
    """Return the page."""
    properties = [field.name for field in fields(Family) if field.name not in _NOT_PROPERTIES]
    lines = ['| family | confirmed | not confirmed, so never refused | sources |', '|---|---|---|---|']
    for _, family in FAMILIES:
        values = {name: getattr(family, name) for name in properties}
        confirmed = ', '.join(f'{_shown(name)}: {_value(value)}' for name, value in values.items() if value is not None)
        unconfirmed = ', '.join(_shown(name) for name, value in values.items() if value is None)
        lines.append(f'| {family.name} | {confirmed} | {unconfirmed} | {", ".join(family.sources)} |')
    sources = [f'- `{name}`: {where} ({date})' for name, (where, date) in SOURCES.items()]
    return '\n'.join([_HEAD + '\n'.join(lines), '', '## Sources', '', *sources, ''])


def _shown(name: str) -> str:
    return name.replace('_', ' ')


def _value(value: object) -> str:
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return (
        ' or '.join(map(str, value))
        if isinstance(value, tuple)
        else f'{value:,}'
        if isinstance(value, int)
        else f'{value}'
    )


if __name__ == '__main__':
    PAGE.write_text(page())
