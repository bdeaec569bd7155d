"""The service models that local-bedrock ships: small, current, and checked without botocore."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from local_bedrock._model.validation import ServiceModel
from local_bedrock.errors import RefusedError
from local_bedrock.routing import JOB_OPERATIONS, RUNTIME_OPERATIONS

SERVICE = files('local_bedrock._model') / 'service'
SCRIPT = Path(__file__).parent.parent / 'scripts/generate_models.py'
HELLO = {'messages': [{'role': 'user', 'content': [{'text': 'Hello'}]}]}


def generator() -> Any:
    spec = importlib.util.spec_from_file_location('generate_models', SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shipped(service: str) -> dict[str, Any]:
    return json.loads((SERVICE / f'{service}.json').read_text())


def refusal(body: dict[str, Any]) -> str | None:
    try:
        ServiceModel.load().check('Converse', body)
    except RefusedError as error:
        return error.reply.message
    return None


@pytest.mark.parametrize(
    ('service', 'operations'), [('bedrock-runtime', RUNTIME_OPERATIONS), ('bedrock', JOB_OPERATIONS)]
)
def test_every_operation_that_is_served_is_described(service: str, operations: tuple[str, ...]) -> None:
    assert set(operations) <= set(shipped(service)['operations'])


@pytest.mark.parametrize('service', ['bedrock-runtime', 'bedrock'])
def test_all_patterns_compile_and_all_shapes_that_are_named_are_there(service: str) -> None:
    shapes = shipped(service)['shapes']
    for shape in shapes.values():
        re.compile(shape.get('pattern', ''))
        parts = [
            *shape.get('members', {}).values(),
            *(shape[key] for key in ('member', 'key', 'value') if key in shape),
        ]
        assert all(part['shape'] in shapes for part in parts)
        assert 'documentation' not in json.dumps(shape)


def test_generating_takes_what_the_inputs_of_the_operations_reach_and_nothing_else() -> None:
    string = {'type': 'string', 'min': 1, 'documentation': 'Long.'}
    description = {
        'operations': {
            name: {'http': {'method': 'POST', 'requestUri': '/a', 'responseCode': 200}, 'input': {'shape': shape}}
            for name, shape in (('Ask', 'AskInput'), ('Other', 'OtherInput'))
        },
        'shapes': {
            'AskInput': {
                'type': 'structure',
                'required': ['text'],
                'members': {
                    'text': {'shape': 'Text', 'documentation': 'Long.'},
                    'next': {'shape': 'AskInput', 'location': 'header', 'locationName': 'X-Next'},
                    'tags': {'shape': 'Tags'},
                },
            },
            'OtherInput': {'type': 'structure', 'members': {}},
            'Tags': {'type': 'map', 'key': {'shape': 'Text'}, 'value': {'shape': 'Values'}, 'max': 3},
            'Text': string,
            'Values': {'type': 'list', 'member': {'shape': 'Text'}},
        },
    }
    assert generator().reduced(description, ['Ask']) == {
        'operations': {'Ask': {'http': {'method': 'POST', 'requestUri': '/a'}, 'input': {'shape': 'AskInput'}}},
        'shapes': {
            'AskInput': {
                'type': 'structure',
                'required': ['text'],
                'members': {
                    'text': {'shape': 'Text'},
                    'next': {'shape': 'AskInput', 'location': 'header', 'locationName': 'X-Next'},
                    'tags': {'shape': 'Tags'},
                },
            },
            'Tags': {'type': 'map', 'max': 3, 'key': {'shape': 'Text'}, 'value': {'shape': 'Values'}},
            'Text': {'type': 'string', 'min': 1},
            'Values': {'type': 'list', 'member': {'shape': 'Text'}},
        },
    }


def test_what_is_shipped_knows_at_least_what_the_installed_botocore_knows() -> None:
    description = Loader().load_service_model('bedrock-runtime', 'service-2')
    installed = generator().reduced(description, ['Converse', 'ConverseStream', 'InvokeModel', 'ApplyGuardrail'])
    shapes = shipped('bedrock-runtime')['shapes']
    for name, shape in installed['shapes'].items():
        if name in shapes:
            assert set(shape.get('members', ())) <= set(shapes[name].get('members', ())), name
            assert set(shape.get('enum', ())) <= set(shapes[name].get('enum', ())), name


def test_the_role_system_may_stand_between_messages() -> None:
    system = {'role': 'system', 'content': [{'text': 'Be brief from here on.'}]}
    assert refusal({'messages': [*HELLO['messages'], system, *HELLO['messages']]}) is None
    wanted = 'Member must satisfy enum value set: [user, assistant, system]'
    assert wanted in (refusal({'messages': [{**system, 'role': 'developer'}]}) or '')


def test_a_guardrail_needs_no_id_and_a_prompt_no_messages() -> None:
    assert refusal({**HELLO, 'guardrailConfig': {'trace': 'enabled'}}) is None
    assert refusal({'promptVariables': {'topic': {'text': 'rain'}}}) is None


def test_a_service_model_is_loaded_without_that_of_botocore() -> None:
    code = (
        'from botocore.loaders import Loader; Loader.load_service_model = None; '
        'from local_bedrock._model.validation import ServiceModel; '
        'ServiceModel.load(); ServiceModel.load_control_plane()'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
