"""Loads botocore's data files without holding up the event loop.

A JSON parser keeps the interpreter to itself, in any thread, so that the loop stands still for as long as
the largest file takes. That is the table of all endpoints of all services, 1.2 MB and some 60,000 objects, of which a
client of a service with endpoint rules of its own, as Bedrock and those of its credentials are, uses nothing but the
partitions.
"""

from __future__ import annotations

import gzip
import os
from functools import lru_cache
from typing import Any

from botocore.loaders import JSONFileLoader, Loader, create_loader
from pydantic_core import from_json


@lru_cache
def data_loader(data_path: str | None) -> Loader:
    """Return the loader that all clients of the process share, so that each file is read once.

    Args:
        data_path: Further folders to look in, as `AWS_DATA_PATH` has them.
    """
    loader = create_loader(data_path)
    loader.file_loader = _FilesWithoutEndpoints()
    return loader


def hasten(loader: Loader) -> None:
    """Let the loader of a caller-supplied session read its files faster; their content stays the same."""
    if type(loader.file_loader) is JSONFileLoader:
        loader.file_loader = _Files()


class _Files(JSONFileLoader):
    """Reads the files with pydantic-core's JSON, in a third of the time that the standard library's takes."""

    def load_file(self, file_path: str) -> Any:
        for suffix, open_file in (('.json', open), ('.json.gz', gzip.open)):
            if os.path.isfile(file_path + suffix):
                with open_file(file_path + suffix, 'rb') as file:
                    return from_json(file.read())
        return None


class _FilesWithoutEndpoints(_Files):
    """Makes the table of all endpoints from the partitions' own file, and leaves the table's unread."""

    def load_file(self, file_path: str) -> Any:
        folder, name = os.path.split(file_path)
        if name == 'endpoints' and (partitions := super().load_file(os.path.join(folder, 'partitions'))) is not None:
            return _endpoints(partitions)
        return super().load_file(file_path)


def _endpoints(partitions: dict[str, Any]) -> dict[str, Any]:
    """The table of endpoints with its partitions, but without its services."""
    return {
        'version': 3,
        'partitions': [
            {
                'partition': partition['id'],
                'dnsSuffix': partition['outputs']['dnsSuffix'],
                'regionRegex': partition['regionRegex'],
                'regions': {name: {} for name in partition['regions'] if not name.endswith('-global')},
                'defaults': {
                    'hostname': '{service}.{region}.{dnsSuffix}',
                    'protocols': ['https'],
                    'signatureVersions': ['v4'],
                    'variants': [
                        {
                            'tags': tags,
                            'hostname': f'{{service}}{"-fips" * ("fips" in tags)}.{{region}}.{{dnsSuffix}}',
                            'dnsSuffix': partition['outputs'][
                                'dualStackDnsSuffix' if 'dualstack' in tags else 'dnsSuffix'
                            ],
                        }
                        for tags in (['fips'], ['dualstack'], ['dualstack', 'fips'])
                    ],
                },
                'services': {},
            }
            for partition in partitions['partitions']
        ],
    }
