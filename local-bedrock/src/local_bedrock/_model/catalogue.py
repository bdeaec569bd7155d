"""The models and inference profiles that Bedrock's control plane lists and describes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from pydantic_core import to_json

from local_bedrock._bodies.json_access import structure
from local_bedrock._model.families import bare_id, family_of, is_foundation_model
from local_bedrock._model.model_ids import known
from local_bedrock._model.render import json_response
from local_bedrock._model.validation import ServiceModel
from local_bedrock.errors import ErrorReply, RefusedError, validation_error
from local_bedrock.requests import RecordedRequest
from local_bedrock.response import Response

#: The models that are listed unless an endpoint has models of its own; any other id of a known family exists, too.
LISTED = (
    'us.amazon.nova-2-lite-v1:0',
    'us.amazon.nova-premier-v1:0',
    'us.amazon.nova-pro-v1:0',
    'us.amazon.nova-lite-v1:0',
    'us.amazon.nova-micro-v1:0',
    'amazon.titan-text-express-v1',
    'amazon.titan-embed-text-v2:0',
    'us.anthropic.claude-3-haiku-20240307-v1:0',
    'us.anthropic.claude-3-5-haiku-20241022-v1:0',
    'us.anthropic.claude-sonnet-4-20250514-v1:0',
    'us.anthropic.claude-sonnet-4-5-20250929-v1:0',
    'us.anthropic.claude-haiku-4-5-20251001-v1:0',
    'us.anthropic.claude-opus-4-6-v1',
    'cohere.embed-v4:0',
    'deepseek.v3.2',
    'us.meta.llama3-3-70b-instruct-v1:0',
    'us.meta.llama4-scout-17b-instruct-v1:0',
    'mistral.mistral-7b-instruct-v0:2',
    'us.mistral.pixtral-large-2502-v1:0',
    'openai.gpt-oss-120b-1:0',
    'qwen.qwen3-next-80b-a3b',
)
_PROVIDERS = {'ai21': 'AI21 Labs', 'openai': 'OpenAI', 'deepseek': 'DeepSeek', 'mistral': 'Mistral AI', 'xai': 'xAI'}
_REGIONS = {'us': ('us-east-1', 'us-east-2', 'us-west-2'), 'eu': ('eu-central-1', 'eu-west-1', 'eu-west-3')}
_EMBEDDINGS = re.compile('embed')
_WITHOUT_STREAM = re.compile('embed|rerank')
_ACCOUNT = '000000000000'
_PAGE = 100


async def answer_catalogue_request(
    record: RecordedRequest, models: Collection[str] | None, region_name: str
) -> Response:
    """Answer a request about models or inference profiles.

    Raises:
        RefusedError: With Bedrock's error.
    """
    assert record.operation is not None
    query: dict[str, Any] = dict(parse_qsl(record.path.partition('?')[2]))
    if query.get('maxResults', '').isdecimal():
        query['maxResults'] = int(query['maxResults'])
    member = 'modelIdentifier' if record.operation == 'GetFoundationModel' else 'inferenceProfileIdentifier'
    identifier = {member: record.resource} if record.resource else {}
    # Reads and decodes the service model, the first time.
    service_model = await asyncio.to_thread(ServiceModel.load_control_plane)
    # The query names the members of lists in the singular or by other names than the body would.
    service_model.check(record.operation, {**query, **identifier})
    listed = LISTED if models is None else sorted(models)
    match record.operation:
        case 'ListFoundationModels':
            said = _foundation_models(listed, query, region_name)
        case 'GetFoundationModel':
            if not known(record.resource, None) or not (is_foundation_model(record.resource)):
                raise validation_error('The provided model identifier is invalid.')
            said = {'modelDetails': _foundation_model(bare_id(record.resource), region_name)}
        case 'GetInferenceProfile':
            said = _found_profile(record.resource, models, region_name)
        case _:
            said = _profiles(listed, query, region_name)
    return json_response(record, to_json(said), {})


def _foundation_models(listed: Collection[str], query: Mapping[str, Any], region_name: str) -> dict[str, Any]:
    ids = dict.fromkeys(bare_id(model_id) for model_id in listed)
    models = [_foundation_model(model_id, region_name) for model_id in ids if not model_id.startswith('arn:')]
    provider = query.get('byProvider')
    return {
        'modelSummaries': [
            model
            for model in models
            if (provider is None or model['providerName'].lower() == provider.lower())
            and query.get('byOutputModality') in (None, *model['outputModalities'])
            and query.get('byInferenceType') in (None, *model['inferenceTypesSupported'])
            and query.get('byCustomizationType') is None
        ]
    }


def _foundation_model(model_id: str, region_name: str) -> dict[str, Any]:
    family = family_of(model_id)
    provider = model_id.partition('.')[0]
    embeds = _EMBEDDINGS.search(model_id) is not None
    return {
        'modelArn': f'arn:aws:bedrock:{region_name}::foundation-model/{model_id}',
        'modelId': model_id,
        'modelName': model_id.partition('.')[2] if family.name == 'unknown' else family.name,
        'providerName': _PROVIDERS.get(provider, provider.capitalize()),
        'inputModalities': ['TEXT', 'IMAGE'] if family.images else ['TEXT'],
        'outputModalities': ['EMBEDDING'] if embeds else ['TEXT'],
        'responseStreamingSupported': _WITHOUT_STREAM.search(model_id) is None,
        'customizationsSupported': [],
        'inferenceTypesSupported': ['INFERENCE_PROFILE'] if family.on_demand is False else ['ON_DEMAND'],
        'modelLifecycle': {'status': 'ACTIVE'},
    }


def _profiles(listed: Collection[str], query: Mapping[str, Any], region_name: str) -> dict[str, Any]:
    ids = [model_id for model_id in listed if not is_foundation_model(model_id) and not model_id.startswith('arn:')]
    if query.get('type') == 'APPLICATION':
        ids = []
    start = 0
    if (token := query.get('nextToken')) is not None:
        if token not in ids:
            raise validation_error('The provided pagination token is invalid.')
        start = ids.index(token) + 1
    end = start + (query.get('maxResults') or _PAGE)
    said: dict[str, Any] = {
        'inferenceProfileSummaries': [_profile(model_id, region_name) for model_id in ids[start:end]]
    }
    return said if end >= len(ids) else {**said, 'nextToken': ids[end - 1]}


def _found_profile(identifier: str, models: Collection[str] | None, region_name: str) -> dict[str, Any]:
    model_id = identifier.rpartition('/')[2]
    system_defined = not identifier.startswith('arn:') or ':inference-profile/' in identifier
    if not system_defined or is_foundation_model(model_id) or not known(model_id, models):
        raise RefusedError(
            ErrorReply(404, 'ResourceNotFoundException', f'The inference profile {identifier} could not be found.')
        )
    return _profile(model_id, region_name)


def _profile(model_id: str, region_name: str) -> dict[str, Any]:
    geography, bare = model_id.partition('.')[0], bare_id(model_id)
    regions = _REGIONS.get(geography, (region_name,))
    name = structure({'model': _foundation_model(bare, region_name)}, 'model')['modelName']
    return {
        'inferenceProfileName': f'{geography.upper()} {name}',
        'inferenceProfileArn': f'arn:aws:bedrock:{region_name}:{_ACCOUNT}:inference-profile/{model_id}',
        'inferenceProfileId': model_id,
        'models': [{'modelArn': f'arn:aws:bedrock:{region}::foundation-model/{bare}'} for region in regions],
        'description': f'Routes requests to {name} in {", ".join(regions)}.',
        'status': 'ACTIVE',
        'type': 'SYSTEM_DEFINED',
    }
