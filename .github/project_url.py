"""Write the address of the repository into the metadata and the READMEs of both distributions, ahead of a release.

The repository names no host of itself: `PROJECT_URL` (such as https://github.com/owner/name) does, when a release is
built. Relative links, which lead nowhere on a package index, become links to the files of the tag `PROJECT_TAG`.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path

IMAGES = ('.svg', '.png', '.jpg')


def absolute(text: str, folder: str, url: str, tag: str) -> str:
    """Return Markdown of a folder in which each relative link leads to a file of the repository at a tag."""

    def link(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found['path']))
        kind = 'raw' if path.partition('#')[0].endswith(IMAGES) else 'blob'
        return f'{found["before"]}{url}/{kind}/{tag}/{path}{found["after"]}'

    relative = r'(?P<path>(?![a-z]+:|#)[^)"\s]+)'
    text = re.sub(rf'(?P<before>\]\(){relative}(?P<after>\))', link, text)
    return re.sub(rf'(?P<before>(?:src|srcset|href)="){relative}(?P<after>")', link, text)


def with_urls(pyproject: str, url: str) -> str:
    """Return a pyproject.toml with the table of addresses that an index shows."""
    table = (
        f'[project.urls]\nSource = "{url}"\nDocumentation = "{url}#readme"\n'
        f'Changelog = "{url}/blob/main/CHANGELOG.md"\nIssues = "{url}/issues"\n\n'
    )
    return pyproject.replace('[project.entry-points', table + '[project.entry-points', 1)


def main() -> int:
    """Rewrite the files of the working directory, which is the root of a checkout."""
    url, tag = os.environ.get('PROJECT_URL', '').rstrip('/'), os.environ.get('PROJECT_TAG', '')
    if not url.startswith('https://') or not tag:
        sys.stderr.write('Set PROJECT_URL (https://...) and PROJECT_TAG, the tag of the release.\n')
        return 2
    for folder in ('', 'local-bedrock'):
        readme, pyproject = Path(folder, 'README.md'), Path(folder, 'pyproject.toml')
        readme.write_text(absolute(readme.read_text(), folder, url, tag))
        pyproject.write_text(with_urls(pyproject.read_text(), url))
    return 0


if __name__ == '__main__':
    sys.exit(main())
