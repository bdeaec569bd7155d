"""Write the service models that local-bedrock ships, from those of the installed botocore.

Install the botocore to take them from, and run `python scripts/generate_models.py`. Only the inputs of the operations
that LocalBedrock validates are kept, without documentation: names, types, limits, patterns, enumerations and required
members are all that a check needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import botocore
from botocore.loaders import Loader

SERVICE = Path(__file__).parent.parent / 'src/local_bedrock/_model/service'
OPERATIONS: dict[str, tuple[str, ...]] = {
    'bedrock-runtime': (
        'ApplyGuardrail',
        'Converse',
        'ConverseStream',
        'CountTokens',
        'InvokeModel',
        'InvokeModelWithResponseStream',
    ),
    'bedrock': (
        'CreateModelInvocationJob',
        'GetFoundationModel',
        'GetInferenceProfile',
        'GetModelInvocationJob',
        'ListFoundationModels',
        'ListInferenceProfiles',
        'ListModelInvocationJobs',
        'StopModelInvocationJob',
    ),
}
_KEPT = ('type', 'required', 'min', 'max', 'pattern', 'enum', 'union', 'document', 'sensitive', 'payload')
_KEPT_OF_MEMBERS = ('shape', 'location', 'locationName')


def reduced(description: Mapping[str, Any], operations: Iterable[str]) -> dict[str, Any]:
    """Return the part of a service model that validating the inputs of operations needs.

    Args:
        description: The service model.
        operations: The names of the operations.
    """
    shapes: dict[str, Any] = {}
    pending: list[str] = []
    kept: dict[str, Any] = {}
    for name in operations:
        operation = description['operations'][name]
        http = operation['http']
        kept[name] = {
            'http': {'method': http['method'], 'requestUri': http['requestUri']},
            'input': {'shape': operation['input']['shape']},
        }
        pending.append(operation['input']['shape'])
    while pending:
        if (name := pending.pop()) in shapes:
            continue
        shapes[name], found = _reduced_shape(description['shapes'][name])
        pending.extend(found)
    return {'operations': kept, 'shapes': dict(sorted(shapes.items()))}


def _reduced_shape(shape: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    kept = {key: shape[key] for key in _KEPT if key in shape}
    members = {
        name: {key: member[key] for key in _KEPT_OF_MEMBERS if key in member}
        for name, member in cast('Mapping[str, Mapping[str, Any]]', shape.get('members', {})).items()
    }
    if shape['type'] == 'structure':
        kept['members'] = members
    parts = {key: {'shape': shape[key]['shape']} for key in ('member', 'key', 'value') if key in shape}
    return kept | parts, [part['shape'] for part in (*members.values(), *parts.values())]


def main() -> None:
    """Write one file for each service."""
    SERVICE.mkdir(exist_ok=True)
    for service, operations in OPERATIONS.items():
        description = cast('Mapping[str, Any]', Loader().load_service_model(service, 'service-2'))
        content = {'botocore': botocore.__version__, **reduced(description, operations)}
        (SERVICE / f'{service}.json').write_text(json.dumps(content, separators=(',', ':')) + '\n')


if __name__ == '__main__':
    main()
