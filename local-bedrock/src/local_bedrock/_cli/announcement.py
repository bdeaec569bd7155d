"""The lines that report where an endpoint serves: for a shell, or as JSON for a program."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from local_bedrock.environment import MISLEADING
from local_bedrock.server import LocalBedrock

_TOKEN = 'AWS_BEARER_TOKEN_BEDROCK'


def as_json(bedrock: LocalBedrock, authority: Path | None) -> str:
    """Return one line of JSON: the address, and the environment variables to set and to unset."""
    environment = {**_environment(bedrock, authority), _TOKEN: bedrock.api_key}
    for name in ('NO_PROXY', 'no_proxy'):
        environment[name] = ','.join(filter(None, (os.environ.get(name), _host(bedrock))))
    return json.dumps(
        {
            'base_url': bedrock.base_url,
            'region_name': bedrock.region_name,
            'environment': environment,
            'unset': [name for name in MISLEADING if name not in environment],
        }
    )


def for_a_shell(bedrock: LocalBedrock, authority: Path | None, *, verb: str, with_token: bool) -> str:
    """Return lines for a shell.

    Args:
        bedrock: The endpoint.
        authority: Certificate that clients trust; None without TLS.
        verb: The activity, such as `serves`.
        with_token: Export the API key instead of mentioning it.
    """
    environment = _environment(bedrock, authority)
    token = f'export {_TOKEN}={shlex.quote(bedrock.api_key)}'
    misleading = [name for name in MISLEADING if name not in environment and not (with_token and name == _TOKEN)]
    lines = [
        f'LocalBedrock {verb} at {bedrock.base_url}. In another shell:',
        f'unset {" ".join(misleading)}',
        *(f'export {name}={shlex.quote(value)}' for name, value in environment.items()),
        *(f'export {name}={_host(bedrock)}"${{{name}:+,${name}}}"' for name in ('NO_PROXY', 'no_proxy')),
        token if with_token else f'# or, instead of the keys: {token}',
    ]
    if authority is not None:
        lines.append(f'# for clients on httpx, such as anthropic: export SSL_CERT_FILE={shlex.quote(str(authority))}')
    return '\n'.join((*lines, 'Ctrl-C stops it.'))


def _environment(bedrock: LocalBedrock, authority: Path | None) -> dict[str, str]:
    trusted = {} if authority is None else dict.fromkeys(('AWS_CA_BUNDLE', 'NODE_EXTRA_CA_CERTS'), str(authority))
    return {**bedrock.environment, **trusted}


def _host(bedrock: LocalBedrock) -> str:
    return urlsplit(bedrock.base_url).hostname or ''
